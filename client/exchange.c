/*
 * An exchange is scrape.c's and push.c's, and what is between them.  It is
 * used again, with its handles, their buffers and their connections.
 */


#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exchange.h"
#include "log.h"
#include "metrics.h"


#define EXCHANGE_PUSH   (PIPE_MAX / 2)   /* that wait, before it is pushed */
#define EXCHANGE_PIECE  (64 * 1024)      /* that wait, before a push goes on */
#define EXCHANGE_SPARE  4                /* that lie around */
#define EXCHANGE_ERROR  5000             /* ms, to push if it has no timeout */
#define EXCHANGE_HOUR   3600.0           /* s; no timeout is longer */
#define EXCHANGE_TRIM   60000            /* ms */


static exchange_t *exchange_new(poller_t *p);
static void exchange_step(void *data);
static void exchange_trim(void);
static void exchange_free(exchange_t *ex);


static exchange_t       *exchange_spare;
static unsigned          exchange_nspare;
static unsigned          exchange_nrunning;
static loop_handler_pt   exchange_notify;


exchange_t *
exchange_open(poller_t *p, lane_t *lane)
{
    exchange_t  *ex;

    ex = exchange_spare;

    if (ex) {
        exchange_spare = ex->next;
        exchange_nspare--;

    } else {
        ex = exchange_new(p);

        if (ex == NULL) {
            return NULL;
        }
    }

    ex->poller = p;
    ex->lane = lane;

    ex->started = 0;
    ex->whole = 0;
    ex->chunked = 0;
    ex->ended = 0;
    ex->full = 0;
    ex->empty = 0;
    ex->pushed = 0;
    ex->status = 0;
    ex->length = -1;

    buffer_clear(&ex->lines);
    buffer_clear(&ex->head);
    buffer_clear(&ex->shown);
    buffer_clear(&ex->refusal);
    pipe_clear(&ex->body);

    exchange_nrunning++;

    return ex;
}


static exchange_t *
exchange_new(poller_t *p)
{
    exchange_t  *ex;

    ex = calloc(1, sizeof(exchange_t));

    if (ex == NULL) {
        return NULL;
    }

    ex->poller = p;
    ex->work.handler = exchange_step;
    ex->work.data = ex;

    if (scrape_open(ex) == -1 || push_open(ex) == -1) {
        exchange_free(ex);
        return NULL;
    }

    return ex;
}


int
exchange_take(exchange_t *ex, buffer_t *text, reason_t why)
{
    buffer_t  other;

    other = ex->text;
    ex->text = *text;
    *text = other;

    if (request_parse(&ex->request, ex->text.start, ex->text.len, why) == -1) {
        return -1;
    }

    memcpy(ex->id, ex->request.id.start, ex->request.id.len);
    ex->id[ex->request.id.len] = '\0';

    return 0;
}


void
exchange_start(exchange_t *ex)
{
    double      timeout;
    reason_t    why;
    client_t   *client;

    client = ex->poller->proxy->client;
    timeout = ex->request.timeout;

    metrics_add(METRIC_SCRAPES, 1);

    buffer_add(&ex->shown, ex->request.uri.start,
               ex->request.uri.len > 1024 ? 1024 : ex->request.uri.len);

    ex->deadline = loop_now() + EXCHANGE_ERROR;

    if (timeout == 0) {
        exchange_fail(ex, "it has no valid"
                      " \"X-Prometheus-Scrape-Timeout-Seconds\"");
        return;
    }

    if (timeout > EXCHANGE_HOUR) {
        timeout = EXCHANGE_HOUR;
    }

    ex->deadline = loop_now() + (int64_t) (timeout * 1000);

    if (rule_apply(ex->poller->rule, &client->options.ports, &ex->request,
                   &ex->target, why)
        == -1)
    {
        exchange_fail(ex, why);
        return;
    }

    log_line(LOG_DEBUG, "got scrape request", "scrape_id", ex->id,
             "url", ex->shown.start, NULL);

    scrape_start(ex);
}


/* what is to be done since more has come, or more has gone */

static void
exchange_step(void *data)
{
    exchange_t  *ex = data;

    if (!ex->push.running) {

        if (ex->whole || ex->body.len >= EXCHANGE_PUSH) {
            push_start(ex);
        }

        return;
    }

    if (ex->empty && (ex->whole || ex->body.len >= EXCHANGE_PIECE)) {
        ex->empty = 0;
        transfer_resume(&ex->push);
    }

    if (ex->full && ex->body.len <= PIPE_MAX / 2) {
        ex->full = 0;
        transfer_resume(&ex->scrape);
    }
}


void
exchange_fail(exchange_t *ex, const char *why)
{
    char         line[sizeof(reason_t) + 2048];
    const char  *name;

    name = ex->poller->rule->name;

    metrics_add(METRIC_SCRAPE_ERRORS, 1);

    log_line(LOG_WARN, "scrape failed", "scrape_id", ex->id, "name", name,
             "url", ex->shown.start, "err", why, NULL);

    (void) snprintf(line, sizeof(line), "%s: failed to scrape %.1024s: %s\n",
                    name, ex->shown.start, why);

    buffer_clear(&ex->lines);
    buffer_text(&ex->lines, "Content-Type: text/plain; charset=utf-8\r\n");
    pipe_clear(&ex->body);

    ex->status = 500;
    ex->whole = 1;

    if (pipe_put(&ex->body, line, strlen(line)) == -1) {
        exchange_end(ex);
        return;
    }

    push_start(ex);
}


void
exchange_end(exchange_t *ex)
{
    lane_t    *lane;
    poller_t  *p;

    lane = ex->lane;

    if (ex->push.running) {

        /* the lane's next connection may lead to any replica */

        lane->known = 0;
    }

    transfer_stop(&ex->scrape);
    transfer_stop(&ex->push);
    (void) transfer_set_pool(&ex->push, NULL);

    loop_never(&ex->work);

    curl_slist_free_all(ex->asked);
    curl_slist_free_all(ex->pushing);

    ex->asked = NULL;
    ex->pushing = NULL;

    p = ex->poller;

    exchange_close(ex);
    poll_scraped(p, lane);

    if (exchange_nrunning == 0) {
        exchange_trim();

        if (exchange_notify) {
            exchange_notify(NULL);
        }
    }
}


/* what many scrapes at a time took is given back, once a minute */

static void
exchange_trim(void)
{
    static int64_t  trimmed;

    if (loop_now() - trimmed < EXCHANGE_TRIM) {
        return;
    }

    trimmed = loop_now();

#ifdef __GLIBC__
    (void) malloc_trim(0);
#endif
}


void
exchange_close(exchange_t *ex)
{
    exchange_nrunning--;

    if (exchange_nspare == EXCHANGE_SPARE) {
        exchange_free(ex);
        return;
    }

    pipe_clear(&ex->body);

    ex->next = exchange_spare;
    exchange_spare = ex;
    exchange_nspare++;
}


static void
exchange_free(exchange_t *ex)
{
    if (ex->scrape.easy) {
        transfer_close(&ex->scrape);
    }

    if (ex->push.easy) {
        transfer_close(&ex->push);
    }

    buffer_free(&ex->text);
    buffer_free(&ex->shown);
    buffer_free(&ex->lines);
    buffer_free(&ex->head);
    buffer_free(&ex->refusal);
    target_free(&ex->target);
    pipe_free(&ex->body);

    free(ex);
}


unsigned
exchanges_running(void)
{
    return exchange_nrunning;
}


void
exchanges_wait(loop_handler_pt handler)
{
    exchange_notify = handler;

    if (exchange_nrunning == 0) {
        handler(NULL);
    }
}


void
exchanges_free(void)
{
    exchange_t  *ex;

    while (exchange_spare) {
        ex = exchange_spare;
        exchange_spare = ex->next;
        exchange_free(ex);
    }
}
