/*
 * One epoll descriptor; timers in a list, as there are few that run at a time.
 */


#include <errno.h>
#include <time.h>

#include "loop.h"


#define LOOP_EVENTS  64           /* of one look */


static void loop_work(void);
static void loop_expire(void);
static int loop_wait(void);


static int            loop_fd = -1;
static int            loop_ended;
static loop_timer_t  *loop_timers;            /* that is due first, first */
static loop_work_t   *loop_first, **loop_last = &loop_first;


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
loop_remove(loop_event_t *ev)
{
    return epoll_ctl(loop_fd, EPOLL_CTL_DEL, ev->fd, NULL);
}


void
loop_set(loop_timer_t *timer, int64_t msec)
{
    loop_timer_t  **p;

    loop_unset(timer);

    timer->at = loop_now() + msec;

    for (p = &loop_timers; *p && (*p)->at <= timer->at; p = &(*p)->next) {
        /* void */
    }

    timer->next = *p;
    timer->prev = p;

    if (timer->next) {
        timer->next->prev = &timer->next;
    }

    *p = timer;
}


void
loop_unset(loop_timer_t *timer)
{
    if (timer->prev == NULL) {
        return;
    }

    *timer->prev = timer->next;

    if (timer->next) {
        timer->next->prev = timer->prev;
    }

    timer->prev = NULL;
}


void
loop_later(loop_work_t *work)
{
    if (work->queued) {
        return;
    }

    work->queued = 1;
    work->next = NULL;

    *loop_last = work;
    loop_last = &work->next;
}


void
loop_never(loop_work_t *work)
{
    loop_work_t  **p;

    if (!work->queued) {
        return;
    }

    for (p = &loop_first; *p != work; p = &(*p)->next) {
        /* void */
    }

    *p = work->next;

    if (loop_last == &work->next) {
        loop_last = p;
    }

    work->queued = 0;
}


int
loop_run(void)
{
    int                  i, n;
    loop_event_t        *ev;
    struct epoll_event   events[LOOP_EVENTS];

    while (!loop_ended) {

        n = epoll_wait(loop_fd, events, LOOP_EVENTS, loop_wait());

        if (n == -1 && errno != EINTR) {
            return -1;
        }

        for (i = 0; i < n; i++) {
            ev = events[i].data.ptr;
            ev->handler(ev->data, events[i].events);
        }

        loop_work();
        loop_expire();
        loop_work();
    }

    return 0;
}


void
loop_end(void)
{
    loop_ended = 1;
}


/* work that is added meanwhile is done, too */

static void
loop_work(void)
{
    loop_work_t  *work;

    while (loop_first) {
        work = loop_first;
        loop_first = work->next;

        if (loop_first == NULL) {
            loop_last = &loop_first;
        }

        work->queued = 0;
        work->handler(work->data);
    }
}


static void
loop_expire(void)
{
    int64_t        now;
    loop_timer_t  *timer;

    if (loop_timers == NULL) {
        return;
    }

    now = loop_now();

    while (loop_timers && loop_timers->at <= now) {
        timer = loop_timers;
        loop_unset(timer);
        timer->handler(timer->data);
    }
}


static int
loop_wait(void)
{
    int64_t  msec;

    if (loop_ended) {
        return 0;
    }

    if (loop_timers == NULL) {
        return -1;
    }

    msec = loop_timers->at - loop_now();

    return msec < 0 ? 0 : msec > 60000 ? 60000 : (int) msec;
}


int64_t
loop_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
