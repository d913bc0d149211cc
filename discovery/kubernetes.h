/*
 * Proxies that run in a cluster: the endpoints of its EndpointSlices that have
 * a label, listed once and watched from then on.
 */


#ifndef _DISCOVERY_KUBERNETES_H_INCLUDED_
#define _DISCOVERY_KUBERNETES_H_INCLUDED_


#include "options.h"


/*
 * options must stay where they are.  Returns 0, or -1 with the reason: that
 * there is no cluster, as far as can be told, or no token.
 */

int kubernetes_open(const options_t *options, places_pt found, reason_t why);

void kubernetes_metrics(buffer_t *page);
void kubernetes_close(void);


#endif /* _DISCOVERY_KUBERNETES_H_INCLUDED_ */
