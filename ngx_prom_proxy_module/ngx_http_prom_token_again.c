/*
 * A remote that refuses the credential is asked once more, with a newer one:
 * its answer is dropped before a byte of it was sent, and nginx goes on in the
 * named location that "error_page 401" has.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_token.h"


static ngx_int_t ngx_http_prom_token_header_filter(ngx_http_request_t *r);
static ngx_uint_t ngx_http_prom_token_refused(ngx_http_request_t *r,
    ngx_http_prom_token_ctx_t *ctx);
static ngx_uint_t ngx_http_prom_token_elsewhere(ngx_http_request_t *r);


static ngx_http_output_header_filter_pt  ngx_http_prom_token_next_header;


void
ngx_http_prom_token_filter_init(void)
{
    ngx_http_prom_token_next_header = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_prom_token_header_filter;
}


static ngx_int_t
ngx_http_prom_token_header_filter(ngx_http_request_t *r)
{
    ngx_http_prom_token_ctx_t  *ctx;

    if (r != r->main
        || r->upstream == NULL
        || r->headers_out.status != NGX_HTTP_UNAUTHORIZED)
    {
        return ngx_http_prom_token_next_header(r);
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_prom_token_module);

    if (ctx == NULL || !ngx_http_prom_token_refused(r, ctx)) {
        return ngx_http_prom_token_next_header(r);
    }

    ngx_log_error(NGX_LOG_NOTICE, r->connection->log, 0,
                  "remote \"%V\" has refused its token, which is asked for "
                  "anew", &ctx->token->name);

    ctx->again = 1;
    ctx->refused = ctx->credential->version;

    ngx_http_clean_header(r);

    return NGX_HTTP_UNAUTHORIZED;
}


static ngx_uint_t
ngx_http_prom_token_refused(ngx_http_request_t *r,
    ngx_http_prom_token_ctx_t *ctx)
{
    if (!ctx->sent || ctx->again || ctx->streamed
        || ctx->credential->kind == NGX_PROM_TOKEN_PLAIN)
    {
        return 0;
    }

    return ngx_http_prom_token_elsewhere(r)
           && ngx_http_prom_token_hope(r, ctx->token,
                                       ctx->credential->version);
}


/* true if there is another location for a 401 */

static ngx_uint_t
ngx_http_prom_token_elsewhere(ngx_http_request_t *r)
{
    ngx_uint_t                 i;
    ngx_str_t                 *name;
    ngx_http_err_page_t       *page;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (clcf->error_pages == NULL || r->error_page || r->uri_changes == 0) {
        return 0;
    }

    page = clcf->error_pages->elts;

    for (i = 0; i < clcf->error_pages->nelts; i++) {

        if (page[i].status != NGX_HTTP_UNAUTHORIZED) {
            continue;
        }

        name = &page[i].value.value;

        return page[i].value.lengths == NULL
               && name->len
               && name->data[0] == '@';
    }

    return 0;
}
