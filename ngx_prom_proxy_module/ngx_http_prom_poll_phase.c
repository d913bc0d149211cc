/*
 * The phases in which requests find their handlers, and what these share.
 *
 * "prom_poll_scrape" and "prom_poll_worker" belong into named locations.
 * Requests in absolute form go to the one of their server, whatever their
 * path; requests of other workers to the other, whatever they are.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_page.h"
#include "ngx_http_prom_poll.h"


/* a line, of which 1023 bytes are its own, and the newline */

#define NGX_HTTP_PROM_POLL_LINE_LEN  1024


static ngx_uint_t ngx_http_prom_poll_is_absolute(ngx_http_request_t *r);
static ngx_uint_t ngx_http_prom_poll_redirected(ngx_http_request_t *r);
static ngx_int_t ngx_http_prom_poll_locate(ngx_http_request_t *r,
    ngx_http_core_loc_conf_t *clcf);
static ngx_int_t ngx_http_prom_poll_serve(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx);
static ngx_uint_t ngx_http_prom_poll_path(ngx_http_prom_poll_kind_e kind);


static ngx_str_t  ngx_http_prom_poll_header = ngx_string("Prom-Poll");


/*
 * Between the rewrites of the server and nginx's look for a location: a path
 * of a target's must not meet one of ours that happens to have it.
 */

ngx_int_t
ngx_http_prom_poll_route_handler(ngx_http_request_t *r)
{
    ngx_int_t                        rc;
    ngx_http_prom_poll_ctx_t        *ctx;
    ngx_http_prom_poll_srv_conf_t   *pscf;
    ngx_http_prom_poll_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_prom_poll_module);

    if (r != r->main || pmcf->zone == NULL) {
        return NGX_DECLINED;
    }

    if (ngx_http_prom_poll_is_hop(r)) {

        ctx = ngx_http_prom_poll_ctx(r, NGX_HTTP_PROM_POLL_NONE);
        if (ctx == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        if (ngx_http_prom_poll_redirected(r)) {
            return NGX_DECLINED;
        }

        rc = ngx_http_prom_poll_hopped(r, ctx);

        if (rc != NGX_OK) {
            return (rc == NGX_ERROR) ? NGX_HTTP_INTERNAL_SERVER_ERROR
                                     : NGX_HTTP_BAD_REQUEST;
        }

        return ngx_http_prom_poll_locate(r, pmcf->hops);
    }

    pscf = ngx_http_get_module_srv_conf(r, ngx_http_prom_poll_module);

    ngx_http_prom_poll_drop(r, &ngx_http_prom_poll_header);

    if (pscf->scrapes == NULL
        || ngx_http_prom_poll_redirected(r)
        || !ngx_http_prom_poll_is_absolute(r))
    {
        return NGX_DECLINED;
    }

    return ngx_http_prom_poll_locate(r, pscf->scrapes);
}


/* HTTP/2 has a scheme, too, but its path begins with a slash */

static ngx_uint_t
ngx_http_prom_poll_is_absolute(ngx_http_request_t *r)
{
    ngx_str_t   *line;
    ngx_uint_t   i;

    line = &r->request_line;

    for (i = 0; i < line->len && line->data[i] != ' '; i++) { /* void */ }

    while (i < line->len && line->data[i] == ' ') {
        i++;
    }

    return i < line->len && line->data[i] != '/' && line->data[i] != '*';
}


ngx_uint_t
ngx_http_prom_poll_was_scrape(ngx_http_request_t *r)
{
    ngx_http_prom_poll_srv_conf_t  *pscf;

    pscf = ngx_http_get_module_srv_conf(r, ngx_http_prom_poll_module);

    return pscf->scrapes
           && !ngx_http_prom_poll_is_hop(r)
           && ngx_http_prom_poll_redirected(r)
           && ngx_http_prom_poll_is_absolute(r);
}


/*
 * An error page, say.  A rewrite of the server makes a request internal, too,
 * but has changed nothing yet.
 */

static ngx_uint_t
ngx_http_prom_poll_redirected(ngx_http_request_t *r)
{
    return r->internal && r->uri_changes != NGX_HTTP_MAX_URI_CHANGES + 1;
}


/* goes on in a location of ours, as a redirect to a named one does */

static ngx_int_t
ngx_http_prom_poll_locate(ngx_http_request_t *r,
    ngx_http_core_loc_conf_t *clcf)
{
    ngx_http_core_main_conf_t  *cmcf;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "prom poll: location \"%V\"", &clcf->name);

    r->content_handler = NULL;
    r->internal = 0;
    r->uri_changed = 0;
    r->loc_conf = clcf->loc_conf;

    ngx_http_update_location_config(r);

    if (r->headers_in.content_length_n != -1
        && !r->discard_body
        && clcf->client_max_body_size
        && clcf->client_max_body_size < r->headers_in.content_length_n)
    {
        /* as nginx looks when it has found a location */
        r->expect_tested = 1;
        (void) ngx_http_discard_request_body(r);
        return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
    }

    /* the checker of the phase adds one */

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_core_module);
    r->phase_handler = cmcf->phase_engine.location_rewrite_index - 1;

    return NGX_DECLINED;
}


/* the precontent phase: access was granted */

ngx_int_t
ngx_http_prom_poll_handler(ngx_http_request_t *r)
{
    ngx_int_t                       rc;
    ngx_http_prom_poll_ctx_t       *ctx;
    ngx_http_prom_poll_loc_conf_t  *plcf;

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_prom_poll_module);

    if (r != r->main
        || (plcf->kind == NGX_HTTP_PROM_POLL_NONE && !plcf->worker))
    {
        return NGX_DECLINED;
    }

    ctx = ngx_http_prom_poll_ctx(r, plcf->kind);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_prom_poll_serve(r, ctx);

    if (rc == NGX_OK || rc == NGX_AGAIN) {
        /* it has been answered, or will be once the connection takes it */
        ngx_http_finalize_request(r, rc);
        return NGX_DONE;
    }

    return rc;
}


static ngx_int_t
ngx_http_prom_poll_serve(ngx_http_request_t *r, ngx_http_prom_poll_ctx_t *ctx)
{
    ngx_http_prom_poll_worker_t  *worker;

    worker = ngx_http_prom_poll_worker();

    if (worker == NULL) {
        return ngx_http_prom_poll_refuse(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         "this process has no worker's place, "
                                         "see the error log");
    }

    ngx_http_prom_poll_move_room(worker);

    switch (ctx->kind) {

    case NGX_HTTP_PROM_POLL_POLL:
        return ngx_http_prom_poll_poll_handler(r);

    case NGX_HTTP_PROM_POLL_PUSH:
        return ngx_http_prom_poll_push_handler(r);

    case NGX_HTTP_PROM_POLL_SCRAPE:
        return ngx_http_prom_poll_scrape_handler(r);

    case NGX_HTTP_PROM_POLL_BROKEN:
        return ngx_http_prom_poll_broken_handler(r);

    default:
        return NGX_HTTP_NOT_FOUND;
    }
}


ngx_int_t
ngx_http_prom_poll_log_handler(ngx_http_request_t *r)
{
    ngx_uint_t                      path;
    ngx_http_prom_poll_ctx_t       *ctx;
    ngx_http_prom_poll_loc_conf_t  *plcf;

    if (ngx_http_prom_poll_is_hop(r)) {
        return NGX_OK;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_prom_poll_module);

    if (ctx) {
        path = ctx->path;

    } else if (ngx_http_prom_poll_was_scrape(r)) {
        path = ngx_http_prom_poll_path(NGX_HTTP_PROM_POLL_SCRAPE);

    } else {
        plcf = ngx_http_get_module_loc_conf(r, ngx_http_prom_poll_module);

        if (plcf->kind == NGX_HTTP_PROM_POLL_NONE) {
            return NGX_OK;
        }

        path = ngx_http_prom_poll_path(plcf->kind);
    }

    ngx_http_prom_poll_count(r, path);

    return NGX_OK;
}


static ngx_uint_t
ngx_http_prom_poll_path(ngx_http_prom_poll_kind_e kind)
{
    switch (kind) {

    case NGX_HTTP_PROM_POLL_POLL:
        return NGX_PROM_POLL_PATH_POLL;

    case NGX_HTTP_PROM_POLL_PUSH:
        return NGX_PROM_POLL_PATH_PUSH;

    case NGX_HTTP_PROM_POLL_SCRAPE:
        return NGX_PROM_POLL_PATH_PROXY;

    default:
        return NGX_PROM_POLL_PATH_CLIENTS;
    }
}


ngx_http_prom_poll_ctx_t *
ngx_http_prom_poll_ctx(ngx_http_request_t *r, ngx_http_prom_poll_kind_e kind)
{
    ngx_http_prom_poll_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_prom_poll_module);

    if (ctx) {
        return ctx;
    }

    ctx = ngx_pcalloc(r->pool, (kind == NGX_HTTP_PROM_POLL_POLL)
                               ? offsetof(ngx_http_prom_poll_ctx_t, timeout)
                               : sizeof(ngx_http_prom_poll_ctx_t));
    if (ctx == NULL) {
        return NULL;
    }

    ctx->request = r;
    ctx->kind = kind;
    ctx->path = ngx_http_prom_poll_path(kind);
    ctx->start = ngx_current_msec;
    ctx->public = !ngx_http_prom_poll_is_hop(r);

    ngx_http_set_ctx(r, ctx, ngx_http_prom_poll_module);

    return ctx;
}


ngx_int_t
ngx_http_prom_poll_refuse(ngx_http_request_t *r, ngx_uint_t status,
    const char *fmt, ...)
{
    u_char     *p;
    va_list     args;
    ngx_int_t   rc;
    ngx_buf_t  *b;
    u_char      line[NGX_HTTP_PROM_POLL_LINE_LEN];

    va_start(args, fmt);
    p = ngx_vslprintf(line, line + NGX_HTTP_PROM_POLL_LINE_LEN - 1, fmt, args);
    va_end(args);

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "prom poll: %ui: %*s", status, (size_t) (p - line), line);

    *p++ = LF;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    b = ngx_create_temp_buf(r->pool, p - line);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->last = ngx_cpymem(b->last, line, p - line);

    ngx_str_set(&r->headers_out.content_type, "text/plain; charset=utf-8");

    return ngx_http_prom_page_answer(r, status, b);
}
