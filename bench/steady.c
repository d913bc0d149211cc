/*
 * A steady load: steady PORT PATH RATE STATUS NAMES
 *
 * Sends RATE requests a second to 127.0.0.1:PORT, as load does, each when it
 * is due, however long the others take, on connections that are kept, at
 * least 16. SIGTERM ends it, once all of the answers are there.
 *
 * Prints the number of requests, how many of them failed (another status, no
 * whole answer, none within 10 seconds), and how long after a request was due
 * its answer was whole, in microseconds: "COUNT FAILED MEDIAN P99 MAX". The
 * first failure is told on stderr.
 */


#define _GNU_SOURCE

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "client.h"


#define STEADY_CONNECTIONS  1024
#define STEADY_FIRST        16
#define STEADY_TIMEOUT      10e6      /* microseconds */


typedef struct {
    int               fd;             /* -1: closed */
    int               busy;
    double            due;
    size_t            len;            /* of what was read of the answer */
    client_answer_t   answer;
    char              buf[CLIENT_HEADER_MAX + 1];
} steady_connection_t;


static void start(double due);
static void ready(steady_connection_t *c);
static void done(steady_connection_t *c, const char *failure);
static void stop(int signo);


static steady_connection_t    connections[STEADY_CONNECTIONS];
static struct pollfd          polled[STEADY_CONNECTIONS];
static int                    port, status;
static unsigned               names, sent, failed, busy, next;
static const char            *path;
static double                *took;
static size_t                 count, room;
static volatile sig_atomic_t  stopped;


int
main(int argc, char **argv)
{
    int               i;
    double            due, now, rate, wait;
    struct timespec   ts;
    struct sigaction  action;

    if (argc != 6) {
        fprintf(stderr, "usage: steady PORT PATH RATE STATUS NAMES\n");
        return 2;
    }

    port = atoi(argv[1]);
    path = argv[2];
    rate = atof(argv[3]);
    status = atoi(argv[4]);
    names = atoi(argv[5]);

    if (rate <= 0 || names == 0) {
        fprintf(stderr, "steady: RATE and NAMES are 1 or more\n");
        return 2;
    }

    memset(&action, 0, sizeof(action));
    action.sa_handler = stop;
    sigaction(SIGTERM, &action, NULL);

    for (i = 0; i < STEADY_CONNECTIONS; i++) {
        connections[i].fd = (i < STEADY_FIRST) ? client_connect(port) : -1;
    }

    due = client_now();

    while (!stopped || busy) {
        now = client_now();

        while (!stopped && due <= now) {
            start(due);
            due += 1e6 / rate;
        }

        for (i = 0; i < STEADY_CONNECTIONS; i++) {
            if (connections[i].busy
                && now - connections[i].due > STEADY_TIMEOUT)
            {
                done(&connections[i], "no answer within 10 seconds");
            }

            /* one that is idle is looked at as well: nginx may close it */

            polled[i].fd = connections[i].fd;
            polled[i].events = POLLIN;
            polled[i].revents = 0;
        }

        wait = stopped ? 100000 : due - now;

        ts.tv_sec = (time_t) (wait / 1e6);
        ts.tv_nsec = (long) (wait * 1e3) % 1000000000;

        if (ppoll(polled, STEADY_CONNECTIONS, &ts, NULL) == -1
            && errno != EINTR)
        {
            perror("steady: ppoll");
            return 1;
        }

        for (i = 0; i < STEADY_CONNECTIONS; i++) {
            if (polled[i].revents && connections[i].fd != -1) {
                ready(&connections[i]);
            }
        }
    }

    if (count == 0) {
        printf("%u %u 0 0 0\n", sent, failed);
        return 0;
    }

    qsort(took, count, sizeof(double), client_compare);

    printf("%u %u %.1f %.1f %.1f\n", sent, failed, took[count / 2],
           took[(size_t) (count * 0.99)], took[count - 1]);

    return 0;
}


/* on an open connection, each in turn, so that all workers have their share */

static void
start(double due)
{
    unsigned              i, number;
    steady_connection_t  *c, *closed;

    c = NULL;
    closed = NULL;

    for (i = 0; i < STEADY_CONNECTIONS; i++) {
        next = (next + 1) % STEADY_CONNECTIONS;
        c = &connections[next];

        if (c->fd != -1 && !c->busy) {
            break;
        }

        if (c->fd == -1 && closed == NULL) {
            closed = c;
        }

        c = NULL;
    }

    number = (unsigned) ((unsigned long long) sent * CLIENT_STEP % names);
    sent++;

    if (c == NULL) {
        c = closed;

        if (c == NULL) {
            failed++;
            fprintf(stderr, "steady: all connections are busy\n");
            return;
        }

        c->fd = client_connect(port);
    }

    c->busy = 1;
    c->due = due;
    c->len = 0;
    c->answer.header = 0;
    busy++;

    if (c->fd == -1 || client_request(c->fd, path, number) == -1) {
        done(c, "no connection");
    }
}


static void
ready(steady_connection_t *c)
{
    int      rc;
    ssize_t  n;

    static char  sink[262144];

    if (c->answer.header == 0 && c->busy) {
        n = recv(c->fd, c->buf + c->len, CLIENT_HEADER_MAX - c->len,
                 MSG_DONTWAIT);

    } else {
        n = recv(c->fd, sink, sizeof(sink), MSG_DONTWAIT);
    }

    if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }

    if (n <= 0 || !c->busy) {
        if (c->busy) {
            done(c, "the connection ended before the answer did");

        } else {
            close(c->fd);
            c->fd = -1;
        }

        return;
    }

    c->len += n;

    if (c->answer.header == 0) {
        c->buf[c->len] = '\0';

        rc = client_answer(c->buf, &c->answer);

        if (rc == -1 || (rc == 0 && c->len == CLIENT_HEADER_MAX)) {
            done(c, "an answer without a length");
            return;
        }

        if (rc == 0) {
            return;
        }
    }

    if (c->len < c->answer.header + c->answer.body) {
        return;
    }

    done(c, c->answer.status == status ? NULL : c->buf);
}


static void
done(steady_connection_t *c, const char *failure)
{
    double  *more;

    c->busy = 0;
    busy--;

    if (failure) {
        if (failed++ == 0) {
            fprintf(stderr, "steady: %s\n", failure);
        }

        if (c->fd != -1) {
            close(c->fd);
            c->fd = -1;
        }

        return;
    }

    if (count == room) {
        room = room ? room * 2 : 65536;
        more = realloc(took, room * sizeof(double));

        if (more == NULL) {
            fprintf(stderr, "steady: no memory\n");
            exit(1);
        }

        took = more;
    }

    took[count++] = client_now() - c->due;

    if (c->answer.closed) {
        close(c->fd);
        c->fd = -1;
    }
}


static void
stop(int signo)
{
    (void) signo;

    stopped = 1;
}
