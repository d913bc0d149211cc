/*
 * One request at a time.  What has changed while it was under way takes
 * another, as Prometheus may have read the file before.
 */


#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "exposition.h"
#include "file.h"
#include "log.h"
#include "loop.h"
#include "reload.h"
#include "transfer.h"


#define RELOAD_TIMEOUT  60000L    /* ms; it loads all that is new */
#define RELOAD_FIRST    1000      /* ms to the next try, doubled each time */
#define RELOAD_LAST     60000
#define RELOAD_SAID     200       /* bytes of an answer */


static void reload_try(void *data);
static size_t reload_read(char *data, size_t size, size_t n, void *unused);
static void reload_done(void *data, CURLcode rc);
static int reload_answer(CURLcode rc, reason_t why);
static void reload_again(const char *why);


static buffer_t       reload_url;             /* less its credentials */
static const char    *reload_note;
static transfer_t     reload_transfer;
static loop_timer_t   reload_timer = { .handler = reload_try };
static buffer_t       reload_said;
static int            reload_due;
static int            reload_changed;         /* while it is under way */
static int64_t        reload_wait;
static reason_t       reload_why;             /* told last */

static uint64_t       reload_reloads;
static uint64_t       reload_failures;
static time_t         reload_at;


int
reload_open(const char *url, const char *note, reason_t why)
{
    CURL                        *easy;
    static const transfer_tls_t  tls = { "", "", "" };

    reload_note = note;
    reload_transfer.done = reload_done;

    buffer_url(&reload_url, url);

    if (reload_url.failed || transfer_open(&reload_transfer, &tls) == -1) {
        return reason(why, "out of memory");
    }

    easy = reload_transfer.easy;

    if (curl_easy_setopt(easy, CURLOPT_URL, url) != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_POST, 1L) != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "") != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, reload_read)
           != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, RELOAD_TIMEOUT)
           != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_USERAGENT,
                            "monitoring-proxy-discovery")
           != CURLE_OK)
    {
        return reason(why, "out of memory");
    }

    /* the end needn't wait for a look-up of a name */

    (void) curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);

    if (access(note, F_OK) == 0) {
        log_line(LOG_INFO, "the configuration was not reloaded before", NULL);
        reload_start();
    }

    return 0;
}


void
reload_prepare(void)
{
    reason_t  why;

    /* without it all is well unless this process ends before */

    if (access(reload_note, F_OK) == -1
        && file_write(reload_note, str(""), why) == -1)
    {
        log_line(LOG_WARN, "what is to be done isn't noted", "err", why, NULL);
    }
}


void
reload_cancel(void)
{
    if (!reload_due) {
        (void) unlink(reload_note);
    }
}


void
reload_start(void)
{
    reload_due = 1;
    reload_wait = 0;

    if (reload_transfer.running) {
        reload_changed = 1;
        return;
    }

    loop_set(&reload_timer, 0);
}


int
reload_is_due(void)
{
    return reload_due;
}


static void
reload_try(void *data)
{
    (void) data;

    reload_changed = 0;
    buffer_clear(&reload_said);

    if (transfer_start(&reload_transfer) == -1) {
        reload_again("out of memory");
    }
}


static size_t
reload_read(char *data, size_t size, size_t n, void *unused)
{
    size_t  room;

    (void) size;
    (void) unused;

    room = RELOAD_SAID - reload_said.len;
    buffer_add(&reload_said, data, n < room ? n : room);

    return n;
}


static void
reload_done(void *data, CURLcode rc)
{
    reason_t  why;

    (void) data;

    if (reload_answer(rc, why) == -1) {
        reload_again(why);
        return;
    }

    reload_why[0] = '\0';
    reload_reloads++;
    reload_at = time(NULL);

    if (reload_changed) {
        reload_start();
        return;
    }

    reload_due = 0;
    reload_wait = 0;
    (void) unlink(reload_note);

    log_line(LOG_INFO, "Prometheus has reloaded its configuration",
             "url", reload_url.start, NULL);
}


static int
reload_answer(CURLcode rc, reason_t why)
{
    long  status;

    if (rc != CURLE_OK) {
        transfer_reason(&reload_transfer, rc, why);
        return -1;
    }

    status = 0;
    (void) curl_easy_getinfo(reload_transfer.easy, CURLINFO_RESPONSE_CODE,
                             &status);

    if (status == 200) {
        return 0;
    }

    while (reload_said.len
           && strchr(" \r\n", reload_said.start[reload_said.len - 1]))
    {
        reload_said.start[--reload_said.len] = '\0';
    }

    return reason(why, "status %ld%s%s", status, reload_said.len ? ": " : "",
                  reload_said.len ? reload_said.start : "");
}


static void
reload_again(const char *why)
{
    char         wait[32];
    log_level_e  level;

    reload_failures++;

    /* what goes on failing is told once */

    level = strcmp(reload_why, why) == 0 ? LOG_DEBUG : LOG_ERROR;
    (void) reason(reload_why, "%s", why);

    if (reload_wait == 0) {
        reload_wait = RELOAD_FIRST;

    } else if (reload_wait < RELOAD_LAST) {
        reload_wait = reload_wait * 2 < RELOAD_LAST ? reload_wait * 2
                                                    : RELOAD_LAST;
    }

    (void) snprintf(wait, sizeof(wait), "%llds",
                    (long long) reload_wait / 1000);

    log_line(level, "Prometheus has not reloaded its configuration",
             "url", reload_url.start, "err", why, "retry_in", wait, NULL);

    loop_set(&reload_timer, reload_wait);
}


void
reload_metrics(buffer_t *page)
{
    exposition_head(page, "monitoring_proxy_discovery_reloads_total",
                    "counter",
                    "Times that Prometheus has reloaded its configuration.");
    buffer_format(page, "monitoring_proxy_discovery_reloads_total %llu\n",
                  (unsigned long long) reload_reloads);

    exposition_head(page, "monitoring_proxy_discovery_reload_failures_total",
                    "counter", "Reloads that have failed.");
    buffer_format(page,
                  "monitoring_proxy_discovery_reload_failures_total %llu\n",
                  (unsigned long long) reload_failures);

    exposition_head(page, "monitoring_proxy_discovery_reload_success_"
                    "timestamp_seconds", "gauge",
                    "When Prometheus has reloaded last, 0 if it hasn't yet.");
    buffer_format(page, "monitoring_proxy_discovery_reload_success_timestamp_"
                  "seconds %lld\n", (long long) reload_at);
}


void
reload_close(void)
{
    loop_unset(&reload_timer);

    if (reload_transfer.easy) {
        transfer_close(&reload_transfer);
    }

    buffer_free(&reload_url);
    buffer_free(&reload_said);
}
