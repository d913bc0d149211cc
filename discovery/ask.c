/*
 * Each has a connection of its own: one that was kept from the last time may
 * be cut, which shows only after the time for an answer.
 */


#include <string.h>

#include "ask.h"


#define ASK_CONNECT  5000L                     /* ms */
#define ASK_TIME     10000L                    /* ms, for all of it */
#define ASK_ANSWER   (64L * 1024 * 1024)       /* bytes */


static int ask_header(ask_t *ask, const char *etag);
static size_t ask_read(char *data, size_t size, size_t n, void *to);
static void ask_done(void *data, CURLcode rc);
static void ask_etag(ask_t *ask);


int
ask_open(ask_t *ask)
{
    CURL                         *easy;
    static const transfer_tls_t   none = { "", "", "" };

    memset(ask, 0, sizeof(*ask));

    ask->transfer.done = ask_done;
    ask->transfer.data = ask;

    if (transfer_open(&ask->transfer, &none) == -1) {
        return -1;
    }

    easy = ask->transfer.easy;

    if (curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L) != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, ASK_CONNECT)
           != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, ASK_TIME) != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE,
                            (curl_off_t) ASK_ANSWER)
           != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, ask_read) != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_WRITEDATA, ask) != CURLE_OK)
    {
        return -1;
    }

    return 0;
}


int
ask_start(ask_t *ask, const char *address, const char *path,
    const char *etag, ask_done_pt done, void *data)
{
    buffer_clear(&ask->url);
    buffer_format(&ask->url, "http://%s%s", address, path);

    ask->refused = 0;
    ask->done = done;

    if (ask->url.failed
        || curl_easy_setopt(ask->transfer.easy, CURLOPT_URL, ask->url.start)
           != CURLE_OK
        || ask_header(ask, etag) == -1
        || transfer_start(&ask->transfer) == -1)
    {
        return -1;
    }

    ask->data = data;

    return 0;
}


static int
ask_header(ask_t *ask, const char *etag)
{
    int       rc;
    buffer_t  line;

    curl_slist_free_all(ask->headers);
    ask->headers = NULL;

    if (etag[0]) {
        memset(&line, 0, sizeof(line));
        buffer_format(&line, "If-None-Match: %s", etag);

        if (!line.failed) {
            ask->headers = curl_slist_append(NULL, line.start);
        }

        buffer_free(&line);

        if (ask->headers == NULL) {
            return -1;
        }
    }

    rc = curl_easy_setopt(ask->transfer.easy, CURLOPT_HTTPHEADER,
                          ask->headers);

    return rc == CURLE_OK ? 0 : -1;
}


static size_t
ask_read(char *data, size_t size, size_t n, void *to)
{
    ask_t  *ask = to;

    n *= size;

    if (ask->body.len + n > ASK_ANSWER) {
        ask->refused = 1;
        return 0;
    }

    buffer_add(&ask->body, data, n);

    return ask->body.failed ? 0 : n;
}


static void
ask_done(void *data, CURLcode rc)
{
    void      *who;
    long       status;
    ask_t     *ask = data;
    buffer_t   body;
    reason_t   why;

    status = 0;

    if (ask->refused || rc == CURLE_FILESIZE_EXCEEDED) {
        (void) reason(why, "the answer is longer than %ld MB",
                      ASK_ANSWER / 1024 / 1024);

    } else if (ask->body.failed) {
        (void) reason(why, "out of memory");

    } else if (rc != CURLE_OK) {
        transfer_reason(&ask->transfer, rc, why);

    } else if (curl_easy_getinfo(ask->transfer.easy, CURLINFO_RESPONSE_CODE,
                                 &status)
               != CURLE_OK)
    {
        (void) reason(why, "it has no status");
    }

    ask_etag(ask);

    /* it may be asked for more from there */

    who = ask->data;
    ask->data = NULL;

    body = ask->body;
    memset(&ask->body, 0, sizeof(ask->body));

    ask->done(who, status, (str_t) { body.start, body.len }, why);

    buffer_free(&body);
}


/* one that isn't like any is none */

static void
ask_etag(ask_t *ask)
{
    struct curl_header  *header;

    ask->etag[0] = '\0';

    if (curl_easy_header(ask->transfer.easy, "ETag", 0, CURLH_HEADER, -1,
                         &header)
        == CURLHE_OK
        && strlen(header->value) < ASK_ETAG
        && str_is_visible(str_of(header->value)))
    {
        memcpy(ask->etag, header->value, strlen(header->value) + 1);
    }
}


void
ask_stop(ask_t *ask)
{
    transfer_stop(&ask->transfer);
    buffer_free(&ask->body);
    ask->data = NULL;
}


void
ask_close(ask_t *ask)
{
    if (ask->transfer.easy) {
        transfer_close(&ask->transfer);
    }

    curl_slist_free_all(ask->headers);
    buffer_free(&ask->body);
    buffer_free(&ask->url);
}
