/*
 * Clients' certificates.  "ssl_verify_client optional_no_ca" lets a connection
 * go on without one, or with one of another authority, but ends it for any
 * other reason, such as a date, which nobody is told.  So all reasons are one
 * of the former to nginx, and the first of them is kept for the answer.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_prom_forward.h"
#include "ngx_prom_forward_core.h"


#if (NGX_OPENSSL)

static int ngx_prom_forward_certificate_error(int ok, X509_STORE_CTX *store);


static int  ngx_prom_forward_certificate_index = -1;


ngx_int_t
ngx_prom_forward_certificate_init(SSL_CTX *ssl_ctx)
{
    int  index;

    /* once, as indices aren't given back */

    if (ngx_prom_forward_certificate_index == -1) {
        index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);

        if (index == -1) {
            return NGX_ERROR;
        }

        ngx_prom_forward_certificate_index = index;
    }

    SSL_CTX_set_verify(ssl_ctx, SSL_CTX_get_verify_mode(ssl_ctx),
                       ngx_prom_forward_certificate_error);

    return NGX_OK;
}


static int
ngx_prom_forward_certificate_error(int ok, X509_STORE_CTX *store)
{
    int   index;
    SSL  *ssl;

    if (ok) {
        return 1;
    }

    index = ngx_prom_forward_certificate_index;

    ssl = X509_STORE_CTX_get_ex_data(store,
                                     SSL_get_ex_data_X509_STORE_CTX_idx());

    if (SSL_get_ex_data(ssl, index) == NULL) {
        (void) SSL_set_ex_data(ssl, index, (void *) (intptr_t)
                                            X509_STORE_CTX_get_error(store));
    }

    /* it stays an error, and the session's, should that be resumed */

    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_UNTRUSTED);

    return 1;
}


ngx_int_t
ngx_prom_forward_certified(ngx_prom_forward_query_t *query)
{
    long               verified, error;
    X509              *cert;
    ngx_connection_t  *c;

    c = query->connection;

    cert = c->ssl ? SSL_get_peer_certificate(c->ssl->connection) : NULL;

    if (cert == NULL) {
        ngx_prom_forward_refuse(query, NGX_PROM_FORWARD_CERTIFICATE,
                                "this proxy wants a client certificate");
        return NGX_OK;
    }

    X509_free(cert);

    verified = SSL_get_verify_result(c->ssl->connection);

    if (verified == X509_V_OK) {
        return NGX_DECLINED;
    }

    error = 0;

    if (ngx_prom_forward_certificate_index != -1) {
        error = (intptr_t) SSL_get_ex_data(c->ssl->connection,
                                           ngx_prom_forward_certificate_index);
    }

    ngx_prom_forward_refuse(query, NGX_PROM_FORWARD_CERTIFICATE,
                            "the client certificate is refused: %s",
                            X509_verify_cert_error_string(error ? error
                                                                : verified));

    return NGX_OK;
}

#endif
