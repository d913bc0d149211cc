/*
 * The registry: see ngx_prom_registry.h.
 *
 * All of the zone is one block: half of it slots of counters, the rest in
 * two equal parts, for the snapshot in use and for the next one.  Nothing of
 * it is ever freed, so nothing wears out or is left behind by a process that
 * was killed at it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_prom_lock.h"
#include "ngx_prom_snapshot.h"


/* fewer slots than that are no zone */

#define NGX_PROM_CAPACITY_MIN  16


const uint32_t  ngx_prom_bounds[NGX_PROM_BUCKETS - 1] = {
    10, 50, 100, 500, 1000, 5000, 10000
};


static ngx_prom_snapshot_t *ngx_prom_registry_current(
    ngx_prom_registry_t *registry);
static size_t ngx_prom_registry_needed(size_t snapshot, uint32_t targets);
static ngx_int_t ngx_prom_registry_assign(ngx_prom_registry_t *registry,
    ngx_prom_snapshot_t *sn, ngx_prom_snapshot_t *old, ngx_pool_t *pool);
static void ngx_prom_registry_give(ngx_prom_registry_t *registry,
    ngx_prom_entry_t *e, uint32_t slot);
static ngx_int_t ngx_prom_route_copy(ngx_prom_route_t *route,
    ngx_prom_snapshot_t *sn, ngx_prom_entry_t *e, ngx_pool_t *pool);


ngx_int_t
ngx_prom_registry_init(ngx_slab_pool_t *shpool, size_t zone)
{
    int                   rc;
    size_t                size;
    pthread_mutexattr_t   attr;
    ngx_prom_registry_t  *registry;

    size = shpool->pfree * ngx_pagesize;

    if (size < sizeof(ngx_prom_registry_t)
               + 2 * NGX_PROM_CAPACITY_MIN * sizeof(ngx_prom_counters_t))
    {
        return NGX_ERROR;
    }

    registry = ngx_slab_alloc(shpool, size);
    if (registry == NULL) {
        return NGX_ERROR;
    }

    /* what follows the header is zero, and not touched until it is used */

    ngx_memzero(registry, sizeof(ngx_prom_registry_t));

    size -= sizeof(ngx_prom_registry_t);

    registry->shpool = shpool;
    registry->zone = zone;
    registry->capacity = ngx_min(size / 2 / sizeof(ngx_prom_counters_t),
                                 0x7fffffff);

    size -= registry->capacity * sizeof(ngx_prom_counters_t);

    /* offsets in a snapshot are 32 bits wide */

    size = ngx_min(size / 2, NGX_MAX_UINT32_VALUE);
    registry->half = size & ~(size_t) 7;

#if (NGX_DEBUG_MALLOC)
    /* but for the junk that nginx fills it with then */
    ngx_memzero(registry + 1, registry->capacity * sizeof(ngx_prom_counters_t)
                              + 2 * registry->half);
#endif

    if (pthread_mutexattr_init(&attr) != 0) {
        return NGX_ERROR;
    }

    /* the kernel lets go of it when its owner dies */

    rc = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);

    if (rc == 0) {
        rc = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    }

    if (rc == 0) {
        rc = pthread_mutex_init(&registry->writer, &attr);
    }

    (void) pthread_mutexattr_destroy(&attr);

    if (rc != 0) {
        return NGX_ERROR;
    }

    shpool->data = registry;

    return NGX_OK;
}


void
ngx_prom_registry_acquire(ngx_prom_registry_t *registry)
{
    /* a writer that died has left nothing that the next one goes by */

    if (pthread_mutex_lock(&registry->writer) == EOWNERDEAD) {
        (void) pthread_mutex_consistent(&registry->writer);
    }
}


void
ngx_prom_registry_release(ngx_prom_registry_t *registry)
{
    (void) pthread_mutex_unlock(&registry->writer);
}


ngx_int_t
ngx_prom_registry_prepare(ngx_prom_registry_t *registry,
    const ngx_prom_targets_t *pt, ngx_pool_t *pool, size_t *size)
{
    size_t                len;
    uint32_t              buckets;
    ngx_uint_t            next;
    ngx_prom_snapshot_t  *sn;

    len = ngx_prom_snapshot_size(pt, &buckets);

    if (len > registry->half || pt->count > registry->capacity) {
        *size = ngx_prom_registry_needed(len, pt->count);
        return NGX_DECLINED;
    }

    next = registry->generation + 1;

    /* who still walks the snapshot before the last learns that it is gone */

    ngx_prom_lock(&registry->shpool->mutex);
    registry->whole[next & 1] = 0;
    ngx_prom_unlock(&registry->shpool->mutex);

    sn = ngx_prom_registry_snapshot(registry, next);

    if (ngx_prom_snapshot_build(sn, pt, buckets, len, pool) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_prom_registry_assign(registry, sn,
                                    ngx_prom_registry_current(registry), pool);
}


ngx_int_t
ngx_prom_registry_prepare_most(ngx_prom_registry_t *registry,
    ngx_prom_targets_t *pt, uint32_t least, ngx_pool_t *pool, size_t *size)
{
    size_t     fewer;
    ngx_int_t  rc;

    *size = 0;

    rc = ngx_prom_registry_prepare(registry, pt, pool, size);

    /* what is asked is a sum alone, so it may be asked some times */

    while (rc == NGX_DECLINED && pt->count > least) {
        pt->count = least + (pt->count - least) * 7 / 8;
        rc = ngx_prom_registry_prepare(registry, pt, pool, &fewer);
    }

    return rc;
}


void
ngx_prom_registry_commit(ngx_prom_registry_t *registry)
{
    ngx_uint_t  next;

    ngx_prom_lock(&registry->shpool->mutex);

    next = registry->generation + 1;

    registry->whole[next & 1] = next;
    registry->generation = next;

    ngx_prom_unlock(&registry->shpool->mutex);
}


void
ngx_prom_registry_report(ngx_prom_registry_t *registry,
    const ngx_prom_sources_t *read, const ngx_str_t *reason, ngx_msec_t took,
    ngx_uint_t live)
{
    struct timeval  tv;

    /* any thread may call it, so not by nginx's cached time */

    ngx_gettimeofday(&tv);

    ngx_prom_lock(&registry->shpool->mutex);

    if (read) {
        registry->seen = *read;
    }

    registry->failed = (reason->len != 0);
    registry->reason_len = ngx_min(reason->len, NGX_PROM_REASON_MAX);
    ngx_memcpy(registry->reason, reason->data, registry->reason_len);

    if (reason->len == 0) {
        registry->used = registry->seen;
        registry->loaded = (uint64_t) tv.tv_sec * 1000 + tv.tv_usec / 1000;
        registry->took = took;
    }

    if (live) {
        registry->successes += !registry->failed;
        registry->failures += registry->failed;
    }

    ngx_prom_unlock(&registry->shpool->mutex);
}


ngx_int_t
ngx_prom_registry_targets(ngx_prom_registry_t *registry,
    ngx_prom_targets_t *pt, ngx_pool_t *pool)
{
    char                 *p;
    uint32_t              i;
    ngx_prom_entry_t     *e;
    ngx_prom_target_t    *target;
    ngx_prom_snapshot_t  *sn;

    ngx_memzero(pt, sizeof(ngx_prom_targets_t));

    sn = ngx_prom_registry_current(registry);

    if (sn == NULL || sn->count == 0) {
        return NGX_OK;
    }

    pt->targets = ngx_palloc(pool, sn->count * sizeof(ngx_prom_target_t));
    if (pt->targets == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < sn->count; i++) {
        e = ngx_prom_snapshot_entries(sn) + i;

        if (e->kind == NGX_PROM_ADDRESS_POLL) {
            continue;
        }

        target = &pt->targets[pt->count++];
        ngx_memzero(target, sizeof(ngx_prom_target_t));

        p = (char *) sn + e->strings;

        target->name.data = p;
        target->name.len = e->name_len;
        p += e->name_len;

        target->authority.data = p;
        target->authority.len = e->authority_len;
        target->address = target->authority;
        target->host.data = p + e->host;
        target->host.len = e->host_len;
        p += e->authority_len;

        target->base.data = p;
        target->base.len = e->base_len;
        p += e->base_len;

        target->labels.data = p;
        target->labels.len = e->labels_len;

        target->line = e->line;
        target->port = e->port;
        target->tunnel = e->tunnel;
        target->tls = e->tls;
        target->kind = e->kind;
        target->node = e->node;
        ngx_memcpy(target->ip, e->ip, sizeof(target->ip));
    }

    return NGX_OK;
}


void
ngx_prom_registry_polled(ngx_prom_registry_t *registry, ngx_uint_t version)
{
    ngx_prom_lock(&registry->shpool->mutex);

    registry->seen.polls = version;
    registry->used.polls = version;

    ngx_prom_unlock(&registry->shpool->mutex);
}


void
ngx_prom_registry_sources(ngx_prom_registry_t *registry,
    ngx_prom_sources_t *seen, ngx_prom_sources_t *used)
{
    ngx_prom_lock(&registry->shpool->mutex);

    *seen = registry->seen;
    *used = registry->used;

    ngx_prom_unlock(&registry->shpool->mutex);
}


ngx_uint_t
ngx_prom_registry_configure(ngx_prom_registry_t *registry)
{
    return ++registry->configuration;
}


ngx_uint_t
ngx_prom_registry_configured(ngx_prom_registry_t *registry,
    ngx_uint_t configuration)
{
    return (registry->configuration == configuration);
}


ngx_msec_t
ngx_prom_registry_clock(void)
{
    struct timespec  ts;

    if (clock_gettime(CLOCK_MONOTONIC, &ts) == -1) {
        return 0;
    }

    return (ngx_msec_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


void
ngx_prom_registry_inherit(ngx_prom_registry_t *registry,
    ngx_prom_registry_t *old)
{
    uint32_t              i, serial;
    ngx_prom_entry_t     *entries, *e;
    ngx_prom_counters_t  *from, *to;
    ngx_prom_snapshot_t  *sn, *theirs;

    ngx_prom_registry_acquire(old);

    registry->totals = old->totals;
    registry->successes = old->successes;
    registry->failures = old->failures;

    theirs = ngx_prom_registry_current(old);

    if (theirs) {
        sn = ngx_prom_registry_snapshot(registry, registry->generation + 1);
        entries = ngx_prom_snapshot_entries(sn);

        for (i = 0; i < sn->count; i++) {
            e = ngx_prom_snapshot_same(theirs, sn, &entries[i]);

            if (e == NULL) {
                continue;
            }

            from = ngx_prom_registry_counters(old, e->slot, e->serial);

            if (from && from->scrapes) {
                to = ngx_prom_registry_slots(registry) + entries[i].slot;

                serial = to->serial;
                *to = *from;
                to->serial = serial;
            }
        }
    }

    ngx_prom_registry_release(old);
}


void
ngx_prom_registry_info(ngx_prom_registry_t *registry, ngx_prom_info_t *info)
{
    ngx_prom_snapshot_t  *sn;

    ngx_memzero(info, sizeof(ngx_prom_info_t));

    info->capacity = registry->capacity;
    info->zone = registry->zone;

    ngx_prom_lock(&registry->shpool->mutex);

    sn = ngx_prom_registry_current(registry);

    if (sn) {
        info->targets = sn->count;
        info->digest = sn->digest;
        info->used = ngx_prom_registry_needed(sn->size, sn->count);
        info->loaded = registry->loaded;
    }

    info->took = registry->took;
    info->successes = registry->successes;
    info->failures = registry->failures;
    info->failed = registry->failed;
    info->reason_len = registry->reason_len;
    ngx_memcpy(info->reason, registry->reason, registry->reason_len);

    ngx_prom_unlock(&registry->shpool->mutex);
}


ngx_int_t
ngx_prom_registry_find(ngx_prom_registry_t *registry, const ngx_str_t *uri,
    ngx_prom_route_t *route, ngx_pool_t *pool)
{
    ngx_int_t             rc;
    ngx_uint_t            bare;
    ngx_prom_entry_t     *e;
    ngx_prom_snapshot_t  *sn;

    rc = NGX_DECLINED;

    /* few bytes are copied, and the pool has them at hand as a rule */

    ngx_prom_lock(&registry->shpool->mutex);

    sn = ngx_prom_registry_current(registry);

    if (sn) {
        e = ngx_prom_snapshot_find(sn, uri, &bare);

        if (e) {
            rc = ngx_prom_route_copy(route, sn, e, pool);
            route->bare = bare;
        }
    }

    ngx_prom_unlock(&registry->shpool->mutex);

    return rc;
}


ngx_prom_counters_t *
ngx_prom_registry_counters(ngx_prom_registry_t *registry, uint32_t slot,
    uint32_t serial)
{
    ngx_prom_counters_t  *counters;

    counters = ngx_prom_registry_slots(registry) + slot;

    return (counters->serial == serial) ? counters : NULL;
}


ngx_prom_counters_t *
ngx_prom_registry_totals(ngx_prom_registry_t *registry)
{
    return &registry->totals;
}


static ngx_prom_snapshot_t *
ngx_prom_registry_current(ngx_prom_registry_t *registry)
{
    if (registry->generation == 0) {
        return NULL;
    }

    return ngx_prom_registry_snapshot(registry, registry->generation);
}


/* the zone that would do: see how init divides it, and nginx's own pages */

static size_t
ngx_prom_registry_needed(size_t snapshot, uint32_t targets)
{
    size_t  size;

    size = ngx_max(4 * (snapshot + 8),
                   2 * (targets + 1) * sizeof(ngx_prom_counters_t));

    size += sizeof(ngx_prom_registry_t) + sizeof(ngx_slab_pool_t)
            + 4 * ngx_pagesize;

    size += (size / ngx_pagesize + 1) * 2 * sizeof(ngx_slab_page_t);

    return ngx_align(size, ngx_pagesize);
}


/*
 * A name that stays keeps its slot.  A new one gets a slot that no target
 * of the old snapshot has, as those are counted in until the commit, and
 * after it by scrapes under way; only if all are taken, one of a name that
 * goes.
 */

static ngx_int_t
ngx_prom_registry_assign(ngx_prom_registry_t *registry,
    ngx_prom_snapshot_t *sn, ngx_prom_snapshot_t *old, ngx_pool_t *pool)
{
    u_char            *used, *kept;
    uint32_t           i, slot;
    ngx_prom_entry_t  *entries, *olds, *e;

    used = ngx_pcalloc(pool, 2 * (size_t) registry->capacity);
    if (used == NULL) {
        return NGX_ERROR;
    }

    kept = used + registry->capacity;
    entries = ngx_prom_snapshot_entries(sn);

    if (old) {
        olds = ngx_prom_snapshot_entries(old);

        for (i = 0; i < old->count; i++) {
            used[olds[i].slot] = 1;
        }
    }

    for (i = 0; i < sn->count; i++) {
        e = old ? ngx_prom_snapshot_same(old, sn, &entries[i]) : NULL;

        /* a set that was refused in the end may have taken its slot */

        if (e && ngx_prom_registry_counters(registry, e->slot, e->serial)) {
            entries[i].slot = e->slot;
            entries[i].serial = e->serial;
            kept[e->slot] = 1;

        } else {
            entries[i].slot = registry->capacity;
        }
    }

    slot = 0;

    for (i = 0; i < sn->count; i++) {

        if (entries[i].slot != registry->capacity) {
            continue;
        }

        while (slot < registry->capacity && used[slot]) {
            slot++;
        }

        if (slot == registry->capacity) {
            /* there are as many slots as targets at least */
            ngx_memcpy(used, kept, registry->capacity);
            slot = 0;

            while (used[slot]) {
                slot++;
            }
        }

        ngx_prom_registry_give(registry, &entries[i], slot);

        used[slot] = 1;
        kept[slot] = 1;
    }

    return NGX_OK;
}


static void
ngx_prom_registry_give(ngx_prom_registry_t *registry, ngx_prom_entry_t *e,
    uint32_t slot)
{
    ngx_prom_counters_t  *counters;

    e->slot = slot;

    if (slot >= registry->touched) {
        /* all zero, also its serial */
        registry->touched = slot + 1;
        e->serial = 0;
        return;
    }

    if (++registry->serial == 0) {
        registry->serial = 1;
    }

    counters = ngx_prom_registry_slots(registry) + slot;

    /* at first the serial, so that no scrape of another target's is added */

    counters->serial = registry->serial;
    ngx_memory_barrier();
    ngx_memzero(counters, offsetof(ngx_prom_counters_t, serial));

    e->serial = registry->serial;
}


static ngx_int_t
ngx_prom_route_copy(ngx_prom_route_t *route, ngx_prom_snapshot_t *sn,
    ngx_prom_entry_t *e, ngx_pool_t *pool)
{
    size_t   len;
    u_char  *p;

    len = e->name_len + e->authority_len + e->base_len;

    p = ngx_pnalloc(pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, (u_char *) sn + e->strings, len);

    route->name.data = p;
    route->name.len = e->name_len;
    p += e->name_len;

    route->authority.data = p;
    route->authority.len = e->authority_len;
    route->host.data = p + e->host;
    route->host.len = e->host_len;
    p += e->authority_len;

    route->base.data = p;
    route->base.len = e->base_len;

    route->slot = e->slot;
    route->serial = e->serial;
    route->port = e->port;
    route->tunnel = e->tunnel;
    route->node = e->node;
    route->kind = e->kind;
    route->tls = e->tls;
    ngx_memcpy(route->ip, e->ip, sizeof(route->ip));

    return NGX_OK;
}
