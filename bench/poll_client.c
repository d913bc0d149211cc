/*
 * Clients: each holds a poll, as PushProx's does, and asks again as soon as it
 * has got a scrape.  A push goes by a connection of the client's own, which is
 * opened when there is none that is idle, and kept: a client that is scraped
 * has one for polls and one for pushes, as the real ones have by the pools of
 * Go and of libcurl.  One that is never scraped has its poll alone.
 */


#define _GNU_SOURCE

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include "poll.h"


static void poll_held_open(poll_conn_t *c);
static void poll_held_later(poll_conn_t *c, double delay);
static void poll_held_send(poll_conn_t *c);
static void poll_held_as(poll_conn_t *c, const char *name);
static void poll_held_request(poll_conn_t *c, const char *text);
static poll_conn_t *poll_push_conn(unsigned number);
static void poll_push_idle(poll_conn_t *c);


static poll_conn_t   *poll_held;      /* as many as there are clients */
static poll_conn_t  **poll_idle;      /* by client: connections for pushes */
static poll_conn_t   *poll_pushing[256];


void
poll_clients_start(unsigned first, unsigned last)
{
    unsigned  i;

    if (poll_held == NULL) {
        poll_held = calloc(poll_options.clients, sizeof(poll_conn_t));
        poll_idle = calloc(poll_options.clients, sizeof(poll_conn_t *));

        if (poll_held == NULL || poll_idle == NULL) {
            perror("poll: calloc()");
            exit(1);
        }
    }

    for (i = first; i < last; i++) {
        poll_held[i].fd = -1;
        poll_held[i].kind = POLL_HELD;
        poll_held[i].number = i;
        poll_held_open(&poll_held[i]);
    }
}


static void
poll_held_open(poll_conn_t *c)
{
    c->retry = 0;

    if (poll_connect(c) == -1) {
        poll_held_later(c, 0.2);
        return;
    }

    poll_held_send(c);
}


static void
poll_held_later(poll_conn_t *c, double delay)
{
    poll_close(c, 0);
    c->retry = poll_now() + delay;
}


void
poll_clients_retry(double now)
{
    unsigned  i;

    for (i = 0; i < poll_options.clients; i++) {
        if (poll_held[i].retry != 0 && poll_held[i].retry < now) {
            poll_held_open(&poll_held[i]);
        }
    }
}


static void
poll_held_send(poll_conn_t *c)
{
    char  name[POLL_NAME];

    (void) snprintf(name, sizeof(name), "c%05u", c->number);

    poll_held_as(c, name);
}


static void
poll_held_as(poll_conn_t *c, const char *name)
{
    int    len;
    char  *text;

    len = asprintf(&text, "POST /poll HTTP/1.1\r\n"
                   "Host: proxy:8080\r\n"
                   "User-Agent: Go-http-client/1.1\r\n"
                   "Content-Length: %zu\r\n"
                   "Content-Type: \r\n"
                   "Accept-Encoding: gzip\r\n\r\n%s", strlen(name), name);

    (void) poll_send(c, text, len, NULL, 0, 0);
}


void
poll_held_event(poll_conn_t *c, uint32_t events)
{
    int      status;
    size_t   length;
    ssize_t  header;

    (void) events;

    header = poll_header(c, &status, &length);

    if (header == 0) {
        return;
    }

    if (header == -1) {

        /* a connection that was kept may end between two polls */

        poll_held_later(c, 0.02);
        return;
    }

    if (length == (size_t) -1 || header + length > POLL_BUFFER) {
        poll_counts.polls++;
        poll_say("a poll's answer without a length: %.200s", c->in);
        poll_held_later(c, 0.2);
        return;
    }

    if (c->in_len < header + length) {
        return;
    }

    c->in[header + length] = '\0';
    c->kept = 1;

    if (status == 200) {
        poll_held_request(c, c->in + header);

    } else if (status != 204) {
        poll_counts.polls++;
        poll_say("a poll was refused: %.200s", c->in);
        poll_held_later(c, 0.2);
        return;
    }

    free(c->in);
    c->in = NULL;
    c->in_len = 0;

    if (status == 204) {

        /* its worker may be leaving */

        poll_held_later(c, 0);
        return;
    }

    poll_held_send(c);
}


static void
poll_held_request(poll_conn_t *c, const char *text)
{
    int                  len;
    char                *head, *body, name[POLL_NAME], id[64];
    size_t               size, head_len, offset;
    unsigned             number;
    const char          *line;
    poll_conn_t         *push;
    unsigned long long   seq;

    line = strcasestr(text, "\r\nId: ");

    if (sscanf(text, "GET http://c%05u:9100/metrics?seq=%llx&size=%zu HTTP/",
               &number, &seq, &size) != 3
        || line == NULL || sscanf(line, "\r\n%*[^:]: %63[^\r]", id) != 1)
    {
        poll_counts.polls++;
        poll_say("a poll was answered with no scrape: %.400s", text);
        return;
    }

    if (number != c->number) {
        poll_counts.wrong++;
        poll_say("client %u was handed: %.200s", c->number, text);
        return;
    }

    push = poll_push_conn(number);
    if (push == NULL) {
        return;
    }

    head = malloc(1024 + POLL_RECORD);
    if (head == NULL) {
        return;
    }

    (void) snprintf(name, sizeof(name), "c%05u", number);

    /* the first record is this scrape's in any case */

    len = snprintf(head + 512, 512, "HTTP/1.1 200 OK\r\n"
                   "Content-Length: %zu\r\n"
                   "Content-Type: text/plain; version=0.0.4\r\n"
                   "Id: %s\r\n"
                   "X-Prometheus-Scrape-Timeout: 9.999267\r\n\r\n", size, id);

    head_len = snprintf(head, 512, "POST /push HTTP/1.1\r\n"
                        "Host: proxy:8080\r\n"
                        "User-Agent: Go-http-client/1.1\r\n"
                        "Content-Length: %zu\r\n"
                        "Accept-Encoding: gzip\r\n\r\n", len + size);

    memmove(head + head_len, head + 512, len);
    head_len += len;
    poll_record(head + head_len, number, seq, 0);
    head_len += POLL_RECORD;

    if (!poll_options.check) {
        (void) poll_send(push, head, head_len, poll_options.static_body,
                         size - POLL_RECORD, 0);
        return;
    }

    body = malloc(size);
    if (body == NULL) {
        free(head);
        poll_close(push, 0);
        return;
    }

    for (offset = POLL_RECORD; offset < size; offset += POLL_RECORD) {
        poll_record(body + offset - POLL_RECORD, number, seq, offset);
    }

    (void) poll_send(push, head, head_len, body, size - POLL_RECORD, 1);
}


/* the one that was used last, as both pools have it */

static poll_conn_t *
poll_push_conn(unsigned number)
{
    poll_conn_t  *c;

    c = poll_idle[number];

    if (c) {
        poll_idle[number] = c->next;

    } else {
        c = calloc(1, sizeof(poll_conn_t));
        if (c == NULL) {
            return NULL;
        }

        c->fd = -1;
        c->kind = POLL_PUSH;
        c->number = number;
    }

    if (c->fd == -1 && poll_connect(c) == -1) {
        poll_push_idle(c);
        return NULL;
    }

    /* one that may be broken while it pushes */

    poll_pushing[rand() % 256] = c;

    return c;
}


static void
poll_push_idle(poll_conn_t *c)
{
    c->next = poll_idle[c->number];
    poll_idle[c->number] = c;
}


void
poll_push_event(poll_conn_t *c, uint32_t events)
{
    int       status;
    size_t    length;
    ssize_t   header;
    unsigned  busy;

    (void) events;

    header = poll_header(c, &status, &length);

    if (header == 0) {
        return;
    }

    busy = c->busy;

    if (header == -1) {
        poll_close(c, 0);

        /* an idle one is in its list, and stays there */

        if (busy) {
            poll_push_idle(c);
        }

        return;
    }

    if (length != (size_t) -1 && c->in_len < header + length) {
        return;
    }

    if (status != 200) {
        poll_counts.pushes++;
        poll_say("a push was refused: %.*s", (int) c->in_len, c->in);
    }

    /* an answer before the push was whole: the rest goes nowhere */

    if (status != 200 || c->out[0].iov_len + c->out[1].iov_len) {
        poll_close(c, 0);
    }

    free(c->in);
    c->in = NULL;
    c->in_len = 0;

    if (busy) {
        c->busy = 0;
        poll_push_idle(c);
    }
}


/* a client dies, or loses a connection: held, or halfway in a push */

void
poll_client_break(unsigned random)
{
    poll_conn_t  *c;

    if (random & 1) {
        c = poll_pushing[(random >> 8) % 256];

        if (c == NULL || c->fd == -1 || !c->busy) {
            return;
        }

        poll_close(c, random & 2);
        poll_push_idle(c);

        return;
    }

    c = &poll_held[(random >> 8) % poll_options.clients];

    if (c->fd != -1) {
        poll_close(c, random & 2);
        c->retry = poll_now() + (random >> 4) % 16 * 0.05;
    }
}


/* clients of ever new names: each is gone again as soon as it polls */

void
poll_clients_vanish(uint64_t count)
{
    char                name[POLL_NAME];
    unsigned            i, n;
    poll_conn_t        *c;

    static uint64_t     number;
    static poll_conn_t  conns[200];

    while (count) {
        n = count < 200 ? count : 200;

        for (i = 0; i < n; i++) {
            c = &conns[i];
            memset(c, 0, sizeof(poll_conn_t));
            c->fd = -1;
            c->kind = POLL_HELD;

            (void) snprintf(name, sizeof(name), "v%010llu",
                            (unsigned long long) number++);

            while (poll_connect(c) == -1) {
                (void) poll_wait(20);
            }

            poll_held_as(c, name);
        }

        while (poll_wait(2) > 0) { /* void */ }

        /* a port whose connection isn't reset can't be used for a minute */

        for (i = 0; i < n; i++) {
            poll_close(&conns[i], i % 32);
        }

        count -= n;
    }
}
