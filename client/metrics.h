/*
 * What is counted, and the page of it.
 */


#ifndef _CLIENT_METRICS_H_INCLUDED_
#define _CLIENT_METRICS_H_INCLUDED_


#include <stdint.h>

#include "str.h"


typedef enum {
    METRIC_POLLS = 0,
    METRIC_POLL_ERRORS,
    METRIC_SCRAPES,
    METRIC_SCRAPE_ERRORS,
    METRIC_PUSH_ERRORS,
    METRIC_BYTES,
    METRICS
} metric_e;


void metrics_add(metric_e metric, uint64_t n);

/* of all but what belongs to a poller */

void metrics_page(buffer_t *page);


#endif /* _CLIENT_METRICS_H_INCLUDED_ */
