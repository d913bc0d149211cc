/*
 * A closed descriptor leaves epoll by itself, as none is ever duplicated.
 */


#define _GNU_SOURCE

#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "loop.h"


static int64_t loop_clock(clockid_t clock);


static int  loop_fd = -1;


int
loop_open(void)
{
    loop_fd = epoll_create1(EPOLL_CLOEXEC);

    return loop_fd == -1 ? -1 : 0;
}


int
loop_add(loop_event_t *ev, uint32_t events)
{
    struct epoll_event  ee;

    ee.events = events;
    ee.data.ptr = ev;

    return epoll_ctl(loop_fd, EPOLL_CTL_ADD, ev->fd, &ee);
}


int
loop_change(loop_event_t *ev, uint32_t events)
{
    struct epoll_event  ee;

    ee.events = events;
    ee.data.ptr = ev;

    return epoll_ctl(loop_fd, EPOLL_CTL_MOD, ev->fd, &ee);
}


int
loop_step(int msec)
{
    int                  n;
    loop_event_t        *ev;
    struct epoll_event   ee;

    n = epoll_wait(loop_fd, &ee, 1, msec);

    if (n == -1) {
        return errno == EINTR ? 0 : -1;
    }

    if (n) {
        ev = ee.data.ptr;
        ev->handler(ev->data, ee.events);
    }

    return n;
}


void
loop_close(loop_event_t *ev)
{
    if (ev->fd != -1) {
        close(ev->fd);
        ev->fd = -1;
    }
}


int64_t
loop_now(void)
{
    return loop_clock(CLOCK_MONOTONIC);
}


uint64_t
loop_time(void)
{
    return (uint64_t) loop_clock(CLOCK_REALTIME);
}


static int64_t
loop_clock(clockid_t clock)
{
    struct timespec  ts;

    (void) clock_gettime(clock, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
