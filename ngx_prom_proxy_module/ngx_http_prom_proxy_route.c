/*
 * Routing: which target a request is for, and which location serves it.
 *
 * "prom_proxy" in a named location makes that location the router of its
 * server. A target behaves as "location /NAME/" would: it wins over every
 * prefix location that is shorter, and loses to longer, exact and regular
 * expression ones. In any other location, "prom_proxy" routes the requests
 * that arrive there.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_proxy.h"


static ngx_shm_zone_t *ngx_http_prom_proxy_applies(ngx_http_request_t *r,
    ngx_http_core_loc_conf_t **router, size_t *len);
static void ngx_http_prom_proxy_forget(ngx_http_request_t *r);
static void ngx_http_prom_proxy_cleanup(void *data);
static ngx_int_t ngx_http_prom_proxy_redirect(ngx_http_request_t *r,
    ngx_str_t *name);


ngx_int_t
ngx_http_prom_proxy_route_handler(ngx_http_request_t *r)
{
    size_t                      len;
    ngx_int_t                   rc;
    ngx_shm_zone_t             *zone;
    ngx_prom_route_t            route;
    ngx_http_core_loc_conf_t   *router;
    ngx_http_prom_proxy_ctx_t  *ctx;

    zone = ngx_http_prom_proxy_applies(r, &router, &len);

    if (zone == NULL) {
        ngx_http_prom_proxy_forget(r);
        return NGX_DECLINED;
    }

    rc = ngx_prom_registry_find(ngx_http_prom_registry(zone), &r->uri, &route,
                                r->pool);
    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_DECLINED) {

        if (len) {
            /* a location of the user's, "location /" included */
            ngx_http_prom_proxy_forget(r);
            return NGX_DECLINED;
        }

    } else if (len >= route.name.len + (route.bare ? 1 : 2)
               || (len > 1 && route.kind == NGX_PROM_ADDRESS_POLL))
    {
        /* a client chooses its name: no location is given up for that */
        ngx_http_prom_proxy_forget(r);
        return NGX_DECLINED;
    }

    ctx = ngx_http_prom_proxy_create_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (router) {
        /* that of the location left behind is not for this one */
        r->content_handler = NULL;
        r->loc_conf = router->loc_conf;
        ngx_http_update_location_config(r);
    }

    if (router
        && r->headers_in.content_length_n != -1
        && !r->discard_body
        && router->client_max_body_size
        && router->client_max_body_size < r->headers_in.content_length_n)
    {
        /* nginx has looked at the limit of the location left behind */
        return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
    }

    if (rc == NGX_DECLINED) {
        ngx_http_prom_proxy_fail(ctx, NGX_HTTP_PROM_FAIL_TARGET, 0);
        return NGX_HTTP_NOT_FOUND;
    }

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "prom proxy: target \"%V\" at \"%V\"%s",
                   &route.name, &route.authority,
                   route.bare ? ", without slash" : "");

    if (route.bare) {
        return ngx_http_prom_proxy_redirect(r, &route.name);
    }

    ctx->route = route;
    ctx->found = 1;

    if (ngx_http_prom_proxy_leaves_base(r, &route)) {
        ngx_http_prom_proxy_fail(ctx, NGX_HTTP_PROM_FAIL_PATH, 0);
        return NGX_HTTP_NOT_FOUND;
    }

    ngx_http_prom_proxy_deadline(r, ctx);

    if (r == r->main) {
        ngx_http_prom_proxy_drop_hop_headers(r);
    }

    return NGX_DECLINED;
}


/*
 * Returns the zone to look in, or NULL. *router is the location to change
 * to, if any; *len is the length of the location that nginx chose, which
 * the target's must exceed.
 */

static ngx_shm_zone_t *
ngx_http_prom_proxy_applies(ngx_http_request_t *r,
    ngx_http_core_loc_conf_t **router, size_t *len)
{
    ngx_http_core_loc_conf_t        *clcf;
    ngx_http_prom_proxy_loc_conf_t  *plcf;
    ngx_http_prom_proxy_srv_conf_t  *pscf;

    *router = NULL;
    *len = 0;

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_prom_proxy_module);

    if (plcf->zone) {
        return plcf->zone;
    }

    pscf = ngx_http_get_module_srv_conf(r, ngx_http_prom_proxy_module);

    if (pscf->router == NULL) {
        return NULL;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    /*
     * "limit_except" has put its own configuration in the place of its
     * location's: whether that is a regular expression can't be told, and
     * what is denied there must stay denied.
     */

    if (clcf->named || clcf->noname) {
        return NULL;
    }

#if (NGX_PCRE)
    if (clcf->regex) {
        return NULL;
    }
#endif

    /* an exact location is as long as the URI, so no target is longer */

    *router = pscf->router;
    *len = clcf->name.len;

    plcf = pscf->router->loc_conf[ngx_http_prom_proxy_module.ctx_index];

    return plcf->zone;
}


ngx_http_prom_proxy_ctx_t *
ngx_http_prom_proxy_create_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t         *cln;
    ngx_http_prom_proxy_ctx_t  *ctx;

    ctx = ngx_http_prom_proxy_ctx(r);

    if (ctx) {
        /* routed before, and rewritten or redirected since */
        ngx_http_prom_proxy_cleanup(ctx);
        ngx_memzero(ctx, sizeof(ngx_http_prom_proxy_ctx_t));

    } else {
        cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_prom_proxy_ctx_t));
        if (cln == NULL) {
            return NULL;
        }

        ctx = cln->data;
        ngx_memzero(ctx, sizeof(ngx_http_prom_proxy_ctx_t));

        cln->handler = ngx_http_prom_proxy_cleanup;
    }

    ctx->request = r;

    ngx_http_set_ctx(r, ctx, ngx_http_prom_proxy_module);

    return ctx;
}


ngx_http_prom_proxy_ctx_t *
ngx_http_prom_proxy_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t         *cln;
    ngx_http_prom_proxy_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_prom_proxy_module);

    if (ctx || (!r->internal && !r->filter_finalize)) {
        return ctx;
    }

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler == ngx_http_prom_proxy_cleanup) {
            ctx = cln->data;

            if (ctx->request == r) {
                return ctx;
            }
        }
    }

    /*
     * A clone (a cache's background update, a slice) starts in its parent's
     * location, behind the rewrite phase.
     */

    if (r->parent && r->loc_conf == r->parent->loc_conf) {
        return ngx_http_prom_proxy_ctx(r->parent);
    }

    return NULL;
}


/* "rewrite ... last" has led out of the targets, and keeps the contexts */

static void
ngx_http_prom_proxy_forget(ngx_http_request_t *r)
{
    ngx_http_prom_proxy_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_prom_proxy_module);

    if (ctx) {
        ngx_http_prom_proxy_cleanup(ctx);
        ctx->found = 0;
        ngx_http_set_ctx(r, NULL, ngx_http_prom_proxy_module);
    }
}


static void
ngx_http_prom_proxy_cleanup(void *data)
{
    ngx_http_prom_proxy_ctx_t *ctx = data;

    if (ctx->deadline.timer_set) {
        ngx_del_timer(&ctx->deadline);
    }

    if (ctx->resolving) {
        ngx_resolve_name_done(ctx->resolving);
        ctx->resolving = NULL;
    }
}


static ngx_int_t
ngx_http_prom_proxy_redirect(ngx_http_request_t *r, ngx_str_t *name)
{
    size_t            len;
    u_char           *p;
    ngx_table_elt_t  *location;

    len = name->len + 2;

    if (r->args.len) {
        len += r->args.len + 1;
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_clear_location(r);

    location = ngx_list_push(&r->headers_out.headers);
    if (location == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    location->hash = 1;
#if (nginx_version >= 1023000)
    location->next = NULL;
#endif
    ngx_str_set(&location->key, "Location");
    location->value.len = len;
    location->value.data = p;

    r->headers_out.location = location;

    *p++ = '/';
    p = ngx_cpymem(p, name->data, name->len);
    *p++ = '/';

    if (r->args.len) {
        *p++ = '?';
        ngx_memcpy(p, r->args.data, r->args.len);
    }

    return NGX_HTTP_MOVED_PERMANENTLY;
}
