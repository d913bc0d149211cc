/*
 * What a node is handed: where the monitor is, its name, a token, and the pin
 * of the certificate that it will meet.
 */


#ifndef _WIREGUARD_TOKEN_URL_H_INCLUDED_
#define _WIREGUARD_TOKEN_URL_H_INCLUDED_


#include "key.h"
#include "ngx_prom_targets.h"


typedef struct {
    const char          *host;
    char                 pin[KEY_TOKEN];
    char                 token[KEY_TOKEN];
    char                 hash[KEY_DIGEST];
} token_url_t;


/* the pin of DIR/tls.crt; returns 0, or -1 after telling why not on stderr */

int token_url_pin(token_url_t *url, const char *dir);

/* a new token; returns 0, or -1 */

int token_url_make(token_url_t *url);

/* for the caller to free; NULL: no memory */

char *token_url_text(const token_url_t *url, const ngx_prom_text_t *name);


#endif /* _WIREGUARD_TOKEN_URL_H_INCLUDED_ */
