/*
 * Polls: each is the answer of a scrape that waits for it, here or at another
 * worker, or is held until one comes.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <poll.h>
#include "ngx_http_prom_poll.h"


/* of one name at one worker: more are what is left of lost connections */

#define NGX_HTTP_PROM_POLL_HELD  16


static ngx_int_t ngx_http_prom_poll_hold_read(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx);
static void ngx_http_prom_poll_hold_read_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_prom_poll_hold_check(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx, ngx_prom_poll_hello_t *hello);
static ngx_int_t ngx_http_prom_poll_hold_identity(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx);
static void ngx_http_prom_poll_hold_refused(void);
static ngx_int_t ngx_http_prom_poll_hold_enter(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx, ngx_prom_poll_hello_t *hello);
static ngx_int_t ngx_http_prom_poll_hold_hop(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx);
static ngx_int_t ngx_http_prom_poll_hold_park(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx);
static ngx_uint_t ngx_http_prom_poll_hold_alive(ngx_http_request_t *r);
static ngx_int_t ngx_http_prom_poll_hold_answer(
    ngx_http_prom_poll_ctx_t *ctx, ngx_http_prom_poll_ctx_t *scrape);
static ngx_int_t ngx_http_prom_poll_hold_none(ngx_http_request_t *r);
static void ngx_http_prom_poll_hold_end(ngx_http_prom_poll_ctx_t *ctx,
    ngx_uint_t status);
static void ngx_http_prom_poll_hold_finish(ngx_http_prom_poll_ctx_t *ctx,
    ngx_int_t rc);
static void ngx_http_prom_poll_hold_leave(ngx_http_prom_poll_ctx_t *ctx,
    ngx_prom_poll_end_e end);
static void ngx_http_prom_poll_hold_timer(ngx_event_t *ev);
static void ngx_http_prom_poll_hold_cleanup(void *data);


ngx_int_t
ngx_http_prom_poll_poll_handler(ngx_http_request_t *r)
{
    ngx_int_t                     rc;
    ngx_prom_poll_hello_t         hello;
    ngx_prom_poll_state_e         state;
    ngx_http_prom_poll_ctx_t     *ctx, *scrape;
    ngx_http_prom_poll_worker_t  *worker;
    u_char                        labels[NGX_PROM_POLL_LABELS];

    ctx = ngx_http_prom_poll_ctx(r, NGX_HTTP_PROM_POLL_POLL);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (r->request_body == NULL && !r->discard_body) {
        return ngx_http_prom_poll_hold_read(r, ctx);
    }

    ngx_memzero(&hello, sizeof(ngx_prom_poll_hello_t));
    hello.labels.data = labels;

    if (ctx->public) {
        rc = ngx_http_prom_poll_hold_check(r, ctx, &hello);

        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    hello.name = ctx->name;

    worker = ngx_http_prom_poll_worker();

    state = ngx_prom_poll_find_wait(worker->zone, &ctx->name, &worker->at,
                                    &ctx->to);

    if (state == NGX_PROM_POLL_THERE && ctx->hops < NGX_HTTP_PROM_POLL_HOPS) {
        return ngx_http_prom_poll_hold_hop(r, ctx);
    }

    if (worker->leaving && state != NGX_PROM_POLL_HERE) {
        return ngx_http_prom_poll_hold_none(r);
    }

    /* what comes from now on sees it, and goes to it, or it goes there */

    rc = ngx_http_prom_poll_hold_enter(r, ctx, &hello);

    if (rc == NGX_AGAIN) {
        return ngx_http_prom_poll_hold_hop(r, ctx);
    }

    if (rc != NGX_DECLINED) {
        return rc;
    }

    scrape = ngx_http_prom_poll_waiting(&ctx->name);

    if (scrape) {
        rc = ngx_http_prom_poll_hold_answer(ctx, scrape);

        if (rc == NGX_ERROR || rc > NGX_OK) {
            ngx_http_prom_poll_hold_leave(ctx, NGX_PROM_POLL_GONE);
            ngx_http_prom_poll_again(scrape);

        } else {
            ngx_http_prom_poll_hold_leave(ctx, NGX_PROM_POLL_ANSWERED);
        }

        return rc;
    }

    if (ctx->hops || worker->leaving) {
        /*
         * What it was passed on for has gone.  It doesn't stay, as the worker
         * that has the connection couldn't end while this one holds it.
         */
        ngx_http_prom_poll_hold_leave(ctx, NGX_PROM_POLL_RELEASED);
        return ngx_http_prom_poll_hold_none(r);
    }

    return ngx_http_prom_poll_hold_park(r, ctx);
}


static ngx_int_t
ngx_http_prom_poll_hold_read(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx)
{
    ngx_int_t            rc;
    ngx_http_cleanup_t  *cln;

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_http_prom_poll_hold_cleanup;
    cln->data = ctx;

    rc = ngx_http_read_client_request_body(r,
                                         ngx_http_prom_poll_hold_read_handler);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    ngx_http_finalize_request(r, NGX_DONE);

    return NGX_DONE;
}


static void
ngx_http_prom_poll_hold_read_handler(ngx_http_request_t *r)
{
    /* the handler of the phase is called again */

    r->write_event_handler = ngx_http_core_run_phases;
    ngx_http_core_run_phases(r);
}


/* NGX_DECLINED: nothing is wrong with what the client says of itself */

static ngx_int_t
ngx_http_prom_poll_hold_check(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx, ngx_prom_poll_hello_t *hello)
{
    ngx_int_t    rc;
    const char  *wrong;

    rc = ngx_http_prom_poll_hello_name(r, &ctx->name);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_DECLINED) {
        ngx_http_prom_poll_hold_refused();

        return ngx_http_prom_poll_refuse(r, NGX_HTTP_BAD_REQUEST,
                             "a poll's body is the name of its client: "
                             "letters, digits and \"._-\", at most %d bytes, "
                             "with :PORT or without",
                             NGX_PROM_POLL_NAME);
    }

    rc = ngx_http_prom_poll_hold_identity(r, ctx);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (ngx_http_prom_poll_replica_is_other(r)) {
        return ngx_http_prom_poll_refuse(r, NGX_HTTP_MISDIRECTED_REQUEST,
                             "%V: this poll is for another replica, and a new "
                             "connection may lead there", &ctx->name);
    }

    wrong = ngx_http_prom_poll_hello_labels(r, &hello->labels);

    if (wrong) {
        ngx_http_prom_poll_hold_refused();

        return ngx_http_prom_poll_refuse(r, NGX_HTTP_BAD_REQUEST,
                             "%V: its Prom-Poll-Labels %s", &ctx->name, wrong);
    }

    hello->address = r->connection->addr_text;
    hello->address.len = ngx_min(hello->address.len, NGX_PROM_POLL_ADDRESS);

    hello->kept = ngx_http_prom_poll_watched(r->connection);

    return NGX_DECLINED;
}


/* NGX_DECLINED: the client is who it says that it is */

static ngx_int_t
ngx_http_prom_poll_hold_identity(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx)
{
    ngx_str_t                       identity;
    ngx_http_prom_poll_loc_conf_t  *plcf;

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_prom_poll_module);

    if (plcf->identity == NULL) {
        return NGX_DECLINED;
    }

    if (ngx_http_complex_value(r, plcf->identity, &identity) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_prom_poll_hello_is(&ctx->name, &identity)) {
        return NGX_DECLINED;
    }

    ngx_http_prom_poll_hold_refused();

    if (identity.len == 0) {
        return ngx_http_prom_poll_refuse(r, NGX_HTTP_FORBIDDEN,
                             "%V: the client has not shown that this is its "
                             "name", &ctx->name);
    }

    return ngx_http_prom_poll_refuse(r, NGX_HTTP_FORBIDDEN,
                             "%V: this is not the name of the client, who has "
                             "shown another", &ctx->name);
}


static void
ngx_http_prom_poll_hold_refused(void)
{
    ngx_prom_poll_counters_t  *counters;

    counters = ngx_prom_poll_zone_counters(ngx_http_prom_poll_worker()->zone);

    (void) ngx_atomic_fetch_add(&counters->refused, 1);
}


/*
 * Into the queue of its client; NGX_DECLINED: it is there; NGX_AGAIN: it is
 * awaited at ctx->to
 */

static ngx_int_t
ngx_http_prom_poll_hold_enter(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx, ngx_prom_poll_hello_t *hello)
{
    ngx_int_t                        rc;
    ngx_queue_t                     *q;
    ngx_prom_poll_zone_t            *zone;
    ngx_http_prom_poll_ctx_t        *old;
    ngx_http_prom_poll_client_t     *client;
    ngx_http_prom_poll_main_conf_t  *pmcf;

    client = ngx_http_prom_poll_client(&ctx->name, hello, &rc);

    if (client == NULL) {
        ngx_http_prom_poll_hold_refused();

        if (rc == NGX_DECLINED) {
            pmcf = ngx_http_get_module_main_conf(r, ngx_http_prom_poll_module);

            return ngx_http_prom_poll_refuse(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                             "%V: there are %ui clients already, and no more "
                             "are taken", &ctx->name, pmcf->limits.clients);
        }

        return ngx_http_prom_poll_refuse(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                             "%V: no room in \"prom_poll_zone\"",
                             &ctx->name);
    }

    zone = ngx_http_prom_poll_worker()->zone;

    if (ctx->hops >= NGX_HTTP_PROM_POLL_HOPS) {
        ngx_prom_poll_hold(zone, client->place);

    } else if (ngx_prom_poll_offer(zone, client->place, &ctx->to) != NGX_OK) {
        ngx_http_prom_poll_client_done(client);
        return NGX_AGAIN;
    }

    ctx->client = client;
    ngx_queue_insert_tail(&client->polls, &ctx->queue);
    client->npolls++;

    if (client->npolls > NGX_HTTP_PROM_POLL_HELD) {
        q = ngx_queue_head(&client->polls);
        old = ngx_queue_data(q, ngx_http_prom_poll_ctx_t, queue);

        ngx_http_prom_poll_hold_end(old, NGX_HTTP_REQUEST_TIME_OUT);
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_prom_poll_hold_hop(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx)
{
    ctx->hop = 1;

    if (ngx_http_prom_poll_hop(r, ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_prom_poll_hold_park(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx)
{
    ngx_event_t                    *rev;
    ngx_msec_int_t                  wait;
    ngx_http_prom_poll_loc_conf_t  *plcf;

    wait = ngx_http_prom_poll_hello_wait(r);

    if (wait != NGX_ERROR) {
        plcf = ngx_http_get_module_loc_conf(r, ngx_http_prom_poll_module);

        ctx->timer.handler = ngx_http_prom_poll_hold_timer;
        ctx->timer.data = ctx;
        ctx->timer.log = r->connection->log;

        ngx_add_timer(&ctx->timer, ngx_min((ngx_msec_t) wait, plcf->hold));
    }

    ngx_http_prom_poll_fold(ctx);

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    rev = r->connection->read;

    if (rev->ready) {
        /* it may be closed already */
        ngx_post_event(rev, &ngx_posted_events);
    }

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "prom poll: poll of \"%V\" is held", &ctx->name);

    return NGX_DONE;
}


ngx_http_prom_poll_ctx_t *
ngx_http_prom_poll_take(ngx_str_t *name)
{
    ngx_queue_t                  *q;
    ngx_http_prom_poll_ctx_t     *ctx;
    ngx_http_prom_poll_client_t  *client;

    for ( ;; ) {
        client = ngx_http_prom_poll_client(name, NULL, NULL);

        if (client == NULL || ngx_queue_empty(&client->polls)) {
            return NULL;
        }

        q = ngx_queue_last(&client->polls);
        ctx = ngx_queue_data(q, ngx_http_prom_poll_ctx_t, queue);

        if (ngx_http_prom_poll_hold_alive(ctx->request)) {
            return ctx;
        }

        ngx_http_prom_poll_hold_end(ctx, NGX_HTTP_CLIENT_CLOSED_REQUEST);
    }
}


/*
 * That the client has closed its connection is known to the kernel earlier
 * than here, if it was in the same turn of events.
 */

static ngx_uint_t
ngx_http_prom_poll_hold_alive(ngx_http_request_t *r)
{
    struct pollfd      pfd;
    ngx_connection_t  *c;

    c = r->connection;

    if (c->error) {
        return 0;
    }

    pfd.fd = c->fd;
    pfd.events = POLLRDHUP;
    pfd.revents = 0;

    return poll(&pfd, 1, 0) == 0;
}


ngx_int_t
ngx_http_prom_poll_give(ngx_http_prom_poll_ctx_t *poll,
    ngx_http_prom_poll_ctx_t *scrape)
{
    ngx_int_t  rc;

    ngx_http_set_log_request(poll->request->connection->log, poll->request);

    rc = ngx_http_prom_poll_hold_answer(poll, scrape);

    if (rc == NGX_ERROR || rc > NGX_OK) {
        ngx_http_prom_poll_hold_leave(poll, NGX_PROM_POLL_GONE);
        ngx_http_prom_poll_hold_finish(poll, rc);

        return NGX_ERROR;
    }

    ngx_http_prom_poll_hold_leave(poll, NGX_PROM_POLL_ANSWERED);
    ngx_http_prom_poll_hold_finish(poll, rc);

    return NGX_OK;
}


static ngx_int_t
ngx_http_prom_poll_hold_answer(ngx_http_prom_poll_ctx_t *ctx,
    ngx_http_prom_poll_ctx_t *scrape)
{
    ngx_int_t            rc;
    ngx_buf_t           *b;
    ngx_str_t            text;
    ngx_chain_t          out;
    ngx_http_request_t  *r;

    r = ctx->request;

    if (ngx_http_prom_poll_unfold(ctx) != NGX_OK
        || ngx_http_prom_poll_replica_tell(r) != NGX_OK
        || ngx_http_prom_poll_request(scrape, r->pool, &text) != NGX_OK)
    {
        return NGX_ERROR;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "prom poll: poll of \"%V\" gets scrape %V",
                   &ctx->name, &scrape->id.str);

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = text.len;

    ngx_str_set(&r->headers_out.content_type, "text/plain; charset=utf-8");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    /* conditions are for what has a date */
    r->disable_not_modified = 1;

    /* before its client may know, and polls again */

    if (ctx->public) {
        ngx_http_prom_poll_watch(r, &ctx->name);
    }

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK) {
        return rc;
    }

    if (r->header_only) {
        /* HEAD: the scrape would be lost on it */
        return NGX_ERROR;
    }

    b->pos = text.data;
    b->last = text.data + text.len;
    b->memory = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


/* no scrape for now: "poll again" */

static ngx_int_t
ngx_http_prom_poll_hold_none(ngx_http_request_t *r)
{
    if (ngx_http_prom_poll_worker()->leaving) {
        /* at another worker, which a new connection leads to */
        r->keepalive = 0;
    }

    if (ngx_http_prom_poll_replica_tell(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = NGX_HTTP_NO_CONTENT;
    r->header_only = 1;

    return ngx_http_send_header(r);
}


void
ngx_http_prom_poll_release(ngx_http_prom_poll_worker_t *worker)
{
    ngx_queue_t                   polls, *q;
    ngx_rbtree_node_t            *node;
    ngx_http_prom_poll_ctx_t     *ctx;
    ngx_http_prom_poll_client_t  *client;

    node = worker->clients.root;

    if (node == worker->clients.sentinel) {
        return;
    }

    /* the tree changes with the end of polls, so they are moved first */

    ngx_queue_init(&polls);

    for (node = ngx_rbtree_min(node, worker->clients.sentinel);
         node;
         node = ngx_rbtree_next(&worker->clients, node))
    {
        client = (ngx_http_prom_poll_client_t *) node;

        if (!ngx_queue_empty(&client->polls)) {
            ngx_queue_add(&polls, &client->polls);
            ngx_queue_init(&client->polls);
        }
    }

    while (!ngx_queue_empty(&polls)) {
        q = ngx_queue_head(&polls);
        ctx = ngx_queue_data(q, ngx_http_prom_poll_ctx_t, queue);

        ngx_http_prom_poll_hold_end(ctx, NGX_HTTP_NO_CONTENT);
    }
}


/* a poll ends without a scrape */

static void
ngx_http_prom_poll_hold_end(ngx_http_prom_poll_ctx_t *ctx, ngx_uint_t status)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = ctx->request;

    ngx_http_set_log_request(r->connection->log, r);

    if (ngx_http_prom_poll_unfold(ctx) != NGX_OK) {
        status = NGX_HTTP_CLIENT_CLOSED_REQUEST;
    }

    switch (status) {

    case NGX_HTTP_NO_CONTENT:
        ngx_http_prom_poll_hold_leave(ctx, NGX_PROM_POLL_RELEASED);
        rc = ngx_http_prom_poll_hold_none(r);
        break;

    case NGX_HTTP_REQUEST_TIME_OUT:
        ngx_http_prom_poll_hold_leave(ctx, NGX_PROM_POLL_RELEASED);
        rc = ngx_http_prom_poll_refuse(r, status,
                             "%V: %d newer polls are held for this name",
                             &ctx->name, NGX_HTTP_PROM_POLL_HELD);
        break;

    default:
        ngx_http_prom_poll_hold_leave(ctx, NGX_PROM_POLL_GONE);
        rc = status;
        break;
    }

    ngx_http_prom_poll_hold_finish(ctx, rc);
}


static void
ngx_http_prom_poll_hold_finish(ngx_http_prom_poll_ctx_t *ctx, ngx_int_t rc)
{
    ngx_connection_t  *c;

    c = ctx->request->connection;

    ngx_http_finalize_request(ctx->request, rc);
    ngx_http_run_posted_requests(c);
}


static void
ngx_http_prom_poll_hold_leave(ngx_http_prom_poll_ctx_t *ctx,
    ngx_prom_poll_end_e end)
{
    ngx_http_prom_poll_client_t  *client;

    if (ctx->timer.timer_set) {
        ngx_del_timer(&ctx->timer);
    }

    client = ctx->client;

    if (client == NULL) {
        return;
    }

    ctx->client = NULL;
    ngx_queue_remove(&ctx->queue);
    client->npolls--;

    ngx_prom_poll_unhold(ngx_http_prom_poll_worker()->zone, client->place,
                         end);

    ngx_http_prom_poll_client_done(client);
}


static void
ngx_http_prom_poll_hold_timer(ngx_event_t *ev)
{
    ngx_http_prom_poll_hold_end(ev->data, NGX_HTTP_NO_CONTENT);
}


static void
ngx_http_prom_poll_hold_cleanup(void *data)
{
    ngx_http_prom_poll_ctx_t *ctx = data;

    ngx_http_prom_poll_hold_leave(ctx, NGX_PROM_POLL_GONE);

    /* it was given a scrape at another worker */

    if (ctx->hop && ctx->public
        && ctx->request->headers_out.status == NGX_HTTP_OK)
    {
        ngx_http_prom_poll_watch(ctx->request, &ctx->name);
    }
}
