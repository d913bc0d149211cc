/*
 * The registry of targets in shared memory.
 *
 * The targets are one immutable snapshot: a single block with a hash table,
 * the entries and their strings, tied by offsets from its start, so that no
 * process keeps a pointer into it.  There is room for two: the next one is
 * built beside the one in use, and takes its place by a single write.  So
 * whoever is killed at it leaves the one in use whole.
 *
 * Counters live beside the snapshots, a slot for each target.
 */


#ifndef _NGX_PROM_REGISTRY_H_INCLUDED_
#define _NGX_PROM_REGISTRY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_prom_counters.h"
#include "ngx_prom_source.h"
#include "ngx_prom_targets.h"


#define NGX_PROM_REASON_MAX  512      /* bytes of a refused file's reason */


typedef struct ngx_prom_registry_s  ngx_prom_registry_t;


/* what one request needs of its target, copied into the request's pool */

typedef struct {
    ngx_str_t            name;
    ngx_str_t            authority;   /* "host:port" or "unix:PATH" */
    ngx_str_t            host;        /* no brackets; PATH of "unix:" */
    ngx_str_t            base;        /* "" or "/base" */
    in_port_t            port;        /* host order */
    in_port_t            tunnel;      /* first port of its host, or 0 */
    u_char               ip[16];      /* network order; 4 bytes for IPv4 */
    uint32_t             node;        /* mark of its node's key, or 0 */
    uint32_t             slot;        /* of the counters */
    uint32_t             serial;      /* theirs, while they are the target's */
    unsigned             kind:3;      /* ngx_prom_address_e */
    unsigned             tls:1;
    unsigned             bare:1;      /* the URI is "/NAME", without a slash */
} ngx_prom_route_t;


/* what the registry says of itself */

typedef struct {
    uint32_t             targets;
    uint32_t             capacity;    /* counters that the zone has room for */
    size_t               zone;        /* bytes of the zone */
    size_t               used;        /* of them, by targets and counters */

    uint64_t             digest;      /* of all targets */
    uint64_t             loaded;      /* ms, Unix time; 0: not loaded yet */
    uint32_t             took;        /* ms, from reading to being in use */

    uint64_t             successes;   /* reloads while running */
    uint64_t             failures;
    uint8_t              failed;      /* the last one did, and why: */
    size_t               reason_len;
    u_char               reason[NGX_PROM_REASON_MAX];
} ngx_prom_info_t;


/*
 * Makes an empty registry of all the zone, which becomes shpool->data.
 * Returns NGX_OK, or NGX_ERROR if the zone is too small for any.
 */

ngx_int_t ngx_prom_registry_init(ngx_slab_pool_t *shpool, size_t zone);

/*
 * Holds off other writers of any process, until released, or until the
 * process ends, in whichever way.  Waits for one that is building, which
 * takes well under a second.
 */

void ngx_prom_registry_acquire(ngx_prom_registry_t *registry);
void ngx_prom_registry_release(ngx_prom_registry_t *registry);

/*
 * Builds the targets of pt, which must hold no errors, beside those in use;
 * counters go on for names that stay.  Acquired before and until the commit.
 * Memory is taken from pool, for the call only.
 * Returns NGX_OK; NGX_DECLINED if the zone has no room, *size then says how
 * large it would have to be; or NGX_ERROR without memory.
 */

ngx_int_t ngx_prom_registry_prepare(ngx_prom_registry_t *registry,
    const ngx_prom_targets_t *pt, ngx_pool_t *pool, size_t *size);

/*
 * As above, but where the zone has no room, leaves out targets from the end of
 * pt, down to the first least of them.  *size is 0 if all are prepared.
 */

ngx_int_t ngx_prom_registry_prepare_most(ngx_prom_registry_t *registry,
    ngx_prom_targets_t *pt, uint32_t least, ngx_pool_t *pool, size_t *size);

/* lets the prepared targets take the place of those in use */

void ngx_prom_registry_commit(ngx_prom_registry_t *registry);

/*
 * Says what became of the sources as they were read, before a commit: reason
 * is empty if their targets were loaded, in took milliseconds.  Counts as a
 * reload if live.  read is NULL if the same is worth another try.
 */

void ngx_prom_registry_report(ngx_prom_registry_t *registry,
    const ngx_prom_sources_t *read, const ngx_str_t *reason, ngx_msec_t took,
    ngx_uint_t live);

/*
 * The targets of files that are in use, without poll clients: their texts are
 * the registry's own, and stay for as long as it is acquired.
 */

ngx_int_t ngx_prom_registry_targets(ngx_prom_registry_t *registry,
    ngx_prom_targets_t *pt, ngx_pool_t *pool);

/* says which poll clients were looked at, files aside */

void ngx_prom_registry_polled(ngx_prom_registry_t *registry,
    ngx_uint_t version);

/* the sources that were loaded, or refused, last; and those in use */

void ngx_prom_registry_sources(ngx_prom_registry_t *registry,
    ngx_prom_sources_t *seen, ngx_prom_sources_t *used);

/*
 * A new configuration comes into use: returns its number. Those before it
 * are not configured any more, and load nothing.
 */

ngx_uint_t ngx_prom_registry_configure(ngx_prom_registry_t *registry);
ngx_uint_t ngx_prom_registry_configured(ngx_prom_registry_t *registry,
    ngx_uint_t configuration);

/* milliseconds of a clock that nobody sets */

ngx_msec_t ngx_prom_registry_clock(void);

/* copies counters of the same names, and totals, out of another zone's */

void ngx_prom_registry_inherit(ngx_prom_registry_t *registry,
    ngx_prom_registry_t *old);

void ngx_prom_registry_info(ngx_prom_registry_t *registry,
    ngx_prom_info_t *info);

/*
 * Finds the target with the longest NAME so that uri is "/NAME" or begins
 * with "/NAME/", and copies it into route and pool.
 * Returns NGX_OK, NGX_DECLINED if there is none, or NGX_ERROR.
 */

ngx_int_t ngx_prom_registry_find(ngx_prom_registry_t *registry,
    const ngx_str_t *uri, ngx_prom_route_t *route, ngx_pool_t *pool);

/*
 * The counters of a slot, or NULL if they are another target's by now; and
 * those of all targets together, also of such that are gone.
 */

ngx_prom_counters_t *ngx_prom_registry_counters(ngx_prom_registry_t *registry,
    uint32_t slot, uint32_t serial);
ngx_prom_counters_t *ngx_prom_registry_totals(ngx_prom_registry_t *registry);


/*
 * A walk over all targets, for pages that are sent in slices: it copies a
 * few dozen targets at a time, so that nothing is locked between two calls.
 */

typedef struct {
    ngx_str_t            name;
    ngx_str_t            authority;
    ngx_str_t            base;
    ngx_str_t            labels;      /* "name\0value\0"... */
    uint32_t             index;       /* its place in the file, from 0 */
    uint32_t             rank;        /* its place in the order of names */
    uint32_t             line;        /* in the file, from 1 */
    ngx_uint_t           tunnel;      /* first port of its host, or 0 */
    uint32_t             node;        /* mark of its node's key, or 0: without
                                         both it's of the targets file */
    ngx_uint_t           tls;         /* behind "https://" */
    ngx_uint_t           kind;        /* ngx_prom_address_e */
    in_port_t            port;        /* host order; 0 for "unix:" */
    const u_char        *ip;          /* network order; 4 bytes for IPv4 */

    /* in shared memory; all zero before the first scrape; never NULL */

    const ngx_prom_counters_t   *counters;
} ngx_prom_item_t;


typedef struct {
    uint32_t             count;       /* targets in all */
    uint32_t             next;        /* index of the next one */
    uint64_t             digest;      /* of all of them */

    ngx_prom_registry_t *registry;    /* private from here on */
    ngx_pool_t          *pool;
    ngx_atomic_uint_t    generation;
    u_char              *buf;
    size_t               size;
    uint32_t             first;       /* in buf are the targets first */
    uint32_t             last;        /* to last - 1 */
} ngx_prom_walk_t;


/*
 * Starts before the first target of those in use now.
 * Returns NGX_OK, NGX_DECLINED if none were ever loaded, or NGX_ERROR.
 */

ngx_int_t ngx_prom_walk_start(ngx_prom_walk_t *walk,
    ngx_prom_registry_t *registry, ngx_pool_t *pool);

/*
 * The next target; its texts are valid until the next call.  walk->next may
 * be set in between, to go to another place.
 * Returns NGX_OK, NGX_DONE behind the last one, NGX_ABORT if the targets
 * were replaced twice since the start and so are gone, or NGX_ERROR.
 */

ngx_int_t ngx_prom_walk_next(ngx_prom_walk_t *walk, ngx_prom_item_t *item);

/*
 * Walks the labels of an item: *pos is 0 at first.  Returns 1 with the next
 * one, or 0 behind the last.
 */

ngx_uint_t ngx_prom_item_label(const ngx_prom_item_t *item, size_t *pos,
    ngx_str_t *name, ngx_str_t *value);


#endif /* _NGX_PROM_REGISTRY_H_INCLUDED_ */
