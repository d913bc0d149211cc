/*
 * One loop over non-blocking sockets.  A target with several addresses, as
 * localhost has, is dialled at one after the other, and is up if any of them
 * answers.
 */


#define _POSIX_C_SOURCE  200809L

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "dial.h"


#define TARGETS_DIAL_AT_ONCE  256
#define TARGETS_DIAL_MSEC     1000    /* for all addresses of a target */
#define TARGETS_DIAL_ADDRS    8       /* of a name in DNS */


typedef struct {
    socklen_t                    len;
    union {
        struct sockaddr          sa;
        struct sockaddr_in       in;
        struct sockaddr_in6      in6;
        struct sockaddr_un       un;
        struct sockaddr_storage  storage;
    } u;
} targets_addr_t;


/* a target that is being dialled */

typedef struct {
    uint32_t                     i;          /* in the file's order */
    int                          error;      /* at the first address */
    int64_t                      until;
    unsigned                     tried;
    unsigned                     naddrs;
    targets_addr_t               addrs[TARGETS_DIAL_ADDRS];
} targets_call_t;


struct targets_dial_s {
    unsigned                     ncalls;
    struct pollfd                fds[TARGETS_DIAL_AT_ONCE];
    targets_call_t               calls[TARGETS_DIAL_AT_ONCE];

    char                         reason[128];

    /* 0, an errno, or an error of getaddrinfo(), which is negative */

    int                          results[];
};


static void targets_dial_start(targets_dial_t *dial,
    const ngx_prom_target_t *target, uint32_t i);
static int targets_dial_wait(targets_dial_t *dial);

static int targets_call_resolve(targets_call_t *call,
    const ngx_prom_target_t *target);
static int targets_call_lookup(targets_call_t *call,
    const ngx_prom_target_t *target);
static void targets_call_add(targets_call_t *call, const void *sockaddr,
    size_t len);
static void targets_call_add_ipv4(targets_call_t *call, const void *ip,
    uint16_t port);
static void targets_call_add_ipv6(targets_call_t *call, const void *ip,
    uint16_t port);
static int targets_call_next(targets_call_t *call, int *fd, int error);
static int targets_call_connect(const targets_addr_t *addr, int *fd);
static int targets_call_connected(int fd);
static int64_t targets_dial_now(void);


targets_dial_t *
targets_dial(const ngx_prom_targets_t *targets)
{
    uint32_t         i;
    targets_dial_t  *dial;

    /* one try of a second at a dead name server, not half a minute */

    (void) setenv("RES_OPTIONS", "timeout:1 attempts:1", 0);

    dial = malloc(sizeof(targets_dial_t) + targets->count * sizeof(int));
    if (dial == NULL) {
        return NULL;
    }

    dial->ncalls = 0;

    for (i = 0; i < targets->count; i++) {

        while (dial->ncalls == TARGETS_DIAL_AT_ONCE) {
            if (targets_dial_wait(dial) == -1) {
                goto failed;
            }
        }

        targets_dial_start(dial, &targets->targets[i], i);
    }

    while (dial->ncalls) {
        if (targets_dial_wait(dial) == -1) {
            goto failed;
        }
    }

    return dial;

failed:

    while (dial->ncalls) {
        close(dial->fds[--dial->ncalls].fd);
    }

    free(dial);

    return NULL;
}


const char *
targets_dial_reason(targets_dial_t *dial, uint32_t i)
{
    int          result;
    const char  *text;

    result = dial->results[i];

    if (result == 0) {
        return NULL;
    }

    text = result < 0 ? gai_strerror(result) : strerror(result);

    /* the system's texts begin with a capital letter, our messages don't */

    snprintf(dial->reason, sizeof(dial->reason), "%c%s",
             tolower((unsigned char) text[0]), text + 1);

    return dial->reason;
}


void
targets_dial_free(targets_dial_t *dial)
{
    free(dial);
}


static void
targets_dial_start(targets_dial_t *dial, const ngx_prom_target_t *target,
    uint32_t i)
{
    int              error;
    struct pollfd   *pfd;
    targets_call_t  *call;

    pfd = &dial->fds[dial->ncalls];
    call = &dial->calls[dial->ncalls];

    call->i = i;
    call->error = 0;
    call->tried = 0;
    call->naddrs = 0;

    error = targets_call_resolve(call, target);

    if (error == 0) {
        call->until = targets_dial_now() + TARGETS_DIAL_MSEC;
        error = targets_call_next(call, &pfd->fd, 0);
    }

    if (error == EINPROGRESS) {
        pfd->events = POLLOUT;
        dial->ncalls++;
        return;
    }

    dial->results[i] = error;
}


/* waits until something happens to a call, or the first runs out of time */

static int
targets_dial_wait(targets_dial_t *dial)
{
    int              error;
    int64_t          now, until;
    unsigned         n;
    struct pollfd   *pfd;
    targets_call_t  *call;

    until = dial->calls[0].until;

    for (n = 1; n < dial->ncalls; n++) {
        if (dial->calls[n].until < until) {
            until = dial->calls[n].until;
        }
    }

    now = targets_dial_now();

    if (poll(dial->fds, dial->ncalls, until > now ? (int) (until - now) : 0)
        == -1)
    {
        return errno == EINTR ? 0 : -1;
    }

    now = targets_dial_now();

    /* backwards, since the last takes the place of one that is through */

    for (n = dial->ncalls; n-- > 0; /* void */ ) {
        pfd = &dial->fds[n];
        call = &dial->calls[n];

        if (pfd->revents) {
            error = targets_call_connected(pfd->fd);
            close(pfd->fd);

            if (error) {
                error = targets_call_next(call, &pfd->fd, error);
            }

        } else if (now >= call->until) {
            error = call->error ? call->error : ETIMEDOUT;
            close(pfd->fd);

        } else {
            continue;
        }

        if (error == EINPROGRESS) {
            continue;
        }

        dial->results[call->i] = error;
        dial->ncalls--;

        if (n < dial->ncalls) {
            *pfd = dial->fds[dial->ncalls];
            *call = dial->calls[dial->ncalls];
        }
    }

    return 0;
}


static int
targets_call_resolve(targets_call_t *call, const ngx_prom_target_t *target)
{
    struct sockaddr_un     un;
    static const uint8_t   ipv4[4] = { 127, 0, 0, 1 };
    static const uint8_t   ipv6[16] = { [15] = 1 };

    switch (target->kind) {

    case NGX_PROM_ADDRESS_IPV4:
        targets_call_add_ipv4(call, target->ip, target->port);
        return 0;

    case NGX_PROM_ADDRESS_IPV6:
        targets_call_add_ipv6(call, target->ip, target->port);
        return 0;

    case NGX_PROM_ADDRESS_LOCALHOST:
        targets_call_add_ipv4(call, ipv4, target->port);
        targets_call_add_ipv6(call, ipv6, target->port);
        return 0;

    case NGX_PROM_ADDRESS_UNIX:
        memset(&un, 0, sizeof(un));
        un.sun_family = AF_UNIX;
        memcpy(un.sun_path, target->host.data, target->host.len);
        targets_call_add(call, &un, sizeof(un));
        return 0;
    }

    return targets_call_lookup(call, target);
}


static int
targets_call_lookup(targets_call_t *call, const ngx_prom_target_t *target)
{
    int               error;
    char              host[256], port[sizeof("65535")];
    struct addrinfo   hints, *list, *ai;

    snprintf(host, sizeof(host), "%.*s", (int) target->host.len,
             target->host.data);
    snprintf(port, sizeof(port), "%u", (unsigned) target->port);

    memset(&hints, 0, sizeof(hints));
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV;

    error = getaddrinfo(host, port, &hints, &list);

    if (error) {
        return error == EAI_SYSTEM ? errno : error;
    }

    for (ai = list; ai; ai = ai->ai_next) {
        targets_call_add(call, ai->ai_addr, ai->ai_addrlen);
    }

    freeaddrinfo(list);

    return 0;
}


static void
targets_call_add(targets_call_t *call, const void *sockaddr, size_t len)
{
    targets_addr_t  *addr;

    if (call->naddrs == TARGETS_DIAL_ADDRS || len > sizeof(addr->u)) {
        return;
    }

    addr = &call->addrs[call->naddrs++];

    memcpy(&addr->u, sockaddr, len);
    addr->len = (socklen_t) len;
}


static void
targets_call_add_ipv4(targets_call_t *call, const void *ip, uint16_t port)
{
    struct sockaddr_in  in;

    memset(&in, 0, sizeof(in));
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    memcpy(&in.sin_addr, ip, sizeof(in.sin_addr));

    targets_call_add(call, &in, sizeof(in));
}


static void
targets_call_add_ipv6(targets_call_t *call, const void *ip, uint16_t port)
{
    struct sockaddr_in6  in6;

    memset(&in6, 0, sizeof(in6));
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(port);
    memcpy(&in6.sin6_addr, ip, sizeof(in6.sin6_addr));

    targets_call_add(call, &in6, sizeof(in6));
}


/*
 * Goes on to the next address that doesn't fail at once; error is the last
 * one's.  Returns 0 if connected, EINPROGRESS with fd open, or the error of
 * the first address, which is the one that its reader has in mind.
 */

static int
targets_call_next(targets_call_t *call, int *fd, int error)
{
    for ( ;; ) {

        if (call->error == 0) {
            call->error = error;
        }

        if (call->tried == call->naddrs) {
            return call->error;
        }

        error = targets_call_connect(&call->addrs[call->tried++], fd);

        if (error == 0 || error == EINPROGRESS) {
            return error;
        }
    }
}


static int
targets_call_connect(const targets_addr_t *addr, int *fd)
{
    int  error;

    *fd = socket(addr->u.sa.sa_family, SOCK_STREAM, 0);

    if (*fd == -1) {
        return errno;
    }

    if (fcntl(*fd, F_SETFL, O_NONBLOCK) == -1
        || connect(*fd, &addr->u.sa, addr->len) == -1)
    {
        error = errno;

        if (error == EINPROGRESS) {
            return error;
        }

    } else {
        error = targets_call_connected(*fd);
    }

    close(*fd);

    return error;
}


static int
targets_call_connected(int fd)
{
    int             error;
    socklen_t       len;
    targets_addr_t  local, peer;

    len = sizeof(error);

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1) {
        return errno;
    }

    if (error) {
        return error;
    }

    /* TCP connects to itself where it picks the dialled port as its own */

    local.len = sizeof(local.u);
    peer.len = sizeof(peer.u);

    if (getsockname(fd, &local.u.sa, &local.len) == -1
        || getpeername(fd, &peer.u.sa, &peer.len) == -1)
    {
        return errno;
    }

    if (local.len == peer.len
        && memcmp(&local.u, &peer.u, local.len) == 0)
    {
        return ECONNREFUSED;
    }

    return 0;
}


static int64_t
targets_dial_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
