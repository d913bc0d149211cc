/*
 * How the registry lies in shared memory: for the files that build, search
 * and walk it, and for no others.
 */


#ifndef _NGX_PROM_SNAPSHOT_H_INCLUDED_
#define _NGX_PROM_SNAPSHOT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <pthread.h>
#include "ngx_prom_registry.h"


typedef struct {
    uint32_t             hash;
    uint32_t             next;        /* index + 1 in the chain, 0 ends it */
    uint32_t             strings;     /* offset: name, authority and so on */
    uint32_t             labels_len;
    uint16_t             authority_len;
    uint16_t             base_len;
    uint16_t             host_len;
    uint16_t             port;
    uint16_t             tunnel;
    uint8_t              name_len;
    uint8_t              host;        /* offset in the authority */
    uint8_t              kind;
    uint8_t              tls;
    uint8_t              ip[16];
    uint32_t             slot;        /* of the counters */
    uint32_t             serial;
    uint32_t             rank;
    uint32_t             line;
    uint32_t             node;
} ngx_prom_entry_t;


/* the entries' strings follow them without a gap, in the same order */

typedef struct {
    uint32_t             count;
    uint32_t             mask;        /* buckets - 1 */
    uint32_t             depth;       /* segments of the deepest name */
    uint32_t             entries;     /* offset; buckets stand before them */
    uint64_t             digest;
    size_t               size;
} ngx_prom_snapshot_t;


#define ngx_prom_snapshot_entries(sn)                                        \
    ((ngx_prom_entry_t *) ((u_char *) (sn) + (sn)->entries))

#define ngx_prom_entry_size(e)                                               \
    ((size_t) (e)->name_len + (e)->authority_len + (e)->base_len             \
     + (e)->labels_len)


struct ngx_prom_registry_s {
    ngx_slab_pool_t     *shpool;      /* its mutex guards what changes below */
    pthread_mutex_t      writer;

    size_t               zone;
    size_t               half;        /* bytes for a snapshot */
    uint32_t             capacity;    /* slots */
    uint32_t             touched;     /* slots behind that are zero still */
    uint32_t             serial;      /* the last one given to a slot */

    /*
     * The snapshot in use is that of the generation: the odd ones are in the
     * second place. So a single write changes which one it is.
     */

    ngx_atomic_t         generation;  /* 0: nothing yet */
    ngx_atomic_t         whole[2];    /* which one is there; 0: none */

    ngx_uint_t           configuration;

    ngx_prom_sources_t   seen;
    ngx_prom_sources_t   used;
    uint64_t             loaded;
    uint64_t             successes;
    uint64_t             failures;
    uint32_t             took;
    uint32_t             failed;
    size_t               reason_len;
    u_char               reason[NGX_PROM_REASON_MAX];

    ngx_prom_counters_t  totals;

    /* slots and both snapshots follow */
};


#define ngx_prom_registry_slots(registry)                                    \
    ((ngx_prom_counters_t *) ((registry) + 1))

#define ngx_prom_registry_snapshot(registry, generation)                     \
    ((ngx_prom_snapshot_t *) ((u_char *) (ngx_prom_registry_slots(registry)  \
                                          + (registry)->capacity)            \
                              + ((generation) & 1) * (registry)->half))


/* bytes that the targets of pt take; at least one bucket a target */

size_t ngx_prom_snapshot_size(const ngx_prom_targets_t *pt,
    uint32_t *buckets);

/*
 * Writes all of the snapshot but the slots.  Returns NGX_OK, or NGX_ERROR
 * if pool has no memory for sorting the names.
 */

ngx_int_t ngx_prom_snapshot_build(ngx_prom_snapshot_t *sn,
    const ngx_prom_targets_t *pt, uint32_t buckets, size_t size,
    ngx_pool_t *pool);

/* the entry of another snapshot's that has the same name as e, or NULL */

ngx_prom_entry_t *ngx_prom_snapshot_same(ngx_prom_snapshot_t *sn,
    ngx_prom_snapshot_t *other, ngx_prom_entry_t *e);

/*
 * The entry with the longest NAME so that uri is "/NAME", *bare is 1 then,
 * or begins with "/NAME/"; or NULL.
 */

ngx_prom_entry_t *ngx_prom_snapshot_find(ngx_prom_snapshot_t *sn,
    const ngx_str_t *uri, ngx_uint_t *bare);


#endif /* _NGX_PROM_SNAPSHOT_H_INCLUDED_ */
