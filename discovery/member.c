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


static int member_ask_for(member_t *m, ask_t *ask, member_page_e page);
static void member_told(void *data, long status, str_t body, reason_t why);
static member_page_e member_instead(const member_t *m, long status);
static void member_read(member_t *m, str_t body, const char *etag);
static void member_status(member_t *m, long status, str_t body);
static void member_failed(member_t *m, const char *why);
static void member_answered(member_t *m);
static void member_expired(void *data);


/* an older proxy refuses the first, and a PushProx proxy has the last only */

static const char *const  member_pages[] = {
    "/targets?connected", "/targets", "/clients"
};


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
    if (member_ask_for(m, ask, MEMBER_CONNECTED) == -1) {
        return -1;
    }

    m->asks++;

    return 0;
}


static int
member_ask_for(member_t *m, ask_t *ask, member_page_e page)
{
    const char  *etag;

    /* whose list isn't known any more, or is another page's, asks for it */

    etag = page == MEMBER_CONNECTED ? m->etag : "";

    if (ask_start(ask, m->address, member_pages[page], etag, member_told, m)
        == -1)
    {
        return -1;
    }

    m->ask = ask;
    m->page = page;

    return 0;
}


static void
member_told(void *data, long status, str_t body, reason_t why)
{
    ask_t          *ask;
    member_t       *m = data;
    member_page_e   page;

    ask = m->ask;
    m->ask = NULL;

    page = member_instead(m, status);

    if (page != m->page && member_ask_for(m, ask, page) == 0) {
        return;
    }

    if (status == 200) {
        member_read(m, body, ask->etag);

    } else if (status == 304 && m->page == MEMBER_CONNECTED && m->etag[0]) {
        member_answered(m);

    } else if (status) {
        member_status(m, status, body);

    } else {
        member_failed(m, why);
    }

    m->asked = 1;
    m->conf->told(m);
}


static member_page_e
member_instead(const member_t *m, long status)
{
    if (m->page == MEMBER_CONNECTED && status == 400) {
        return MEMBER_TARGETS;
    }

    if (m->page == MEMBER_CONNECTED && status == 404 && m->conf->clients) {
        return MEMBER_CLIENTS;
    }

    return m->page;
}


static void
member_read(member_t *m, str_t body, const char *etag)
{
    int        rc;
    list_t     list;
    reader_t   reader;
    reason_t   why;

    reader.address = m->address;
    reader.replica = m->conf->once ? NULL : m->name;

    rc = m->page == MEMBER_CLIENTS
         ? reader_clients(&reader, body, &list, why)
         : reader_targets(&reader, body, &list, why);

    if (rc == -1) {
        member_failed(m, why);
        return;
    }

    list_free(&m->list);
    m->list = list;

    m->etag[0] = '\0';

    if (m->page == MEMBER_CONNECTED) {
        memcpy(m->etag, etag, strlen(etag) + 1);
    }

    m->pushprox = m->page == MEMBER_CLIENTS;

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

    (void) reason(why, "%s: status %ld%s%.*s", member_pages[m->page],
                  status, len ? ": " : "", (int) len, len ? body.start : "");

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
    m->etag[0] = '\0';
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
