/*
 * The variables that hand a route to proxy_pass and its neighbours.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_conf.h"
#include "ngx_http_prom_proxy.h"


static ngx_int_t ngx_http_prom_proxy_target_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_prom_proxy_scheme_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_prom_proxy_host_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_prom_proxy_address_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_prom_proxy_uri_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_prom_proxy_error_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_prom_route_t *ngx_http_prom_proxy_route(ngx_http_request_t *r,
    ngx_http_variable_value_t *v);


static ngx_http_variable_t  ngx_http_prom_proxy_vars[] = {

    /* NAME */
    { ngx_string("prom_proxy_target"), NULL,
      ngx_http_prom_proxy_target_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* "http" or "https" */
    { ngx_string("prom_proxy_scheme"), NULL,
      ngx_http_prom_proxy_scheme_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* the Host that proxy_pass would send: no default port */
    { ngx_string("prom_proxy_host"), NULL,
      ngx_http_prom_proxy_host_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* what proxy_pass would have been given: "http://HOST:PORT/BASE/" */
    { ngx_string("prom_proxy_address"), NULL,
      ngx_http_prom_proxy_address_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* "/BASE/", the path behind /NAME/, and the arguments */
    { ngx_string("prom_proxy_uri"), NULL,
      ngx_http_prom_proxy_uri_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* one line: why there is no answer of the target's */
    { ngx_string("prom_proxy_error"), NULL,
      ngx_http_prom_proxy_error_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_prom_proxy_add_variables(ngx_conf_t *cf)
{
    return ngx_http_prom_conf_variables(cf, ngx_http_prom_proxy_vars);
}


static ngx_int_t
ngx_http_prom_proxy_target_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_prom_route_t  *route;

    route = ngx_http_prom_proxy_route(r, v);

    if (route) {
        ngx_http_prom_conf_set(v, &route->name);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_prom_proxy_scheme_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t          scheme;
    ngx_prom_route_t  *route;

    route = ngx_http_prom_proxy_route(r, v);

    if (route == NULL) {
        return NGX_OK;
    }

    ngx_str_set(&scheme, "https");

    if (!route->tls) {
        scheme.len--;
    }

    ngx_http_prom_conf_set(v, &scheme);

    return NGX_OK;
}


static ngx_int_t
ngx_http_prom_proxy_host_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t          host;
    ngx_prom_route_t  *route;

    route = ngx_http_prom_proxy_route(r, v);

    if (route == NULL) {
        return NGX_OK;
    }

    host = route->authority;

    if (route->kind == NGX_PROM_ADDRESS_UNIX) {
        ngx_str_set(&host, "localhost");

    } else if (route->port == (route->tls ? 443 : 80)) {

        /* up to the host's end, and the bracket's */

        host.len = route->host.data + route->host.len - host.data;
        host.len += (route->kind == NGX_PROM_ADDRESS_IPV6) ? 1 : 0;
    }

    ngx_http_prom_conf_set(v, &host);

    return NGX_OK;
}


static ngx_int_t
ngx_http_prom_proxy_address_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char            *last;
    ngx_str_t          address;
    ngx_prom_route_t  *route;

    route = ngx_http_prom_proxy_route(r, v);

    if (route == NULL) {
        return NGX_OK;
    }

    address.len = sizeof("https://:/") - 1 + route->authority.len
                  + route->base.len;

    address.data = ngx_pnalloc(r->pool, address.len);
    if (address.data == NULL) {
        return NGX_ERROR;
    }

    last = ngx_snprintf(address.data, address.len, "http%s://%V%s%V/",
                        route->tls ? "s" : "", &route->authority,
                        (route->kind == NGX_PROM_ADDRESS_UNIX) ? ":" : "",
                        &route->base);

    address.len = last - address.data;

    ngx_http_prom_conf_set(v, &address);

    return NGX_OK;
}


/*
 * The URI that ngx_http_proxy_create_request() would make for the location
 * "/NAME/" and the URI "/BASE/": unescaped and escaped by the same rules.
 */

static ngx_int_t
ngx_http_prom_proxy_uri_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char            *p;
    size_t             len, skip, escape;
    ngx_str_t          uri;
    ngx_prom_route_t  *route;

    route = ngx_http_prom_proxy_route(r, v);

    if (route == NULL) {
        return NGX_OK;
    }

    /* a URI that "rewrite ... break" has made goes as it is */

    skip = 0;
    len = 0;

    if (r->valid_location) {
        skip = ngx_min(route->name.len + 2, r->uri.len);
        len = route->base.len + 1;
    }

    escape = 0;

    if (r->quoted_uri || r->internal) {
        escape = 2 * ngx_escape_uri(NULL, r->uri.data + skip,
                                    r->uri.len - skip, NGX_ESCAPE_URI);
    }

    len += r->uri.len - skip + escape + 1 + r->args.len;

    uri.data = ngx_pnalloc(r->pool, len);
    if (uri.data == NULL) {
        return NGX_ERROR;
    }

    p = uri.data;

    if (r->valid_location) {
        p = ngx_cpymem(p, route->base.data, route->base.len);
        *p++ = '/';
    }

    if (escape) {
        p = (u_char *) ngx_escape_uri(p, r->uri.data + skip,
                                      r->uri.len - skip, NGX_ESCAPE_URI);

    } else {
        p = ngx_cpymem(p, r->uri.data + skip, r->uri.len - skip);
    }

    if (r->args.len) {
        *p++ = '?';
        p = ngx_cpymem(p, r->args.data, r->args.len);
    }

    uri.len = p - uri.data;

    ngx_http_prom_conf_set(v, &uri);

    return NGX_OK;
}


static ngx_int_t
ngx_http_prom_proxy_error_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t  line;

    if (ngx_http_prom_proxy_error(r, &line) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_prom_conf_set(v, &line);

    return NGX_OK;
}


/* NULL, and an empty variable, for a request that has no route */

static ngx_prom_route_t *
ngx_http_prom_proxy_route(ngx_http_request_t *r, ngx_http_variable_value_t *v)
{
    ngx_http_prom_proxy_ctx_t  *ctx;

    ctx = ngx_http_prom_proxy_ctx(r);

    if (ctx && ctx->found) {
        return &ctx->route;
    }

    v->not_found = 1;

    return NULL;
}
