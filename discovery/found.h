/*
 * What has been found in EndpointSlices, and is told when it changes: places
 * to whoever asked for them, and what was skipped, or isn't there, to the log.
 */


#ifndef _DISCOVERY_FOUND_H_INCLUDED_
#define _DISCOVERY_FOUND_H_INCLUDED_


#include "options.h"
#include "slices.h"


/* of metrics */

#define KUBERNETES_PREFIX  "monitoring_proxy_discovery_kubernetes_"


/* all of these must stay where they are */

void found_open(const options_t *options, const char *namespace,
    slices_t *slices, places_pt told);

/* the slices are known, or have changed; soon this is told */

void found_changed(void);

void found_metrics(buffer_t *page);
void found_close(void);           /* the slices stay */


#endif /* _DISCOVERY_FOUND_H_INCLUDED_ */
