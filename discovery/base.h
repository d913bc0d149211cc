/*
 * The base: a prometheus.yaml to which jobs are added.
 */


#ifndef _DISCOVERY_BASE_H_INCLUDED_
#define _DISCOVERY_BASE_H_INCLUDED_


#include "base_scan.h"


/* all zeros is one that wasn't read yet */

typedef struct {
    buffer_t      text;
    base_scan_t   scan;
} base_t;


/*
 * Takes over the text if it is one that a job can be added to, else leaves it
 * and the base as they are.  path is the text's, for the reason.  Returns 0,
 * or -1 with the reason.
 */

int base_set(base_t *base, const char *path, buffer_t *text, reason_t why);

int base_has_job(const base_t *base, const char *name);

/*
 * Appends the base with these jobs, lines that begin with "- " or two spaces,
 * at the end of its own; as it is if there are none.
 */

void base_write(const base_t *base, str_t jobs, buffer_t *to);

void base_free(base_t *base);


#endif /* _DISCOVERY_BASE_H_INCLUDED_ */
