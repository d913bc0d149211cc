/*
 * A poller holds one poll at one proxy, for one name, and hands on what comes.
 * The poll goes by a lane that no scrape is under way on.
 */


#ifndef _CLIENT_POLL_H_INCLUDED_
#define _CLIENT_POLL_H_INCLUDED_


#include "client.h"
#include "help.h"
#include "loop.h"


typedef struct poller_s  poller_t;

struct poller_s {
    proxy_t              *proxy;
    const rule_t         *rule;
    transfer_t            transfer;
    struct curl_slist    *headers;
    unsigned              token;      /* the version in the headers */
    lane_t               *lanes;
    lane_t               *lane;       /* while it polls */
    help_t                help;
    buffer_t              answer;
    loop_timer_t          timer;      /* set while it waits to poll again */
    int64_t               started;
    double                wait;       /* ms, before the next try */
    unsigned              quick;      /* empty answers in a row, at once */
    unsigned              scrapes;    /* that are under way */
    unsigned              full:1;     /* as many as there may be */
    unsigned              bound:1;    /* the poll, to the replica of those */
    unsigned              failing:1;  /* the last one did */
    unsigned              stopped:1;
};


/* returns 0, or -1: out of memory */

int poll_open(poller_t *p, proxy_t *proxy, const rule_t *rule);

/* polls no more; scrapes go on */

void poll_stop(poller_t *p);
void poll_close(poller_t *p);

/* a scrape is over, which had that lane */

void poll_scraped(poller_t *p, lane_t *lane);

/*
 * Whether the proxy holds a poll of it, as far as can be told, or has handed
 * it a scrape for the last one.
 */

int poll_is_held(poller_t *p);


#endif /* _CLIENT_POLL_H_INCLUDED_ */
