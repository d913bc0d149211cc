/*
 * Answers that aren't HTTP/1.  nginx passes on what has no status line as it
 * is, without a head, and what has one of 1xx as if nothing came behind: on a
 * connection that is kept, a server could put words into another's mouth.
 * Those that others have routed, whose callers ask several servers on one
 * connection, must not; a target of the registry behaves as with "proxy_pass".
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_proxy.h"


static ngx_int_t ngx_http_prom_proxy_header_filter(ngx_http_request_t *r);


static ngx_http_output_header_filter_pt  ngx_http_prom_answer_next_header;


void
ngx_http_prom_proxy_filter_init(void)
{
    ngx_http_prom_answer_next_header = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_prom_proxy_header_filter;
}


static ngx_int_t
ngx_http_prom_proxy_header_filter(ngx_http_request_t *r)
{
    ngx_http_prom_proxy_ctx_t  *ctx;

    if (r != r->main || r->upstream == NULL
        || (r->http_version >= NGX_HTTP_VERSION_10
            && r->headers_out.status >= NGX_HTTP_OK))
    {
        return ngx_http_prom_answer_next_header(r);
    }

    ctx = ngx_http_prom_proxy_ctx(r);

    if (ctx == NULL || ctx->verify == NULL || r->http_major == 0) {
        return ngx_http_prom_answer_next_header(r);
    }

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "target \"%V\" sent no answer of HTTP/1, status %ui",
                  &ctx->route.name, r->headers_out.status);

    r->http_version = r->http_major * 1000 + r->http_minor;

    ngx_http_prom_proxy_fail(ctx, NGX_HTTP_PROM_FAIL_HEADER, 0);

    return NGX_HTTP_BAD_GATEWAY;
}
