/*
 * Verifies servers' certificates in the handshake itself.  proxy_ssl_verify
 * compares DNS names alone, so that a server which is given by its address
 * would never match; RFC 9110, 4.3.5, wants the certificate's addresses.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_proxy.h"
#include "ngx_http_prom_verify.h"


#define NGX_HTTP_PROM_VERIFY_HOST  254    /* bytes of a name, with a dot */


#if (NGX_HTTP_SSL)

#include <openssl/x509v3.h>


ngx_int_t
ngx_http_prom_verify(ngx_connection_t *c, ngx_http_prom_proxy_ctx_t *ctx)
{
    int                            rc;
    SSL                           *ssl;
    char                           name[NGX_HTTP_PROM_VERIFY_HOST + 1];
    X509_VERIFY_PARAM             *param;
    struct sockaddr_in            *sin;
    struct sockaddr_in6           *sin6;
    const ngx_http_prom_verify_t  *verify;

    verify = ctx->verify;

    if (verify->store == NULL) {
        return NGX_OK;
    }

    ssl = c->ssl->connection;
    param = SSL_get0_param(ssl);

    if (SSL_set1_verify_cert_store(ssl, verify->store) == 0) {
        ngx_ssl_error(NGX_LOG_ALERT, c->log, 0,
                      "SSL_set1_verify_cert_store() failed");
        return NGX_ERROR;
    }

    if (verify->sockaddr == NULL) {

        if (verify->host.len >= sizeof(name)) {
            return NGX_ERROR;
        }

        (void) ngx_cpystrn((u_char *) name, verify->host.data,
                           verify->host.len + 1);

        /* as Prometheus does itself: a common name is no host's */

        X509_VERIFY_PARAM_set_hostflags(param,
                                        X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS
                                        |X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
        rc = X509_VERIFY_PARAM_set1_host(param, name, 0);

    } else if (verify->sockaddr->sa_family == AF_INET6) {
        sin6 = (struct sockaddr_in6 *) verify->sockaddr;
        rc = X509_VERIFY_PARAM_set1_ip(param, sin6->sin6_addr.s6_addr, 16);

    } else {
        sin = (struct sockaddr_in *) verify->sockaddr;
        rc = X509_VERIFY_PARAM_set1_ip(param, (u_char *) &sin->sin_addr, 4);
    }

    if (rc == 0) {
        ngx_ssl_error(NGX_LOG_ALERT, c->log, 0,
                      "X509_VERIFY_PARAM_set1_host() or _ip() failed");
        return NGX_ERROR;
    }

    SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);

    return NGX_OK;
}


ngx_uint_t
ngx_http_prom_verify_failed(ngx_connection_t *c,
    ngx_http_prom_proxy_ctx_t *ctx)
{
    long  rc;

    if (ctx->verify->store == NULL) {
        return 0;
    }

    rc = SSL_get_verify_result(c->ssl->connection);

    switch (rc) {

    case X509_V_OK:
        return 0;

    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        ngx_http_prom_proxy_fail(ctx, NGX_HTTP_PROM_FAIL_TLS_NAME, 0);
        return 1;

    default:
        ngx_http_prom_proxy_fail(ctx, NGX_HTTP_PROM_FAIL_TLS_VERIFY, rc);
        return 1;
    }
}

#endif
