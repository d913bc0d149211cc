/*
 * What all pollers share.
 */


#ifndef _CLIENT_CLIENT_H_INCLUDED_
#define _CLIENT_CLIENT_H_INCLUDED_


#include "options.h"
#include "secret.h"
#include "transfer.h"


typedef struct {
    options_t        options;
    secret_t        *token;       /* to the proxies, or NULL */
    const char      *pull_token;  /* to pinned URLs, or NULL */
    transfer_tls_t   proxy_tls;
    transfer_tls_t   target_tls;
} client_t;


typedef struct {
    client_t        *client;
    char            *url;         /* to be told, without credentials */
    char            *poll;        /* the URLs of both */
    char            *push;
    const char      *through;     /* HTTP_PROXY, or "" */
} proxy_t;


/* the header that the proxy knows this client by; -1: out of memory */

int proxy_authorize(const proxy_t *proxy, struct curl_slist **headers);

/* appends a line to the list; -1: out of memory */

int header_add(struct curl_slist **headers, const char *line);


#endif /* _CLIENT_CLIENT_H_INCLUDED_ */
