/*
 * The grammar of the file of tokens, in plain C without nginx.
 *
 *     NAME sha256:HEX     # comment
 *
 * NAME  a poll client's: letters, digits and "._-"; case is no matter, and a
 *       name may have several tokens, so that one can follow another.
 * HEX   64 digits, the SHA-256 of the token: the file holds no secret.
 */


#ifndef _NGX_PROM_TOKENS_H_INCLUDED_
#define _NGX_PROM_TOKENS_H_INCLUDED_


#include "ngx_prom_targets.h"


#define NGX_PROM_TOKEN_HASH  32       /* bytes */


/* name is a slice of the text, and lower case */

typedef struct {
    ngx_prom_text_t              name;
    uint8_t                      hash[NGX_PROM_TOKEN_HASH];
} ngx_prom_token_t;


typedef struct {
    ngx_prom_targets_alloc_pt    alloc;      /* set by the caller */
    ngx_prom_targets_error_pt    error;      /* set by the caller */
    void                        *data;       /* handed to both */

    ngx_prom_token_t            *tokens;     /* in the file's order */
    uint32_t                     count;
    uint32_t                     errors;     /* all, also untold ones */
} ngx_prom_tokens_t;


/*
 * Parses text[0 .. len - 1] in place; text[len] must be writable too.
 * Returns as ngx_prom_targets_parse() does: 0, 1 with errors, or -1.  What
 * may be a token isn't repeated in any message.
 */

int ngx_prom_tokens_parse(ngx_prom_tokens_t *pt, char *text, size_t len);


#endif /* _NGX_PROM_TOKENS_H_INCLUDED_ */
