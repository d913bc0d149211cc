/*
 * Whatever an endpoint does, a fetch is over when its time is, and takes no
 * more memory than an answer may have.  What it says of a failure goes to the
 * operator alone, less the secrets that were sent to it.
 */


#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fetch.h"
#include "log.h"
#include "secret_file.h"
#include "wipe.h"


#define FETCH_TOLD   300          /* bytes of an endpoint's error */
#define FETCH_RETRY  600          /* s that we may be asked to wait */

/* bytes of a secret; a shorter one would be told by where it is left out */

#define FETCH_HIDE   4


static void fetch_step(fetch_t *f, step_e rc);
static int fetch_send(fetch_t *f);
static int fetch_send_as(fetch_t *f);
static size_t fetch_read(char *data, size_t size, size_t n, void *fetch);
static void fetch_done(void *data, CURLcode rc);
static step_e fetch_broken(fetch_t *f, CURLcode rc);
static step_e fetch_refused(fetch_t *f, long status);
static void fetch_end(fetch_t *f, int rc);
static void fetch_forget(fetch_t *f);
static void fetch_forget_headers(fetch_t *f);
static void fetch_show(fetch_t *f, const buffer_t *text, reason_t shown);
static size_t fetch_is_secret(const buffer_t *secret, const char *text);
static int fetch_hex(const char *text);


int64_t
fetch_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_BOOTTIME, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


int
fetch_open(fetch_t *f, const remote_t *remote)
{
    int              verify;
    CURL            *easy;
    const char      *ca;
    transfer_tls_t   tls;

    f->remote = remote;
    f->transfer.done = fetch_done;
    f->transfer.data = f;

    ca = remote->value[SETTING_CA];
    verify = remote->value[SETTING_VERIFY] == NULL
             || strcmp(remote->value[SETTING_VERIFY], "off") != 0;

    /* the client's certificate is for the remote alone */

    tls.cacert = ca ? ca : "";
    tls.cert = "";
    tls.key = "";

    if (transfer_open(&f->transfer, &tls) == -1) {
        return -1;
    }

    easy = f->transfer.easy;

    if (curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, fetch_read) != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_WRITEDATA, f) != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, (long) verify)
           != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, verify ? 2L : 0L)
           != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_USERAGENT, "monitoring-proxy-token")
           != CURLE_OK)
    {
        return -1;
    }

    /* the end needn't wait for a look-up of a name */

    (void) curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);

    return 0;
}


void
fetch_close(fetch_t *f)
{
    if (f->transfer.easy) {
        transfer_close(&f->transfer);
    }

    fetch_forget(f);

    wipe_free(&f->credential.value);
    wipe_free(&f->url);
    wipe_free(&f->form);
    wipe_free(&f->body);
    wipe_free(&f->kept);
}


void
fetch_start(fetch_t *f, int64_t msec)
{
    f->deadline = fetch_now() + msec;
    f->credential.left = 0;
    f->failure.retry = 0;

    wipe_clear(&f->credential.value);

    fetch_step(f, f->source->start(f));
}


int
fetch_is_running(const fetch_t *f)
{
    return f->transfer.running;
}


static void
fetch_step(fetch_t *f, step_e rc)
{
    if (rc == STEP_ASK) {

        if (fetch_send(f) == 0) {
            return;
        }

        rc = STEP_FAILED;
    }

    if (rc == STEP_DONE && f->credential.value.failed) {
        rc = fetch_fail(f, FAILURE_INVALID, "out of memory", NULL);
    }

    fetch_end(f, rc == STEP_DONE ? 0 : -1);
}


static int
fetch_send(fetch_t *f)
{
    int64_t   msec;
    buffer_t  shown;

    f->asked_at = fetch_now();
    f->large = 0;

    wipe_clear(&f->body);

    msec = f->deadline - f->asked_at;

    if (f->url.failed || f->form.failed || fetch_send_as(f) == -1
        || curl_easy_setopt(f->transfer.easy, CURLOPT_TIMEOUT_MS,
                            msec > 1 ? (long) msec : 1L)
           != CURLE_OK
        || transfer_start(&f->transfer) == -1)
    {
        (void) fetch_fail(f, FAILURE_INVALID, "out of memory", NULL);
        return -1;
    }

    if (log_is_on(LOG_DEBUG)) {
        memset(&shown, 0, sizeof(shown));
        buffer_url(&shown, f->url.start);

        log_line(LOG_DEBUG, "asks", "remote", f->remote->name,
                 "method", f->method, "url", shown.len ? shown.start : "",
                 NULL);

        buffer_free(&shown);
    }

    return 0;
}


static int
fetch_send_as(fetch_t *f)
{
    CURL  *easy;

    easy = f->transfer.easy;

    if (strcmp(f->method, "GET") == 0) {
        if (curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L) != CURLE_OK) {
            return -1;
        }

    } else {

        /* in this order, as the first would take the body's length */

        if (curl_easy_setopt(easy, CURLOPT_POST, 1L) != CURLE_OK
            || curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE,
                                (long) f->form.len)
               != CURLE_OK
            || curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
                                f->form.len ? f->form.start : "")
               != CURLE_OK)
        {
            return -1;
        }

        fetch_header(f, "Expect", "");

        if (f->form.len == 0) {
            fetch_header(f, "Content-Type", "");
        }
    }

    if (curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST,
                         strcmp(f->method, "PUT") == 0 ? "PUT" : NULL)
        != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_URL, f->url.start) != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_HTTPHEADER, f->headers) != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, (long) f->failing)
           != CURLE_OK)
    {
        return -1;
    }

    return f->url.failed ? -1 : 0;
}


static size_t
fetch_read(char *data, size_t size, size_t n, void *fetch)
{
    fetch_t  *f = fetch;

    (void) size;

    if (f->body.len + n > ANSWER_MAX) {
        f->large = 1;
        return CURL_WRITEFUNC_ERROR;
    }

    wipe_add(&f->body, data, n);

    return f->body.failed ? CURL_WRITEFUNC_ERROR : n;
}


static void
fetch_done(void *data, CURLcode rc)
{
    long      status;
    fetch_t  *f = data;

    if (rc != CURLE_OK) {
        fetch_step(f, fetch_broken(f, rc));
        return;
    }

    status = 0;
    (void) curl_easy_getinfo(f->transfer.easy, CURLINFO_RESPONSE_CODE,
                             &status);

    if (status < 200 || status > 299) {
        fetch_step(f, fetch_refused(f, status));
        return;
    }

    fetch_step(f, f->next(f));
}


static step_e
fetch_broken(fetch_t *f, CURLcode rc)
{
    reason_t    told, why;
    buffer_t    text;
    failure_e   kind;

    memset(&text, 0, sizeof(text));

    switch (rc) {

    case CURLE_OPERATION_TIMEDOUT:
        kind = FAILURE_TIMEOUT;
        (void) reason(told, "%s didn't answer in time", f->asked);
        break;

    case CURLE_WRITE_ERROR:
        (void) reason(why, f->large ? "it has more than %d bytes"
                                    : "out of memory", ANSWER_MAX);
        return fetch_invalid(f, why);

    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_PARTIAL_FILE:
        kind = FAILURE_INVALID;
        (void) reason(told, "%s's answer is no HTTP, or not whole", f->asked);
        break;

    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        kind = FAILURE_CONNECT;
        (void) reason(told, "%s closed the connection", f->asked);
        break;

    default:
        kind = FAILURE_CONNECT;
        (void) reason(told, "can't connect to %s", f->asked);
    }

    transfer_reason(&f->transfer, rc, why);
    wipe_text(&text, why);
    fetch_show(f, &text, why);
    wipe_free(&text);

    return fetch_fail(f, kind, told, why);
}


static step_e
fetch_refused(fetch_t *f, long status)
{
    buffer_t     error;
    reason_t     told, why;
    failure_e    kind;
    curl_off_t   seconds;

    memset(&error, 0, sizeof(error));

    kind = status == 429 ? FAILURE_THROTTLED
           : status >= 500 ? FAILURE_SERVER
           : status >= 400 ? FAILURE_REFUSED : FAILURE_INVALID;

    (void) reason(told, "%s answered %ld", f->asked, status);

    if (status >= 300 && status <= 399) {
        (void) reason(why, "redirects are not followed");

    } else {
        answer_error(&error, (str_t) { f->body.start, f->body.len });
        fetch_show(f, &error, why);
        wipe_free(&error);
    }

    if ((status == 429 || status == 503)
        && curl_easy_getinfo(f->transfer.easy, CURLINFO_RETRY_AFTER, &seconds)
           == CURLE_OK
        && seconds > 0)
    {
        f->failure.retry = (seconds < FETCH_RETRY ? seconds : FETCH_RETRY)
                           * 1000;
    }

    return fetch_fail(f, kind, told, why);
}


step_e
fetch_invalid(fetch_t *f, const char *why)
{
    reason_t  told;

    (void) reason(told, "%s's answer is no valid credential", f->asked);

    return fetch_fail(f, FAILURE_INVALID, told, why);
}


step_e
fetch_fail(fetch_t *f, failure_e kind, const char *told, const char *why)
{
    f->failure.kind = kind;

    (void) reason(f->failure.told, "%s", told);

    if (why && why[0]) {
        (void) reason(f->failure.why, "%.*s: %.*s", REASON_TEXT, told,
                      (int) sizeof(reason_t) - REASON_TEXT - 3, why);
    } else {
        (void) reason(f->failure.why, "%s", told);
    }

    return STEP_FAILED;
}


static void
fetch_end(fetch_t *f, int rc)
{
    f->failing = rc == -1;

    fetch_forget(f);

    f->done(f->data, rc);

    wipe_clear(&f->credential.value);
}


/* no secret stays here between two fetches */

static void
fetch_forget(fetch_t *f)
{
    while (f->nsecrets) {
        wipe_free(&f->secrets[--f->nsecrets]);
    }

    fetch_forget_headers(f);
    wipe_clear(&f->url);
    wipe_clear(&f->form);
    wipe_clear(&f->body);
    wipe_clear(&f->kept);
}


static void
fetch_forget_headers(fetch_t *f)
{
    struct curl_slist  *item;

    for (item = f->headers; item; item = item->next) {
        explicit_bzero(item->data, strlen(item->data));
    }

    curl_slist_free_all(f->headers);
    f->headers = NULL;
}


const char *
fetch_setting(const fetch_t *f, setting_e setting)
{
    const char  *value;

    value = f->remote->value[setting];

    return value && value[0] ? value : NULL;
}


void
fetch_ask(fetch_t *f, const char *asked, fetch_step_pt next,
    const char *method, const char *base, const char *path)
{
    size_t  len;

    f->asked = asked;
    f->next = next;
    f->method = method;

    fetch_forget_headers(f);
    wipe_clear(&f->url);
    wipe_clear(&f->form);

    len = strlen(base);

    while (path && len && base[len - 1] == '/') {
        len--;
    }

    wipe_add(&f->url, base, len);
    wipe_text(&f->url, path ? path : "");
}


void
fetch_escaped(fetch_t *f, const char *text)
{
    wipe_escaped(&f->url, text);
}


void
fetch_param(fetch_t *f, const char *name, const char *value)
{
    wipe_text(&f->url, f->url.len && strchr(f->url.start, '?') ? "&" : "?");
    wipe_text(&f->url, name);
    wipe_text(&f->url, "=");
    wipe_escaped(&f->url, value);
}


void
fetch_form(fetch_t *f, const char *name, const char *value)
{
    wipe_text(&f->form, f->form.len ? "&" : "");
    wipe_text(&f->form, name);
    wipe_text(&f->form, "=");
    wipe_escaped(&f->form, value);
}


/* libcurl leaves out one that it would send, if the value is empty */

void
fetch_header(fetch_t *f, const char *name, const char *value)
{
    buffer_t            line;
    struct curl_slist  *headers;

    memset(&line, 0, sizeof(line));

    wipe_text(&line, name);
    wipe_text(&line, value[0] ? ": " : ":");
    wipe_text(&line, value);

    headers = line.failed ? NULL : curl_slist_append(f->headers, line.start);

    if (headers) {
        f->headers = headers;

    } else {
        f->url.failed = 1;
    }

    wipe_free(&line);
}


step_e
fetch_secret(fetch_t *f, setting_e setting, const char *what, buffer_t *secret)
{
    reason_t  why;

    wipe_clear(secret);

    if (secret_file_read(f->remote->value[setting], secret, why) == -1) {
        return fetch_unusable(f, what, why);
    }

    fetch_hide(f, secret->start);

    return STEP_DONE;
}


step_e
fetch_unusable(fetch_t *f, const char *what, const char *why)
{
    reason_t  told;

    (void) reason(told, "the file of the %s is not usable", what);

    return fetch_fail(f, FAILURE_FILE, told, why);
}


void
fetch_hide(fetch_t *f, const char *secret)
{
    if (strlen(secret) >= FETCH_HIDE && f->nsecrets < FETCH_SECRETS) {
        wipe_text(&f->secrets[f->nsecrets++], secret);
    }
}


step_e
fetch_bearer(fetch_t *f)
{
    step_e     rc;
    reason_t   why;
    answer_t   a;

    memset(&a, 0, sizeof(a));

    if (answer_token(&a, (str_t) { f->body.start, f->body.len }, time(NULL),
                     why)
        == -1)
    {
        rc = fetch_invalid(f, why);
        goto done;
    }

    if (!fetch_is_valid(f, &a)) {
        rc = fetch_invalid(f, "its token has expired already");
        goto done;
    }

    f->credential.kind = CREDENTIAL_TOKEN;

    wipe_text(&f->credential.value, "Bearer ");
    wipe_add(&f->credential.value, a.token.start, a.token.len);

    rc = STEP_DONE;

done:

    answer_free(&a);

    return rc;
}


/* its time may have begun when it was asked for */

int
fetch_is_valid(fetch_t *f, const answer_t *a)
{
    f->credential.left = a->left - (fetch_now() - f->asked_at);

    return f->credential.left > 0;
}


/* printable, and without the secrets that were sent */

static void
fetch_show(fetch_t *f, const buffer_t *text, reason_t shown)
{
    char         c;
    size_t       n, len;
    unsigned     i;
    const char  *p;

    len = 0;

    for (p = text->len ? text->start : ""; *p && len < FETCH_TOLD; p += n) {

        n = 0;

        for (i = 0; i < f->nsecrets && n == 0; i++) {
            n = fetch_is_secret(&f->secrets[i], p);
        }

        if (n) {
            len += (size_t) snprintf(shown + len, sizeof(reason_t) - len,
                                     "[secret]");
            continue;
        }

        c = *p;
        n = 1;

        if (c < ' ' || c > '~') {
            c = strchr("\t\r\n", c) ? ' ' : '?';
        }

        shown[len++] = c;
    }

    shown[len] = '\0';
}


/* how much of the text is the secret, as it is or as forms have it, or 0 */

static size_t
fetch_is_secret(const buffer_t *secret, const char *text)
{
    int          n;
    size_t       i;
    const char  *p;

    if (secret->len && strncmp(text, secret->start, secret->len) == 0) {
        return secret->len;
    }

    p = text;

    for (i = 0; i < secret->len; i++) {

        n = *p == '%' ? fetch_hex(p + 1) : -1;

        if (n != -1 && n == (unsigned char) secret->start[i]) {
            p += 3;

        } else if (*p == secret->start[i]
                   || (*p == '+' && secret->start[i] == ' '))
        {
            p++;

        } else {
            return 0;
        }
    }

    return (size_t) (p - text);
}


static int
fetch_hex(const char *text)
{
    int       i, n;
    unsigned  c;

    n = 0;

    for (i = 0; i < 2; i++) {
        c = (unsigned char) text[i];

        if (c >= '0' && c <= '9') {
            n = n * 16 + (int) (c - '0');

        } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
            n = n * 16 + (int) ((c | 0x20) - 'a') + 10;

        } else {
            return -1;
        }
    }

    return n;
}
