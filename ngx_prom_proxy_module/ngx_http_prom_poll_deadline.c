/*
 * Until when a scrape waits: for a poll while its client is there, and for the
 * push until its deadline.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_poll.h"


/*
 * So often one that waits for a poll looks for its client, which another
 * worker may have known to be gone, in ms.
 */

#define NGX_HTTP_PROM_POLL_LOOK  250


static void ngx_http_prom_poll_deadline_timeout(ngx_event_t *ev);
static void ngx_http_prom_poll_deadline_look(ngx_http_prom_poll_ctx_t *ctx);
static void ngx_http_prom_poll_deadline_late(ngx_http_prom_poll_ctx_t *ctx);


void
ngx_http_prom_poll_deadline(ngx_http_prom_poll_ctx_t *ctx)
{
    ngx_msec_t  spent, left;

    ctx->timer.handler = ngx_http_prom_poll_deadline_timeout;
    ctx->timer.data = ctx;
    ctx->timer.log = ctx->request->connection->log;

    spent = ngx_current_msec - ctx->start;
    left = (spent < ctx->timeout) ? ctx->timeout - spent : 1;

    ngx_add_timer(&ctx->timer, ctx->client
                               ? ngx_min(left, NGX_HTTP_PROM_POLL_LOOK)
                               : left);
}


static void
ngx_http_prom_poll_deadline_timeout(ngx_event_t *ev)
{
    ngx_http_prom_poll_ctx_t  *ctx;

    ctx = ev->data;

    if (ngx_current_msec - ctx->start >= ctx->timeout) {
        ngx_http_prom_poll_deadline_late(ctx);

    } else if (ctx->client) {
        ngx_http_prom_poll_deadline_look(ctx);

    } else {
        ngx_http_prom_poll_deadline(ctx);
    }
}


/* its client may have gone since, or hold a poll elsewhere */

static void
ngx_http_prom_poll_deadline_look(ngx_http_prom_poll_ctx_t *ctx)
{
    ngx_prom_poll_at_t            at;
    ngx_http_prom_poll_worker_t  *worker;

    worker = ngx_http_prom_poll_worker();

    switch (ngx_prom_poll_find(worker->zone, &ctx->name, &worker->at, &at)) {

    case NGX_PROM_POLL_ABSENT:
        ngx_http_prom_poll_fail(ctx, NGX_PROM_POLL_FAIL_ABSENT,
                                "its client has gone and does not poll again");
        break;

    case NGX_PROM_POLL_THERE:

        if (ctx->hops < NGX_HTTP_PROM_POLL_HOPS) {
            ngx_http_prom_poll_again(ctx);
            break;
        }

        /* fall through */

    default:
        ngx_http_prom_poll_deadline(ctx);
        break;
    }
}


static void
ngx_http_prom_poll_deadline_late(ngx_http_prom_poll_ctx_t *ctx)
{
    u_char      *p;
    const char  *what;
    u_char       reason[256];

    ctx->late = 1;

    if (ctx->client) {
        what = "has not polled again";

    } else if (!ctx->paired) {
        what = "was given the scrape but has not answered";

        /* the next scrape isn't to wait for it, unless it polls by now */

        ngx_prom_poll_late(ngx_http_prom_poll_worker()->zone, &ctx->turn);

    } else {
        what = "has not sent all of its answer";
    }

    p = ngx_snprintf(reason, sizeof(reason) - 1,
                     "its client %s within the scrape timeout of %M", what,
                     ctx->timeout / 1000);

    if (ctx->timeout % 1000) {
        p = ngx_snprintf(p, reason + sizeof(reason) - 1 - p, ".%03M",
                         ctx->timeout % 1000);
    }

    p = ngx_snprintf(p, reason + sizeof(reason) - 1 - p, "s");
    *p = '\0';

    ngx_http_prom_poll_fail(ctx, NGX_PROM_POLL_FAIL_LATE, (char *) reason);
}
