/*
 * Counting: what became of a scrape, for its target and for all together.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_proxy.h"


typedef struct {
    ngx_uint_t           status;
    ngx_uint_t           class;       /* 0 if it was aborted */
    ngx_uint_t           bucket;
    ngx_msec_t           latency;
    ngx_uint_t           up;
    off_t                size;
} ngx_http_prom_scrape_t;


static void ngx_http_prom_proxy_outcome(ngx_http_request_t *r,
    ngx_http_prom_proxy_ctx_t *ctx, ngx_http_prom_scrape_t *scrape);
static ngx_uint_t ngx_http_prom_proxy_whole(ngx_http_request_t *r);
static void ngx_http_prom_proxy_add(ngx_prom_counters_t *counters,
    ngx_http_prom_proxy_ctx_t *ctx, ngx_http_prom_scrape_t *scrape);
static void ngx_http_prom_proxy_last(ngx_prom_counters_t *counters,
    ngx_http_prom_proxy_ctx_t *ctx, ngx_http_prom_scrape_t *scrape);


ngx_int_t
ngx_http_prom_proxy_count_handler(ngx_http_request_t *r)
{
    ngx_prom_counters_t              *counters;
    ngx_prom_registry_t              *registry;
    ngx_http_prom_scrape_t            scrape;
    ngx_http_prom_proxy_ctx_t        *ctx;
    ngx_http_prom_proxy_main_conf_t  *pmcf;

    if (r != r->main) {
        return NGX_OK;
    }

    ctx = ngx_http_prom_proxy_ctx(r);

    if (ctx == NULL || !ctx->found || ctx->verify) {
        return NGX_OK;
    }

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_prom_proxy_module);
    registry = ngx_http_prom_registry(pmcf->zone);

    ngx_http_prom_proxy_outcome(r, ctx, &scrape);
    ngx_http_prom_proxy_add(ngx_prom_registry_totals(registry), ctx, &scrape);

    counters = ngx_prom_registry_counters(registry, ctx->route.slot,
                                          ctx->route.serial);
    if (counters) {
        ngx_http_prom_proxy_last(counters, ctx, &scrape);
        ngx_http_prom_proxy_add(counters, ctx, &scrape);
    }

    return NGX_OK;
}


static void
ngx_http_prom_proxy_outcome(ngx_http_request_t *r,
    ngx_http_prom_proxy_ctx_t *ctx, ngx_http_prom_scrape_t *scrape)
{
    ngx_time_t        *tp;
    ngx_uint_t         aborted;
    ngx_msec_int_t     ms;

    scrape->status = r->err_status ? r->err_status : r->headers_out.status;

    aborted = (scrape->status == NGX_HTTP_CLIENT_CLOSED_REQUEST
               || scrape->status < 100
               || r->connection->error
               || (r->upstream && r->upstream->pipe
                   && r->upstream->pipe->downstream_error));

    /* a deadline that passes in the middle is a failure of the target's */

    if (ctx->late) {
        aborted = 0;
    }

    if (r->upstream && r->upstream->header_sent
        && ctx->fail < NGX_HTTP_PROM_FAIL_BODY)
    {
        /* another address has answered, or a fresh connection */
        ctx->fail = NGX_HTTP_PROM_FAIL_NONE;
    }

    if (aborted) {
        ngx_http_prom_proxy_fail(ctx, NGX_HTTP_PROM_FAIL_ABORTED, 0);

    } else if (!ngx_http_prom_proxy_whole(r)) {
        ngx_http_prom_proxy_fail(ctx, NGX_HTTP_PROM_FAIL_BODY, 0);
    }

    scrape->class = aborted ? 0 : ngx_min(scrape->status / 100,
                                          NGX_PROM_CODES - 1);
    scrape->up = (scrape->status == NGX_HTTP_OK
                  && ctx->fail != NGX_HTTP_PROM_FAIL_ABORTED
                  && ctx->fail != NGX_HTTP_PROM_FAIL_BODY
                  && ctx->fail != NGX_HTTP_PROM_FAIL_DEADLINE);

    tp = ngx_timeofday();

    ms = (ngx_msec_int_t) ((tp->sec - r->start_sec) * 1000
                           + (tp->msec - r->start_msec));
    scrape->latency = ngx_max(ms, 0);

    if (ctx->route.kind == NGX_PROM_ADDRESS_POLL
        && scrape->status == NGX_HTTP_GATEWAY_TIME_OUT
        && ctx->timeout
        && scrape->latency >= ctx->timeout)
    {
        /* told by the worker that has the client */
        ngx_http_prom_proxy_fail(ctx, NGX_HTTP_PROM_FAIL_DEADLINE, 0);
    }

    for (scrape->bucket = 0;
         scrape->bucket < NGX_PROM_BUCKETS - 1;
         scrape->bucket++)
    {
        if (scrape->latency <= ngx_prom_bounds[scrape->bucket]) {
            break;
        }
    }

    scrape->size = r->connection->sent - r->header_size;
    scrape->size = ngx_max(scrape->size, 0);
}


/* what nginx has of the answer's body is as long as it should be */

static ngx_uint_t
ngx_http_prom_proxy_whole(ngx_http_request_t *r)
{
    ngx_event_pipe_t     *p;
    ngx_http_upstream_t  *u;

    u = r->upstream;

    if (u == NULL || u->pipe == NULL || !u->header_sent || r->header_only) {
        return 1;
    }

    if (!u->buffering) {
        return (u->length <= 0);
    }

    p = u->pipe;

    if (p->upstream_error || p->length > 0) {
        return 0;
    }

    /* -1: the end of the connection is the body's */

    return (p->length == 0 || p->upstream_done || p->upstream_eof);
}


static void
ngx_http_prom_proxy_add(ngx_prom_counters_t *counters,
    ngx_http_prom_proxy_ctx_t *ctx, ngx_http_prom_scrape_t *scrape)
{
    (void) ngx_atomic_fetch_add(&counters->codes[scrape->class], 1);
    (void) ngx_atomic_fetch_add(&counters->buckets[scrape->bucket], 1);
    (void) ngx_atomic_fetch_add(&counters->duration, scrape->latency);
    (void) ngx_atomic_fetch_add(&counters->bytes, scrape->size);

    if (ctx->connects) {
        (void) ngx_atomic_fetch_add(&counters->connects, ctx->connects);
    }

    if (ctx->reuses) {
        (void) ngx_atomic_fetch_add(&counters->reuses, ctx->reuses);
    }

    (void) ngx_atomic_fetch_add(&counters->scrapes, 1);
}


/* two scrapes of one target at one instant may mix here, which is no harm */

static void
ngx_http_prom_proxy_last(ngx_prom_counters_t *counters,
    ngx_http_prom_proxy_ctx_t *ctx, ngx_http_prom_scrape_t *scrape)
{
    uint64_t     now;
    ngx_time_t  *tp;

    tp = ngx_timeofday();
    now = (uint64_t) tp->sec * 1000 + tp->msec;

    counters->history[counters->scrapes % NGX_PROM_HISTORY] =
        ngx_min(scrape->latency, NGX_PROM_HISTORY_MAX)
        | (scrape->up ? 0 : NGX_PROM_HISTORY_FAILED);

    counters->scraped = now;

    if (scrape->up) {
        counters->succeeded = now;
    }

    counters->size = scrape->size;
    counters->latency = scrape->latency;
    counters->timeout = ctx->timeout;
    counters->code = ctx->code;
    counters->status = scrape->status;
    counters->fail = scrape->up ? NGX_HTTP_PROM_FAIL_NONE : ctx->fail;
    counters->up = scrape->up;
}
