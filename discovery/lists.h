/*
 * The proxies' lists, each in a file that Prometheus' file_sd reads, in a
 * directory that is theirs.
 */


#ifndef _DISCOVERY_LISTS_H_INCLUDED_
#define _DISCOVERY_LISTS_H_INCLUDED_


#include "output.h"


/*
 * Makes the directory if it isn't there, and takes it if there is no list in
 * it, or if they are ours; path stays the caller's.  Returns 0, or -1 with the
 * reason.
 */

int lists_open(const char *path, reason_t why);

/*
 * Writes those that have changed, and removes those of others.  What fails is
 * logged once, and done again the next time.
 */

void lists_put(const output_list_t *lists, size_t n);

/* as it says, or, if it isn't known yet, as it was before */

int lists_are_pushprox(const output_list_t *list);

void lists_metrics(buffer_t *page);
void lists_close(void);


#endif /* _DISCOVERY_LISTS_H_INCLUDED_ */
