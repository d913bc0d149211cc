/*
 * The life of a session, as session_local.h has it.
 */


#define _GNU_SOURCE

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "process.h"
#include "session_local.h"


#define SESSION_OPEN     9000     /* ms, for an answer */
#define SESSION_YOUNG    5000     /* so long a host may be without its port */
#define SESSION_LINGER   2000     /* of a refused one */
#define SESSION_TERM     1000     /* between SIGTERM and SIGKILL */

#define SESSION_RESERVE  64       /* descriptors that sessions leave */


static session_t *session_new(sessions_t *sessions, long pid);
static int session_may_watch(int fd);
static const char *session_new_failed(char *buf);
static int session_describe(session_t *s, const session_login_t *login,
    const access_login_t *found);
static void session_identify(session_t *s, const access_login_t *found);
static session_adopt_e session_unwatched(sessions_t *sessions,
    record_t *record);
static void session_step_opening(session_t *s, int64_t now);
static void session_probe(session_t *s);
static void session_probed(void *data, probe_e result);
static void session_accept(session_t *s);
static void session_hold(session_t *s, int adopted);
static void session_release(session_t *s);
static char *session_yes(const session_t *s, size_t *len);
static void session_answer(session_t *s, const char *text, size_t len);
static void session_no(session_answer_pt answer, void *data,
    const char *reason);
static void session_signal(session_t *s, int signal);
static void session_gone(void *data, uint32_t events);


session_t *
session_open(sessions_t *sessions, const session_login_t *login,
    session_answer_pt answer, void *data)
{
    char             buf[SESSION_REASON];
    access_e         error;
    session_t       *s, *other;
    const char      *reason;
    access_login_t   found;

    memset(&found, 0, sizeof(found));

    s = session_new(sessions, login->pid);

    if (s == NULL) {
        reason = session_new_failed(buf);
        log_line("connection from %s refused: %s", login->address, reason);
        session_no(answer, data, reason);
        return NULL;
    }

    s->answer = answer;
    s->data = data;

    error = access_login(sessions->access, login->type, login->key,
                         loop_time() / 1000, &found);

    if (session_describe(s, login, &found) == -1) {
        session_refuse(s, "out of memory");
        return NULL;
    }

    if (error != ACCESS_OK) {
        board_refused(sessions->board, session_refused_as(error));
        session_refuse(s, session_denied(s, error, &found, buf));
        return NULL;
    }

    other = s->record.name ? sessions->openings[s->record.first] : NULL;

    if (other) {
        board_refused(sessions->board, NGX_PROM_REFUSED_CONNECTED);
        snprintf(buf, sizeof(buf), "%s is connecting at this moment",
                 other->record.address);
        session_refuse(s, buf);
        return NULL;
    }

    if (s->record.name) {
        sessions->openings[s->record.first] = s;
    }

    session_step_opening(s, s->opened);

    return s->state == SESSION_OPENING ? s : NULL;
}


/* errno is set with NULL */

static session_t *
session_new(sessions_t *sessions, long pid)
{
    int         error;
    session_t  *s;

    s = calloc(1, sizeof(session_t));

    if (s == NULL) {
        return NULL;
    }

    s->sessions = sessions;
    s->state = SESSION_OPENING;
    s->opened = loop_now();
    s->due = s->opened + SESSION_OPEN;
    s->record.pid = (pid_t) pid;
    s->record.since = loop_time();
    s->process.handler = session_gone;
    s->process.data = s;

    s->process.fd = process_open(s->record.pid, &s->record.started);

    if (s->process.fd == -1 || !session_may_watch(s->process.fd)
        || loop_add(&s->process, EPOLLIN) == -1)
    {
        error = errno;
        loop_close(&s->process);
        free(s);
        errno = error;
        return NULL;
    }

    TAILQ_INSERT_TAIL(&sessions->busy, s, queue);

    return s;
}


/* the last descriptors are for what ends sessions; errno is set with 0 */

static int
session_may_watch(int fd)
{
    rlim_t         reserve;
    struct rlimit  limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == -1) {
        return 1;
    }

    reserve = limit.rlim_cur / 4;

    if (reserve > SESSION_RESERVE) {
        reserve = SESSION_RESERVE;
    }

    if ((rlim_t) fd < limit.rlim_cur - reserve) {
        return 1;
    }

    errno = EMFILE;

    return 0;
}


static const char *
session_new_failed(char *buf)
{
    struct rlimit  limit;

    if (errno == ESRCH) {
        return "it has ended already";
    }

    if (errno == EMFILE && getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        snprintf(buf, SESSION_REASON, "all %llu file descriptors are in use; "
                 "raise the container's limit \"nofile\"",
                 (unsigned long long) limit.rlim_cur);
        return buf;
    }

    snprintf(buf, SESSION_REASON, "its process can't be watched: %s",
             strerror(errno));

    return buf;
}


static int
session_describe(session_t *s, const session_login_t *login,
    const access_login_t *found)
{
    record_t  *record;

    record = &s->record;

    record->address = strdup(login->address);
    record->type = strdup(login->type);
    record->key = strdup(login->key);

    if (record->address == NULL || record->type == NULL
        || record->key == NULL)
    {
        return -1;
    }

    if (found->host) {
        record->name = strndup(found->host->name.data,
                               found->host->name.len);
        record->first = found->host->port;
        record->ports = found->host->ports;

        if (record->name == NULL) {
            return -1;
        }
    }

    session_identify(s, found);

    return 0;
}


static void
session_identify(session_t *s, const access_login_t *found)
{
    int  n;

    s->certificate = found->certificate != 0;
    s->expires = found->expires;
    memcpy(s->digest, found->digest, sizeof(s->digest));

    n = sprintf(s->shared, "shared key ");
    log_fingerprint(s->digest, s->shared + n);
}


/* a host's session is the host's, whatever its key is by now */

session_adopt_e
session_adopt(sessions_t *sessions, const char *file)
{
    uint64_t         started;
    record_t         record;
    session_t       *s;
    access_login_t   found;

    if (record_load(sessions->dir, file, &record) == -1) {
        return errno == EMFILE || errno == ENFILE || errno == ENOMEM
               ? SESSION_KEEP : SESSION_FORGET;
    }

    s = session_new(sessions, record.pid);

    if (s == NULL) {
        return session_unwatched(sessions, &record);
    }

    started = s->record.started;

    if (started != record.started) {
        TAILQ_REMOVE(&sessions->busy, s, queue);
        session_free(s);
        record_clear(&record);
        return SESSION_FORGET;
    }

    s->record = record;
    s->opened -= SESSION_YOUNG;

    memset(&found, 0, sizeof(found));

    (void) access_login(sessions->access, record.type, record.key,
                        loop_time() / 1000, &found);

    session_identify(s, &found);

    if (record.name && sessions->holders[record.first]) {
        session_end(s, "its host has another");
        return SESSION_FORGET;
    }

    session_hold(s, 1);

    return SESSION_ADOPTED;
}


/* nobody would end it any more */

static session_adopt_e
session_unwatched(sessions_t *sessions, record_t *record)
{
    int              rc;
    char             buf[SESSION_REASON];
    session_adopt_e  result;

    result = SESSION_FORGET;

    if (errno != ESRCH) {
        log_line("%s: ended: %s", record->name ? record->name : "shared key",
                 session_new_failed(buf));

        rc = strays_end(sessions->strays, record->pid, record->started);
        result = rc == -1 ? SESSION_KEEP : SESSION_ADOPTED;
    }

    record_clear(record);

    return result;
}


void
session_cancel(session_t *s)
{
    s->answer = NULL;

    session_refuse(s, "it didn't wait for the answer");
}


void
session_step(session_t *s, int64_t now)
{
    if (s->state == SESSION_OPENING) {
        session_step_opening(s, now);
        return;
    }

    if (now < s->due) {
        return;
    }

    if (s->state == SESSION_REFUSED) {
        session_end(s, NULL);
        return;
    }

    session_signal(s, SIGKILL);
}


static void
session_step_opening(session_t *s, int64_t now)
{
    char         buf[SESSION_REASON];
    uint16_t     taken;
    session_t   *older;
    sessions_t  *sessions;

    sessions = s->sessions;
    older = NULL;
    taken = 0;

    if (s->record.name) {
        older = sessions->holders[s->record.first];

        if (older && older->state == SESSION_LIVE) {

            if (s->probe == NULL) {
                session_probe(s);

            } else {
                (void) probe_step(s->probe, now);
            }

            return;
        }

        if (s->probe) {
            probe_cancel(s->probe);
            s->probe = NULL;
        }

        taken = probe_taken(s->record.first, s->record.ports);

        if (taken && grants_has(sessions->grants, taken)) {
            sessions_clear_shared(sessions, taken);
        }

    } else if (sessions->clearing) {
        taken = 1;
    }

    if (older == NULL && taken == 0) {
        session_accept(s);
        return;
    }

    if (now < s->due) {
        return;
    }

    if (older || s->record.name == NULL) {
        session_refuse(s, "what is in its place has not ended yet");
        return;
    }

    snprintf(buf, sizeof(buf), "port %u is taken by another process", taken);
    session_refuse(s, buf);
}


static void
session_probe(session_t *s)
{
    s->probe = probe_start(s->record.first, s->record.ports, session_probed,
                           s);

    if (s->probe == NULL) {
        session_refuse(s, "out of memory");
    }
}


static void
session_probed(void *data, probe_e result)
{
    char         buf[SESSION_REASON], since[LOG_TIME];
    session_t   *s = data, *older;

    s->probe = NULL;
    older = s->sessions->holders[s->record.first];

    if (older == NULL || older->state != SESSION_LIVE) {
        return;
    }

    if (result == PROBE_ALIVE
        || (result == PROBE_CLOSED
            && loop_now() < older->opened + SESSION_YOUNG))
    {
        board_refused(s->sessions->board, NGX_PROM_REFUSED_CONNECTED);
        snprintf(buf, sizeof(buf), "already connected from %s since %s",
                 older->record.address, log_time(older->record.since, since));
        session_refuse(s, buf);
        return;
    }

    log_line("%s: old connection from %s %s, ended for the new one from %s",
             s->record.name, older->record.address,
             result == PROBE_CLOSED ? "has no port" : "doesn't answer",
             s->record.address);

    session_end(older, NULL);
}


static void
session_accept(session_t *s)
{
    char        *text, digest[LOG_FINGERPRINT];
    size_t       len;
    sessions_t  *sessions;

    sessions = s->sessions;

    text = session_yes(s, &len);

    if (text == NULL) {
        session_refuse(s, "out of memory");
        return;
    }

    s->record.since = loop_time();

    if (record_save(sessions->dir, &s->record) == -1) {
        session_refuse(s, strerror(errno));
        free(text);
        return;
    }

    session_hold(s, 0);

    log_line("%s: connected from %s%s%s%s", session_who(s),
             s->record.address, s->certificate ? " by certificate" : "",
             s->record.name ? ", " : "",
             s->record.name ? log_fingerprint(s->digest, digest) : "");

    session_answer(s, text, len);
    free(text);
}


/* its host's from here on, until it is gone */

static void
session_hold(session_t *s, int adopted)
{
    sessions_t         *sessions;
    ngx_prom_tunnel_t   tunnel;

    sessions = s->sessions;

    TAILQ_REMOVE(&sessions->busy, s, queue);
    TAILQ_INSERT_TAIL(&sessions->live, s, queue);

    s->state = SESSION_LIVE;
    s->held = 1;

    if (s->record.name == NULL) {
        sessions->shared++;

    } else {
        sessions->hosts++;
        sessions->openings[s->record.first] = NULL;
        sessions->holders[s->record.first] = s;

        memset(&tunnel, 0, sizeof(tunnel));
        tunnel.pid = (uint32_t) s->record.pid;
        tunnel.started = s->record.started;
        tunnel.since = s->record.since;
        tunnel.certificate = s->certificate;
        memcpy(tunnel.digest, s->digest, sizeof(tunnel.digest));
        snprintf(tunnel.address, sizeof(tunnel.address), "%s",
                 s->record.address);

        if (adopted) {
            board_adopted(sessions->board, s->record.first, &tunnel);
        } else {
            board_connected(sessions->board, s->record.first, &tunnel);
        }
    }

    if (!adopted) {
        board_login(sessions->board);
        sessions_count(sessions);
    }
}


static void
session_release(session_t *s)
{
    uint16_t     port;
    sessions_t  *sessions;

    sessions = s->sessions;
    port = s->record.first;

    if (s->record.name == NULL) {
        sessions->shared--;

    } else {
        sessions->hosts--;
        sessions->holders[port] = NULL;

        if (sessions_host(sessions, port, s->record.name)) {
            board_ended(sessions->board, port);
        } else {
            board_forget(sessions->board, port);
        }
    }

    record_remove(sessions->dir, s->record.pid);
    sessions_count(sessions);
}


/* the answer; ports of shared keys are noted as given */

static char *
session_yes(const session_t *s, size_t *len)
{
    int              any;
    char            *text;
    FILE            *fp;
    uint32_t         i, first, last, count;
    const uint16_t  *ports;

    fp = open_memstream(&text, len);

    if (fp == NULL) {
        return NULL;
    }

    fprintf(fp, "ok %s\n", s->record.name ? s->record.name : "-");

    if (s->record.name) {
        fprintf(fp, "%u-%u\n", s->record.first,
                s->record.first + s->record.ports - 1);

    } else {
        ports = access_shared(s->sessions->access, &count, &any);

        if (any) {
            fputs("*\n", fp);
            grants_add(s->sessions->grants, 1024, 65535);
            count = 0;
        }

        for (i = 0; i < count; i++) {
            first = last = ports[i];

            while (i + 1 < count && ports[i + 1] == last + 1) {
                last = ports[++i];
            }

            fprintf(fp, "%u-%u\n", first, last);
            grants_add(s->sessions->grants, (uint16_t) first,
                       (uint16_t) last);
        }
    }

    if (fclose(fp) == EOF) {
        free(text);
        return NULL;
    }

    return text;
}


void
session_refuse(session_t *s, const char *reason)
{
    sessions_t  *sessions;

    sessions = s->sessions;

    if (s->record.name) {
        log_line("%s: connection from %s refused: %s", s->record.name,
                 s->record.address, reason);

        if (sessions->openings[s->record.first] == s) {
            sessions->openings[s->record.first] = NULL;
        }

    } else {
        log_line("connection from %s refused: %s",
                 s->record.address ? s->record.address : "?", reason);
    }

    if (s->probe) {
        probe_cancel(s->probe);
        s->probe = NULL;
    }

    s->state = SESSION_REFUSED;
    s->due = loop_now() + SESSION_LINGER;

    if (s->answer) {
        session_no(s->answer, s->data, reason);
        s->answer = NULL;
    }
}


static void
session_answer(session_t *s, const char *text, size_t len)
{
    session_answer_pt  answer;

    answer = s->answer;
    s->answer = NULL;

    if (answer) {
        answer(s->data, text, len);
    }
}


static void
session_no(session_answer_pt answer, void *data, const char *reason)
{
    int   n;
    char  text[SESSION_REASON + 8];

    n = snprintf(text, sizeof(text), "no %s\n", reason);

    if ((size_t) n >= sizeof(text)) {
        n = sizeof(text) - 1;
        text[n - 1] = '\n';
    }

    answer(data, text, (size_t) n);
}


void
session_end(session_t *s, const char *reason)
{
    sessions_t  *sessions;

    sessions = s->sessions;

    if (reason) {
        log_line("%s: ended: %s", session_who(s), reason);
    }

    if (s->state == SESSION_LIVE) {
        TAILQ_REMOVE(&sessions->live, s, queue);
        TAILQ_INSERT_TAIL(&sessions->busy, s, queue);
    }

    s->state = SESSION_ENDING;

    session_signal(s, SIGTERM);
}


static void
session_signal(session_t *s, int signal)
{
    process_signal(s->record.pid, s->process.fd, s->record.started, signal);

    s->due = loop_now() + SESSION_TERM;
}


static void
session_gone(void *data, uint32_t events)
{
    session_t   *s = data;
    sessions_t  *sessions;

    (void) events;

    sessions = s->sessions;

    /* its child, if it left one */

    session_signal(s, SIGKILL);

    if (s->state == SESSION_LIVE) {
        TAILQ_REMOVE(&sessions->live, s, queue);

        log_line("%s: disconnected from %s", session_who(s),
                 s->record.address);

    } else {

        if (s->state == SESSION_OPENING) {
            session_refuse(s, "it has ended");
        }

        TAILQ_REMOVE(&sessions->busy, s, queue);
    }

    if (s->held) {
        session_release(s);
    }

    session_free(s);
}


void
session_free(session_t *s)
{
    if (s->probe) {
        probe_cancel(s->probe);
    }

    loop_close(&s->process);
    record_clear(&s->record);
    free(s);
}


const char *
session_who(const session_t *s)
{
    return s->record.name ? s->record.name : s->shared;
}
