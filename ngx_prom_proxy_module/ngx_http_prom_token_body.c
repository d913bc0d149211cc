/*
 * The body of a request: read before it is sent on, so that it can be signed,
 * or sent a second time.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_token.h"


static ngx_int_t ngx_http_prom_token_body_size(ngx_http_request_t *r,
    size_t max);
static void ngx_http_prom_token_body_handler(ngx_http_request_t *r);


ngx_int_t
ngx_http_prom_token_body(ngx_http_request_t *r,
    ngx_http_prom_token_ctx_t *ctx)
{
    ngx_int_t                        rc;
    ngx_uint_t                       sign, large;
    ngx_http_prom_token_loc_conf_t  *tlcf;

    tlcf = ngx_http_get_module_loc_conf(r, ngx_http_prom_token_module);

    sign = (ctx->credential->kind == NGX_PROM_TOKEN_AWS);

    if (r->request_body) {

        /* by now, or at the first try */

        ctx->held = 1;

        return sign ? ngx_http_prom_token_body_size(r, tlcf->body) : NGX_OK;
    }

    if (r->headers_in.content_length_n <= 0 && !r->headers_in.chunked) {
        ctx->held = 1;
        return NGX_OK;
    }

    large = (r->headers_in.content_length_n > (off_t) tlcf->body);

    if (large && sign) {
        return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
    }

    if (!sign && (large || r->headers_in.chunked)) {
        ctx->held = 1;
        ctx->streamed = 1;
        return NGX_OK;
    }

    rc = ngx_http_read_client_request_body(r,
                                           ngx_http_prom_token_body_handler);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    ngx_http_finalize_request(r, NGX_DONE);

    return NGX_DONE;
}


/* one without a length is only known once it is there */

static ngx_int_t
ngx_http_prom_token_body_size(ngx_http_request_t *r, size_t max)
{
    off_t         size;
    ngx_chain_t  *cl;

    size = 0;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        size += ngx_buf_size(cl->buf);
    }

    return (size > (off_t) max) ? NGX_HTTP_REQUEST_ENTITY_TOO_LARGE : NGX_OK;
}


static void
ngx_http_prom_token_body_handler(ngx_http_request_t *r)
{
    /* also once it was sent */

    r->preserve_body = 1;

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_core_run_phases;

    ngx_http_core_run_phases(r);
}
