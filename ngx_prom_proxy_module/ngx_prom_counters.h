/*
 * What is counted of a target's scrapes, in shared memory beside the
 * registry.  A slot belongs to a target for as long as its NAME is there,
 * whatever else of it changes.
 *
 * Workers add to the numbers without a lock; who reads them may see one
 * scrape half counted, and no more.
 */


#ifndef _NGX_PROM_COUNTERS_H_INCLUDED_
#define _NGX_PROM_COUNTERS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_PROM_CODES       6        /* aborted, 1xx, 2xx ... 5xx */
#define NGX_PROM_BUCKETS     8        /* of the durations; the last is +Inf */
#define NGX_PROM_HISTORY     60       /* scrapes that are remembered */

/* an item of the history: milliseconds, at most that many, and a flag */

#define NGX_PROM_HISTORY_MAX     0x7fff
#define NGX_PROM_HISTORY_FAILED  0x8000


typedef struct {
    ngx_atomic_t         codes[NGX_PROM_CODES];

    /* a scrape is in one bucket: the first whose bound it doesn't exceed */

    ngx_atomic_t         buckets[NGX_PROM_BUCKETS];
    ngx_atomic_t         duration;    /* sum, milliseconds */
    ngx_atomic_t         bytes;       /* sum, of the bodies */
    ngx_atomic_t         connects;    /* connections that were opened */
    ngx_atomic_t         reuses;      /* connections that were used again */
    ngx_atomic_t         scrapes;     /* all; the history's next place too */

    uint64_t             succeeded;   /* the last success: ms, Unix time */
    uint64_t             scraped;     /* the last scrape, 0 if none */

    /* of the last scrape */

    uint64_t             size;        /* bytes of the body */
    uint32_t             latency;     /* milliseconds */
    uint32_t             timeout;     /* the scraper's, milliseconds, or 0 */
    int32_t              code;        /* of the failure */
    uint16_t             status;      /* HTTP */
    uint8_t              fail;        /* ngx_http_prom_fail_e */
    uint8_t              up;          /* 1: it was answered, whole, by 200 */

    uint16_t             history[NGX_PROM_HISTORY];
    uint32_t             serial;      /* which target has the slot */
} ngx_prom_counters_t;


/* the upper bounds of the buckets in milliseconds, without +Inf */

extern const uint32_t  ngx_prom_bounds[NGX_PROM_BUCKETS - 1];


#endif /* _NGX_PROM_COUNTERS_H_INCLUDED_ */
