/*
 * The command that serves enrolment, behind nginx: one loop, in which nobody
 * waits for another one.
 */


#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "confine.h"
#include "enrol.h"
#include "enrol_sync.h"
#include "log.h"
#include "loop.h"
#include "signals.h"


#define ENROL_CONNECTIONS  256        /* others wait in the kernel's queue */
#define ENROL_READ         10000      /* ms for a request */
#define ENROL_DECIDE       5000       /* ms, while the files are locked */
#define ENROL_SYNC         5000       /* ms until it is in effect */
#define ENROL_WRITE        10000      /* ms to take the answer */
#define ENROL_AGAIN        20         /* ms between looks at what is waited
                                         for */
#define ENROL_REST         1000       /* ms, when there is no descriptor */
#define ENROL_IN           (REQUEST_HEADER + REQUEST_BODY + 4)

#define ENROL_LATE                                                            \
    "enrolled, but not in effect at the proxy yet; ask again with the same "  \
    "key, or see the proxy's log"
#define ENROL_LOCKED                                                          \
    "the proxy's files are in use; ask again"


typedef enum {
    CONNECTION_READ = 0,
    CONNECTION_DECIDE,
    CONNECTION_SYNC,
    CONNECTION_WRITE,
    CONNECTION_SPARE                  /* an event of it may still come */
} connection_e;

typedef struct connection_s  connection_t;

struct connection_s {
    connection_t        *next;        /* in the list of its state */
    connection_e         state;
    loop_event_t         ev;
    loop_timer_t         timer;
    enrol_t              enrol;
    buffer_t             out;         /* the whole answer */
    size_t               sent;
    size_t               len;
    char                 in[ENROL_IN + 1];
};


static int server_run(void);
static void server_signal(int signo);
static int server_listen(const char *path);
static void server_close(void);
static void server_event(void *data, uint32_t events);
static void server_rested(void *data);
static void server_accept(int fd);
static void server_look(void *data);
static void server_decide(void *data);
static void server_sync(void);
static void server_answer(uint64_t change);

static void connection_event(void *data, uint32_t events);
static int connection_read(connection_t *c);
static void connection_request(connection_t *c);
static void connection_list(connection_t *c, connection_e state, int msec);
static void connection_unlist(connection_t *c);
static void connection_answer(connection_t *c);
static const char *connection_status(int status);
static int connection_write(connection_t *c);
static void connection_expired(void *data);
static void connection_end(connection_t *c);


static const wireguard_options_t  *server_options;
static const char                 *server_dir;
static const char                 *server_path;
static const char                 *server_sync_path;

static loop_event_t   server_ev = { -1, server_event, NULL };
static loop_timer_t   server_timer = { .handler = server_look };
static loop_timer_t   server_rest = { .handler = server_rested };
static loop_work_t    server_work = { .handler = server_decide };

static unsigned       server_count;
static connection_t  *server_lists[CONNECTION_SPARE + 1];


int
wireguard_enrol(const wireguard_options_t *options, int argc, char **argv)
{
    int            rc;
    struct rlimit  none;

    (void) argc;

    server_options = options;
    server_dir = argv[0];
    server_path = argv[1];
    server_sync_path = argv[2];

    if (options->host == NULL || !wireguard_is_host(options->host)) {
        fprintf(stderr, WIREGUARD " enrol: --host is not the name or address "
                "that nodes reach the proxy by, without a port or []\n");
        return WIREGUARD_USAGE;
    }

    /* keys are in no core */

    memset(&none, 0, sizeof(none));
    (void) setrlimit(RLIMIT_CORE, &none);

    if (confine(WIREGUARD) == -1) {
        return WIREGUARD_FAILED;
    }

    if (faccessat(AT_FDCWD, server_dir, W_OK, AT_EACCESS) == -1) {
        log_line(LOG_ERROR, "nobody can enrol, as the directory can't be "
                 "written by root without capabilities; chown it to root",
                 "dir", server_dir, "err", strerror(errno), NULL);
    }

    rc = server_run();

    server_close();

    return rc == 0 ? WIREGUARD_OK : WIREGUARD_FAILED;
}


static int
server_run(void)
{
    if (loop_open() == -1 || signals_open(0, server_signal) == -1
        || server_listen(server_path) == -1
        || loop_add(&server_ev, EPOLLIN) == -1)
    {
        log_line(LOG_ERROR, "can't serve", "socket", server_path, "err",
                 strerror(errno), NULL);
        return -1;
    }

    log_line(LOG_INFO, "serving enrolment", "socket", server_path, NULL);

    if (loop_run() == -1) {
        log_line(LOG_ERROR, "epoll", "err", strerror(errno), NULL);
        return -1;
    }

    return 0;
}


static void
server_signal(int signo)
{
    (void) signo;

    loop_end();
}


static int
server_listen(const char *path)
{
    int                  fd;
    struct stat          st;
    struct sockaddr_un   sun;

    memset(&sun, 0, sizeof(sun));
    sun.sun_family = AF_UNIX;

    if (strlen(path) >= sizeof(sun.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }

    memcpy(sun.sun_path, path, strlen(path));

    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
        (void) unlink(path);
    }

    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd == -1) {
        return -1;
    }

    server_ev.fd = fd;

    /* its directory says who may reach it */

    if (bind(fd, (struct sockaddr *) &sun, sizeof(sun)) == -1
        || chmod(path, 0666) == -1)
    {
        return -1;
    }

    return listen(fd, SOMAXCONN);
}


static void
server_close(void)
{
    int            i;
    connection_t  *c;

    loop_unset(&server_timer);
    loop_unset(&server_rest);

    for (i = 0; i < CONNECTION_SPARE; i++) {
        while (server_lists[i]) {
            connection_end(server_lists[i]);
        }
    }

    while (server_lists[CONNECTION_SPARE]) {
        c = server_lists[CONNECTION_SPARE];
        server_lists[CONNECTION_SPARE] = c->next;
        free(c);
    }

    if (server_ev.fd != -1) {
        (void) unlink(server_path);
        close(server_ev.fd);
    }

    signals_close();
}


static void
server_event(void *data, uint32_t events)
{
    int  fd;

    (void) data;
    (void) events;

    while (server_count < ENROL_CONNECTIONS) {
        fd = accept4(server_ev.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd != -1) {
            server_accept(fd);
            continue;
        }

        if (errno == EAGAIN) {
            return;
        }

        if (errno != ECONNABORTED && errno != EINTR) {
            log_line(LOG_ERROR, "nobody can connect for a second", "err",
                     strerror(errno), NULL);
            loop_set(&server_rest, ENROL_REST);
            break;
        }
    }

    (void) loop_change(&server_ev, 0);
}


static void
server_rested(void *data)
{
    (void) data;

    (void) loop_change(&server_ev, EPOLLIN);
}


static void
server_accept(int fd)
{
    connection_t  *c;

    c = server_lists[CONNECTION_SPARE];

    if (c) {
        server_lists[CONNECTION_SPARE] = c->next;

    } else {
        c = malloc(sizeof(connection_t));
    }

    if (c == NULL) {
        close(fd);
        return;
    }

    memset(c, 0, sizeof(connection_t));

    c->ev.fd = fd;
    c->ev.handler = connection_event;
    c->ev.data = c;
    c->timer.handler = connection_expired;
    c->timer.data = c;

    server_count++;

    c->next = server_lists[CONNECTION_READ];
    server_lists[CONNECTION_READ] = c;

    loop_set(&c->timer, ENROL_READ);

    if (loop_add(&c->ev, EPOLLIN) == -1) {
        connection_end(c);
    }
}


static void
connection_event(void *data, uint32_t events)
{
    connection_t  *c = data;

    if (c->state == CONNECTION_SPARE) {
        return;
    }

    if (c->state == CONNECTION_READ && (events & EPOLLIN)) {

        if (connection_read(c) == -1) {
            connection_end(c);
        }

        return;
    }

    if (c->state == CONNECTION_WRITE && (events & EPOLLOUT)) {

        if (connection_write(c) != 0) {
            connection_end(c);
        }

        return;
    }

    /* who has gone away is enrolled all the same, once that is decided */

    if (c->state == CONNECTION_DECIDE) {
        (void) loop_remove(&c->ev);

    } else if (events & (EPOLLHUP | EPOLLERR)) {
        connection_end(c);
    }
}


static int
connection_read(connection_t *c)
{
    ssize_t  n;

    n = recv(c->ev.fd, c->in + c->len, ENROL_IN - c->len, 0);

    if (n == -1) {
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    }

    if (n == 0) {
        return -1;
    }

    c->len += (size_t) n;
    c->in[c->len] = '\0';

    connection_request(c);

    return 0;
}


static void
connection_request(connection_t *c)
{
    int       status;
    reason_t  why;

    status = enrol_request_parse(&c->enrol.request, c->in, c->len, why);

    if (status == 0 && c->len == ENROL_IN) {
        status = 400;
        (void) reason(why, "the request has no end");
    }

    if (status == 0) {
        return;
    }

    explicit_bzero(c->in, sizeof(c->in));

    if (status != 200) {
        log_line(LOG_WARN, "not enrolled", "reason", why, NULL);
        enrol_tell(&c->enrol, status, why);
        connection_answer(c);
        return;
    }

    /* with all others that come now; no more of it is wanted */

    (void) loop_change(&c->ev, 0);
    connection_list(c, CONNECTION_DECIDE, ENROL_DECIDE);
    loop_later(&server_work);
}


static void
server_decide(void *data)
{
    enrol_t       *list;
    connection_t  *c, *next;

    (void) data;

    list = NULL;

    /* the one that came last is the first of the list */

    for (c = server_lists[CONNECTION_DECIDE]; c; c = c->next) {
        c->enrol.next = list;
        list = &c->enrol;
    }

    if (list == NULL) {
        return;
    }

    if (enrol_decide(server_options, server_dir, list)) {
        loop_set(&server_timer, ENROL_AGAIN);
        return;
    }

    for (c = server_lists[CONNECTION_DECIDE]; c; c = next) {
        next = c->next;

        if (c->enrol.status == 200) {
            connection_list(c, CONNECTION_SYNC, ENROL_SYNC);

        } else {
            connection_answer(c);
        }
    }

    server_sync();
}


static void
server_look(void *data)
{
    (void) data;

    loop_later(&server_work);
    server_sync();
}


/* answers those whose change is in effect */

static void
server_sync(void)
{
    uint64_t       change;
    connection_t  *c;

    if (server_lists[CONNECTION_SYNC] == NULL) {
        return;
    }

    change = 0;

    enrol_sync_read(server_sync_path);

    for (c = server_lists[CONNECTION_SYNC]; c; c = c->next) {
        if (c->enrol.change > change && enrol_sync_has(c->enrol.version)) {
            change = c->enrol.change;
        }
    }

    server_answer(change);

    /* another hand may have changed the file since */

    if (server_lists[CONNECTION_SYNC] && enrol_sync_is_current(server_dir)) {
        server_answer(UINT64_MAX);
    }

    if (server_lists[CONNECTION_SYNC]) {
        loop_set(&server_timer, ENROL_AGAIN);
    }
}


static void
server_answer(uint64_t change)
{
    connection_t  *c, *next;

    for (c = server_lists[CONNECTION_SYNC]; c; c = next) {
        next = c->next;

        if (c->enrol.change <= change) {
            connection_answer(c);
        }
    }
}


static void
connection_list(connection_t *c, connection_e state, int msec)
{
    connection_unlist(c);

    c->state = state;
    c->next = server_lists[state];
    server_lists[state] = c;

    loop_set(&c->timer, msec);
}


static void
connection_unlist(connection_t *c)
{
    connection_t  **p;

    for (p = &server_lists[c->state]; *p != c; p = &(*p)->next) {
        /* void */
    }

    *p = c->next;
}


static void
connection_answer(connection_t *c)
{
    buffer_t  *body;

    body = &c->enrol.answer;

    buffer_format(&c->out, "HTTP/1.0 %d %s\r\n"
                  "Content-Type: text/plain; charset=utf-8\r\n"
                  "Content-Length: %zu\r\n"
                  "Cache-Control: no-store\r\n"
                  "Connection: close\r\n\r\n", c->enrol.status,
                  connection_status(c->enrol.status), body->len);

    buffer_add(&c->out, body->start ? body->start : "", body->len);
    c->out.failed |= body->failed;

    connection_list(c, CONNECTION_WRITE, ENROL_WRITE);

    if (c->out.failed || loop_change(&c->ev, EPOLLOUT) == -1) {
        connection_end(c);
    }
}


static const char *
connection_status(int status)
{
    switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 409: return "Conflict";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    default:  return "Service Unavailable";
    }
}


/* 0: there is more to write; else it is done, or has failed */

static int
connection_write(connection_t *c)
{
    ssize_t  n;

    n = send(c->ev.fd, c->out.start + c->sent, c->out.len - c->sent,
             MSG_NOSIGNAL);

    if (n == -1) {
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    }

    c->sent += (size_t) n;

    return c->sent == c->out.len;
}


static void
connection_expired(void *data)
{
    connection_t  *c = data;

    if (c->state == CONNECTION_DECIDE) {
        enrol_tell(&c->enrol, 503, ENROL_LOCKED);
        connection_answer(c);
        return;
    }

    if (c->state == CONNECTION_SYNC) {
        log_line(LOG_WARN, "enrolled, but not in effect", "name",
                 c->enrol.request.name, NULL);
        enrol_tell(&c->enrol, 503, ENROL_LATE);
        connection_answer(c);
        return;
    }

    connection_end(c);
}


static void
connection_end(connection_t *c)
{
    loop_unset(&c->timer);
    connection_unlist(c);

    close(c->ev.fd);

    buffer_free(&c->enrol.answer);
    buffer_free(&c->out);
    explicit_bzero(c->in, sizeof(c->in));

    c->state = CONNECTION_SPARE;
    c->next = server_lists[CONNECTION_SPARE];
    server_lists[CONNECTION_SPARE] = c;

    if (server_count-- == ENROL_CONNECTIONS) {
        (void) loop_change(&server_ev, EPOLLIN);
    }
}
