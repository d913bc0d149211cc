/*
 * Proxies that are found by DNS: of a NAME each address is one, of a
 * _SERVICE._PROTOCOL.NAME each of its SRV records.
 */


#ifndef _DISCOVERY_DNS_H_INCLUDED_
#define _DISCOVERY_DNS_H_INCLUDED_


#include "places.h"


/*
 * names are NAME or NAME:PORT (80 if there is none; SRV records have their
 * own), interval in ms is how often they are looked up; both stay the
 * caller's.  found is called once all of them were looked up, without places
 * if that has failed for all.  Returns 0, or -1 with the reason.
 */

int dns_open(char *const *names, unsigned n, long interval, places_pt found,
    reason_t why);

/* looks all of them up now */

void dns_look(void);

void dns_metrics(buffer_t *page);
void dns_close(void);


/* whether it is one of the names that dns_open() takes; -1 with the reason */

int dns_name(const char *text, reason_t why);


#endif /* _DISCOVERY_DNS_H_INCLUDED_ */
