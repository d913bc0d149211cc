/*
 * The pages that the program serves.
 */


#ifndef _DISCOVERY_PAGES_H_INCLUDED_
#define _DISCOVERY_PAGES_H_INCLUDED_


#include "options.h"


/* options must stay where they are; returns 0, or -1 with the reason */

int pages_open(const options_t *options, reason_t why);
void pages_close(void);


#endif /* _DISCOVERY_PAGES_H_INCLUDED_ */
