/*
 * The forward proxy's own answers: a line of text, which is also the reason
 * phrase, as that is what Prometheus shows of an answer that isn't 200.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_page.h"
#include "ngx_http_prom_forward.h"


ngx_int_t
ngx_http_prom_forward_answer(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *line)
{
    u_char     *p;
    size_t      i;
    ngx_int_t   rc;
    ngx_buf_t  *b;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    p = ngx_pnalloc(r->pool, sizeof("000 ") - 1 + line->len);
    b = ngx_create_temp_buf(r->pool, line->len + 1);

    if (p == NULL || b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status_line.data = p;
    r->headers_out.status_line.len = sizeof("000 ") - 1 + line->len;

    p = ngx_sprintf(p, "%03ui ", status);

    for (i = 0; i < line->len; i++) {
        *p++ = (line->data[i] < 0x20 || line->data[i] > 0x7e)
               ? '?' : line->data[i];
    }

    b->last = ngx_cpymem(b->last, p - line->len, line->len);
    *b->last++ = LF;

    ngx_str_set(&r->headers_out.content_type, "text/plain; charset=utf-8");

    return ngx_http_prom_page_answer(r, status, b);
}


ngx_int_t
ngx_http_prom_forward_error_handler(ngx_http_request_t *r)
{
    ngx_str_t                     line;
    ngx_uint_t                    status;
    ngx_http_prom_forward_ctx_t  *ctx;

    ctx = ngx_http_prom_forward_ctx(r);
    status = r->err_status ? r->err_status : NGX_HTTP_BAD_GATEWAY;

    /* nginx would write its own reason phrase over ours */

    r->err_status = 0;

    if (ctx && ctx->proxy) {

        if (ngx_http_prom_proxy_error(r, &line) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        if (ctx->proxy->fail == NGX_HTTP_PROM_FAIL_CROWDED) {
            status = NGX_HTTP_SERVICE_UNAVAILABLE;
        }

    } else {
        ngx_str_set(&line, "the request was refused, see the error log");
    }

    return ngx_http_prom_forward_answer(r, status, &line);
}
