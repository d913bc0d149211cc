/*
 * A remote's credential, as it is kept: fetched in time, and told to workers.
 */


#ifndef _TOKEN_KEPT_H_INCLUDED_
#define _TOKEN_KEPT_H_INCLUDED_


#include <stdint.h>

#include "fetch.h"
#include "loop.h"
#include "str.h"


typedef struct {
    fetch_t         fetch;
    const char     *name;
    loop_timer_t    timer;

    /* what workers are told, if valid */

    credential_e    kind;
    buffer_t        value;
    uint64_t        version;
    int64_t         expires;          /* 0: never */
    unsigned        valid:1;

    unsigned        fetching:1;
    unsigned        refused:1;        /* that is why it is fetched */
    unsigned        throttled:1;      /* it isn't to be asked before due */
    int64_t         due;
    int64_t         forced;

    unsigned        failures;         /* in a row */
    int64_t         failing;          /* since */
    reason_t        told;
    reason_t        why;

    uint64_t        refreshed;
    uint64_t        failed[FAILURES];
} kept_t;


/* to be called first: versions are greater than those of a keeper before */

void kept_seed(void);

/* zeroed before; 0, or -1: out of memory; to be closed in both cases */

int kept_open(kept_t *k, const remote_t *remote);
void kept_close(kept_t *k);

/* fetches it for the first time; the rest is up to the loop */

void kept_start(kept_t *k);

/* a worker says that the remote took it for invalid, in this version */

void kept_refuse(kept_t *k, uint64_t version);

/* appends all that a worker is to know of it */

void kept_lines(kept_t *k, buffer_t *lines);


#endif /* _TOKEN_KEPT_H_INCLUDED_ */
