/*
 * Lanes are the connections by which one name polls at one proxy.  A scrape is
 * pushed by the lane that it has come by: behind a load balancer, any other
 * connection may lead to another replica, who knows nothing of that scrape.
 */


#ifndef _CLIENT_LANE_H_INCLUDED_
#define _CLIENT_LANE_H_INCLUDED_


#include "transfer.h"


typedef struct lane_s  lane_t;

struct lane_s {
    lane_t      *next;
    CURLSH      *pool;            /* of one connection */
    unsigned     busy:1;          /* with a poll or a scrape */
    unsigned     known:1;         /* leads to the replica of the last answer */
};


/* one that is free, a known one rather than another; NULL: out of memory */

lane_t *lane_take(lane_t **lanes);

/* leaves it free; few such are kept */

void lane_leave(lane_t **lanes, lane_t *lane);

/* closes it, and all that are free: they may lead nowhere, or elsewhere */

void lane_drop(lane_t **lanes, lane_t *lane);
void lanes_drop(lane_t **lanes);

/* whether one that is free is known; and as if none were */

int lanes_have_known(const lane_t *lanes);
void lanes_forget(lane_t *lanes);

/* whatever they do */

void lanes_close(lane_t **lanes);


#endif /* _CLIENT_LANE_H_INCLUDED_ */
