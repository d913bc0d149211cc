/*
 * sshd listens on both addresses of localhost, or on one where there is no
 * other.
 */


#define _GNU_SOURCE

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop.h"
#include "probe.h"


#define PROBE_ANSWER     2000     /* ms */
#define PROBE_ADDRESSES  2


typedef union {
    struct sockaddr          sa;
    struct sockaddr_in       in;
    struct sockaddr_in6      in6;
} probe_addr_t;


struct probe_s {
    loop_event_t         event;
    uint32_t             tried;
    uint32_t             count;
    uint16_t             first;
    unsigned             connected:1;
    int64_t              until;
    probe_handler_pt     handler;
    void                *data;
};


static void probe_dial(probe_t *probe);
static int probe_connect(probe_t *probe, uint32_t i);
static void probe_event(void *data, uint32_t events);
static int probe_connected(int fd);
static void probe_finish(probe_t *probe, probe_e result);
static socklen_t probe_addr(probe_addr_t *addr, int family, uint16_t port);
static int probe_bound(int family, uint16_t port);


probe_t *
probe_start(uint16_t first, uint16_t ports, probe_handler_pt handler,
    void *data)
{
    probe_t  *probe;

    probe = calloc(1, sizeof(probe_t));

    if (probe == NULL) {
        return NULL;
    }

    probe->event.fd = -1;
    probe->event.handler = probe_event;
    probe->event.data = probe;
    probe->first = first;
    probe->count = (uint32_t) ports * PROBE_ADDRESSES;
    probe->handler = handler;
    probe->data = data;
    probe->until = loop_now() + PROBE_ANSWER;

    probe_dial(probe);

    return probe;
}


int
probe_step(probe_t *probe, int64_t now)
{
    if (probe->event.fd == -1) {
        probe_finish(probe, PROBE_CLOSED);
        return 1;
    }

    if (now >= probe->until) {
        probe_finish(probe, PROBE_SILENT);
        return 1;
    }

    return 0;
}


void
probe_cancel(probe_t *probe)
{
    loop_close(&probe->event);
    free(probe);
}


/* goes on to what doesn't refuse at once; probe_step() tells if nothing did */

static void
probe_dial(probe_t *probe)
{
    while (probe->tried < probe->count) {
        if (probe_connect(probe, probe->tried++) == 0) {
            return;
        }
    }
}


static int
probe_connect(probe_t *probe, uint32_t i)
{
    int            family;
    socklen_t      len;
    probe_addr_t   addr;
    loop_event_t  *ev;

    ev = &probe->event;

    family = i % PROBE_ADDRESSES ? AF_INET6 : AF_INET;
    len = probe_addr(&addr, family,
                     (uint16_t) (probe->first + i / PROBE_ADDRESSES));

    ev->fd = socket(family, SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC, 0);

    if (ev->fd == -1) {
        return -1;
    }

    if ((connect(ev->fd, &addr.sa, len) == -1 && errno != EINPROGRESS)
        || loop_add(ev, EPOLLOUT) == -1)
    {
        loop_close(ev);
        return -1;
    }

    return 0;
}


static void
probe_event(void *data, uint32_t events)
{
    char      buf[1];
    ssize_t   n;
    probe_t  *probe = data;

    (void) events;

    if (!probe->connected) {

        if (!probe_connected(probe->event.fd)) {
            loop_close(&probe->event);
            probe_dial(probe);
            return;
        }

        probe->connected = 1;

        if (shutdown(probe->event.fd, SHUT_WR) == -1
            || loop_change(&probe->event, EPOLLIN) == -1)
        {
            probe_finish(probe, PROBE_ALIVE);
        }

        return;
    }

    n = recv(probe->event.fd, buf, sizeof(buf), 0);

    if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }

    probe_finish(probe, PROBE_ALIVE);
}


/* TCP connects to itself where it picks the dialled port as its own */

static int
probe_connected(int fd)
{
    int           error;
    socklen_t     len, local_len, peer_len;
    probe_addr_t  local, peer;

    len = sizeof(error);
    local_len = sizeof(local);
    peer_len = sizeof(peer);

    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0
           && error == 0
           && getsockname(fd, &local.sa, &local_len) == 0
           && getpeername(fd, &peer.sa, &peer_len) == 0
           && (local_len != peer_len || memcmp(&local, &peer, peer_len) != 0);
}


static void
probe_finish(probe_t *probe, probe_e result)
{
    void              *data;
    probe_handler_pt   handler;

    handler = probe->handler;
    data = probe->data;

    probe_cancel(probe);

    handler(data, result);
}


uint16_t
probe_taken(uint16_t first, uint16_t ports)
{
    uint16_t  i, port;

    for (i = 0; i < ports; i++) {
        port = (uint16_t) (first + i);

        if (probe_bound(AF_INET, port) || probe_bound(AF_INET6, port)) {
            return port;
        }
    }

    return 0;
}


/* as sshd will: connections that are over don't matter, listeners do */

static int
probe_bound(int family, uint16_t port)
{
    int           fd, on, taken;
    socklen_t     len;
    probe_addr_t  addr;

    len = probe_addr(&addr, family, port);

    fd = socket(family, SOCK_STREAM|SOCK_CLOEXEC, 0);

    if (fd == -1) {
        return 0;
    }

    on = 1;
    (void) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));

    taken = bind(fd, &addr.sa, len) == -1 && errno == EADDRINUSE;

    close(fd);

    return taken;
}


static socklen_t
probe_addr(probe_addr_t *addr, int family, uint16_t port)
{
    memset(addr, 0, sizeof(probe_addr_t));

    if (family == AF_INET) {
        addr->in.sin_family = AF_INET;
        addr->in.sin_port = htons(port);
        addr->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

        return sizeof(addr->in);
    }

    addr->in6.sin6_family = AF_INET6;
    addr->in6.sin6_port = htons(port);
    addr->in6.sin6_addr = in6addr_loopback;

    return sizeof(addr->in6);
}
