/*
 * What may be asked of a remote, and the way there.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_token.h"


static ngx_int_t ngx_http_prom_token_target(ngx_http_request_t *r,
    ngx_http_prom_token_loc_conf_t *tlcf, ngx_str_t *target);


ngx_int_t
ngx_http_prom_token_check(ngx_http_request_t *r,
    ngx_http_prom_token_ctx_t *ctx, ngx_str_t *line)
{
    ngx_str_t                        target;
    ngx_prom_token_api_e             verdict;
    ngx_http_prom_token_loc_conf_t  *tlcf;

    tlcf = ngx_http_get_module_loc_conf(r, ngx_http_prom_token_module);

    if (tlcf->api & NGX_HTTP_PROM_TOKEN_API_OFF) {
        return NGX_OK;
    }

    verdict = NGX_PROM_TOKEN_API_BAD;

    if (ngx_http_prom_token_target(r, tlcf, &target) == NGX_OK) {
        verdict = ngx_prom_token_api(tlcf->api,
                                     (char *) r->method_name.data,
                                     r->method_name.len,
                                     (char *) target.data, target.len);
    }

    switch (verdict) {

    case NGX_PROM_TOKEN_API_OK:
        return NGX_OK;

    case NGX_PROM_TOKEN_API_BAD:
        ngx_str_set(line, "the path must be plain: \"/...\" without \"//\", "
                    "\".\", \"..\", \"#\", \"\\\" and without escapes that "
                    "hide one of them");
        return NGX_HTTP_BAD_REQUEST;

    case NGX_PROM_TOKEN_API_METHOD:
        ngx_str_set(line, "this method is not allowed for this path");
        return NGX_HTTP_FORBIDDEN;

    default:
        break;
    }

    if (tlcf->api == NGX_PROM_TOKEN_API_QUERY) {
        ngx_str_set(line, "this path is not allowed, queries are: /api/v1/ "
                    "with query, query_range, query_exemplars, series, "
                    "labels, label/NAME/values, metadata, rules, alerts, "
                    "targets, status/..., format_query, parse_query, read, "
                    "and /federate");

    } else {
        ngx_str_set(line, "this path is not allowed");
    }

    return NGX_HTTP_FORBIDDEN;
}


/*
 * What the request line has, in origin form, without our prefix.  nginx has
 * found the location by another text, in which nothing is escaped.
 */

static ngx_int_t
ngx_http_prom_token_target(ngx_http_request_t *r,
    ngx_http_prom_token_loc_conf_t *tlcf, ngx_str_t *target)
{
    u_char     *p, *last;
    ngx_str_t  *prefix;

    *target = r->unparsed_uri;

    if (r->http_version < NGX_HTTP_VERSION_10) {
        return NGX_DECLINED;
    }

    p = r->request_line.data + r->method_name.len;
    last = r->request_line.data + r->request_line.len;

    while (p < last && *p == ' ') {
        p++;
    }

    if (p == last || *p != '/') {
        return NGX_DECLINED;
    }

    if (tlcf->remote == NULL || tlcf->remote->prefix.len == 0) {
        return NGX_OK;
    }

    prefix = &tlcf->remote->prefix;

    if (target->len <= prefix->len
        || ngx_memcmp(target->data, prefix->data, prefix->len) != 0
        || target->data[prefix->len] != '/')
    {
        return NGX_DECLINED;
    }

    target->data += prefix->len;
    target->len -= prefix->len;

    return NGX_OK;
}


ngx_int_t
ngx_http_prom_token_uri(ngx_http_request_t *r, ngx_http_prom_token_ctx_t *ctx)
{
    u_char                          *p;
    ngx_str_t                        target;
    ngx_prom_route_t                *route;
    ngx_http_prom_token_loc_conf_t  *tlcf;

    tlcf = ngx_http_get_module_loc_conf(r, ngx_http_prom_token_module);

    /* judged before; one that isn't is what nginx has made of it */

    (void) ngx_http_prom_token_target(r, tlcf, &target);

    if (tlcf->remote == NULL || tlcf->remote->route.base.len == 0) {
        ctx->uri = target;
        return NGX_OK;
    }

    route = &tlcf->remote->route;

    ctx->uri.len = route->base.len + target.len;
    ctx->uri.data = ngx_pnalloc(r->pool, ctx->uri.len);
    if (ctx->uri.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(ctx->uri.data, route->base.data, route->base.len);
    ngx_memcpy(p, target.data, target.len);

    return NGX_OK;
}


/* as the router of the scrape side leaves it */

ngx_int_t
ngx_http_prom_token_route(ngx_http_request_t *r,
    ngx_http_prom_token_ctx_t *ctx)
{
    ngx_http_prom_proxy_ctx_t       *proxy;
    ngx_http_prom_token_remote_t    *remote;
    ngx_http_prom_token_loc_conf_t  *tlcf;

    tlcf = ngx_http_get_module_loc_conf(r, ngx_http_prom_token_module);
    remote = tlcf->remote;

    proxy = ngx_http_prom_proxy_create_ctx(r);
    if (proxy == NULL) {
        return NGX_ERROR;
    }

    proxy->route = remote->route;
    proxy->route.name = ctx->token->name;
    proxy->verify = &remote->verify;
    proxy->addrs = remote->addrs;
    proxy->naddrs = remote->naddrs;
    proxy->found = 1;

    ctx->proxy = proxy;

    ngx_http_prom_proxy_deadline(r, proxy);
    ngx_http_prom_proxy_drop_hop_headers(r);

    return NGX_OK;
}
