/*
 * A push that breaks off before its header is whole goes to nobody, but its
 * Id may have been there: then the worker that has the scrape is told, so that
 * its scraper need not wait for the deadline.
 *
 * What tells it is a hop without an answer.  A unix socket takes all of that
 * at once, and keeps it when it is closed, so nothing is to be waited for.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_poll.h"


/* the identity, and what is around it */

#define NGX_HTTP_PROM_POLL_BROKEN_LEN  (NGX_HTTP_PROM_POLL_IDENTITY + 256)


static ngx_int_t ngx_http_prom_poll_broken_tell(ngx_addr_t *addr,
    ngx_str_t *value, ngx_log_t *log);


void
ngx_http_prom_poll_broken(ngx_http_prom_poll_ctx_t *push, ngx_str_t *id)
{
    ngx_str_t                  value;
    ngx_addr_t                 addr;
    ngx_pool_t                *pool;
    ngx_http_prom_poll_ctx_t   broken;

    pool = push->request->pool;

    broken = *push;
    broken.kind = NGX_HTTP_PROM_POLL_BROKEN;
    broken.uri = *id;

    if (ngx_http_prom_poll_hop_value(&broken, pool, &value) != NGX_OK
        || ngx_http_prom_poll_address(&broken.to, &addr, pool) != NGX_OK)
    {
        return;
    }

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, push->request->connection->log, 0,
                   "prom poll hop to %uD-%08xD: \"%V\"",
                   broken.to.slot, broken.to.tag, &value);

    (void) ngx_http_prom_poll_broken_tell(&addr, &value,
                                          push->request->connection->log);
}


static ngx_int_t
ngx_http_prom_poll_broken_tell(ngx_addr_t *addr, ngx_str_t *value,
    ngx_log_t *log)
{
    size_t         len;
    u_char        *last;
    ngx_int_t      rc;
    const char    *what;
    ngx_socket_t   s;
    u_char         text[NGX_HTTP_PROM_POLL_BROKEN_LEN];

    last = ngx_slprintf(text, text + sizeof(text),
                        "GET / HTTP/1.1" CRLF
                        "Host: prom-poll" CRLF
                        "Prom-Poll: %V" CRLF CRLF, value);
    len = last - text;

    s = ngx_socket(AF_UNIX, SOCK_STREAM, 0);

    if (s == (ngx_socket_t) -1) {
        ngx_log_error(NGX_LOG_ERR, log, ngx_socket_errno,
                      ngx_socket_n " failed");
        return NGX_ERROR;
    }

    rc = NGX_OK;
    what = ngx_nonblocking_n;

    if (ngx_nonblocking(s) == -1) {
        rc = NGX_ERROR;
    }

    if (rc == NGX_OK) {
        what = "connect()";

        if (connect(s, addr->sockaddr, addr->socklen) == -1) {
            rc = NGX_ERROR;
        }
    }

    if (rc == NGX_OK) {
        what = "send()";

        if (send(s, text, len, MSG_NOSIGNAL) != (ssize_t) len) {
            rc = NGX_ERROR;
        }
    }

    if (rc != NGX_OK) {
        ngx_log_error(NGX_LOG_INFO, log, ngx_socket_errno,
                      "prom poll: a push broke off, and %s to \"%V\" failed",
                      what, &addr->name);
    }

    if (ngx_close_socket(s) == -1) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_socket_errno,
                      ngx_close_socket_n " failed");
    }

    return rc;
}


/* nobody waits for its answer */

ngx_int_t
ngx_http_prom_poll_broken_handler(ngx_http_request_t *r)
{
    ngx_http_prom_poll_ctx_t  *ctx, *scrape;

    ctx = ngx_http_get_module_ctx(r, ngx_http_prom_poll_module);

    scrape = ngx_http_prom_poll_handed(&ctx->uri);

    if (scrape && ngx_http_prom_poll_push_allowed(ctx, scrape)) {
        ngx_http_prom_poll_fail(scrape, NGX_PROM_POLL_FAIL_BROKEN,
                         ngx_http_prom_poll_push_reason(NGX_HTTP_BAD_REQUEST));
    }

    return NGX_HTTP_CLOSE;
}
