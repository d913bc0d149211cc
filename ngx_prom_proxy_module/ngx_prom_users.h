/*
 * Users of the forward proxy: a file as htpasswd makes it, in plain C.
 *
 *     USER:HASH           # HASH as crypt(3) knows it: bcrypt, yescrypt, ...
 */


#ifndef _NGX_PROM_USERS_H_INCLUDED_
#define _NGX_PROM_USERS_H_INCLUDED_


#include "ngx_prom_targets.h"


typedef struct {
    ngx_prom_text_t              name;
    ngx_prom_text_t              hash;       /* terminated by a zero */
} ngx_prom_user_t;


typedef struct {
    ngx_prom_targets_alloc_pt    alloc;      /* set by the caller */
    ngx_prom_targets_error_pt    error;      /* set by the caller */
    void                        *data;       /* handed to both */

    ngx_prom_user_t             *users;      /* sorted by name */
    uint32_t                     count;
    uint32_t                     errors;
} ngx_prom_users_t;


/*
 * Parses text[0 .. len - 1] in place; text[len] must be writable too.
 * Returns as ngx_prom_targets_parse() does.  Refused: what crypt(3) here does
 * not know, plain text, MD5 and DES, which are no protection, and a name that
 * is there twice.  No message repeats a hash.
 */

int ngx_prom_users_parse(ngx_prom_users_t *users, char *text, size_t len);

const ngx_prom_user_t *ngx_prom_users_find(const ngx_prom_users_t *users,
    const char *name, size_t len);


#endif /* _NGX_PROM_USERS_H_INCLUDED_ */
