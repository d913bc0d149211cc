/*
 * An answer is a scrape only if it is one from its first byte to its last:
 * there are load balancers, with pages of their own, on the way to a proxy.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exchange.h"
#include "log.h"
#include "metrics.h"
#include "poll.h"


#define POLL_SCRAPES   64         /* under way at a time */
#define POLL_GRACE     15000      /* ms that a proxy may hold one for longer */
#define POLL_QUICK     1000       /* ms: an answer before that is quick */
#define POLL_LEAST     5          /* ms between tries */
#define POLL_EMPTY     3          /* quick, empty answers that are borne */


static int poll_set(poller_t *p);
static int poll_lane(poller_t *p);
static int poll_header(poller_t *p);
static void poll_start(void *data);
static size_t poll_read(char *data, size_t size, size_t n, void *poller);
static void poll_done(void *data, CURLcode rc);
static void poll_empty(poller_t *p);
static void poll_got(poller_t *p);
static int poll_is_late(poller_t *p, CURLcode rc);
static void poll_help(poller_t *p, int msec);
static void poll_misled(poller_t *p);
static void poll_refused(poller_t *p, long status);
static void poll_failed(poller_t *p, const char *why);
static void poll_drop(poller_t *p);


int
poll_open(poller_t *p, proxy_t *proxy, const rule_t *rule)
{
    p->proxy = proxy;
    p->rule = rule;
    p->wait = (double) proxy->client->options.initial_wait;

    p->timer.handler = poll_start;
    p->timer.data = p;

    p->transfer.done = poll_done;
    p->transfer.data = p;

    if (transfer_open(&p->transfer, &proxy->client->proxy_tls) == -1
        || poll_set(p) == -1)
    {
        return -1;
    }

    loop_set(&p->timer, 0);

    return 0;
}


static int
poll_set(poller_t *p)
{
    long   timeout;
    CURL  *easy;

    easy = p->transfer.easy;
    timeout = p->proxy->client->options.hold;
    timeout += timeout ? POLL_GRACE : 0;

    transfer_guard(&p->transfer);

    if (curl_easy_setopt(easy, CURLOPT_URL, p->proxy->poll) != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_PROXY, p->proxy->through)
           != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_POST, 1L) != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_POSTFIELDS, p->rule->name)
           != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout) != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, poll_read)
           != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_WRITEDATA, p) != CURLE_OK)
    {
        return -1;
    }

    return 0;
}


static int
poll_lane(poller_t *p)
{
    p->lane = lane_take(&p->lanes);

    return p->lane ? transfer_set_pool(&p->transfer, p->lane->pool) : -1;
}


static int
poll_header(poller_t *p)
{
    int         rc;
    char        prefer[64];
    buffer_t    line;
    client_t   *client;

    client = p->proxy->client;

    /* a token that has changed meanwhile makes them anew */

    if (p->headers
        && (client->token == NULL
            || (secret_value(client->token)
                && client->token->version == p->token)))
    {
        return 0;
    }

    curl_slist_free_all(p->headers);
    p->headers = NULL;

    memset(&line, 0, sizeof(line));
    rc = -1;

    if (header_add(&p->headers, "Content-Type;") == -1
        || header_add(&p->headers, "Accept:") == -1
        || proxy_authorize(p->proxy, &p->headers) == -1)
    {
        goto done;
    }

    if (client->token) {
        p->token = client->token->version;
    }

    if (client->options.hold) {
        (void) snprintf(prefer, sizeof(prefer), "Prefer: wait=%ld",
                        (client->options.hold + 999) / 1000);

        if (header_add(&p->headers, prefer) == -1) {
            goto done;
        }
    }

    if (client->options.labels.len) {
        buffer_text(&line, "Prom-Poll-Labels: ");
        buffer_text(&line, client->options.labels.start);

        if (line.failed || header_add(&p->headers, line.start) == -1) {
            goto done;
        }
    }

    rc = 0;

done:

    buffer_free(&line);

    return rc;
}


static void
poll_start(void *data)
{
    poller_t           *p = data;
    struct curl_slist  *headers;

    if (p->stopped || p->transfer.running) {
        return;
    }

    loop_unset(&p->timer);

    p->full = p->scrapes >= POLL_SCRAPES;

    if (p->full) {
        return;
    }

    buffer_clear(&p->answer);

    p->started = loop_now();
    p->bound = help_is_bound(&p->help, p->scrapes);

    if (poll_lane(p) == -1 || poll_header(p) == -1) {
        poll_failed(p, "out of memory");
        return;
    }

    headers = p->bound ? help_headers(&p->help, p->headers) : p->headers;

    if (curl_easy_setopt(p->transfer.easy, CURLOPT_HTTPHEADER, headers)
        != CURLE_OK
        || transfer_start(&p->transfer) == -1)
    {
        poll_failed(p, "out of memory");
        return;
    }

    metrics_add(METRIC_POLLS, 1);
}


static size_t
poll_read(char *data, size_t size, size_t n, void *poller)
{
    poller_t  *p = poller;

    (void) size;

    if (p->answer.len + n > REQUEST_MAX) {
        return CURL_WRITEFUNC_ERROR;
    }

    buffer_add(&p->answer, data, n);

    return p->answer.failed ? CURL_WRITEFUNC_ERROR : n;
}


static void
poll_done(void *data, CURLcode rc)
{
    long       status;
    poller_t  *p = data;
    reason_t   why;

    (void) transfer_set_pool(&p->transfer, NULL);

    if (poll_is_late(p, rc)) {

        /* by another connection, as this one may lead nowhere by now */

        p->failing = 1;
        poll_drop(p);
        poll_start(p);
        return;
    }

    if (rc != CURLE_OK) {

        if (rc == CURLE_WRITE_ERROR) {
            (void) reason(why, "the answer is longer than %d bytes",
                          REQUEST_MAX);
        } else {
            transfer_reason(&p->transfer, rc, why);
        }

        poll_failed(p, why);
        return;
    }

    status = 0;
    (void) curl_easy_getinfo(p->transfer.easy, CURLINFO_RESPONSE_CODE,
                             &status);

    if (status == 200 || status == 204) {
        help_answered(&p->help, p->transfer.easy, p->lane, p->lanes);
    }

    switch (status) {

    case 200:
        poll_got(p);
        return;

    case 204:
        poll_empty(p);
        return;

    case 421:

        if (p->bound) {
            poll_misled(p);
            return;
        }

        /* fall through */

    default:
        poll_refused(p, status);
        return;
    }
}


/* the proxy took the poll, and has held it until our time was up */

static int
poll_is_late(poller_t *p, CURLcode rc)
{
    curl_off_t  usec;

    return rc == CURLE_OPERATION_TIMEDOUT
           && curl_easy_getinfo(p->transfer.easy, CURLINFO_PRETRANSFER_TIME_T,
                                &usec)
              == CURLE_OK
           && usec > 0;
}


static void
poll_empty(poller_t *p)
{
    p->quick = loop_now() - p->started < POLL_QUICK ? p->quick + 1 : 0;

    if (p->quick > POLL_EMPTY) {
        poll_failed(p, "the proxy answers 204 at once, again and again");
        return;
    }

    p->wait = (double) p->proxy->client->options.initial_wait;
    p->failing = 0;

    lane_leave(&p->lanes, p->lane);
    p->lane = NULL;

    poll_start(p);
}


/* the lane goes on with the scrape */

static void
poll_got(poller_t *p)
{
    reason_t     why;
    exchange_t  *ex;

    ex = exchange_open(p, p->lane);

    if (ex == NULL) {
        poll_failed(p, "out of memory");
        return;
    }

    if (exchange_take(ex, &p->answer, why) == -1) {
        exchange_close(ex);
        poll_failed(p, why);
        return;
    }

    p->wait = (double) p->proxy->client->options.initial_wait;
    p->quick = 0;
    p->failing = 0;
    p->scrapes++;
    p->lane = NULL;

    /* first, so that the next scrape finds one that waits */

    poll_help(p, help_begin(&p->help, p->lanes));

    exchange_start(ex);
}


/* polls beside the scrapes that are under way; -1: behind them */

static void
poll_help(poller_t *p, int msec)
{
    if (msec == 0 || p->scrapes == 0) {
        poll_start(p);

    } else if (msec > 0) {
        loop_set(&p->timer, msec);
    }
}


/* it came to another replica than its scrapes */

static void
poll_misled(poller_t *p)
{
    p->failing = 0;

    lane_drop(&p->lanes, p->lane);
    p->lane = NULL;

    poll_help(p, help_again(&p->help));
}


static void
poll_refused(poller_t *p, long status)
{
    size_t    len;
    reason_t  why;

    len = p->answer.start ? strcspn(p->answer.start, "\r\n") : 0;

    if (len && p->answer.start[0] != '<') {
        (void) reason(why, "the proxy answered %ld: %.*s", status,
                      len > REASON_TEXT ? REASON_TEXT : (int) len,
                      p->answer.start);
    } else {
        (void) reason(why, "the proxy answered %ld", status);
    }

    poll_failed(p, why);
}


static void
poll_failed(poller_t *p, const char *why)
{
    double    msec;
    client_t  *client;

    client = p->proxy->client;

    metrics_add(METRIC_POLL_ERRORS, 1);

    log_line(LOG_ERROR, "poll failed", "name", p->rule->name,
             "proxy_url", p->proxy->url, "err", why, NULL);

    p->failing = 1;

    help_failed(&p->help);
    poll_drop(p);

    if (p->stopped) {
        return;
    }

    /* as many clients may have lost the proxy at the same time */

    msec = p->wait * (0.5 + (double) random() / RAND_MAX);
    p->wait *= 1.5;

    if (p->wait > (double) client->options.max_wait) {
        p->wait = (double) client->options.max_wait;
    }

    loop_set(&p->timer, msec < POLL_LEAST ? POLL_LEAST : (int64_t) msec);
}


/* this connection, and those that are free, may be no good any more */

static void
poll_drop(poller_t *p)
{
    if (p->lane) {
        p->lane->busy = 0;
        p->lane = NULL;
    }

    (void) transfer_set_pool(&p->transfer, NULL);

    lanes_drop(&p->lanes);
}


void
poll_scraped(poller_t *p, lane_t *lane)
{
    p->scrapes--;

    lane_leave(&p->lanes, lane);

    if (p->full || !p->failing) {
        poll_start(p);
    }
}


int
poll_is_held(poller_t *p)
{
    curl_off_t  usec;

    if (!p->transfer.running) {
        return p->scrapes && !p->failing;
    }

    return curl_easy_getinfo(p->transfer.easy, CURLINFO_PRETRANSFER_TIME_T,
                             &usec)
           == CURLE_OK
           && usec > 0;
}


void
poll_stop(poller_t *p)
{
    p->stopped = 1;

    loop_unset(&p->timer);
    transfer_stop(&p->transfer);
}


void
poll_close(poller_t *p)
{
    poll_stop(p);

    if (p->transfer.easy) {
        transfer_close(&p->transfer);
    }

    lanes_close(&p->lanes);
    curl_slist_free_all(p->headers);
    buffer_free(&p->answer);
}
