/*
 * Connections on one epoll instance.
 */


#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "poll.h"


static int poll_flush(poll_conn_t *c);
static void poll_sent(poll_conn_t *c);


static int  poll_epoll;


int
poll_loop_init(void)
{
    poll_epoll = epoll_create1(EPOLL_CLOEXEC);

    if (poll_epoll == -1) {
        perror("poll: epoll_create1()");
        exit(1);
    }

    return poll_epoll;
}


int
poll_wait(int ms)
{
    int                  i, n;
    poll_conn_t         *c;
    struct epoll_event   events[256];

    n = epoll_wait(poll_epoll, events, 256, ms);

    for (i = 0; i < n; i++) {
        c = events[i].data.ptr;

        if (c->fd == -1) {
            continue;
        }

        /* what can't be written any more will show as the connection's end */

        if (c->writes) {
            (void) poll_flush(c);
        }

        if (!(events[i].events & ~EPOLLOUT)) {
            continue;
        }

        switch (c->kind) {

        case POLL_HELD:
            poll_held_event(c, events[i].events);
            break;

        case POLL_PUSH:
            poll_push_event(c, events[i].events);
            break;

        default:
            poll_scrape_event(c, events[i].events);
        }
    }

    return n;
}


int
poll_connect(poll_conn_t *c)
{
    int                  fd, one;
    struct sockaddr_in   sin;
    struct epoll_event   event;

    fd = socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC|SOCK_NONBLOCK, 0);
    if (fd == -1) {
        return -1;
    }

    one = 1;
    (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(int));

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_port = htons(poll_options.port);

    if (inet_pton(AF_INET, poll_options.address, &sin.sin_addr) != 1
        || (connect(fd, (struct sockaddr *) &sin, sizeof(sin)) == -1
            && errno != EINPROGRESS))
    {
        close(fd);
        return -1;
    }

    event.events = EPOLLIN;
    event.data.ptr = c;

    if (epoll_ctl(poll_epoll, EPOLL_CTL_ADD, fd, &event) == -1) {
        close(fd);
        return -1;
    }

    c->fd = fd;
    c->writes = 0;
    c->busy = 0;
    c->kept = 0;

    return 0;
}


void
poll_close(poll_conn_t *c, int reset)
{
    struct linger  linger;

    if (c->fd != -1) {

        if (reset) {
            linger.l_onoff = 1;
            linger.l_linger = 0;
            (void) setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger,
                              sizeof(linger));
        }

        close(c->fd);
    }

    free(c->in);
    poll_sent(c);

    c->fd = -1;
    c->in = NULL;
    c->in_len = 0;
    c->busy = 0;
    c->writes = 0;
}


void
poll_watch(poll_conn_t *c, int writes)
{
    struct epoll_event  event;

    event.events = EPOLLIN | (writes ? EPOLLOUT : 0);
    event.data.ptr = c;

    (void) epoll_ctl(poll_epoll, EPOLL_CTL_MOD, c->fd, &event);
    c->writes = writes;
}


int
poll_send(poll_conn_t *c, char *head, size_t len, char *body, size_t body_len,
    int owned)
{
    c->head = head;
    c->body = owned ? body : NULL;

    c->out[0].iov_base = head;
    c->out[0].iov_len = len;
    c->out[1].iov_base = body;
    c->out[1].iov_len = body_len;

    c->busy = 1;

    return poll_flush(c);
}


static int
poll_flush(poll_conn_t *c)
{
    int             i;
    ssize_t         n;
    struct msghdr   msg;

    while (c->out[0].iov_len + c->out[1].iov_len) {

        memset(&msg, 0, sizeof(msg));
        i = c->out[0].iov_len ? 0 : 1;
        msg.msg_iov = &c->out[i];
        msg.msg_iovlen = 2 - i;

        n = sendmsg(c->fd, &msg, MSG_NOSIGNAL);

        if (n == -1) {

            /* ENOTCONN: connect() goes on */

            if (errno == EAGAIN || errno == ENOTCONN || errno == EINTR) {
                if (!c->writes) {
                    poll_watch(c, 1);
                }

                return 0;
            }

            /* an answer may be there all the same */

            break;
        }

        for (i = 0; i < 2; i++) {
            size_t  len;

            len = (size_t) n < c->out[i].iov_len ? (size_t) n
                                                 : c->out[i].iov_len;
            c->out[i].iov_base = (char *) c->out[i].iov_base + len;
            c->out[i].iov_len -= len;
            n -= len;
        }
    }

    if (c->writes) {
        poll_watch(c, 0);
    }

    poll_sent(c);

    return 0;
}


static void
poll_sent(poll_conn_t *c)
{
    free(c->head);
    free(c->body);

    c->head = NULL;
    c->body = NULL;
    c->out[0].iov_len = 0;
    c->out[1].iov_len = 0;
}


ssize_t
poll_header(poll_conn_t *c, int *status, size_t *length)
{
    char     *line, *end;
    ssize_t   n;

    if (c->in == NULL) {
        c->in = malloc(POLL_BUFFER + 1);
        if (c->in == NULL) {
            return -1;
        }

        c->in_len = 0;
    }

    n = recv(c->fd, c->in + c->in_len, POLL_BUFFER - c->in_len, 0);

    if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }

    if (n <= 0) {
        return -1;
    }

    c->in_len += n;
    c->in[c->in_len] = '\0';

    end = strstr(c->in, "\r\n\r\n");

    if (end == NULL) {
        return c->in_len == POLL_BUFFER ? -1 : 0;
    }

    if (sscanf(c->in, "HTTP/1.1 %d ", status) != 1
        || *status < 100 || *status > 599)
    {
        return -1;
    }

    *length = (size_t) -1;

    for (line = strstr(c->in, "\r\n"); line < end;
         line = strstr(line, "\r\n"))
    {
        line += 2;

        if (strncasecmp(line, "Content-Length:", 15) == 0) {
            *length = strtoul(line + 15, NULL, 10);
        }
    }

    if (*status == 204) {
        *length = 0;
    }

    return end + 4 - c->in;
}
