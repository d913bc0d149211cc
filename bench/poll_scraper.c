/*
 * Scrapers: as Prometheus with a proxy_url, absolute URIs on connections that
 * are kept.  These are a job's: the next scrape, of whatever target, goes by
 * the one that was used last, as by Go's http.Transport, for which all targets
 * behind a proxy are one place.  Each answer is looked at: it must be the
 * target's, and of the scrape that asked for it.
 */


#define _GNU_SOURCE

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include "client.h"
#include "poll.h"


static void poll_scrape_send(poll_conn_t *c);
static int poll_scrape_header(poll_conn_t *c);
static int poll_scrape_body(poll_conn_t *c, const char *buf, size_t len);
static void poll_scrape_wrong(poll_conn_t *c, const char *what);
static void poll_scrape_end(poll_conn_t *c, uint64_t *counter);
static void poll_scrape_finish(poll_conn_t *c);


static poll_conn_t  *poll_scrapers;
static poll_conn_t  *poll_free;
static unsigned      poll_connections;
static unsigned      poll_most;       /* of them at once */
static unsigned      poll_names;
static double        poll_interval, poll_due, poll_begin, poll_last;
static double       *poll_took;
static uint64_t      poll_seq;


void
poll_scrape_start(uint64_t count, double rate, unsigned connections,
    unsigned names)
{
    unsigned  i;

    free(poll_took);
    poll_took = calloc(count, sizeof(double));

    if (poll_took == NULL) {
        perror("poll: calloc()");
        exit(1);
    }

    if (connections > poll_connections) {

        for (i = 0; i < poll_connections; i++) {
            poll_close(&poll_scrapers[i], 0);
        }

        free(poll_scrapers);
        poll_scrapers = calloc(connections, sizeof(poll_conn_t));

        if (poll_scrapers == NULL) {
            perror("poll: calloc()");
            exit(1);
        }

        poll_free = NULL;
        poll_connections = connections;

        for (i = 0; i < connections; i++) {
            poll_scrapers[i].fd = -1;
            poll_scrapers[i].kind = POLL_SCRAPE;
            poll_scrapers[i].number = i;
            poll_scrapers[i].next = poll_free;
            poll_free = &poll_scrapers[i];
        }
    }

    memset(&poll_counts, 0, sizeof(poll_counts));

    poll_names = names;
    poll_most = connections;
    poll_interval = rate > 0 ? 1 / rate : 0;
    poll_begin = poll_due = poll_last = poll_now();
    poll_counts.left = count;
}


/* starts what is due, and gives up what should long have been answered */

void
poll_scrape_tick(double now)
{
    unsigned      i;
    poll_conn_t  *c;

    while (poll_counts.left && poll_free && poll_counts.running < poll_most
           && now >= poll_due)
    {
        c = poll_free;

        if (c->fd == -1 && poll_connect(c) == -1) {
            break;
        }

        poll_free = c->next;
        poll_counts.left--;
        poll_counts.running++;

        c->seq = poll_seq++;
        c->name = (unsigned) (c->seq * CLIENT_STEP % poll_names);
        c->start = now;
        c->size = poll_options.bytes;

        if (poll_options.check) {
            c->size = (1 + rand() % (c->size / POLL_RECORD)) * POLL_RECORD;
        }

        poll_due = poll_interval ? poll_due + poll_interval : now;
        poll_scrape_send(c);
    }

    if (now < poll_last + 0.25) {
        return;
    }

    poll_last = now;

    for (i = 0; i < poll_connections; i++) {
        c = &poll_scrapers[i];

        if (c->busy && now > c->start + poll_options.timeout + 2) {
            poll_say("no answer in %u s: c%05u, scrape %llx",
                     poll_options.timeout + 2, c->name,
                     (unsigned long long) c->seq);
            poll_scrape_end(c, &poll_counts.stuck);
        }
    }
}


static void
poll_scrape_send(poll_conn_t *c)
{
    int    len;
    char  *text;

    c->status = 0;
    c->got = 0;

    len = asprintf(&text, "GET http://c%05u:9100/metrics?seq=%llx&size=%zu "
                   "HTTP/1.1\r\n"
                   "Host: c%05u:9100\r\n"
                   "User-Agent: Prometheus/2.53.3\r\n"
                   "Accept: application/openmetrics-text;version=1.0.0;"
                   "q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
                   "text/plain;version=0.0.4;q=0.3,*/*;q=0.2\r\n"
                   "Accept-Encoding: gzip\r\n"
                   "X-Prometheus-Scrape-Timeout-Seconds: %u\r\n\r\n",
                   c->name, (unsigned long long) c->seq, c->size, c->name,
                   poll_options.timeout);

    (void) poll_send(c, text, len, NULL, 0, 0);
}


void
poll_scrape_event(poll_conn_t *c, uint32_t events)
{
    ssize_t      n;
    static char  buf[262144];

    (void) events;

    if (c->status == 0) {
        if (poll_scrape_header(c)) {
            return;
        }

    } else {
        n = c->size - c->got;

        /* what is known to be there is thrown away unread, but for checks */

        if (!poll_options.check) {
            n = recv(c->fd, NULL, n, MSG_TRUNC);

        } else {
            n = recv(c->fd, buf,
                     (size_t) n < sizeof(buf) ? (size_t) n : sizeof(buf), 0);
        }

        if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }

        if (n <= 0) {
            poll_scrape_end(c, &poll_counts.broken);
            return;
        }

        if (poll_options.check && c->status == 200
            && poll_scrape_body(c, buf, n))
        {
            return;
        }

        c->got += n;
    }

    if (c->got == c->size) {
        poll_scrape_finish(c);
    }
}


/* returns 1 if there is nothing more to do now */

static int
poll_scrape_header(poll_conn_t *c)
{
    size_t   length, part;
    ssize_t  header;

    header = poll_header(c, &c->status, &length);

    if (header == -1) {
        c->status = 0;

        if (!c->busy) {
            poll_close(c, 0);
            return 1;
        }

        /* a connection that was kept has ended: as Go's client, once more */

        if (c->kept && c->in_len == 0) {
            poll_close(c, 0);

            if (poll_connect(c) == 0) {
                poll_scrape_send(c);
                return 1;
            }
        }

        poll_scrape_end(c, &poll_counts.broken);
        return 1;
    }

    if (header == 0) {
        return 1;
    }

    if (length == (size_t) -1 || !c->busy) {
        poll_scrape_wrong(c, "no length");
        return 1;
    }

    part = c->in_len - header;

    if (c->status != 200) {

        if (poll_counts.codes[c->status]++ == 0) {
            poll_say("c%05u: %.300s", c->name, c->in);
        }

        c->size = length;

    } else if (length != c->size) {
        poll_scrape_wrong(c, "another length");
        return 1;

    } else if (part < POLL_RECORD) {
        c->status = 0;
        return 1;

    } else if (poll_scrape_body(c, c->in + header,
                                poll_options.check ? part : POLL_RECORD))
    {
        return 1;
    }

    if (part > c->size) {
        poll_scrape_wrong(c, "more than its length");
        return 1;
    }

    c->got = part;

    free(c->in);
    c->in = NULL;
    c->in_len = 0;

    return 0;
}


static int
poll_scrape_body(poll_conn_t *c, const char *buf, size_t len)
{
    char    record[POLL_RECORD];
    size_t  done, at, n;

    for (done = 0; done < len; done += n) {
        at = (c->got + done) % POLL_RECORD;
        n = POLL_RECORD - at;

        if (n > len - done) {
            n = len - done;
        }

        poll_record(record, c->name, c->seq, c->got + done - at);

        if (memcmp(record + at, buf + done, n) != 0) {
            poll_say("wanted: %.64s\ngot: %.*s", record,
                     (int) (len - done < 64 ? len - done : 64), buf + done);
            poll_scrape_wrong(c, "another body");
            return 1;
        }
    }

    return 0;
}


static void
poll_scrape_wrong(poll_conn_t *c, const char *what)
{
    poll_say("c%05u, scrape %llx: %s", c->name, (unsigned long long) c->seq,
             what);
    poll_scrape_end(c, &poll_counts.wrong);
}


static void
poll_scrape_end(poll_conn_t *c, uint64_t *counter)
{
    (*counter)++;
    poll_close(c, 0);
    poll_counts.running--;

    c->next = poll_free;
    poll_free = c;
}


static void
poll_scrape_finish(poll_conn_t *c)
{
    if (c->status == 200) {
        poll_took[poll_counts.done++] = (poll_now() - c->start) * 1e6;

    } else {
        poll_counts.refused++;
    }

    c->busy = 0;
    c->kept = 1;
    c->status = 0;
    poll_counts.running--;

    c->next = poll_free;
    poll_free = c;
}


/* a scraper gives up, which is no failure */

void
poll_scrape_break(unsigned random)
{
    poll_conn_t  *c;

    if (poll_connections == 0) {
        return;
    }

    c = &poll_scrapers[random % poll_connections];

    if (c->busy) {
        poll_close(c, random >> 16 & 1);
        poll_counts.running--;

        c->next = poll_free;
        poll_free = c;
    }
}


void
poll_scrape_report(void)
{
    double    median, p99, max;
    unsigned  i;
    uint64_t  n;

    n = poll_counts.done;
    median = p99 = max = 0;

    if (n) {
        qsort(poll_took, n, sizeof(double), client_compare);
        median = poll_took[n / 2];
        p99 = poll_took[(size_t) (n * 0.99)];
        max = poll_took[n - 1];
    }

    printf("done=%llu refused=%llu broken=%llu wrong=%llu stuck=%llu "
           "polls=%llu pushes=%llu seconds=%.3f median=%.0f p99=%.0f max=%.0f",
           (unsigned long long) n, (unsigned long long) poll_counts.refused,
           (unsigned long long) poll_counts.broken,
           (unsigned long long) poll_counts.wrong,
           (unsigned long long) poll_counts.stuck,
           (unsigned long long) poll_counts.polls,
           (unsigned long long) poll_counts.pushes,
           poll_now() - poll_begin, median, p99, max);

    for (i = 0; i < 600; i++) {
        if (poll_counts.codes[i]) {
            printf(" %u=%u", i, poll_counts.codes[i]);
        }
    }

    printf("\n");
    fflush(stdout);
}
