/*
 * All sessions: what a service before has left, what the files say now, and
 * when each has something to do.
 */


#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "session_local.h"


#define SESSIONS_GRANTS  "ports-of-shared-keys"
#define SESSIONS_AGAIN   1000     /* ms, until records are read again */


static int sessions_adopt(sessions_t *sessions, const char *dir);
static int sessions_adopt_all(sessions_t *sessions);
static session_t *sessions_find(const sessions_t *sessions, pid_t pid);
static int sessions_known(void *data, pid_t pid);
static void sessions_stray_gone(void *data, pid_t pid, uint64_t started);
static void sessions_index(sessions_t *sessions);
static int sessions_same(const sessions_t *sessions,
    const ngx_prom_host_t *host);
static void sessions_check(sessions_t *sessions);
static void sessions_check_grants(sessions_t *sessions);
static void sessions_expire(sessions_t *sessions);


sessions_t *
sessions_open(const char *dir, board_t *board, access_t *access)
{
    sessions_t  *sessions;

    sessions = calloc(1, sizeof(sessions_t));

    if (sessions == NULL) {
        log_line("out of memory");
        access_free(access);
        return NULL;
    }

    TAILQ_INIT(&sessions->live);
    TAILQ_INIT(&sessions->busy);

    sessions->dir = -1;
    sessions->board = board;
    sessions->access = access;
    sessions_index(sessions);

    if ((mkdir(dir, 0700) == -1 && errno != EEXIST)
        || (sessions->dir = open(dir, O_RDONLY|O_DIRECTORY|O_CLOEXEC)) == -1)
    {
        log_line("%s: %s", dir, strerror(errno));
        goto failed;
    }

    if (flock(sessions->dir, LOCK_EX|LOCK_NB) == -1) {
        log_line("%s: in use by another of this service", dir);
        goto failed;
    }

    sessions->grants = grants_open(sessions->dir, SESSIONS_GRANTS);

    if (sessions->grants == NULL) {
        log_line("%s/" SESSIONS_GRANTS ": %s", dir, strerror(errno));
        goto failed;
    }

    sessions->strays = strays_open(sessions_known, sessions_stray_gone,
                                   sessions);

    if (sessions->strays == NULL) {
        log_line("out of memory");
        goto failed;
    }

    if (sessions_adopt(sessions, dir) == -1) {
        goto failed;
    }

    return sessions;

failed:

    sessions_close(sessions);

    return NULL;
}


void
sessions_close(sessions_t *sessions)
{
    session_t  *s;

    while ((s = TAILQ_FIRST(&sessions->live))
           || (s = TAILQ_FIRST(&sessions->busy)))
    {
        TAILQ_REMOVE(s->state == SESSION_LIVE ? &sessions->live
                                              : &sessions->busy, s, queue);
        session_free(s);
    }

    if (sessions->strays) {
        strays_close(sessions->strays);
    }

    if (sessions->grants) {
        grants_close(sessions->grants);
    }

    if (sessions->dir != -1) {
        close(sessions->dir);
    }

    access_free(sessions->access);
    free(sessions);
}


static int
sessions_adopt(sessions_t *sessions, const char *dir)
{
    session_t  *s;
    uint8_t    *lives;

    if (sessions_adopt_all(sessions) == -1) {
        log_line("%s: %s", dir, strerror(errno));
        return -1;
    }

    lives = calloc(1, SESSION_PORTS);

    if (lives == NULL) {
        log_line("out of memory");
        return -1;
    }

    TAILQ_FOREACH(s, &sessions->live, queue) {
        lives[s->record.first] = s->record.name != NULL;
    }

    board_sweep(sessions->board, lives);
    free(lives);

    if (!TAILQ_EMPTY(&sessions->live)) {
        log_line("sessions taken over: %u of hosts, %u of shared keys",
                 sessions->hosts, sessions->shared);
    }

    sessions_count(sessions);
    sessions_check(sessions);

    return 0;
}


/* those that were kept are tried again later */

static int
sessions_adopt_all(sessions_t *sessions)
{
    int              fd, again;
    DIR             *dp;
    char            *end;
    pid_t            pid;
    struct dirent   *entry;
    session_adopt_e  result;

    fd = openat(sessions->dir, ".", O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (fd == -1) {
        return -1;
    }

    dp = fdopendir(fd);

    if (dp == NULL) {
        close(fd);
        return -1;
    }

    again = sessions->adopt != 0;
    sessions->adopt = 0;

    while ((entry = readdir(dp))) {

        if (entry->d_name[0] < '0' || entry->d_name[0] > '9') {
            continue;
        }

        pid = (pid_t) strtol(entry->d_name, &end, 10);

        if (again && *end == '\0'
            && (sessions_find(sessions, pid)
                || strays_has(sessions->strays, pid)))
        {
            continue;
        }

        result = session_adopt(sessions, entry->d_name);

        if (result == SESSION_FORGET) {
            (void) unlinkat(sessions->dir, entry->d_name, 0);

        } else if (result == SESSION_KEEP) {
            sessions->adopt = loop_now() + SESSIONS_AGAIN;
        }
    }

    closedir(dp);

    return 0;
}


const access_t *
sessions_access(const sessions_t *sessions)
{
    return sessions->access;
}


void
sessions_renew(sessions_t *sessions, access_t *access)
{
    uint32_t                 i;
    access_t                *before;
    const ngx_prom_host_t   *host;
    const ngx_prom_hosts_t  *hosts;

    before = sessions->access;
    hosts = access_hosts(before);

    for (i = 0; i < hosts->count; i++) {
        sessions->at[hosts->hosts[i].port] = NULL;
    }

    sessions->access = access;
    sessions_index(sessions);
    sessions_check(sessions);

    /* a port's record is not for the host that has it next */

    for (i = 0; i < hosts->count; i++) {
        host = &hosts->hosts[i];

        if (sessions->holders[host->port] == NULL
            && !sessions_same(sessions, host))
        {
            board_forget(sessions->board, host->port);
        }
    }

    access_free(before);
}


static void
sessions_index(sessions_t *sessions)
{
    uint32_t                 i;
    const ngx_prom_hosts_t  *hosts;

    hosts = access_hosts(sessions->access);

    for (i = 0; i < hosts->count; i++) {
        sessions->at[hosts->hosts[i].port] = &hosts->hosts[i];
    }
}


static int
sessions_same(const sessions_t *sessions, const ngx_prom_host_t *host)
{
    const ngx_prom_host_t  *now;

    now = sessions->at[host->port];

    return now && now->name.len == host->name.len
           && memcmp(now->name.data, host->name.data, host->name.len) == 0;
}


const ngx_prom_host_t *
sessions_host(const sessions_t *sessions, uint16_t port, const char *name)
{
    const ngx_prom_host_t  *host;

    host = sessions->at[port];

    if (host && host->name.len == strlen(name)
        && memcmp(host->name.data, name, host->name.len) == 0)
    {
        return host;
    }

    return NULL;
}


static void
sessions_check(sessions_t *sessions)
{
    char         buf[SESSION_REASON];
    session_t   *s, *next;
    const char  *reason;

    for (s = TAILQ_FIRST(&sessions->live); s; s = next) {
        next = TAILQ_NEXT(s, queue);
        reason = session_check(s, buf);

        if (reason) {
            session_end(s, reason);
        }
    }

    for (s = TAILQ_FIRST(&sessions->busy); s; s = next) {
        next = TAILQ_NEXT(s, queue);

        if (s->state != SESSION_OPENING) {
            continue;
        }

        reason = session_check(s, buf);

        if (reason) {
            session_refuse(s, reason);
        }
    }

    sessions_check_grants(sessions);
}


static void
sessions_check_grants(sessions_t *sessions)
{
    uint32_t                 i, port;
    const ngx_prom_host_t   *host;
    const ngx_prom_hosts_t  *hosts;

    if (sessions->shared == 0) {
        return;
    }

    hosts = access_hosts(sessions->access);

    for (i = 0; i < hosts->count; i++) {
        host = &hosts->hosts[i];

        for (port = host->port; port < host->port + host->ports; port++) {

            if (grants_has(sessions->grants, (uint16_t) port)) {
                sessions_clear_shared(sessions, (uint16_t) port);
                return;
            }
        }
    }
}


void
sessions_clear_shared(sessions_t *sessions, uint16_t port)
{
    uint32_t    n;
    session_t  *s, *next;

    n = 0;

    for (s = TAILQ_FIRST(&sessions->live); s; s = next) {
        next = TAILQ_NEXT(s, queue);

        if (s->record.name == NULL) {
            session_end(s, NULL);
            n++;
        }
    }

    if (n) {
        log_line("all sessions of shared keys ended, %u of them, as port %u "
                 "is a host's now; they can come back without it", n, port);
    }

    sessions->clearing = sessions->shared != 0;
}


void
sessions_count(sessions_t *sessions)
{
    board_sessions(sessions->board, sessions->hosts + sessions->shared,
                   sessions->shared);

    if (sessions->shared == 0) {
        sessions->clearing = 0;
        grants_clear(sessions->grants);
    }
}


int
sessions_ending(const sessions_t *sessions, const char *name)
{
    const session_t  *s;

    TAILQ_FOREACH(s, &sessions->busy, queue) {

        if (s->held && s->record.name && strcmp(s->record.name, name) == 0) {
            return 1;
        }
    }

    return 0;
}


void
sessions_end_host(sessions_t *sessions, const char *name)
{
    session_t  *s, *next;

    for (s = TAILQ_FIRST(&sessions->live); s; s = next) {
        next = TAILQ_NEXT(s, queue);

        if (s->record.name && strcmp(s->record.name, name) == 0) {
            session_end(s, "removed");
        }
    }
}


void
session_unheard(sessions_t *sessions, long pid)
{
    session_t  *s;

    s = sessions_find(sessions, (pid_t) pid);

    if (s && s->state == SESSION_LIVE) {
        session_end(s, "it didn't get the answer");
    }
}


int
sessions_step(sessions_t *sessions)
{
    int64_t     now;
    session_t  *s, *next;

    sessions_expire(sessions);

    now = loop_now();

    for (s = TAILQ_FIRST(&sessions->busy); s; s = next) {
        next = TAILQ_NEXT(s, queue);
        session_step(s, now);
    }

    if (sessions->adopt && now >= sessions->adopt) {

        if (sessions_adopt_all(sessions) == -1) {
            sessions->adopt = now + SESSIONS_AGAIN;
        }

        sessions_count(sessions);
        sessions_check(sessions);
    }

    return strays_step(sessions->strays, now)
           || !TAILQ_EMPTY(&sessions->busy);
}


static session_t *
sessions_find(const sessions_t *sessions, pid_t pid)
{
    session_t  *s;

    TAILQ_FOREACH(s, &sessions->live, queue) {
        if (s->record.pid == pid) {
            return s;
        }
    }

    TAILQ_FOREACH(s, &sessions->busy, queue) {
        if (s->record.pid == pid) {
            return s;
        }
    }

    return NULL;
}


/* a record may be one that could not be read as yet */

static int
sessions_known(void *data, pid_t pid)
{
    char         file[16];
    sessions_t  *sessions = data;

    snprintf(file, sizeof(file), "%ld", (long) pid);

    return faccessat(sessions->dir, file, F_OK, 0) == 0
           || sessions_find(sessions, pid);
}


/* its number may be another's by now, and the record that one's */

static void
sessions_stray_gone(void *data, pid_t pid, uint64_t started)
{
    char         file[16];
    record_t     record;
    sessions_t  *sessions = data;

    snprintf(file, sizeof(file), "%ld", (long) pid);

    if (record_load(sessions->dir, file, &record) == -1) {

        if (errno != ENOENT) {
            sessions->adopt = loop_now() + SESSIONS_AGAIN;
        }

        return;
    }

    if (record.started == started) {
        record_remove(sessions->dir, pid);
    }

    record_clear(&record);
}


/* by the clock of the day, as the certificate is */

static void
sessions_expire(sessions_t *sessions)
{
    uint64_t    now;
    session_t  *s, *next;

    now = loop_time() / 1000;

    if (now == sessions->checked) {
        return;
    }

    sessions->checked = now;

    for (s = TAILQ_FIRST(&sessions->live); s; s = next) {
        next = TAILQ_NEXT(s, queue);

        if (s->expires && now >= s->expires) {
            session_end(s, "its certificate has expired");
        }
    }
}
