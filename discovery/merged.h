/*
 * What the proxies list, each target at the proxy that holds it: one text that
 * is served, or a list for each proxy, which are written to files.
 */


#ifndef _DISCOVERY_MERGED_H_INCLUDED_
#define _DISCOVERY_MERGED_H_INCLUDED_


#include "options.h"
#include "server.h"


/* options must stay where they are */

void merged_open(const options_t *options);

/* of what the proxies list now */

void merged_make(void);

/* what is served; NULL: nothing yet */

server_text_t *merged_text(void);

void merged_metrics(buffer_t *page);
void merged_close(void);


#endif /* _DISCOVERY_MERGED_H_INCLUDED_ */
