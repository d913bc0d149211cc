/*
 * A credential is fetched again at half of its life, and one that is valid
 * stays in use for as long as that fails.  What the clock of the day does, has
 * no part in when.
 */


#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "fetch.h"
#include "keeper.h"
#include "log.h"
#include "loop.h"
#include "socket.h"
#include "wipe.h"


#define KEEPER_OK       0
#define KEEPER_FAILED   1
#define KEEPER_USAGE    2

#define KEEPER_FETCH    10000         /* ms that a fetch may take */
#define KEEPER_LEAST    1000          /* ms, of that and between fetches */
#define KEEPER_WATCH    1000          /* ms between looks at a file */
#define KEEPER_BACKOFF  60000         /* ms, at most */
#define KEEPER_FORCED   10000         /* ms between fetches that were forced */
#define KEEPER_LOOK     30000         /* ms that the loop's clock is trusted */

#define KEEPER_LINES    40960         /* bytes for each remote that may wait */


typedef struct {
    fetch_t         fetch;
    const char     *name;
    loop_timer_t    timer;

    /* what workers are told, if valid */

    credential_e    kind;
    buffer_t        value;
    uint64_t        version;
    int64_t         expires;          /* 0: never */
    unsigned        valid:1;

    unsigned        fetching:1;
    unsigned        refused:1;        /* that is why it is fetched */
    unsigned        throttled:1;      /* it isn't to be asked before due */
    int64_t         due;
    int64_t         forced;

    unsigned        failures;         /* in a row */
    int64_t         failing;          /* since */
    reason_t        told;
    reason_t        why;

    uint64_t        refreshed;
    uint64_t        failed[FAILURES];
} keeper_t;


static void keeper_mistake(void *data, const char *where, const char *what);
static int keeper_run(const char *socket);
static void keeper_limits(void);
static void keeper_seed(void);
static int keeper_signals(void);
static void keeper_signal(void *data, uint32_t events);
static int keeper_open(keeper_t *k, const remote_t *remote);
static const source_t *keeper_source(const remote_t *remote);
static void keeper_close(void);

static void keeper_look(void *data);
static void keeper_fetch(keeper_t *k);
static void keeper_fetched(void *data, int rc);
static void keeper_take(keeper_t *k);
static int64_t keeper_due(keeper_t *k, int64_t left, int64_t now);
static void keeper_fail(keeper_t *k);
static int64_t keeper_backoff(keeper_t *k);
static void keeper_wait(keeper_t *k);

static void keeper_greet(buffer_t *lines);
static int keeper_line(str_t line);
static void keeper_force(keeper_t *k);
static void keeper_tell(keeper_t *k, int changed);
static void keeper_add(keeper_t *k, buffer_t *lines);
static void keeper_stats(keeper_t *k, buffer_t *lines);


static remotes_t      keeper_remotes;
static keeper_t      *keeper;
static unsigned       keeper_n;
static uint64_t       keeper_version;
static loop_event_t   keeper_signal_ev = { -1, keeper_signal, NULL };


int
keep(const char *remotes, const char *socket, const char *level)
{
    int  rc;

    if (log_set_level(level) == -1) {
        log_line(LOG_ERROR, "the log's level isn't debug, info, warn or error",
                 NULL);
        return KEEPER_USAGE;
    }

    rc = KEEPER_USAGE;

    if (remotes_read(&keeper_remotes, remotes, keeper_mistake, NULL) == 0) {
        rc = keeper_run(socket) == 0 ? KEEPER_OK : KEEPER_FAILED;
    }

    remotes_free(&keeper_remotes);

    return rc;
}


static void
keeper_mistake(void *data, const char *where, const char *what)
{
    (void) data;

    log_line(LOG_ERROR, what, "at", where, NULL);
}


static int
keeper_run(const char *socket)
{
    int       rc;
    unsigned  i;
    reason_t  why;

    rc = -1;

    answer_init();
    keeper_limits();
    keeper_seed();

    if (loop_open() == -1) {
        log_line(LOG_ERROR, "epoll", "err", strerror(errno), NULL);
        return -1;
    }

    if (transfers_open() == -1) {
        log_line(LOG_ERROR, "libcurl has failed to start", NULL);
        return -1;
    }

    keeper = calloc(keeper_remotes.n ? keeper_remotes.n : 1, sizeof(keeper_t));

    if (keeper == NULL) {
        log_line(LOG_ERROR, "out of memory", NULL);
        goto done;
    }

    if (keeper_signals() == -1) {
        goto done;
    }

    if (socket_open(socket, (keeper_remotes.n + 1) * KEEPER_LINES,
                    keeper_greet, keeper_line, why)
        == -1)
    {
        log_line(LOG_ERROR, "the socket", "path", socket, "err", why, NULL);
        goto done;
    }

    for (i = 0; i < keeper_remotes.n; i++) {
        if (keeper_open(&keeper[i], &keeper_remotes.remote[i]) == -1) {
            log_line(LOG_ERROR, "out of memory", NULL);
            goto done;
        }
    }

    for (i = 0; i < keeper_n; i++) {
        keeper_look(&keeper[i]);
    }

    rc = loop_run();

    if (rc == -1) {
        log_line(LOG_ERROR, "epoll", "err", strerror(errno), NULL);
    }

done:

    keeper_close();

    return rc;
}


/* a descriptor for each worker and each fetch, and no secret in a core */

static void
keeper_limits(void)
{
    struct rlimit  limit, none = { 0, 0 };

    (void) setrlimit(RLIMIT_CORE, &none);

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &limit);
    }

#ifdef __GLIBC__
    /* of the threads that resolve names, each would take its own memory */
    (void) mallopt(M_ARENA_MAX, 1);
#endif
}


/* versions are greater than those of a keeper that ran before */

static void
keeper_seed(void)
{
    unsigned         seed;
    struct timespec  ts;

    (void) clock_gettime(CLOCK_REALTIME, &ts);
    keeper_version = (uint64_t) ts.tv_sec * 1000000
                     + (uint64_t) ts.tv_nsec / 1000;

    if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed)) {
        seed = (unsigned) (ts.tv_nsec ^ getpid());
    }

    srandom(seed);
}


static int
keeper_signals(void)
{
    sigset_t  set;

    (void) sigemptyset(&set);
    (void) sigaddset(&set, SIGTERM);
    (void) sigaddset(&set, SIGINT);
    (void) sigprocmask(SIG_BLOCK, &set, NULL);
    (void) signal(SIGPIPE, SIG_IGN);

    keeper_signal_ev.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);

    if (keeper_signal_ev.fd == -1
        || loop_add(&keeper_signal_ev, EPOLLIN) == -1)
    {
        log_line(LOG_ERROR, "signals", "err", strerror(errno), NULL);
        return -1;
    }

    return 0;
}


static void
keeper_signal(void *data, uint32_t events)
{
    (void) data;
    (void) events;

    log_line(LOG_INFO, "ends", NULL);

    loop_end();
}


static int
keeper_open(keeper_t *k, const remote_t *remote)
{
    const char  *verify;

    keeper_n++;

    k->name = remote->name;
    k->version = keeper_version;

    k->timer.handler = keeper_look;
    k->timer.data = k;

    k->fetch.source = keeper_source(remote);
    k->fetch.done = keeper_fetched;
    k->fetch.data = k;

    if (fetch_open(&k->fetch, remote) == -1) {
        return -1;
    }

    log_line(LOG_INFO, "keeps a credential", "remote", k->name,
             "by", k->fetch.source->name, NULL);

    verify = remote->value[SETTING_VERIFY];

    if (verify && strcmp(verify, "off") == 0) {
        log_line(LOG_WARN, "NO CERTIFICATE IS VERIFIED: whoever is on the way"
                 " may take the credential", "remote", k->name, NULL);
    }

    return 0;
}


static const source_t *
keeper_source(const remote_t *remote)
{
    switch (remote->auth) {

    case AUTH_AZURE:
        return azure_source(remote);

    case AUTH_OAUTH2:
        return &oauth2_source;

    case AUTH_GOOGLE:
        return &google_source;

    case AUTH_AWS:
        return aws_source(remote);

    case AUTH_BEARER_FILE:
        return &bearer_file_source;

    case AUTH_BASIC_FILE:
        return &basic_file_source;

    default:
        return &none_source;
    }
}


static void
keeper_close(void)
{
    unsigned  i;

    socket_close();

    for (i = 0; i < keeper_n; i++) {
        loop_unset(&keeper[i].timer);
        fetch_close(&keeper[i].fetch);
        wipe_free(&keeper[i].value);
    }

    transfers_close();

    free(keeper);

    if (keeper_signal_ev.fd != -1) {
        close(keeper_signal_ev.fd);
    }
}


/* what is due by now */

static void
keeper_look(void *data)
{
    int64_t    now;
    keeper_t  *k = data;

    now = fetch_now();

    if (k->valid && k->expires && k->expires <= now) {
        k->valid = 0;
        wipe_clear(&k->value);

        log_line(LOG_ERROR, "the credential has expired", "remote", k->name,
                 "err", k->why[0] ? k->why : "it is being fetched", NULL);

        keeper_tell(k, 1);
    }

    if (!k->fetching && k->due <= now) {
        keeper_fetch(k);
        return;
    }

    keeper_wait(k);
}


static void
keeper_fetch(keeper_t *k)
{
    int64_t  msec;

    msec = KEEPER_FETCH;

    if (k->valid && k->expires) {
        msec = (k->expires - fetch_now()) / 2;

        msec = msec > KEEPER_FETCH ? KEEPER_FETCH
               : msec < KEEPER_LEAST ? KEEPER_LEAST : msec;
    }

    k->fetching = 1;

    fetch_start(&k->fetch, msec);

    if (k->fetching) {
        keeper_wait(k);
    }
}


static void
keeper_fetched(void *data, int rc)
{
    keeper_t  *k = data;

    k->fetching = 0;

    if (rc == 0) {
        keeper_take(k);

    } else {
        keeper_fail(k);
    }

    keeper_wait(k);
}


static void
keeper_take(keeper_t *k)
{
    int            same, news;
    char           valid[32];
    int64_t        now;
    credential_t  *c;

    c = &k->fetch.credential;
    now = fetch_now();

    /* what is for ever is new only if it is another */

    same = k->valid && k->expires == 0 && c->left == 0
           && c->value.len == k->value.len
           && (c->value.len == 0
               || memcmp(c->value.start, k->value.start, c->value.len) == 0);

    news = !same || k->failures;

    k->due = keeper_due(k, c->left, now);
    k->failures = 0;
    k->failing = 0;
    k->throttled = 0;
    k->why[0] = '\0';

    if (same && !k->refused) {
        if (news) {
            log_line(LOG_INFO, "the credential can be read again",
                     "remote", k->name, NULL);
        }

        return;
    }

    /* who waits for another one needn't any more, even if it is the same */

    k->refused = 0;

    wipe_clear(&k->value);
    wipe_add(&k->value, c->value.start ? c->value.start : "", c->value.len);

    if (k->value.failed) {
        k->valid = 0;
        (void) fetch_fail(&k->fetch, FAILURE_INVALID, "out of memory", NULL);
        keeper_fail(k);
        return;
    }

    k->kind = c->kind;
    k->expires = c->left ? now + c->left : 0;
    k->valid = 1;
    k->version = ++keeper_version;

    if (news) {
        k->refreshed++;

        (void) snprintf(valid, sizeof(valid), "%" PRId64 "s", c->left / 1000);

        log_line(LOG_INFO, "has a new credential", "remote", k->name,
                 "valid", c->left ? valid : "for ever", NULL);
    }

    keeper_tell(k, 1);
}


static int64_t
keeper_due(keeper_t *k, int64_t left, int64_t now)
{
    if (k->fetch.source->watched) {
        return now + KEEPER_WATCH;
    }

    if (left == 0) {
        return INT64_MAX;
    }

    return now + (left / 2 > KEEPER_LEAST ? left / 2 : KEEPER_LEAST);
}


static void
keeper_fail(keeper_t *k)
{
    int         news;
    char        retry[32];
    int64_t     now, wait;
    failure_t  *failure;

    failure = &k->fetch.failure;
    now = fetch_now();
    news = strcmp(k->why, failure->why) != 0;

    if (k->failures++ == 0) {
        k->failing = now;
    }

    k->failed[failure->kind]++;

    wait = k->fetch.source->watched ? KEEPER_WATCH : keeper_backoff(k);

    k->throttled = failure->retry != 0;

    if (failure->retry > wait) {
        wait = failure->retry;
    }

    k->due = now + wait;

    memcpy(k->told, failure->told, sizeof(reason_t));
    memcpy(k->why, failure->why, sizeof(reason_t));

    /* a file is looked at each second, which isn't told each second */

    if (news || !k->fetch.source->watched) {
        (void) snprintf(retry, sizeof(retry), "%.1fs", (double) wait / 1000);

        log_line(k->valid ? LOG_WARN : LOG_ERROR,
                 k->valid ? "no new credential, the old one is still valid"
                          : "no credential",
                 "remote", k->name, "err", k->why, "retry", retry, NULL);
    }

    keeper_tell(k, !k->valid);
}


static int64_t
keeper_backoff(keeper_t *k)
{
    int64_t  msec;

    msec = k->failures > 6 ? KEEPER_BACKOFF : 1000LL << (k->failures - 1);

    if (msec > KEEPER_BACKOFF) {
        msec = KEEPER_BACKOFF;
    }

    return msec / 2 + random() % (msec / 2 + 1);
}


/*
 * The loop's clock stands still while the machine sleeps: it is looked at
 * often enough for that not to matter.
 */

static void
keeper_wait(keeper_t *k)
{
    int64_t  now, wait;

    now = fetch_now();
    wait = KEEPER_LOOK;

    if (!k->fetching && k->due - now < wait) {
        wait = k->due - now;
    }

    if (k->valid && k->expires && k->expires - now < wait) {
        wait = k->expires - now;
    }

    loop_set(&k->timer, wait > 0 ? wait : 0);
}


static void
keeper_greet(buffer_t *lines)
{
    unsigned  i;

    for (i = 0; i < keeper_n; i++) {
        keeper_add(&keeper[i], lines);
        keeper_stats(&keeper[i], lines);
    }
}


/* fresh NAME VERSION */

static int
keeper_line(str_t line)
{
    str_t        name, version;
    unsigned     i;
    uint64_t     n;
    const char  *space;

    static const char  fresh[] = "fresh ";

    if (line.len < sizeof(fresh) - 1
        || memcmp(line.start, fresh, sizeof(fresh) - 1) != 0)
    {
        return -1;
    }

    name.start = line.start + sizeof(fresh) - 1;
    line.len -= sizeof(fresh) - 1;

    space = memchr(name.start, ' ', line.len);

    if (space == NULL) {
        return -1;
    }

    name.len = (size_t) (space - name.start);
    version = (str_t) { space + 1, line.len - name.len - 1 };

    if (version.len == 0 || version.len > 19) {
        return -1;
    }

    for (n = 0, i = 0; i < version.len; i++) {

        if (version.start[i] < '0' || version.start[i] > '9') {
            return -1;
        }

        n = n * 10 + (uint64_t) (version.start[i] - '0');
    }

    for (i = 0; i < keeper_n; i++) {
        if (strlen(keeper[i].name) == name.len
            && memcmp(keeper[i].name, name.start, name.len) == 0)
        {
            if (keeper[i].version == n) {
                keeper_force(&keeper[i]);
            }

            break;
        }
    }

    return 0;
}


/* whoever asks waits for another version: if none is fetched, for the same */

static void
keeper_force(keeper_t *k)
{
    int64_t  now;

    if (!k->valid || k->fetching) {
        return;
    }

    now = fetch_now();

    if (k->throttled || (k->forced && now - k->forced < KEEPER_FORCED)) {
        k->version = ++keeper_version;
        keeper_tell(k, 1);
        return;
    }

    log_line(LOG_INFO, "the remote has refused the credential",
             "remote", k->name, NULL);

    k->forced = now;
    k->refused = 1;

    keeper_fetch(k);
}


static void
keeper_tell(keeper_t *k, int changed)
{
    buffer_t  lines;

    memset(&lines, 0, sizeof(lines));

    if (changed) {
        keeper_add(k, &lines);
    }

    keeper_stats(k, &lines);

    if (!lines.failed) {
        socket_tell(&lines);
    }

    wipe_free(&lines);
}


static void
keeper_add(keeper_t *k, buffer_t *lines)
{
    char     head[sizeof("token    18446744073709551615 -9223372036854775808")
                  + REMOTE_NAME_MAX];
    int64_t  left, now;

    static const char  *kinds[] = { "token", "aws", "plain" };

    now = fetch_now();

    if (k->valid && (k->expires == 0 || k->expires > now)) {
        left = k->expires ? k->expires - now : 0;

        (void) snprintf(head, sizeof(head), "%s %s %" PRIu64 " %" PRId64,
                        kinds[k->kind], k->name, k->version, left);

        wipe_text(lines, head);

        if (k->value.len) {
            wipe_text(lines, " ");
            wipe_add(lines, k->value.start, k->value.len);
        }

    } else if (k->failing) {
        (void) snprintf(head, sizeof(head), "nothing %s %" PRId64 " ",
                        k->name, now - k->failing);

        wipe_text(lines, head);
        wipe_text(lines, k->told);

    } else {
        (void) snprintf(head, sizeof(head), "nothing %s - ", k->name);

        wipe_text(lines, head);
        wipe_text(lines, "it is being fetched");
    }

    wipe_text(lines, "\n");
}


static void
keeper_stats(keeper_t *k, buffer_t *lines)
{
    char      n[32];
    unsigned  i;

    wipe_text(lines, "stats ");
    wipe_text(lines, k->name);

    (void) snprintf(n, sizeof(n), " %" PRIu64, k->refreshed);
    wipe_text(lines, n);

    for (i = 0; i < FAILURES; i++) {
        (void) snprintf(n, sizeof(n), " %" PRIu64, k->failed[i]);
        wipe_text(lines, n);
    }

    wipe_text(lines, "\n");
}
