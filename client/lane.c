#include <stdlib.h>

#include "lane.h"


#define LANE_SPARE  4             /* that are free */


static lane_t *lane_open(void);
static void lane_close(lane_t *lane);


/* it goes to the front, so that those in use lately are found first */

lane_t *
lane_take(lane_t **lanes)
{
    lane_t  *lane, **link, **best;

    best = NULL;

    for (link = lanes; *link; link = &(*link)->next) {
        if (!(*link)->busy
            && (best == NULL || (*link)->known > (*best)->known))
        {
            best = link;
        }
    }

    if (best) {
        lane = *best;
        *best = lane->next;

    } else {
        lane = lane_open();

        if (lane == NULL) {
            return NULL;
        }
    }

    lane->busy = 1;
    lane->next = *lanes;
    *lanes = lane;

    return lane;
}


static lane_t *
lane_open(void)
{
    lane_t  *lane;

    lane = calloc(1, sizeof(lane_t));

    if (lane == NULL) {
        return NULL;
    }

    lane->pool = transfer_pool_open();

    if (lane->pool == NULL) {
        free(lane);
        return NULL;
    }

    return lane;
}


void
lane_leave(lane_t **lanes, lane_t *lane)
{
    lane_t    **link;
    unsigned    n;

    lane->busy = 0;
    n = 0;

    for (link = lanes; *link; link = &(*link)->next) {

        if ((*link)->busy || ++n <= LANE_SPARE) {
            continue;
        }

        lane = *link;
        *link = lane->next;
        lane_close(lane);

        return;
    }
}


void
lane_drop(lane_t **lanes, lane_t *lane)
{
    lane_t  **link;

    for (link = lanes; *link != lane; link = &(*link)->next) {
        /* void */
    }

    *link = lane->next;
    lane_close(lane);
}


void
lanes_drop(lane_t **lanes)
{
    lane_t  *lane, **link;

    link = lanes;

    while (*link) {
        lane = *link;

        if (lane->busy) {
            link = &lane->next;
            continue;
        }

        *link = lane->next;
        lane_close(lane);
    }
}


int
lanes_have_known(const lane_t *lanes)
{
    for (/* void */; lanes; lanes = lanes->next) {
        if (!lanes->busy && lanes->known) {
            return 1;
        }
    }

    return 0;
}


void
lanes_forget(lane_t *lanes)
{
    for (/* void */; lanes; lanes = lanes->next) {
        lanes->known = 0;
    }
}


void
lanes_close(lane_t **lanes)
{
    lane_t  *lane;

    while (*lanes) {
        lane = *lanes;
        *lanes = lane->next;
        lane_close(lane);
    }
}


static void
lane_close(lane_t *lane)
{
    transfer_pool_close(lane->pool);
    free(lane);
}
