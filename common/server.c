/*
 * It has no more connections than can be told by a glance: when all are in
 * use, others wait in the kernel's queue, and none is used for long.
 */


#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop.h"
#include "server.h"


#define SERVER_CONNECTIONS  8
#define SERVER_REQUEST      8192      /* bytes of a request's header */
#define SERVER_TIME         10000     /* ms for a request and its answer */


typedef struct {
    loop_event_t   ev;
    loop_timer_t   timer;
    buffer_t       request;
    buffer_t       answer;
    size_t         sent;
} server_connection_t;


static int server_listen(const struct addrinfo *ai);
static void server_event(void *data, uint32_t events);
static void server_accept(void);
static void server_connection_event(void *data, uint32_t events);
static int server_read(server_connection_t *c);
static void server_answer(server_connection_t *c);
static int server_write(server_connection_t *c);
static void server_expired(void *data);
static void server_end(server_connection_t *c);


static loop_event_t          server_ev = { -1, server_event, NULL };
static int                   server_full;
static server_page_pt        server_page;
static void                 *server_data;
static server_connection_t   server_connections[SERVER_CONNECTIONS];


int
server_open(const char *address, server_page_pt page, void *data,
    reason_t why)
{
    int               i, rc, fd;
    char              host[256];
    size_t            len;
    const char       *port;
    struct addrinfo   hints, *found, *ai;

    port = strrchr(address, ':');

    if (port == NULL) {
        return reason(why, "it isn't HOST:PORT, or :PORT");
    }

    len = (size_t) (port - address);

    if (len >= sizeof(host)) {
        return reason(why, "its host is too long");
    }

    memcpy(host, address, len);
    host[len] = '\0';
    port++;

    if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
        memmove(host, host + 1, len - 2);
        host[len - 2] = '\0';
    }

    memset(&hints, 0, sizeof(hints));
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    hints.ai_socktype = SOCK_STREAM;

    rc = getaddrinfo(len ? host : NULL, port, &hints, &found);

    if (rc != 0) {
        return reason(why, "%s", gai_strerror(rc));
    }

    fd = -1;

    /* one of IPv6 takes IPv4's connections, too */

    for (ai = found; ai && fd == -1; ai = ai->ai_next) {
        if (ai->ai_family == AF_INET6) {
            fd = server_listen(ai);
        }
    }

    for (ai = found; ai && fd == -1; ai = ai->ai_next) {
        if (ai->ai_family != AF_INET6) {
            fd = server_listen(ai);
        }
    }

    freeaddrinfo(found);

    if (fd == -1) {
        return reason(why, "%s", strerror(errno));
    }

    for (i = 0; i < SERVER_CONNECTIONS; i++) {
        server_connections[i].ev.fd = -1;
        server_connections[i].ev.handler = server_connection_event;
        server_connections[i].ev.data = &server_connections[i];
        server_connections[i].timer.handler = server_expired;
        server_connections[i].timer.data = &server_connections[i];
    }

    server_page = page;
    server_data = data;
    server_ev.fd = fd;

    if (loop_add(&server_ev, EPOLLIN) == -1) {
        (void) reason(why, "epoll: %s", strerror(errno));
        server_close();
        return -1;
    }

    return 0;
}


static int
server_listen(const struct addrinfo *ai)
{
    int  fd, on, off, error;

    fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd == -1) {
        return -1;
    }

    on = 1;
    off = 0;

    (void) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));

    if (ai->ai_family == AF_INET6) {
        (void) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    }

    if (bind(fd, ai->ai_addr, ai->ai_addrlen) == -1 || listen(fd, 16) == -1) {
        error = errno;
        close(fd);
        errno = error;
        return -1;
    }

    return fd;
}


static void
server_event(void *data, uint32_t events)
{
    (void) data;
    (void) events;

    server_accept();
}


static void
server_accept(void)
{
    int                   i, fd;
    server_connection_t  *c;

    for ( ;; ) {

        for (i = 0; i < SERVER_CONNECTIONS; i++) {
            if (server_connections[i].ev.fd == -1) {
                break;
            }
        }

        if (i == SERVER_CONNECTIONS) {
            server_full = 1;
            (void) loop_change(&server_ev, 0);
            return;
        }

        fd = accept4(server_ev.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd == -1) {
            return;
        }

        c = &server_connections[i];
        c->ev.fd = fd;
        c->sent = 0;

        if (loop_add(&c->ev, EPOLLIN) == -1) {
            close(fd);
            c->ev.fd = -1;
            return;
        }

        loop_set(&c->timer, SERVER_TIME);
    }
}


static void
server_connection_event(void *data, uint32_t events)
{
    int                   rc;
    server_connection_t  *c = data;

    (void) events;

    if (c->ev.fd == -1) {
        return;
    }

    if (c->answer.len == 0) {
        rc = server_read(c);

        if (rc == 0) {
            return;
        }

        if (rc == -1) {
            server_end(c);
            return;
        }

        server_answer(c);
        (void) loop_change(&c->ev, EPOLLOUT);
    }

    if (server_write(c) != 0) {
        server_end(c);
    }
}


/* 1: a request is whole, 0: it isn't, -1: it never will be */

static int
server_read(server_connection_t *c)
{
    char     data[2048];
    ssize_t  n;

    n = recv(c->ev.fd, data, sizeof(data), 0);

    if (n == -1) {
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    }

    if (n == 0 || c->request.len + (size_t) n > SERVER_REQUEST) {
        return -1;
    }

    buffer_add(&c->request, data, (size_t) n);

    if (c->request.failed) {
        return -1;
    }

    return strstr(c->request.start, "\r\n\r\n") != NULL
           || strstr(c->request.start, "\n\n") != NULL;
}


static void
server_answer(server_connection_t *c)
{
    int       get, head;
    buffer_t  page;

    memset(&page, 0, sizeof(page));

    get = strncmp(c->request.start, "GET /", 5) == 0;
    head = strncmp(c->request.start, "HEAD /", 6) == 0;

    if (get || head) {
        server_page(server_data, &page);
        buffer_text(&c->answer, "HTTP/1.1 200 OK\r\nContent-Type: text/plain;"
                    " version=0.0.4; charset=utf-8\r\n");
    } else {
        buffer_text(&page, "the method isn't GET or HEAD\n");
        buffer_text(&c->answer, "HTTP/1.1 405 Method Not Allowed\r\n"
                    "Content-Type: text/plain; charset=utf-8\r\n"
                    "Allow: GET, HEAD\r\n");
    }

    buffer_format(&c->answer, "Content-Length: %zu\r\n"
                  "Connection: close\r\n\r\n", page.len);

    if (!head) {
        buffer_add(&c->answer, page.start, page.len);
    }

    c->answer.failed |= page.failed;

    buffer_free(&page);
}


/* 0: there is more to write; else it is done, or has failed */

static int
server_write(server_connection_t *c)
{
    ssize_t  n;

    if (c->answer.failed) {
        return -1;
    }

    n = send(c->ev.fd, c->answer.start + c->sent, c->answer.len - c->sent,
             MSG_NOSIGNAL);

    if (n == -1) {
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    }

    c->sent += (size_t) n;

    return c->sent == c->answer.len;
}


static void
server_expired(void *data)
{
    server_end(data);
}


static void
server_end(server_connection_t *c)
{
    loop_unset(&c->timer);

    close(c->ev.fd);
    c->ev.fd = -1;

    buffer_free(&c->request);
    buffer_free(&c->answer);

    if (server_full) {
        server_full = 0;
        (void) loop_change(&server_ev, EPOLLIN);
    }
}


void
server_close(void)
{
    int  i;

    if (server_ev.fd == -1) {
        return;
    }

    close(server_ev.fd);
    server_ev.fd = -1;

    for (i = 0; i < SERVER_CONNECTIONS; i++) {
        if (server_connections[i].ev.fd != -1) {
            server_end(&server_connections[i]);
        }
    }
}
