/*
 * Tells Prometheus that its configuration has changed, until it says that it
 * has taken it.
 */


#ifndef _DISCOVERY_RELOAD_H_INCLUDED_
#define _DISCOVERY_RELOAD_H_INCLUDED_


#include "str.h"


/*
 * note is the path of a file that is there as long as Prometheus is to be
 * told, so that whoever is started next tells it; both stay the caller's.
 * Returns 0, or -1 with the reason.
 */

int reload_open(const char *url, const char *note, reason_t why);

/* the configuration is about to change; nothing is told yet */

void reload_prepare(void);

void reload_cancel(void);         /* it has not */
void reload_start(void);          /* it has */
int reload_is_due(void);

void reload_metrics(buffer_t *page);
void reload_close(void);


#endif /* _DISCOVERY_RELOAD_H_INCLUDED_ */
