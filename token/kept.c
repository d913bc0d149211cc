/*
 * A credential is fetched again at half of its life, and one that is valid
 * stays in use for as long as that fails.  What the clock of the day does, has
 * no part in when.
 */


#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "kept.h"
#include "log.h"
#include "socket.h"
#include "wipe.h"


#define KEPT_FETCH    10000         /* ms that a fetch may take */
#define KEPT_LEAST    1000          /* ms, of that and between fetches */
#define KEPT_WATCH    1000          /* ms between looks at a file */
#define KEPT_BACKOFF  60000         /* ms, at most */
#define KEPT_FORCED   10000         /* ms between fetches that were forced */
#define KEPT_LOOK     30000         /* ms that the loop's clock is trusted */


static const source_t *kept_source(const remote_t *remote);

static void kept_look(void *data);
static void kept_fetch(kept_t *k);
static void kept_fetched(void *data, int rc);
static void kept_take(kept_t *k);
static int64_t kept_due(kept_t *k, int64_t left, int64_t now);
static void kept_fail(kept_t *k);
static int64_t kept_backoff(kept_t *k);
static void kept_wait(kept_t *k);

static void kept_tell(kept_t *k, int changed);
static void kept_credential(kept_t *k, buffer_t *lines);
static void kept_stats(kept_t *k, buffer_t *lines);


static uint64_t  kept_version;


void
kept_seed(void)
{
    unsigned         seed;
    struct timespec  ts;

    (void) clock_gettime(CLOCK_REALTIME, &ts);
    kept_version = (uint64_t) ts.tv_sec * 1000000
                   + (uint64_t) ts.tv_nsec / 1000;

    if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed)) {
        seed = (unsigned) (ts.tv_nsec ^ getpid());
    }

    srandom(seed);
}


int
kept_open(kept_t *k, const remote_t *remote)
{
    const char  *verify;

    k->name = remote->name;
    k->version = kept_version;

    k->timer.handler = kept_look;
    k->timer.data = k;

    k->fetch.source = kept_source(remote);
    k->fetch.done = kept_fetched;
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
kept_source(const remote_t *remote)
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


void
kept_close(kept_t *k)
{
    loop_unset(&k->timer);
    fetch_close(&k->fetch);
    wipe_free(&k->value);
}


void
kept_start(kept_t *k)
{
    kept_look(k);
}


/* what is due by now */

static void
kept_look(void *data)
{
    int64_t  now;
    kept_t  *k = data;

    now = fetch_now();

    if (k->valid && k->expires && k->expires <= now) {
        k->valid = 0;
        wipe_clear(&k->value);

        log_line(LOG_ERROR, "the credential has expired", "remote", k->name,
                 "err", k->why[0] ? k->why : "it is being fetched", NULL);

        kept_tell(k, 1);
    }

    if (!k->fetching && k->due <= now) {
        kept_fetch(k);
        return;
    }

    kept_wait(k);
}


static void
kept_fetch(kept_t *k)
{
    int64_t  msec;

    msec = KEPT_FETCH;

    if (k->valid && k->expires) {
        msec = (k->expires - fetch_now()) / 2;

        msec = msec > KEPT_FETCH ? KEPT_FETCH
               : msec < KEPT_LEAST ? KEPT_LEAST : msec;
    }

    k->fetching = 1;

    fetch_start(&k->fetch, msec);

    if (k->fetching) {
        kept_wait(k);
    }
}


static void
kept_fetched(void *data, int rc)
{
    kept_t  *k = data;

    k->fetching = 0;

    if (rc == 0) {
        kept_take(k);

    } else {
        kept_fail(k);
    }

    kept_wait(k);
}


static void
kept_take(kept_t *k)
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

    k->due = kept_due(k, c->left, now);
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
        kept_fail(k);
        return;
    }

    k->kind = c->kind;
    k->expires = c->left ? now + c->left : 0;
    k->valid = 1;
    k->version = ++kept_version;

    if (news) {
        k->refreshed++;

        (void) snprintf(valid, sizeof(valid), "%" PRId64 "s", c->left / 1000);

        log_line(LOG_INFO, "has a new credential", "remote", k->name,
                 "valid", c->left ? valid : "for ever", NULL);
    }

    kept_tell(k, 1);
}


static int64_t
kept_due(kept_t *k, int64_t left, int64_t now)
{
    if (k->fetch.source->watched) {
        return now + KEPT_WATCH;
    }

    if (left == 0) {
        return INT64_MAX;
    }

    return now + (left / 2 > KEPT_LEAST ? left / 2 : KEPT_LEAST);
}


static void
kept_fail(kept_t *k)
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

    wait = k->fetch.source->watched ? KEPT_WATCH : kept_backoff(k);

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

    kept_tell(k, !k->valid);
}


static int64_t
kept_backoff(kept_t *k)
{
    int64_t  msec;

    msec = k->failures > 6 ? KEPT_BACKOFF : 1000LL << (k->failures - 1);

    if (msec > KEPT_BACKOFF) {
        msec = KEPT_BACKOFF;
    }

    return msec / 2 + random() % (msec / 2 + 1);
}


/*
 * The loop's clock stands still while the machine sleeps: it is looked at
 * often enough for that not to matter.
 */

static void
kept_wait(kept_t *k)
{
    int64_t  now, wait;

    now = fetch_now();
    wait = KEPT_LOOK;

    if (!k->fetching && k->due - now < wait) {
        wait = k->due - now;
    }

    if (k->valid && k->expires && k->expires - now < wait) {
        wait = k->expires - now;
    }

    loop_set(&k->timer, wait > 0 ? wait : 0);
}


void
kept_refuse(kept_t *k, uint64_t version)
{
    int64_t  now;

    if (k->version != version || !k->valid || k->fetching) {
        return;
    }

    now = fetch_now();

    /* who asks waits for another version: if none is fetched, for the same */

    if (k->throttled || (k->forced && now - k->forced < KEPT_FORCED)) {
        k->version = ++kept_version;
        kept_tell(k, 1);
        return;
    }

    log_line(LOG_INFO, "the remote has refused the credential",
             "remote", k->name, NULL);

    k->forced = now;
    k->refused = 1;

    kept_fetch(k);
}


static void
kept_tell(kept_t *k, int changed)
{
    buffer_t  lines;

    memset(&lines, 0, sizeof(lines));

    if (changed) {
        kept_credential(k, &lines);
    }

    kept_stats(k, &lines);

    if (!lines.failed) {
        socket_tell(&lines);
    }

    wipe_free(&lines);
}


void
kept_lines(kept_t *k, buffer_t *lines)
{
    kept_credential(k, lines);
    kept_stats(k, lines);
}


static void
kept_credential(kept_t *k, buffer_t *lines)
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
kept_stats(kept_t *k, buffer_t *lines)
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
