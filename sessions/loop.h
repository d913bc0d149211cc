/*
 * The loop of events: one epoll descriptor, one event at a time, so that a
 * handler may close whatever it likes.
 */


#ifndef _SESSIONS_LOOP_H_INCLUDED_
#define _SESSIONS_LOOP_H_INCLUDED_


#include <stdint.h>
#include <sys/epoll.h>


typedef void (*loop_handler_pt)(void *data, uint32_t events);


/* belongs to whoever has set handler and data; fd is -1 while it isn't open */

typedef struct {
    int                  fd;
    loop_handler_pt      handler;
    void                *data;
} loop_event_t;


/* these return 0, or -1 with errno set */

int loop_open(void);
int loop_add(loop_event_t *ev, uint32_t events);
int loop_change(loop_event_t *ev, uint32_t events);

/*
 * Waits for one event, at most so long, and calls its handler: returns 1 if
 * there was one, or else 0, or -1 with errno set.
 */

int loop_step(int msec);

/* closes the descriptor, too */

void loop_close(loop_event_t *ev);

int64_t loop_now(void);          /* ms, of the monotonic clock */
uint64_t loop_time(void);        /* ms of Unix time, to tell and for expiry */


#endif /* _SESSIONS_LOOP_H_INCLUDED_ */
