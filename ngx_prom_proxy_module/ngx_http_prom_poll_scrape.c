/*
 * Scrapes: each goes to a poll of its client, at this worker or another, or
 * waits for the next one; then it is in the worker's tree by its Id until the
 * push has come that answers it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_proxy.h"
#include "ngx_http_prom_poll.h"


/* of a body that goes along to the client; scrapes have none */

#define NGX_HTTP_PROM_POLL_BODY  8192


static ngx_int_t ngx_http_prom_poll_scrape_read(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx);
static ngx_int_t ngx_http_prom_poll_scrape_body(ngx_http_request_t *r);
static void ngx_http_prom_poll_scrape_body_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_prom_poll_scrape_uri(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx, ngx_str_t *host, ngx_str_t *port);
static ngx_int_t ngx_http_prom_poll_scrape_name(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx, ngx_str_t *host, ngx_str_t *port);
static ngx_int_t ngx_http_prom_poll_scrape_move(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx);
static void ngx_http_prom_poll_scrape_deadline(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx);
static ngx_int_t ngx_http_prom_poll_scrape_find(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx);
static ngx_int_t ngx_http_prom_poll_scrape_wait(
    ngx_http_prom_poll_ctx_t *ctx);
static void ngx_http_prom_poll_scrape_hand(ngx_http_prom_poll_ctx_t *ctx);
static void ngx_http_prom_poll_scrape_leave(ngx_http_prom_poll_ctx_t *ctx);
static ngx_int_t ngx_http_prom_poll_scrape_park(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx);
static void ngx_http_prom_poll_scrape_end(ngx_http_prom_poll_ctx_t *ctx);
static void ngx_http_prom_poll_scrape_cleanup(void *data);
static void ngx_http_prom_poll_scrape_count(ngx_prom_poll_fail_e fail);


ngx_int_t
ngx_http_prom_poll_scrape_handler(ngx_http_request_t *r)
{
    ngx_int_t                  rc;
    ngx_http_prom_poll_ctx_t  *ctx;

    ctx = ngx_http_prom_poll_ctx(r, NGX_HTTP_PROM_POLL_SCRAPE);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->timeout == 0) {
        rc = ngx_http_prom_poll_scrape_read(r, ctx);

        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    if (r->request_body && r->request_body->temp_file) {
        return ngx_http_prom_poll_refuse(r, NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                             "%V: a scrape's body can't be larger than %d "
                             "bytes", &ctx->name, NGX_HTTP_PROM_POLL_BODY);
    }

    return ngx_http_prom_poll_scrape_find(r, ctx);
}


/* what it is about, and until when; NGX_DECLINED: it can go on */

static ngx_int_t
ngx_http_prom_poll_scrape_read(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx)
{
    ngx_int_t                     rc;
    ngx_str_t                     host, port;
    ngx_http_cleanup_t           *cln;
    ngx_http_prom_poll_worker_t  *worker;

    if (ctx->public) {

        rc = ngx_http_prom_poll_scrape_uri(r, ctx, &host, &port);

        if (rc == NGX_DECLINED) {
            return ngx_http_prom_poll_refuse(r, NGX_HTTP_BAD_REQUEST,
                             "a scrape's URI is http://HOST[:PORT][/PATH] or "
                             "https://..., without a user");
        }

        if (rc == NGX_OK) {
            rc = ngx_http_prom_poll_scrape_name(r, ctx, &host, &port);
        }

        if (rc == NGX_ERROR) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        if (rc != NGX_OK) {
            return ngx_http_prom_poll_refuse(r, NGX_HTTP_BAD_REQUEST,
                             "a scrape's host has at most %d bytes",
                             NGX_PROM_POLL_NAME);
        }

        if (ngx_http_prom_poll_scrape_move(r, ctx) == NGX_OK) {
            return NGX_DONE;
        }

        ngx_http_prom_proxy_drop_hop_headers(r);
    }

    worker = ngx_http_prom_poll_worker();

    if (ngx_http_prom_poll_id(&worker->at, ctx->id_buf) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_http_prom_poll_scrape_cleanup;
    cln->data = ctx;

    ngx_http_prom_poll_scrape_deadline(r, ctx);

    if (r->headers_in.content_length_n > 0 || r->headers_in.chunked) {
        return ngx_http_prom_poll_scrape_body(r);
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_prom_poll_scrape_body(ngx_http_request_t *r)
{
    ngx_int_t                  rc;
    ngx_http_prom_poll_ctx_t  *ctx;

    if (r->headers_in.content_length_n > NGX_HTTP_PROM_POLL_BODY) {

        ctx = ngx_http_get_module_ctx(r, ngx_http_prom_poll_module);

        return ngx_http_prom_poll_refuse(r, NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                             "%V: a scrape's body can't be larger than %d "
                             "bytes", &ctx->name, NGX_HTTP_PROM_POLL_BODY);
    }

    rc = ngx_http_read_client_request_body(r,
                                       ngx_http_prom_poll_scrape_body_handler);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    ngx_http_finalize_request(r, NGX_DONE);

    return NGX_DONE;
}


static void
ngx_http_prom_poll_scrape_body_handler(ngx_http_request_t *r)
{
    r->write_event_handler = ngx_http_core_run_phases;
    ngx_http_core_run_phases(r);
}


/*
 * As it came, not as nginx has understood it: a target may tell "%2F" from
 * "/".  NGX_DECLINED: it is none that a client could fetch.
 */

static ngx_int_t
ngx_http_prom_poll_scrape_uri(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx, ngx_str_t *host, ngx_str_t *port)
{
    u_char     *p, *last, *start, *path;
    ngx_int_t   n;
    ngx_str_t   uri;

    p = r->request_line.data;
    last = p + r->request_line.len;

    p += r->method_name.len;

    while (p < last && *p == ' ') {
        p++;
    }

    start = p;

    while (p < last && *p > ' ' && *p != 0x7f) {
        p++;
    }

    if (r->http_version < NGX_HTTP_VERSION_10 || p == last || *p != ' ') {
        return NGX_DECLINED;
    }

    last = p;

    if (last - start > 7 && ngx_strncasecmp(start, (u_char *) "http://", 7)
        == 0)
    {
        p = start + 7;
        ngx_str_set(port, "80");

    } else if (last - start > 8
               && ngx_strncasecmp(start, (u_char *) "https://", 8) == 0)
    {
        p = start + 8;
        ngx_str_set(port, "443");

    } else {
        return NGX_DECLINED;
    }

    for (path = p; path < last && *path != '/' && *path != '?'; path++) {

        if (*path == '@' || *path == '#' || *path == '\\') {
            return NGX_DECLINED;
        }
    }

    /* [v6]:port, name:port */

    host->data = p;

    if (*p == '[') {
        p = ngx_strlchr(p, path, ']');

        if (p == NULL) {
            return NGX_DECLINED;
        }

        p++;

    } else {
        while (p < path && *p != ':') {
            p++;
        }
    }

    host->len = p - host->data;

    if (host->len == 0) {
        return NGX_DECLINED;
    }

    if (p < path) {

        if (*p++ != ':') {
            return NGX_DECLINED;
        }

        n = ngx_atoi(p, path - p);

        if (n < 1 || n > 65535) {
            return NGX_DECLINED;
        }

        port->data = p;
        port->len = path - p;
    }

    if (path < last && *path == '/') {
        ctx->uri.data = start;
        ctx->uri.len = last - start;

        return NGX_OK;
    }

    /* without a path */

    uri.len = last - start + 1;
    uri.data = ngx_pnalloc(r->pool, uri.len);
    if (uri.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(uri.data, start, path - start);
    *p++ = '/';
    ngx_memcpy(p, path, last - path);

    ctx->uri = uri;

    return NGX_OK;
}


/*
 * Its client has the name HOST:PORT, if there is such, or else HOST.
 * NGX_DECLINED: nobody can have that one.
 */

static ngx_int_t
ngx_http_prom_poll_scrape_name(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx, ngx_str_t *host, ngx_str_t *port)
{
    u_char                       *p;
    ngx_str_t                     name;
    ngx_prom_poll_at_t            at;
    ngx_prom_poll_state_e         state;
    ngx_http_prom_poll_worker_t  *worker;

    if (host->len > NGX_PROM_POLL_NAME) {
        return NGX_DECLINED;
    }

    name.len = host->len + 1 + port->len;
    name.data = ngx_pnalloc(r->pool, name.len);
    if (name.data == NULL) {
        return NGX_ERROR;
    }

    ngx_strlow(name.data, host->data, host->len);

    p = name.data + host->len;
    *p++ = ':';
    ngx_memcpy(p, port->data, port->len);

    if (name.len <= NGX_PROM_POLL_NAME) {

        worker = ngx_http_prom_poll_worker();
        state = ngx_prom_poll_find(worker->zone, &name, &worker->at, &at);

        if (state != NGX_PROM_POLL_ABSENT) {
            ctx->name = name;
            return NGX_OK;
        }
    }

    name.len = host->len;
    ctx->name = name;

    return NGX_OK;
}


/* before anything of it is changed; NGX_DECLINED: it stays */

static ngx_int_t
ngx_http_prom_poll_scrape_move(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx)
{
    ngx_http_prom_poll_worker_t  *worker;

    worker = ngx_http_prom_poll_worker();

    if (ngx_prom_poll_find(worker->zone, &ctx->name, &worker->at, &ctx->to)
        != NGX_PROM_POLL_THERE)
    {
        return NGX_DECLINED;
    }

    return ngx_http_prom_poll_move(r, &ctx->to);
}


static void
ngx_http_prom_poll_scrape_deadline(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx)
{
    ngx_http_prom_poll_loc_conf_t  *plcf;

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_prom_poll_module);

    ctx->timeout = ngx_http_prom_proxy_timeout(r);

    if (ctx->timeout == 0) {
        ctx->timeout = plcf->default_timeout;
    }

    ctx->timeout = ngx_min(ctx->timeout, plcf->max_timeout);
    ctx->timeout = ngx_max(ctx->timeout, 1);
}


static ngx_int_t
ngx_http_prom_poll_scrape_find(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx)
{
    ngx_prom_poll_state_e         state;
    ngx_http_prom_poll_ctx_t     *poll;
    ngx_http_prom_poll_worker_t  *worker;

    worker = ngx_http_prom_poll_worker();

    for ( ;; ) {
        poll = ngx_http_prom_poll_take(&ctx->name);

        if (poll == NULL) {
            break;
        }

        ngx_http_prom_poll_scrape_hand(ctx);

        ngx_prom_poll_turn(worker->zone, &ctx->name, &ctx->turn);

        if (ngx_http_prom_poll_give(poll, ctx) == NGX_OK) {
            return ngx_http_prom_poll_scrape_park(r, ctx);
        }

        ngx_http_prom_poll_scrape_leave(ctx);
    }

    state = ngx_prom_poll_find(worker->zone, &ctx->name, &worker->at,
                               &ctx->to);

    if (state == NGX_PROM_POLL_ABSENT) {
        ngx_http_prom_poll_scrape_count(NGX_PROM_POLL_FAIL_ABSENT);

        return ngx_http_prom_poll_refuse(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                             "%V: no client polls for this name", &ctx->name);
    }

    if (state != NGX_PROM_POLL_THERE
        || ctx->hops >= NGX_HTTP_PROM_POLL_HOPS)
    {
        switch (ngx_http_prom_poll_scrape_wait(ctx)) {

        case NGX_OK:
            return ngx_http_prom_poll_scrape_park(r, ctx);

        case NGX_ERROR:
            return ngx_http_prom_poll_refuse(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                             "%V: no room in \"prom_poll_zone\"",
                             &ctx->name);

        default: /* NGX_DECLINED */
            break;
        }
    }

    /* the deadline is the other worker's from here on */

    ngx_http_prom_poll_scrape_end(ctx);

    ctx->hop = 1;

    if (ngx_http_prom_poll_hop(r, ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_DECLINED;
}


/* NGX_DECLINED: a poll is held elsewhere by now, at ctx->to */

static ngx_int_t
ngx_http_prom_poll_scrape_wait(ngx_http_prom_poll_ctx_t *ctx)
{
    ngx_int_t                     rc;
    ngx_prom_poll_hello_t         hello;
    ngx_http_prom_poll_client_t  *client;
    ngx_http_prom_poll_worker_t  *worker;

    ngx_memzero(&hello, sizeof(ngx_prom_poll_hello_t));
    hello.name = ctx->name;

    client = ngx_http_prom_poll_client(&ctx->name, &hello, &rc);
    if (client == NULL) {
        return NGX_ERROR;
    }

    worker = ngx_http_prom_poll_worker();

    if (ctx->hops >= NGX_HTTP_PROM_POLL_HOPS) {
        ngx_prom_poll_wait(worker->zone, client->place);

    } else if (ngx_prom_poll_await(worker->zone, client->place, &ctx->to)
               != NGX_OK)
    {
        ngx_http_prom_poll_client_done(client);
        return NGX_DECLINED;
    }

    ctx->client = client;
    ngx_queue_insert_tail(&client->waits, &ctx->queue);

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, ctx->request->connection->log, 0,
                   "prom poll: scrape of \"%V\" waits", &ctx->name);

    return NGX_OK;
}


/* into the tree: whoever pushes with its Id, answers it */

static void
ngx_http_prom_poll_scrape_hand(ngx_http_prom_poll_ctx_t *ctx)
{
    ngx_http_prom_poll_worker_t  *worker;

    worker = ngx_http_prom_poll_worker();

    ctx->id.str.len = NGX_HTTP_PROM_POLL_ID;
    ctx->id.str.data = ctx->id_buf;
    ctx->id.node.key = ngx_crc32_short(ctx->id_buf, NGX_HTTP_PROM_POLL_ID);

    ngx_rbtree_insert(&worker->scrapes, &ctx->id.node);

    ctx->handed = 1;
}


/* out of wherever it is */

static void
ngx_http_prom_poll_scrape_leave(ngx_http_prom_poll_ctx_t *ctx)
{
    ngx_http_prom_poll_client_t  *client;
    ngx_http_prom_poll_worker_t  *worker;

    worker = ngx_http_prom_poll_worker();

    if (ctx->handed) {
        ngx_rbtree_delete(&worker->scrapes, &ctx->id.node);
        ctx->handed = 0;
    }

    client = ctx->client;

    if (client) {
        ctx->client = NULL;
        ngx_queue_remove(&ctx->queue);

        ngx_prom_poll_unwait(worker->zone, client->place);
        ngx_http_prom_poll_client_done(client);
    }
}


/* until its push, its deadline or its scraper's end comes */

static ngx_int_t
ngx_http_prom_poll_scrape_park(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx)
{
    ngx_event_t  *rev;

    if (!ctx->timer.timer_set) {
        ngx_http_prom_poll_deadline(ctx);
    }

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    rev = r->connection->read;

    if (rev->ready) {
        /* it may be closed already */
        ngx_post_event(rev, &ngx_posted_events);
    }

    return NGX_DONE;
}


ngx_http_prom_poll_ctx_t *
ngx_http_prom_poll_waiting(ngx_str_t *name)
{
    ngx_queue_t                  *q;
    ngx_http_prom_poll_ctx_t     *ctx;
    ngx_http_prom_poll_client_t  *client;

    client = ngx_http_prom_poll_client(name, NULL, NULL);

    if (client == NULL || ngx_queue_empty(&client->waits)) {
        return NULL;
    }

    q = ngx_queue_head(&client->waits);
    ctx = ngx_queue_data(q, ngx_http_prom_poll_ctx_t, queue);

    ngx_http_prom_poll_scrape_leave(ctx);
    ngx_http_prom_poll_scrape_hand(ctx);

    ngx_prom_poll_turn(ngx_http_prom_poll_worker()->zone, name, &ctx->turn);

    return ctx;
}


void
ngx_http_prom_poll_again(ngx_http_prom_poll_ctx_t *scrape)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = scrape->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ngx_http_prom_poll_scrape_leave(scrape);

    /* the handler of the phase is called again */

    r->write_event_handler = ngx_http_core_run_phases;
    ngx_http_core_run_phases(r);

    ngx_http_run_posted_requests(c);
}


ngx_http_prom_poll_ctx_t *
ngx_http_prom_poll_handed(ngx_str_t *id)
{
    uint32_t                      hash;
    ngx_str_node_t               *node;
    ngx_http_prom_poll_ctx_t     *ctx;
    ngx_http_prom_poll_worker_t  *worker;

    worker = ngx_http_prom_poll_worker();

    if (worker == NULL || id->len != NGX_HTTP_PROM_POLL_ID) {
        return NULL;
    }

    hash = ngx_crc32_short(id->data, id->len);

    node = ngx_str_rbtree_lookup(&worker->scrapes, id, hash);

    if (node == NULL) {
        return NULL;
    }

    ctx = (ngx_http_prom_poll_ctx_t *)
              ((u_char *) node - offsetof(ngx_http_prom_poll_ctx_t, id));

    /* an Id is good for one answer */

    return ctx->paired ? NULL : ctx;
}


void
ngx_http_prom_poll_fail(ngx_http_prom_poll_ctx_t *scrape,
    ngx_prom_poll_fail_e fail, const char *reason)
{
    ngx_int_t            rc;
    ngx_uint_t           status;
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = scrape->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ngx_http_prom_poll_scrape_end(scrape);
    ngx_http_prom_poll_scrape_count(fail);

    if (scrape->answered) {
        ngx_log_error(NGX_LOG_INFO, c->log, 0,
                      "prom poll: answer broken off: %s", reason);

        ngx_http_prom_poll_reset(r);
        rc = NGX_ERROR;

    } else {

        switch (fail) {

        case NGX_PROM_POLL_FAIL_ABSENT:
            status = NGX_HTTP_SERVICE_UNAVAILABLE;
            break;

        case NGX_PROM_POLL_FAIL_LATE:
            status = NGX_HTTP_GATEWAY_TIME_OUT;
            break;

        default:
            status = NGX_HTTP_BAD_GATEWAY;
            break;
        }

        rc = ngx_http_prom_poll_refuse(r, status, "%V: %s", &scrape->name,
                                       reason);
    }

    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}


static void
ngx_http_prom_poll_scrape_end(ngx_http_prom_poll_ctx_t *ctx)
{
    if (ctx->timer.timer_set) {
        ngx_del_timer(&ctx->timer);
    }

    ngx_http_prom_poll_scrape_leave(ctx);

    if (ctx->peer) {
        ngx_http_prom_poll_unpair(ctx);
    }
}


static void
ngx_http_prom_poll_scrape_cleanup(void *data)
{
    ngx_http_prom_poll_ctx_t *ctx = data;

    if ((ctx->client || ctx->handed) && !ctx->request->request_complete) {
        ngx_http_prom_poll_scrape_count(NGX_PROM_POLL_FAIL_SCRAPER);
    }

    if (ctx->hop && ngx_http_prom_poll_cut(ctx->request)) {
        ngx_http_prom_poll_reset(ctx->request);
    }

    ngx_http_prom_poll_scrape_end(ctx);
}


static void
ngx_http_prom_poll_scrape_count(ngx_prom_poll_fail_e fail)
{
    ngx_prom_poll_counters_t  *counters;

    counters = ngx_prom_poll_zone_counters(ngx_http_prom_poll_worker()->zone);

    (void) ngx_atomic_fetch_add(&counters->fails[fail], 1);
}
