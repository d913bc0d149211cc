/*
 * The proxies that are known, and what they list.
 */


#ifndef _DISCOVERY_PROXIES_H_INCLUDED_
#define _DISCOVERY_PROXIES_H_INCLUDED_


#include "member.h"
#include "options.h"


/*
 * changed is called when a round is over, and when something that concerns the
 * lists has changed between two.  Returns 0, or -1: out of memory.
 */

int proxies_open(const options_t *options, void (*changed)(void));

/* is the places_pt of all sources: asks those that are new at once */

void proxies_found(places_t *places);

/* asks all of them now */

void proxies_ask(void);

/* whether places are known, and each was asked, whatever it said */

int proxies_are_known(void);

/* by their names */

member_t *const *proxies_members(size_t *n);

void proxies_metrics(buffer_t *page);
void proxies_close(void);


#endif /* _DISCOVERY_PROXIES_H_INCLUDED_ */
