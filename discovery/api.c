/*
 * An answer must begin in time, as a server, or what balances the load of
 * several, may accept and be silent; from then on, it is TCP that tells
 * whether the other side is still there.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"


#define API_BEGIN    30000        /* ms until an answer must have begun */
#define API_ERROR    (64 * 1024)  /* bytes of an answer that isn't a 200 */


static void api_start(api_t *api, const char *path, long msec);
static int api_set(api_t *api, const char *path, long msec);
static int api_header(api_t *api);
static size_t api_head(char *data, size_t size, size_t n, void *to);
static size_t api_read(char *data, size_t size, size_t n, void *to);
static int api_add(api_t *api, const char *data, size_t n);
static int api_lines(api_t *api, const char *data, size_t n);
static int api_take(api_t *api, str_t line);
static void api_expired(void *data);
static void api_done(void *data, CURLcode rc);
static api_rc_e api_failure(api_t *api, CURLcode rc, reason_t why);


int
api_open(api_t *api, pod_t *pod)
{
    transfer_tls_t  tls;

    api->pod = pod;

    api->transfer.done = api_done;
    api->transfer.data = api;
    api->timer.handler = api_expired;
    api->timer.data = api;

    memset(&tls, 0, sizeof(tls));

    tls.cacert = pod->cacert;
    tls.cert = "";
    tls.key = "";

    if (transfer_open(&api->transfer, &tls) == -1
        || curl_easy_setopt(api->transfer.easy, CURLOPT_HEADERFUNCTION,
                            api_head)
           != CURLE_OK
        || curl_easy_setopt(api->transfer.easy, CURLOPT_HEADERDATA, api)
           != CURLE_OK
        || curl_easy_setopt(api->transfer.easy, CURLOPT_WRITEFUNCTION,
                            api_read)
           != CURLE_OK
        || curl_easy_setopt(api->transfer.easy, CURLOPT_WRITEDATA, api)
           != CURLE_OK)
    {
        return -1;
    }

    transfer_guard(&api->transfer);

    return 0;
}


void
api_close(api_t *api)
{
    loop_unset(&api->timer);

    if (api->transfer.easy) {
        transfer_close(&api->transfer);
    }

    curl_slist_free_all(api->headers);
    buffer_free(&api->answer);
}


void
api_get(api_t *api, const char *path, long msec)
{
    api->lines = 0;
    api_start(api, path, msec);
}


void
api_watch(api_t *api, const char *path, long msec)
{
    api->lines = 1;
    api_start(api, path, msec);
}


static void
api_start(api_t *api, const char *path, long msec)
{
    buffer_clear(&api->answer);

    api->status = 0;
    api->answered = 0;
    api->large = 0;
    api->stopped = 0;

    if (api_header(api) == 0
        && api_set(api, path, msec) == 0
        && transfer_start(&api->transfer) == 0)
    {
        loop_set(&api->timer, API_BEGIN);
        return;
    }

    /* which the timer tells, as done isn't called from in here */

    loop_set(&api->timer, 0);
}


static int
api_set(api_t *api, const char *path, long msec)
{
    int        rc;
    buffer_t   url;

    memset(&url, 0, sizeof(url));

    buffer_text(&url, api->pod->apiserver.start);
    buffer_text(&url, path ? path : "");

    rc = path == NULL || url.failed
         || curl_easy_setopt(api->transfer.easy, CURLOPT_URL, url.start)
            != CURLE_OK
         || curl_easy_setopt(api->transfer.easy, CURLOPT_HTTPHEADER,
                             api->headers)
            != CURLE_OK
         || curl_easy_setopt(api->transfer.easy, CURLOPT_FRESH_CONNECT,
                             (long) api->failing)
            != CURLE_OK
         || curl_easy_setopt(api->transfer.easy, CURLOPT_TIMEOUT_MS, msec)
            != CURLE_OK
         ? -1 : 0;

    buffer_free(&url);

    return rc;
}


static int
api_header(api_t *api)
{
    int                 rc;
    buffer_t            line;
    const char         *value;
    struct curl_slist  *list;

    value = api->pod->token.path ? secret_value(&api->pod->token) : NULL;

    if (api->headers && api->token == api->pod->token.version) {
        return 0;
    }

    curl_slist_free_all(api->headers);
    api->headers = curl_slist_append(NULL, "Accept: application/json");

    memset(&line, 0, sizeof(line));
    rc = -1;

    if (api->headers == NULL) {
        goto done;
    }

    if (value) {
        buffer_text(&line, "Authorization: Bearer ");
        buffer_text(&line, value);

        list = line.failed ? NULL
                           : curl_slist_append(api->headers, line.start);

        if (list == NULL) {
            goto done;
        }
    }

    api->token = api->pod->token.version;
    rc = 0;

done:

    if (rc == -1) {
        curl_slist_free_all(api->headers);
        api->headers = NULL;
    }

    buffer_free(&line);

    return rc;
}


/* the empty line behind the header is what an answer has begun with */

static size_t
api_head(char *data, size_t size, size_t n, void *to)
{
    long    status;
    api_t  *api = to;

    (void) size;

    if (n == 0 || (data[0] != '\r' && data[0] != '\n')) {
        return n;
    }

    status = 0;
    (void) curl_easy_getinfo(api->transfer.easy, CURLINFO_RESPONSE_CODE,
                             &status);

    /* trailers, behind a body, end with one, too */

    if (status < 200 || api->answered) {
        return n;
    }

    api->status = status;
    api->answered = 1;
    loop_unset(&api->timer);

    if (status == 200) {
        api->failing = 0;

        if (api->lines) {
            api->began(api->data);
        }
    }

    return n;
}


static size_t
api_read(char *data, size_t size, size_t n, void *to)
{
    int     rc;
    api_t  *api = to;

    (void) size;

    rc = api->lines && api->status == 200 ? api_lines(api, data, n)
                                          : api_add(api, data, n);

    return rc == 0 ? n : CURL_WRITEFUNC_ERROR;
}


static int
api_add(api_t *api, const char *data, size_t n)
{
    size_t  max;

    max = api->status != 200 ? API_ERROR
                             : api->lines ? API_LINE_MAX : API_ANSWER_MAX;

    if (n > max - api->answer.len) {
        api->large = 1;
        return -1;
    }

    buffer_add(&api->answer, data, n);

    return api->answer.failed ? -1 : 0;
}


static int
api_lines(api_t *api, const char *data, size_t n)
{
    int          rc;
    size_t       len;
    const char  *lf;

    while (n) {
        lf = memchr(data, '\n', n);

        if (lf == NULL) {
            return api_add(api, data, n);
        }

        len = (size_t) (lf - data);

        if (api->answer.len == 0) {
            rc = api_take(api, (str_t) { data, len });

        } else {
            rc = api_add(api, data, len);

            if (rc == 0) {
                rc = api_take(api, (str_t) { api->answer.start,
                                             api->answer.len });
                buffer_clear(&api->answer);
            }
        }

        if (rc == -1) {
            return -1;
        }

        data += len + 1;
        n -= len + 1;
    }

    return 0;
}


static int
api_take(api_t *api, str_t line)
{
    if (line.len == 0) {
        return 0;
    }

    if (api->line(api->data, line) == -1) {
        api->stopped = 1;
        return -1;
    }

    return 0;
}


static void
api_expired(void *data)
{
    reason_t   why;
    api_t     *api = data;

    api->failing = 1;

    if (!api->transfer.running) {
        api->done(api->data, API_MEMORY, "out of memory");
        return;
    }

    transfer_stop(&api->transfer);

    (void) reason(why, "no answer has begun for %d s", API_BEGIN / 1000);
    api->done(api->data, API_TIMEOUT, why);
}


static void
api_done(void *data, CURLcode rc)
{
    api_t     *api = data;
    reason_t   why;
    api_rc_e   failure;

    loop_unset(&api->timer);

    why[0] = '\0';
    failure = API_OK;

    if (rc != CURLE_OK) {
        failure = api_failure(api, rc, why);

    } else if (api->status != 200) {
        (void) reason(why, "the API server answers %ld", api->status);
        failure = API_REFUSED;
    }

    api->failing = failure != API_OK && failure != API_REFUSED;
    api->done(api->data, failure, why);
}


static api_rc_e
api_failure(api_t *api, CURLcode rc, reason_t why)
{
    if (api->stopped) {
        return API_STOPPED;
    }

    if (api->large) {
        (void) reason(why, api->lines && api->status == 200
                           ? "a line has more than %d bytes"
                           : "the answer has more than %d bytes",
                      api->status != 200 ? API_ERROR
                      : api->lines ? API_LINE_MAX : API_ANSWER_MAX);
        return API_LARGE;
    }

    if (api->answer.failed) {
        (void) reason(why, "out of memory");
        return API_MEMORY;
    }

    transfer_reason(&api->transfer, rc, why);

    switch (rc) {

    case CURLE_OPERATION_TIMEDOUT:
        return API_TIMEOUT;

    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
        return API_TLS;

    default:
        return api->answered ? API_CUT : API_CONNECT;
    }
}


int
api_has_another_token(api_t *api)
{
    if (api->pod->token.path == NULL) {
        return 0;
    }

    secret_reread(&api->pod->token);
    (void) secret_value(&api->pod->token);

    return api->token != api->pod->token.version;
}


int
api_is_watching(const api_t *api)
{
    return api->transfer.running && api->lines && api->answered
           && api->status == 200;
}


void
api_escaped(buffer_t *url, const char *text)
{
    unsigned char  c;

    for (/* void */; *text; text++) {
        c = (unsigned char) *text;

        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z')
            || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' || c == '_'
            || c == '~')
        {
            buffer_add(url, &c, 1);

        } else {
            buffer_format(url, "%%%02X", c);
        }
    }
}
