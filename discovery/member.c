/*
 * One that fails keeps its list for a time, as what it lists is likely to be
 * there again, and no series should end for a proxy that restarts.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "member.h"


#define MEMBER_SAID  120          /* bytes of an error's text */


static void member_targets(void *data, long status, str_t body, reason_t why);
static void member_clients(void *data, long status, str_t body, reason_t why);
static void member_said(member_t *m, int pushprox, long status, str_t body,
    reason_t why);
static void member_read(member_t *m, int pushprox, str_t body);
static void member_status(member_t *m, long status, str_t body);
static void member_failed(member_t *m, const char *why);
static void member_answered(member_t *m);
static void member_expired(void *data);


member_t *
member_open(const place_t *place, const member_conf_t *conf)
{
    member_t  *m;

    m = calloc(1, sizeof(*m));

    if (m == NULL) {
        return NULL;
    }

    m->conf = conf;
    m->name = strdup(place->name);
    m->address = strdup(place->address);
    m->keep.handler = member_expired;
    m->keep.data = m;

    if (m->name == NULL || m->address == NULL) {
        member_close(m);
        return NULL;
    }

    return m;
}


int
member_ask(member_t *m, ask_t *ask)
{
    if (ask_start(ask, m->address, "/targets?connected", member_targets, m)
        == -1)
    {
        return -1;
    }

    m->ask = ask;
    m->asks++;

    return 0;
}


static void
member_targets(void *data, long status, str_t body, reason_t why)
{
    ask_t     *ask;
    member_t  *m = data;

    ask = m->ask;
    m->ask = NULL;

    if (status == 404 && m->conf->clients
        && ask_start(ask, m->address, "/clients", member_clients, m) == 0)
    {
        m->ask = ask;
        return;
    }

    member_said(m, 0, status, body, why);
}


static void
member_clients(void *data, long status, str_t body, reason_t why)
{
    member_t  *m = data;

    m->ask = NULL;

    member_said(m, 1, status, body, why);
}


static void
member_said(member_t *m, int pushprox, long status, str_t body, reason_t why)
{
    if (status == 200) {
        member_read(m, pushprox, body);

    } else if (status == 404 && pushprox) {
        member_failed(m, "status 404 for /targets, and for /clients");

    } else if (status) {
        member_status(m, status, body);

    } else {
        member_failed(m, why);
    }

    m->asked = 1;
    m->conf->told(m);
}


static void
member_read(member_t *m, int pushprox, str_t body)
{
    int        rc;
    list_t     list;
    reader_t   reader;
    reason_t   why;

    reader.address = m->address;
    reader.replica = m->conf->once ? NULL : m->name;

    rc = pushprox ? reader_clients(&reader, body, &list, why)
                  : reader_targets(&reader, body, &list, why);

    if (rc == -1) {
        member_failed(m, why);
        return;
    }

    list_free(&m->list);
    m->list = list;
    m->pushprox = pushprox;

    member_answered(m);
}


/* an error of a proxy is one line that says what is wrong */

static void
member_status(member_t *m, long status, str_t body)
{
    size_t     len;
    reason_t   why;

    for (len = 0; len < body.len && len < MEMBER_SAID; len++) {
        if (body.start[len] < ' ' || body.start[len] > '~') {
            break;
        }
    }

    (void) reason(why, "status %ld%s%.*s", status, len ? ": " : "",
                  (int) len, len ? body.start : "");

    member_failed(m, why);
}


static void
member_failed(member_t *m, const char *why)
{
    m->failures++;

    if (m->failing) {
        log_line(LOG_DEBUG, "a proxy still fails", "proxy", m->name, "err",
                 why, NULL);
        return;
    }

    m->failing = 1;

    log_line(LOG_WARN, "a proxy has failed to list its targets",
             "proxy", m->name, "address", m->address, "err", why, NULL);

    loop_set(&m->keep, m->conf->keep);
}


static void
member_answered(member_t *m)
{
    char              n[32];
    struct timespec   now;

    (void) clock_gettime(CLOCK_REALTIME, &now);

    m->answered = (double) now.tv_sec + (double) now.tv_nsec / 1e9;

    if (m->failing || !m->known) {
        (void) snprintf(n, sizeof(n), "%zu", m->list.n);

        log_line(LOG_INFO, m->failing ? "a proxy lists its targets again"
                                      : "a proxy lists its targets",
                 "proxy", m->name, "address", m->address, "targets", n, NULL);
    }

    m->failing = 0;
    m->known = 1;

    loop_unset(&m->keep);
}


static void
member_expired(void *data)
{
    member_t  *m = data;

    log_line(LOG_WARN, "the list of a proxy is dropped, as it has failed for"
             " too long", "proxy", m->name, NULL);

    list_free(&m->list);
    m->known = 1;

    m->conf->dropped(m);
}


void
member_close(member_t *m)
{
    if (m->ask) {
        ask_stop(m->ask);
    }

    loop_unset(&m->keep);
    list_free(&m->list);
    free(m->name);
    free(m->address);
    free(m);
}
