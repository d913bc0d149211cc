/*
 * Dials targets, many at once, to say whether something listens there.
 */


#ifndef _TARGETS_DIAL_H_INCLUDED_
#define _TARGETS_DIAL_H_INCLUDED_


#include "ngx_prom_targets.h"


typedef struct targets_dial_s  targets_dial_t;


/*
 * Dials every target, at most 256 at once and each for a second at most.
 * Returns what came of it, or NULL with errno set.  The caller frees the
 * result; the targets are needed only in the call.
 */

targets_dial_t *targets_dial(const ngx_prom_targets_t *targets);

/* NULL if target i is up, or else why it is down; valid until the next call */

const char *targets_dial_reason(targets_dial_t *dial, uint32_t i);

void targets_dial_free(targets_dial_t *dial);


#endif /* _TARGETS_DIAL_H_INCLUDED_ */
