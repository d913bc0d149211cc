/*
 * A list, page by page, and then a watch from where it ends.  A watch is ended
 * by the server every few minutes, and goes on in another one; where it can't,
 * since what has happened meanwhile isn't kept any longer, there is another
 * list.  Places stay as they are until there is something newer.
 */


#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "api.h"
#include "exposition.h"
#include "found.h"
#include "kubernetes.h"
#include "log.h"
#include "slices.h"


#define KUBERNETES_PAGE     500          /* slices */
#define KUBERNETES_LIST     60000        /* ms, for a page */
#define KUBERNETES_WATCH    120          /* s, and up to twice as much */
#define KUBERNETES_OVER     30           /* s that a server may take to end */
#define KUBERNETES_SHORT    1000         /* ms: a watch that failed, as such */
#define KUBERNETES_WAIT     1000         /* ms, before the first try again */
#define KUBERNETES_WAIT_MAX 30000        /* ms */

#define KUBERNETES_RULE                                                       \
    "apiGroups: [\"discovery.k8s.io\"], resources: [\"endpointslices\"],"     \
    " verbs: [\"list\", \"watch\"]"


typedef enum {
    FAILURE_CONNECT = 0,
    FAILURE_TLS,
    FAILURE_TIMEOUT,
    FAILURE_CUT,
    FAILURE_UNAUTHORIZED,
    FAILURE_FORBIDDEN,
    FAILURE_REFUSED,
    FAILURE_GONE,
    FAILURE_INVALID,
    FAILURE_MEMORY,
    FAILURES
} failure_e;


typedef struct {
    const options_t    *options;

    pod_t               pod;
    api_t               api;

    slices_t            slices;
    slices_t            listed;      /* of the list that is under way */
    slices_at_t         at;
    status_t            refused;     /* by an event, in the watch's middle */
    int                 listing;
    int                 invalid;     /* an event was */
    reason_t            why;         /* ... since */

    loop_timer_t        timer;
    int64_t             started;
    double              wait;
    int                 failing;     /* which the log has said */

    uint64_t            lists;
    uint64_t            watches;
    uint64_t            events[EVENTS];
    uint64_t            failures[FAILURES];
    time_t              last;        /* event */
} kubernetes_t;


static void kubernetes_start(void *data);
static void kubernetes_list(void);
static void kubernetes_watch(void);
static void kubernetes_path(buffer_t *path);
static void kubernetes_began(void *data);
static int kubernetes_line(void *data, str_t line);
static void kubernetes_done(void *data, api_rc_e rc, const char *why);
static void kubernetes_listed(void);
static void kubernetes_ended(void);
static void kubernetes_refused(const status_t *status, const char *why);
static void kubernetes_forbidden(const char *message, const char *why);
static void kubernetes_again(failure_e failure, const char *err);
static void kubernetes_failed(failure_e failure, const char *err);
static void kubernetes_relist(void);
static void kubernetes_wait(void);


static kubernetes_t  k;

static const char  *kubernetes_failures[FAILURES] = {
    "connect", "tls", "timeout", "cut", "unauthorized", "forbidden",
    "refused", "gone", "invalid", "memory"
};

static const char  *kubernetes_events[EVENTS] = {
    "added", "modified", "deleted", "bookmark", "error"
};


int
kubernetes_open(const options_t *options, places_pt found, reason_t why)
{
    unsigned  seed;

    memset(&k, 0, sizeof(k));

    if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) == sizeof(seed)) {
        srandom(seed);
    }

    k.options = options;
    k.wait = KUBERNETES_WAIT;

    k.timer.handler = kubernetes_start;

    k.api.began = kubernetes_began;
    k.api.line = kubernetes_line;
    k.api.done = kubernetes_done;

    if (pod_open(&k.pod, options, why) == -1) {
        return -1;
    }

    found_open(options, k.pod.namespace.start, &k.slices, found);

    if (api_open(&k.api, &k.pod) == -1) {
        return reason(why, "out of memory");
    }

    loop_set(&k.timer, 0);

    return 0;
}


void
kubernetes_close(void)
{
    loop_unset(&k.timer);

    found_close();
    api_close(&k.api);
    pod_close(&k.pod);

    slices_free(&k.slices);
    slices_free(&k.listed);
    buffer_free(&k.at.version);
    buffer_free(&k.at.next);
}


static void
kubernetes_start(void *data)
{
    (void) data;

    k.started = loop_now();
    k.listing = k.at.version.len == 0 || k.at.next.len;

    if (k.listing) {
        kubernetes_list();

    } else {
        kubernetes_watch();
    }
}


static void
kubernetes_list(void)
{
    buffer_t  path;

    memset(&path, 0, sizeof(path));

    kubernetes_path(&path);
    buffer_format(&path, "&limit=%d", KUBERNETES_PAGE);

    if (k.at.next.len) {
        buffer_text(&path, "&continue=");
        api_escaped(&path, k.at.next.start);

    } else {
        k.lists++;
        slices_free(&k.listed);
    }

    api_get(&k.api, path.failed ? NULL : path.start, KUBERNETES_LIST);

    buffer_free(&path);
}


static void
kubernetes_watch(void)
{
    long      seconds;
    buffer_t  path;

    memset(&path, 0, sizeof(path));

    /* as many may have begun theirs at the same time */

    seconds = KUBERNETES_WATCH + random() % KUBERNETES_WATCH;

    kubernetes_path(&path);
    buffer_format(&path, "&watch=true&allowWatchBookmarks=true"
                  "&timeoutSeconds=%ld&resourceVersion=", seconds);
    api_escaped(&path, k.at.version.start);

    k.refused.code = 0;
    k.invalid = 0;

    api_watch(&k.api, path.failed ? NULL : path.start,
              (seconds + KUBERNETES_OVER) * 1000);

    buffer_free(&path);
}


static void
kubernetes_path(buffer_t *path)
{
    buffer_text(path, "/apis/discovery.k8s.io/v1/namespaces/");
    api_escaped(path, k.pod.namespace.start);
    buffer_text(path, "/endpointslices?labelSelector=");
    api_escaped(path, k.options->label_name);
    buffer_text(path, "%3D");
    api_escaped(path, k.options->label_value);
}


static void
kubernetes_began(void *data)
{
    (void) data;

    k.watches++;

    if (k.failing) {
        k.failing = 0;
        log_line(LOG_INFO, "watching EndpointSlices again", "namespace",
                 k.pod.namespace.start, NULL);
    }
}


static int
kubernetes_line(void *data, str_t line)
{
    event_t  event;

    (void) data;

    if (slices_event(&k.slices, &k.at, line, k.options->port, &event, k.why)
        == -1)
    {
        k.invalid = 1;
        return -1;
    }

    k.events[event.type]++;
    k.last = time(NULL);

    if (event.type == EVENT_ERROR) {
        k.refused = event.status;
        k.refused.code = event.status.code ? event.status.code : 500;
        return -1;
    }

    /* what has happened since, is known from here on */

    k.wait = KUBERNETES_WAIT;

    if (event.changed) {
        found_changed();
    }

    return 0;
}


static void
kubernetes_done(void *data, api_rc_e rc, const char *why)
{
    status_t  status;

    (void) data;

    switch (rc) {

    case API_OK:

        if (k.listing) {
            kubernetes_listed();
        } else {
            kubernetes_ended();
        }

        break;

    case API_STOPPED:

        if (k.invalid) {
            kubernetes_relist();
            kubernetes_again(FAILURE_INVALID, k.why);
        } else {
            kubernetes_refused(&k.refused, "the watch has ended");
        }

        break;

    case API_REFUSED:
        status_parse(&status, (str_t) { k.api.answer.start,
                                        k.api.answer.len });
        status.code = k.api.status;
        kubernetes_refused(&status, why);
        break;

    case API_LARGE:

        /* the watch would come to the same line again */

        kubernetes_relist();
        kubernetes_again(FAILURE_INVALID, why);
        break;

    case API_TLS:
        kubernetes_again(FAILURE_TLS, why);
        break;

    case API_TIMEOUT:
        kubernetes_again(FAILURE_TIMEOUT, why);
        break;

    case API_CUT:
        kubernetes_again(FAILURE_CUT, why);
        break;

    case API_MEMORY:
        kubernetes_again(FAILURE_MEMORY, why);
        break;

    default:
        kubernetes_again(FAILURE_CONNECT, why);
        break;
    }
}


static void
kubernetes_listed(void)
{
    int       rc;
    reason_t  why;

    rc = slices_page(&k.listed, &k.at, (str_t) { k.api.answer.start,
                                                 k.api.answer.len },
                     k.options->port, why);

    /* it may be large, and lines are short */

    buffer_free(&k.api.answer);

    if (rc == -1) {
        kubernetes_relist();
        kubernetes_again(FAILURE_INVALID, why);
        return;
    }

    if (k.at.next.len == 0) {
        slices_replace(&k.slices, &k.listed);
        found_changed();
    }

    kubernetes_start(NULL);
}


/* a watch that was over at once would be so again */

static void
kubernetes_ended(void)
{
    if (loop_now() - k.started >= KUBERNETES_SHORT) {
        k.wait = KUBERNETES_WAIT;
        kubernetes_start(NULL);
        return;
    }

    kubernetes_again(FAILURE_CUT, "the watch has ended at once");
}


static void
kubernetes_refused(const status_t *status, const char *why)
{
    reason_t   err;
    failure_e  failure;

    (void) reason(err, "%.*s%s%s", REASON_TEXT, why,
                  status->message[0] ? ": " : "", status->message);

    failure = FAILURE_REFUSED;

    switch (status->code) {

    case 401:
        failure = FAILURE_UNAUTHORIZED;

        if (api_has_another_token(&k.api)) {
            kubernetes_failed(failure, err);
            kubernetes_start(NULL);
            return;
        }

        break;

    case 403:
        kubernetes_relist();
        kubernetes_forbidden(status->message, why);
        return;

    case 404:
        (void) reason(err, "%.*s: it has no discovery.k8s.io/v1, which is"
                      " there since Kubernetes 1.21, or is no API server",
                      REASON_TEXT, why);
        break;

    case 410:
        kubernetes_relist();
        kubernetes_again(FAILURE_GONE, err);
        return;
    }

    /* a watch may be what is refused, and a list isn't */

    if (status->code < 500) {
        kubernetes_relist();
    }

    kubernetes_again(failure, err);
}


/* User "system:serviceaccount:NAMESPACE:NAME" cannot list ... */

static void
kubernetes_forbidden(const char *message, const char *why)
{
    int          len;
    reason_t     needed;
    const char  *user, *colon;

    user = strstr(message, "User \"");
    user = user ? user + 6 : "";
    len = (int) strcspn(user, "\"");

    if (strncmp(user, "system:serviceaccount:", 22) == 0
        && (colon = memchr(user + 22, ':', (size_t) len - 22)))
    {
        (void) reason(needed, "a Role in the namespace \"%s\" with the rule"
                      " %s, bound to the ServiceAccount \"%.*s\" of the"
                      " namespace \"%.*s\"", k.pod.namespace.start,
                      KUBERNETES_RULE, (int) (user + len - colon - 1),
                      colon + 1, (int) (colon - user - 22), user + 22);
    } else {
        (void) reason(needed, "a Role in the namespace \"%s\" with the rule"
                      " %s, bound to the user \"%.*s\"",
                      k.pod.namespace.start, KUBERNETES_RULE,
                      len > REASON_TEXT ? REASON_TEXT : len, user);
    }

    k.failing = 1;
    k.failures[FAILURE_FORBIDDEN]++;

    log_line(LOG_ERROR, "EndpointSlices can't be watched", "apiserver",
             k.pod.apiserver.start, "err", message[0] ? message : why,
             "needed", needed, NULL);

    kubernetes_wait();
}


static void
kubernetes_again(failure_e failure, const char *err)
{
    kubernetes_failed(failure, err);
    kubernetes_wait();
}


static void
kubernetes_failed(failure_e failure, const char *err)
{
    k.failing = 1;
    k.failures[failure]++;

    log_line(LOG_ERROR, "EndpointSlices can't be watched", "apiserver",
             k.pod.apiserver.start, "namespace", k.pod.namespace.start, "err",
             err, NULL);
}


static void
kubernetes_relist(void)
{
    slices_free(&k.listed);
    buffer_clear(&k.at.version);
    buffer_clear(&k.at.next);
}


static void
kubernetes_wait(void)
{
    double  msec;

    /* half of a list is none */

    if (k.listing) {
        kubernetes_relist();
    }

    msec = k.wait * (0.5 + (double) random() / RAND_MAX);
    k.wait *= 2;

    if (k.wait > KUBERNETES_WAIT_MAX) {
        k.wait = KUBERNETES_WAIT_MAX;
    }

    loop_set(&k.timer, (int64_t) msec);
}


void
kubernetes_metrics(buffer_t *page)
{
    int  i;

    exposition_head(page, KUBERNETES_PREFIX "connected", "gauge",
                    "Whether EndpointSlices are being watched.");
    buffer_format(page, KUBERNETES_PREFIX "connected %d\n",
                  api_is_watching(&k.api));

    exposition_head(page, KUBERNETES_PREFIX "lists_total", "counter",
                    "Lists of EndpointSlices that were begun.");
    buffer_format(page, KUBERNETES_PREFIX "lists_total %llu\n",
                  (unsigned long long) k.lists);

    exposition_head(page, KUBERNETES_PREFIX "watches_total", "counter",
                    "Watches of EndpointSlices that have begun.");
    buffer_format(page, KUBERNETES_PREFIX "watches_total %llu\n",
                  (unsigned long long) k.watches);

    exposition_head(page, KUBERNETES_PREFIX "events_total", "counter",
                    "Events of watches.");

    for (i = 0; i < EVENTS; i++) {
        buffer_format(page, KUBERNETES_PREFIX "events_total{type=\"%s\"}"
                      " %llu\n", kubernetes_events[i],
                      (unsigned long long) k.events[i]);
    }

    exposition_head(page, KUBERNETES_PREFIX "last_event_timestamp_seconds",
                    "gauge", "When the last event came, 0 if none has.");
    buffer_format(page, KUBERNETES_PREFIX "last_event_timestamp_seconds"
                  " %lld\n", (long long) k.last);

    exposition_head(page, KUBERNETES_PREFIX "failures_total", "counter",
                    "Lists and watches that failed.");

    for (i = 0; i < FAILURES; i++) {
        buffer_format(page, KUBERNETES_PREFIX "failures_total{reason=\"%s\"}"
                      " %llu\n", kubernetes_failures[i],
                      (unsigned long long) k.failures[i]);
    }

    found_metrics(page);
}
