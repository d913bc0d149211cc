/*
 * Hands the answer to the proxy: as a whole once it is here, or, if it is
 * longer than what fits in, while it comes.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exchange.h"
#include "log.h"
#include "metrics.h"


#define PUSH_CHUNK    20          /* bytes of a chunk's size and ends */
#define PUSH_REFUSAL  512         /* of what the proxy says */
#define PUSH_LEAST    1000        /* ms that it has in each case */


static int push_set(exchange_t *ex);
static int push_header(exchange_t *ex, int64_t length);
static void push_head(exchange_t *ex, int64_t length);
static void push_head_line(exchange_t *ex, const headers_t *headers,
    const header_t *header);
static int push_is_dropped(const headers_t *headers, const header_t *header);
static void push_lines(exchange_t *ex, headers_t *headers);
static int64_t push_length(exchange_t *ex);
static int push_has_body(exchange_t *ex);
static size_t push_on_read(char *data, size_t size, size_t n,
    void *exchange);
static size_t push_piece(exchange_t *ex, char *data, size_t n);
static int push_on_seek(void *exchange, curl_off_t offset, int origin);
static size_t push_on_answer(char *data, size_t size, size_t n,
    void *exchange);
static void push_done(void *data, CURLcode rc);
static const char *push_phrase(int status);


int
push_open(exchange_t *ex)
{
    CURL  *easy;

    ex->push.done = push_done;
    ex->push.data = ex;

    if (transfer_open(&ex->push, &ex->poller->proxy->client->proxy_tls) == -1)
    {
        return -1;
    }

    transfer_guard(&ex->push);

    easy = ex->push.easy;

    if (curl_easy_setopt(easy, CURLOPT_POST, 1L) != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_READFUNCTION, push_on_read)
           != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_READDATA, ex) != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, push_on_seek)
           != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_SEEKDATA, ex) != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, push_on_answer)
           != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_WRITEDATA, ex) != CURLE_OK)
    {
        return -1;
    }

    return 0;
}


void
push_start(exchange_t *ex)
{
    if (transfer_set_pool(&ex->push, ex->lane->pool) == -1
        || push_set(ex) == -1
        || transfer_start(&ex->push) == -1)
    {
        metrics_add(METRIC_PUSH_ERRORS, 1);
        log_line(LOG_ERROR, "push failed", "scrape_id", ex->id,
                 "err", "out of memory", NULL);
        exchange_end(ex);
    }
}


static int
push_set(exchange_t *ex)
{
    long      msec;
    CURL     *easy;
    int64_t   length;
    proxy_t  *proxy;

    easy = ex->push.easy;
    proxy = ex->poller->proxy;

    length = push_length(ex);
    ex->chunked = length == -1;

    push_head(ex, length);

    if (ex->head.failed || push_header(ex, length) == -1) {
        return -1;
    }

    if (length != -1) {
        length += (int64_t) ex->head.len;
    }

    msec = (long) (ex->deadline - loop_now());
    msec = msec > PUSH_LEAST ? msec : PUSH_LEAST;

    if (curl_easy_setopt(easy, CURLOPT_URL, proxy->push) != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_PROXY, proxy->through) != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                            (curl_off_t) length)
           != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_HTTPHEADER, ex->pushing) != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, msec) != CURLE_OK)
    {
        return -1;
    }

    return 0;
}


/* of the POST itself */

static int
push_header(exchange_t *ex, int64_t length)
{
    if (header_add(&ex->pushing, "Content-Type:") == -1
        || header_add(&ex->pushing, "Accept:") == -1
        || header_add(&ex->pushing, "Expect:") == -1
        || proxy_authorize(ex->poller->proxy, &ex->pushing) == -1)
    {
        return -1;
    }

    return length == -1 ? header_add(&ex->pushing,
                                     "Transfer-Encoding: chunked")
                        : 0;
}


/* of the body, -1 if it isn't known yet */

static int64_t
push_length(exchange_t *ex)
{
    return ex->whole ? (int64_t) ex->body.len : ex->length;
}


static int
push_has_body(exchange_t *ex)
{
    return ex->status != 204 && ex->status != 304;
}


/* the answer's header, as the proxy and its scraper are to see it */

static void
push_head(exchange_t *ex, int64_t length)
{
    double      left;
    unsigned    i;
    headers_t   headers;

    left = (double) (ex->deadline - loop_now()) / 1000;

    buffer_clear(&ex->head);
    buffer_format(&ex->head, "HTTP/1.1 %03d %s\r\n", ex->status,
                  push_phrase(ex->status));

    push_lines(ex, &headers);

    for (i = 0; i < headers.n; i++) {
        push_head_line(ex, &headers, &headers.line[i]);
    }

    if (length == -1) {
        buffer_text(&ex->head, "Transfer-Encoding: chunked\r\n");

    } else if (push_has_body(ex)) {
        buffer_format(&ex->head, "Content-Length: %lld\r\n",
                      (long long) length);
    }

    buffer_format(&ex->head, "Id: %s\r\n"
                  "X-Prometheus-Scrape-Timeout-Seconds: %.3f\r\n\r\n",
                  ex->id, left > 0 ? left : 0);
}


/* what isn't a line of a header gets lost here */

static void
push_lines(exchange_t *ex, headers_t *headers)
{
    str_t        line;
    reason_t     why;
    const char  *p, *end;

    headers->n = 0;

    for (p = ex->lines.start; p && *p; p = end + 2) {
        end = strstr(p, "\r\n");
        line = (str_t) { p, (size_t) (end - p) };

        (void) headers_line(headers, line, why);
    }
}


static void
push_head_line(exchange_t *ex, const headers_t *headers,
    const header_t *header)
{
    if (push_is_dropped(headers, header)) {
        return;
    }

    buffer_str(&ex->head, header->name);
    buffer_text(&ex->head, ": ");
    buffer_str(&ex->head, header->value);
    buffer_text(&ex->head, "\r\n");
}


static int
push_is_dropped(const headers_t *headers, const header_t *header)
{
    return headers_is_hop(headers, header)
           || str_is(header->name, "X-Prometheus-Scrape-Timeout")
           || str_is(header->name, "X-Prometheus-Scrape-Timeout-Seconds");
}


static size_t
push_on_read(char *data, size_t size, size_t n, void *exchange)
{
    size_t       len, piece;
    exchange_t  *ex = exchange;

    n *= size;
    len = ex->head.len - ex->pushed;
    len = len < n ? len : n;

    if (len) {
        memcpy(data, ex->head.start + ex->pushed, len);
        ex->pushed += len;
    }

    piece = push_piece(ex, data + len, n - len);
    len += piece;

    if (piece && ex->full) {
        loop_later(&ex->work);
    }

    if (len == 0 && !ex->whole) {
        ex->empty = 1;
        return CURL_READFUNC_PAUSE;
    }

    metrics_add(METRIC_BYTES, len);

    return len;
}


/* of the body, as a chunk of it if it goes in chunks */

static size_t
push_piece(exchange_t *ex, char *data, size_t n)
{
    char    size[PUSH_CHUNK];
    size_t  len, head;

    if (!ex->chunked) {
        return pipe_get(&ex->body, data, n);
    }

    if (n <= PUSH_CHUNK) {
        return 0;
    }

    if (ex->body.len == 0) {

        if (!ex->whole || ex->ended) {
            return 0;
        }

        ex->ended = 1;
        memcpy(data, "0\r\n\r\n", 5);

        return 5;
    }

    len = n - PUSH_CHUNK < ex->body.len ? n - PUSH_CHUNK : ex->body.len;
    head = (size_t) snprintf(size, sizeof(size), "%zx\r\n", len);

    memcpy(data, size, head);
    len = pipe_get(&ex->body, data + head, len);
    memcpy(data + head + len, "\r\n", 2);

    return head + len + 2;
}


/* libcurl tries once more, if a connection was closed while it was idle */

static int
push_on_seek(void *exchange, curl_off_t offset, int origin)
{
    exchange_t  *ex = exchange;

    if (offset != 0 || origin != SEEK_SET || pipe_rewind(&ex->body) == -1) {
        return CURL_SEEKFUNC_CANTSEEK;
    }

    ex->pushed = 0;
    ex->ended = 0;

    return CURL_SEEKFUNC_OK;
}


static size_t
push_on_answer(char *data, size_t size, size_t n, void *exchange)
{
    exchange_t  *ex = exchange;

    (void) size;

    if (ex->refusal.len < PUSH_REFUSAL) {
        buffer_add(&ex->refusal, data,
                   n < PUSH_REFUSAL ? n : PUSH_REFUSAL);
    }

    return n;
}


static void
push_done(void *data, CURLcode rc)
{
    long         status, opened;
    size_t       len;
    reason_t     why;
    exchange_t  *ex = data;

    status = 0;
    opened = 1;
    (void) curl_easy_getinfo(ex->push.easy, CURLINFO_RESPONSE_CODE, &status);
    (void) curl_easy_getinfo(ex->push.easy, CURLINFO_NUM_CONNECTS, &opened);

    if (opened) {
        ex->lane->known = 0;
    }

    if (rc == CURLE_OK && status >= 200 && status < 300) {

        if (log_is_on(LOG_DEBUG)) {
            log_line(LOG_DEBUG, "pushed scrape result", "scrape_id", ex->id,
                     "url", ex->shown.start, NULL);
        }

        exchange_end(ex);
        return;
    }

    if (status >= 300) {
        len = ex->refusal.start ? strcspn(ex->refusal.start, "\r\n") : 0;

        (void) reason(why, "the proxy answered %ld%s%.*s", status,
                      len ? ": " : "",
                      len > REASON_TEXT ? REASON_TEXT : (int) len,
                      len ? ex->refusal.start : "");

    } else if (rc == CURLE_OPERATION_TIMEDOUT) {
        (void) reason(why, "it took longer than the scrape timeout of %gs",
                      ex->request.timeout);

    } else {
        transfer_reason(&ex->push, rc, why);
    }

    metrics_add(METRIC_PUSH_ERRORS, 1);

    log_line(LOG_WARN, "push failed", "scrape_id", ex->id,
             "name", ex->poller->rule->name, "url", ex->shown.start,
             "proxy_url", ex->poller->proxy->url, "err", why, NULL);

    exchange_end(ex);
}


/* for those who read it; what is read by programs is the number */

static const char *
push_phrase(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 204:
        return "No Content";
    case 301:
        return "Moved Permanently";
    case 302:
        return "Found";
    case 304:
        return "Not Modified";
    case 307:
        return "Temporary Redirect";
    case 308:
        return "Permanent Redirect";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 500:
        return "Internal Server Error";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    default:
        return "Answer";
    }
}
