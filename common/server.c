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
#include <sys/uio.h>
#include <unistd.h>

#include "loop.h"
#include "server.h"


#define SERVER_CONNECTIONS  8
#define SERVER_REQUEST      8192      /* bytes of a request's header */
#define SERVER_TIME         10000     /* ms for a request, for its answer */
#define SERVER_RATE         1000      /* bytes of which a ms more is given */


typedef struct {
    loop_event_t    ev;
    loop_timer_t    timer;
    buffer_t        request;
    buffer_t        head;          /* of the answer, and what follows it: */
    buffer_t        text;          /* one of these */
    server_text_t  *shared;
    size_t          sent;
} server_connection_t;


static int server_listen(const struct addrinfo *ai);
static void server_event(void *data, uint32_t events);
static void server_accept(void);
static void server_connection_event(void *data, uint32_t events);
static int server_read(server_connection_t *c);
static void server_answer(server_connection_t *c);
static const server_page_t *server_find(str_t target);
static const char *server_reason(unsigned status);
static str_t server_body(const server_connection_t *c);
static void server_forget(server_connection_t *c);
static int server_write(server_connection_t *c);
static void server_expired(void *data);
static void server_end(server_connection_t *c);


static loop_event_t          server_ev = { -1, server_event, NULL };
static int                   server_full;
static const server_page_t  *server_pages;
static unsigned              server_npages;
static void                 *server_data;
static server_connection_t   server_connections[SERVER_CONNECTIONS];


int
server_open(const char *address, const server_page_t *pages, unsigned n,
    void *data, reason_t why)
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

    server_pages = pages;
    server_npages = n;
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

    if (c->head.len == 0) {
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
    int                   get, head;
    char                 *target;
    str_t                 body;
    const char           *type;
    server_answer_t       answer;
    const server_page_t  *page;

    memset(&answer, 0, sizeof(answer));

    get = strncmp(c->request.start, "GET /", 5) == 0;
    head = strncmp(c->request.start, "HEAD /", 6) == 0;

    type = SERVER_TEXT;

    if (get || head) {
        target = strchr(c->request.start, '/');
        page = server_find((str_t) { target, strcspn(target, " ?\r\n") });

        if (page) {
            answer.status = 200;
            page->answer(server_data, &answer);
            type = answer.status == 200 ? page->type : type;

        } else {
            answer.status = 404;
            buffer_text(&answer.text, "there is no such page\n");
        }

    } else {
        answer.status = 405;
        buffer_text(&answer.text, "the method isn't GET or HEAD\n");
    }

    c->text = answer.text;
    c->shared = answer.shared;

    body = server_body(c);

    buffer_format(&c->head, "HTTP/1.1 %u %s\r\nContent-Type: %s\r\n%s"
                  "Content-Length: %zu\r\nConnection: close\r\n\r\n",
                  answer.status, server_reason(answer.status), type,
                  answer.status == 405 ? "Allow: GET, HEAD\r\n" : "",
                  body.len);

    c->head.failed |= c->text.failed;

    if (head) {
        server_forget(c);
    }

    loop_set(&c->timer, SERVER_TIME + (int64_t) (body.len / SERVER_RATE));
}


static const server_page_t *
server_find(str_t target)
{
    unsigned     i;
    const char  *path;

    for (i = 0; i < server_npages; i++) {
        path = server_pages[i].path;

        if (path == NULL
            || (strlen(path) == target.len
                && memcmp(path, target.start, target.len) == 0))
        {
            return &server_pages[i];
        }
    }

    return NULL;
}


static const char *
server_reason(unsigned status)
{
    switch (status) {

    case 200:
        return "OK";

    case 404:
        return "Not Found";

    case 405:
        return "Method Not Allowed";

    default:
        return "Service Unavailable";
    }
}


static str_t
server_body(const server_connection_t *c)
{
    const buffer_t  *text;

    text = c->shared ? &c->shared->text : &c->text;

    return (str_t) { text->start, text->len };
}


static void
server_forget(server_connection_t *c)
{
    buffer_free(&c->text);
    server_text_free(c->shared);
    c->shared = NULL;
}


/* 0: there is more to write; else it is done, or has failed */

static int
server_write(server_connection_t *c)
{
    str_t          body;
    ssize_t        n;
    struct iovec   parts[2];
    struct msghdr  msg;

    if (c->head.failed) {
        return -1;
    }

    body = server_body(c);

    memset(&msg, 0, sizeof(msg));
    msg.msg_iov = parts;

    if (c->sent < c->head.len) {
        parts[msg.msg_iovlen].iov_base = c->head.start + c->sent;
        parts[msg.msg_iovlen++].iov_len = c->head.len - c->sent;
        n = 0;

    } else {
        n = (ssize_t) (c->sent - c->head.len);
    }

    if (body.len > (size_t) n) {
        parts[msg.msg_iovlen].iov_base = (char *) body.start + n;
        parts[msg.msg_iovlen++].iov_len = body.len - (size_t) n;
    }

    n = sendmsg(c->ev.fd, &msg, MSG_NOSIGNAL);

    if (n == -1) {
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    }

    c->sent += (size_t) n;

    return c->sent == c->head.len + body.len;
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
    buffer_free(&c->head);
    server_forget(c);

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


server_text_t *
server_text(buffer_t *text)
{
    server_text_t  *t;

    t = text->failed ? NULL : calloc(1, sizeof(*t));

    if (t) {
        buffer_fit(text);

        t->text = *text;
        t->uses = 1;

        memset(text, 0, sizeof(*text));
    }

    return t;
}


server_text_t *
server_text_use(server_text_t *text)
{
    text->uses++;

    return text;
}


void
server_text_free(server_text_t *text)
{
    if (text == NULL || --text->uses) {
        return;
    }

    buffer_free(&text->text);
    free(text);
}
