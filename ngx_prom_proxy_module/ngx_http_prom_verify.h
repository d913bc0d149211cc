/*
 * How the certificate of a server is verified that "proxy_ssl_verify" has no
 * name for.
 */


#ifndef _NGX_HTTP_PROM_VERIFY_H_INCLUDED_
#define _NGX_HTTP_PROM_VERIFY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef struct {
    ngx_str_t                    key;       /* parts idle connections that are
                                               not to be shared */
    void                        *store;     /* X509_STORE, or NULL: whatever
                                               the certificate, it will do */
    ngx_str_t                    host;
    struct sockaddr             *sockaddr;  /* host is this address, or NULL:
                                               it is a name */
} ngx_http_prom_verify_t;


#endif /* _NGX_HTTP_PROM_VERIFY_H_INCLUDED_ */
