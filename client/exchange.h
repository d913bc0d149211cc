/*
 * A scrape and its push: what a target answers is streamed to the proxy, and
 * no faster than that takes it.
 */


#ifndef _CLIENT_EXCHANGE_H_INCLUDED_
#define _CLIENT_EXCHANGE_H_INCLUDED_


#include "pipe.h"
#include "poll.h"


typedef struct exchange_s  exchange_t;

struct exchange_s {
    exchange_t           *next;        /* that lies around, too */
    poller_t             *poller;
    lane_t               *lane;

    /* the scrape, as it was handed to us; request lies in text */

    buffer_t              text;
    request_t             request;
    char                  id[REQUEST_ID_MAX + 1];
    target_t              target;
    buffer_t              shown;       /* the target's URL, to be told */
    int64_t               deadline;

    transfer_t            scrape;
    struct curl_slist    *asked;       /* header of the scrape */

    /* the answer; lines is its header as it came, head as it goes on */

    buffer_t              lines;
    int                   status;
    int64_t               length;      /* of its body, -1 if it isn't known */
    buffer_t              head;
    size_t                pushed;      /* of the head */
    pipe_t                body;

    transfer_t            push;
    struct curl_slist    *pushing;     /* header of the push */
    buffer_t              refusal;     /* what the proxy had to say to it */

    loop_work_t           work;

    unsigned              started:1;   /* the answer's header is whole */
    unsigned              whole:1;     /* so is its body */
    unsigned              chunked:1;   /* as its length isn't known */
    unsigned              ended:1;     /* the last chunk was sent */
    unsigned              full:1;      /* the scrape is paused */
    unsigned              empty:1;     /* the push is paused */
};


/* one that lies around, or a new one; NULL: out of memory */

exchange_t *exchange_open(poller_t *p, lane_t *lane);

/* takes the text, and leaves another; -1 with the reason if it's no scrape */

int exchange_take(exchange_t *ex, buffer_t *text, reason_t why);

/* from here on it sees to itself */

void exchange_start(exchange_t *ex);

void exchange_close(exchange_t *ex);

unsigned exchanges_running(void);
void exchanges_free(void);             /* those that lie around */

/* calls handler when none runs any more, and if that is so already */

void exchanges_wait(loop_handler_pt handler);


/* for scrape.c and push.c alone: */

int scrape_open(exchange_t *ex);
void scrape_start(exchange_t *ex);

int push_open(exchange_t *ex);
void push_start(exchange_t *ex);

/* ends it with an answer that says why it has none */

void exchange_fail(exchange_t *ex, const char *why);

/* is over, pushed or not */

void exchange_end(exchange_t *ex);


#endif /* _CLIENT_EXCHANGE_H_INCLUDED_ */
