/*
 * The loop: events of descriptors, timers, and work that can't be done where
 * it is found, as libcurl calls back from inside of itself.
 */


#ifndef _COMMON_LOOP_H_INCLUDED_
#define _COMMON_LOOP_H_INCLUDED_


#include <stdint.h>
#include <sys/epoll.h>


typedef void (*loop_handler_pt)(void *data);
typedef void (*loop_event_pt)(void *data, uint32_t events);


/*
 * All of these belong to whoever has set handler and data; an event must stay
 * where it is until the loop's end, a timer while it is set, and work until it
 * was done.
 */

typedef struct {
    int                   fd;
    loop_event_pt         handler;
    void                 *data;
} loop_event_t;

typedef struct loop_timer_s  loop_timer_t;

struct loop_timer_s {
    loop_handler_pt       handler;
    void                 *data;
    int64_t               at;
    loop_timer_t         *next;
    loop_timer_t        **prev;   /* NULL: it isn't set */
};

typedef struct loop_work_s  loop_work_t;

struct loop_work_s {
    loop_handler_pt       handler;
    void                 *data;
    loop_work_t          *next;
    int                   queued;
};


/* these return 0, or -1 with errno set */

int loop_open(void);
int loop_add(loop_event_t *ev, uint32_t events);
int loop_change(loop_event_t *ev, uint32_t events);
int loop_remove(loop_event_t *ev);

void loop_set(loop_timer_t *timer, int64_t msec);   /* from now; again, too */
void loop_unset(loop_timer_t *timer);

/* calls its handler before the loop waits again, once */

void loop_later(loop_work_t *work);
void loop_never(loop_work_t *work);

/* runs until loop_end() */

int loop_run(void);
void loop_end(void);

int64_t loop_now(void);          /* ms, of the monotonic clock */


#endif /* _COMMON_LOOP_H_INCLUDED_ */
