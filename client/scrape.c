/*
 * Asks the target, and takes its answer in.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "environment.h"
#include "exchange.h"
#include "log.h"
#include "metrics.h"


#define SCRAPE_HEADER  (64 * 1024)    /* of an answer, at most */

/*
 * A target that is too slow is told of before the scraper's time is up, too:
 * so much earlier, but no more than a part of it.
 */

#define SCRAPE_EARLY   250            /* ms */
#define SCRAPE_PART    20


static int scrape_set(exchange_t *ex);
static int scrape_method(exchange_t *ex);
static int scrape_header(exchange_t *ex);
static int scrape_header_line(exchange_t *ex, const header_t *header,
    buffer_t *line);
static int scrape_is_dropped(exchange_t *ex, const header_t *header);
static void scrape_show(exchange_t *ex);
static size_t scrape_on_header(char *data, size_t size, size_t n,
    void *exchange);
static size_t scrape_on_body(char *data, size_t size, size_t n,
    void *exchange);
static void scrape_done(void *data, CURLcode rc);
static void scrape_reason(exchange_t *ex, CURLcode rc, reason_t why);


int
scrape_open(exchange_t *ex)
{
    CURL  *easy;

    ex->scrape.done = scrape_done;
    ex->scrape.data = ex;

    if (transfer_open(&ex->scrape, &ex->poller->proxy->client->target_tls)
        == -1)
    {
        return -1;
    }

    easy = ex->scrape.easy;

    if (curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, scrape_on_header)
        != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_HEADERDATA, ex) != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, scrape_on_body)
           != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_WRITEDATA, ex) != CURLE_OK)
    {
        return -1;
    }

    return 0;
}


void
scrape_start(exchange_t *ex)
{
    scrape_show(ex);

    if (!str_is(ex->request.method, "GET")
        && !str_is(ex->request.method, "HEAD")
        && !str_is(ex->request.method, "POST"))
    {
        exchange_fail(ex, "its method isn't GET, HEAD or POST");
        return;
    }

    if (scrape_header(ex) == -1 || scrape_set(ex) == -1
        || transfer_start(&ex->scrape) == -1)
    {
        exchange_fail(ex, "out of memory");
    }
}


static int
scrape_set(exchange_t *ex)
{
    long         msec, early;
    CURL        *easy;
    const char  *through, *path;

    easy = ex->scrape.easy;

    msec = (long) (ex->deadline - loop_now());
    early = msec / SCRAPE_PART < SCRAPE_EARLY ? msec / SCRAPE_PART
                                              : SCRAPE_EARLY;
    msec = msec > early ? msec - early : 1;

    through = ex->target.socket ? NULL
                                : environment_proxy(ex->target.base.start);

    /* a proxy is told the whole URI, but one that makes a tunnel */

    path = through && strncmp(ex->target.base.start, "http:", 5) == 0
           ? ex->shown.start : ex->target.path.start;

    if (curl_easy_setopt(easy, CURLOPT_URL, ex->target.base.start) != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_REQUEST_TARGET, path)
           != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, ex->target.socket)
           != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_PROXY, through ? through : "")
           != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_HTTPHEADER, ex->asked) != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, msec) != CURLE_OK
        || scrape_method(ex) == -1)
    {
        return -1;
    }

    return 0;
}


static int
scrape_method(exchange_t *ex)
{
    CURL       *easy;
    CURLcode    rc;
    request_t  *r;

    easy = ex->scrape.easy;
    r = &ex->request;

    if (str_is(r->method, "HEAD")) {
        rc = curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);

    } else if (str_is(r->method, "POST")) {
        rc = curl_easy_setopt(easy, CURLOPT_POST, 1L);

        if (rc == CURLE_OK) {
            rc = curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE,
                                  (long) r->body.len);
        }

        if (rc == CURLE_OK) {
            rc = curl_easy_setopt(easy, CURLOPT_POSTFIELDS, r->body.start);
        }

    } else {
        rc = curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    }

    return rc == CURLE_OK ? 0 : -1;
}


static int
scrape_header(exchange_t *ex)
{
    unsigned     i;
    buffer_t     line;
    headers_t   *headers;
    const char  *token;

    headers = &ex->request.headers;
    token = ex->poller->rule->pinned ? ex->poller->proxy->client->pull_token
                                     : NULL;

    memset(&line, 0, sizeof(line));

    for (i = 0; i < headers->n; i++) {

        if (scrape_is_dropped(ex, &headers->line[i])) {
            continue;
        }

        if (scrape_header_line(ex, &headers->line[i], &line) == -1) {
            goto failed;
        }
    }

    /* what libcurl would say for itself */

    if ((headers_find(headers, "Accept").start == NULL
         && header_add(&ex->asked, "Accept:") == -1)
        || (headers_find(headers, "Content-Type").start == NULL
            && header_add(&ex->asked, "Content-Type:") == -1)
        || header_add(&ex->asked, "Expect:") == -1)
    {
        goto failed;
    }

    if (token) {
        buffer_clear(&line);
        buffer_format(&line, "x-prom-pull-token: %s", token);

        if (line.failed || header_add(&ex->asked, line.start) == -1) {
            goto failed;
        }
    }

    buffer_free(&line);

    return 0;

failed:

    buffer_free(&line);

    return -1;
}


static int
scrape_header_line(exchange_t *ex, const header_t *header, buffer_t *line)
{
    buffer_clear(line);
    buffer_str(line, header->name);

    /* libcurl's way to write one without a value */

    if (header->value.len) {
        buffer_text(line, ": ");
        buffer_str(line, header->value);

    } else {
        buffer_text(line, ";");
    }

    return line->failed ? -1 : header_add(&ex->asked, line->start);
}


/* a pinned URL has its own credentials, if it has any */

static int
scrape_is_dropped(exchange_t *ex, const header_t *header)
{
    const rule_t  *rule;

    rule = ex->poller->rule;

    return headers_is_hop(&ex->request.headers, header)
           || str_is(header->name, "Host")
           || str_is(header->name, "Expect")
           || (rule->pinned && str_is(header->name, "x-prom-pull-token"))
           || (rule->pinned && strchr(rule->base, '@')
               && str_is(header->name, "Authorization"));
}


/* from now on it is told by where it goes to, without credentials */

static void
scrape_show(exchange_t *ex)
{
    buffer_clear(&ex->shown);

    if (ex->target.socket) {
        buffer_format(&ex->shown, "unix:%s:", ex->target.socket);

    } else {
        buffer_url(&ex->shown, ex->target.base.start);
    }

    buffer_text(&ex->shown, ex->target.path.start);
}


/* all lines of all headers come here, and those that follow a chunked body */

static size_t
scrape_on_header(char *data, size_t size, size_t n, void *exchange)
{
    str_t        line;
    exchange_t  *ex = exchange;

    (void) size;

    if (ex->started) {
        return n;
    }

    line = (str_t) { data, n };

    while (line.len && (line.start[line.len - 1] == '\n'
                        || line.start[line.len - 1] == '\r'))
    {
        line.len--;
    }

    if (line.len > 12 && memcmp(line.start, "HTTP/", 5) == 0) {

        /* HTTP/1.1 200 OK */

        ex->status = (int) str_number((str_t) { line.start + 9, 3 }, 999);
        buffer_clear(&ex->lines);

        return n;
    }

    if (line.len == 0) {
        ex->started = ex->status >= 200;
        return n;
    }

    if (ex->lines.len + n > SCRAPE_HEADER) {
        return CURL_WRITEFUNC_ERROR;
    }

    buffer_str(&ex->lines, line);
    buffer_text(&ex->lines, "\r\n");

    return ex->lines.failed ? CURL_WRITEFUNC_ERROR : n;
}


static size_t
scrape_on_body(char *data, size_t size, size_t n, void *exchange)
{
    curl_off_t   length;
    exchange_t  *ex = exchange;

    (void) size;

    if (n > pipe_room(&ex->body)) {
        ex->full = 1;
        return CURL_WRITEFUNC_PAUSE;
    }

    if (ex->body.len == 0 && ex->body.taken == 0
        && curl_easy_getinfo(ex->scrape.easy,
                             CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length)
           == CURLE_OK)
    {
        ex->length = length;
    }

    if (pipe_put(&ex->body, data, n) == -1) {
        return CURL_WRITEFUNC_ERROR;
    }

    loop_later(&ex->work);

    return n;
}


static void
scrape_done(void *data, CURLcode rc)
{
    reason_t     why;
    exchange_t  *ex = data;

    if (rc == CURLE_OK && ex->started) {
        ex->whole = 1;
        loop_later(&ex->work);
        return;
    }

    scrape_reason(ex, rc, why);

    if (!ex->push.running) {
        exchange_fail(ex, why);
        return;
    }

    /* a push that ended here would look whole, so that it is broken off */

    metrics_add(METRIC_SCRAPE_ERRORS, 1);

    log_line(LOG_WARN, "scrape failed after a part of it was pushed",
             "scrape_id", ex->id, "name", ex->poller->rule->name,
             "url", ex->shown.start, "err", why, NULL);

    exchange_end(ex);
}


static void
scrape_reason(exchange_t *ex, CURLcode rc, reason_t why)
{
    switch (rc) {

    case CURLE_OK:
        (void) reason(why, "the target's answer has no header");
        break;

    case CURLE_OPERATION_TIMEDOUT:
        (void) reason(why, "the target took longer than the scrape timeout of"
                      " %gs", ex->request.timeout);
        break;

    case CURLE_UNSUPPORTED_PROTOCOL:
        (void) reason(why, "the target's answer has no HTTP header");
        break;

    case CURLE_PARTIAL_FILE:
        (void) reason(why, "the target broke off its answer");
        break;

    case CURLE_GOT_NOTHING:
        (void) reason(why, "the target closed the connection without an"
                      " answer");
        break;

    case CURLE_WRITE_ERROR:

        if (ex->started || ex->lines.failed) {
            (void) reason(why, "out of memory");
            break;
        }

        (void) reason(why, "the target's header is longer than %d bytes",
                      SCRAPE_HEADER);
        break;

    default:
        transfer_reason(&ex->scrape, rc, why);
    }
}
