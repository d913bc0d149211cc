/*
 * Connections of polls that were answered: a client keeps its own, to poll
 * again by it.  If it closes that instead, and has not polled since, it is
 * gone, and scrapes need not wait for its next poll.
 *
 * What nginx closes itself (to end, or as it has too many) says nothing, nor
 * does a client that nginx has not promised to keep the connection.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_poll.h"


typedef struct {
    ngx_connection_t      *connection;
    ngx_prom_poll_turn_t   turn;
} ngx_http_prom_poll_watch_t;


static ngx_http_prom_poll_watch_t *ngx_http_prom_poll_watch_find(
    ngx_connection_t *c);
static void ngx_http_prom_poll_watch_closed(void *data);


void
ngx_http_prom_poll_watch(ngx_http_request_t *r, ngx_str_t *name)
{
    ngx_connection_t             *c;
    ngx_pool_cleanup_t           *cln;
    ngx_http_prom_poll_watch_t   *watch;
    ngx_http_prom_poll_worker_t  *worker;

    worker = ngx_http_prom_poll_worker();

    if (worker == NULL || r->http_version > NGX_HTTP_VERSION_11) {
        return;
    }

    c = r->connection;
    watch = ngx_http_prom_poll_watch_find(c);

    if (watch == NULL) {
        cln = ngx_pool_cleanup_add(c->pool,
                                   sizeof(ngx_http_prom_poll_watch_t));
        if (cln == NULL) {
            return;
        }

        cln->handler = ngx_http_prom_poll_watch_closed;

        watch = cln->data;
        watch->connection = c;
    }

    ngx_prom_poll_turn(worker->zone, name, &watch->turn);
}


ngx_uint_t
ngx_http_prom_poll_watched(ngx_connection_t *c)
{
    return ngx_http_prom_poll_watch_find(c) != NULL;
}


static ngx_http_prom_poll_watch_t *
ngx_http_prom_poll_watch_find(ngx_connection_t *c)
{
    ngx_pool_cleanup_t  *cln;

    for (cln = c->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler == ngx_http_prom_poll_watch_closed) {
            return cln->data;
        }
    }

    return NULL;
}


/*
 * The connection has been closed by now, but tells still how that came: it was
 * idle, as one is between two requests, and its end was read.
 */

static void
ngx_http_prom_poll_watch_closed(void *data)
{
    ngx_http_prom_poll_watch_t *watch = data;

    ngx_connection_t             *c;
    ngx_http_prom_poll_worker_t  *worker;

    c = watch->connection;
    worker = ngx_http_prom_poll_worker();

    if (worker == NULL || !c->idle || !(c->read->eof || c->read->error)) {
        return;
    }

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, ngx_cycle->log, 0,
                   "prom poll: the connection of an answered poll is closed");

    ngx_prom_poll_closed(worker->zone, &watch->turn);
}
