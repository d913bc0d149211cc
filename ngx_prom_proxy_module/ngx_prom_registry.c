/*
 * The registry: see ngx_prom_registry.h.
 *
 * A look-up hashes the URI once, segment by segment, and probes the table
 * for each prefix that could be a name, the longest first. Its cost depends
 * on the URI and on the depth of the deepest name, not on their number.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_prom_registry.h"


/* a name of NGX_PROM_NAME_MAX bytes has at most that many segments */

#define NGX_PROM_DEPTH_MAX   ((NGX_PROM_NAME_MAX + 1) / 2)

/* FNV-1a, as it can be taken up again behind each segment */

#define NGX_PROM_HASH_INIT   2166136261u
#define ngx_prom_hash(h, c)  (((h) ^ (c)) * 16777619u)


typedef struct {
    uint32_t             hash;
    uint32_t             next;        /* index + 1 in the chain, 0 ends it */
    uint32_t             strings;     /* offset: name, authority and so on */
    uint32_t             labels_len;
    uint16_t             authority_len;
    uint16_t             base_len;
    uint16_t             host_len;
    uint16_t             port;
    uint8_t              name_len;
    uint8_t              host;        /* offset in the authority */
    uint8_t              kind;
    uint8_t              tls;
    uint8_t              ip[16];
} ngx_prom_entry_t;


typedef struct {
    uint32_t             count;
    uint32_t             mask;        /* buckets - 1 */
    uint32_t             depth;       /* segments of the deepest name */
    uint32_t             entries;     /* offset; buckets stand before them */
} ngx_prom_snapshot_t;


typedef struct {
    ngx_prom_snapshot_t *snapshot;
    ngx_prom_snapshot_t *next;        /* prepared, not in use yet */
} ngx_prom_registry_t;


static size_t ngx_prom_snapshot_size(const ngx_prom_targets_t *pt,
    uint32_t *buckets);
static void ngx_prom_snapshot_build(ngx_prom_snapshot_t *sn,
    const ngx_prom_targets_t *pt, uint32_t buckets);
static uint32_t ngx_prom_snapshot_add(ngx_prom_snapshot_t *sn, uint32_t i,
    uint32_t offset, const ngx_prom_target_t *target);
static ngx_prom_entry_t *ngx_prom_snapshot_probe(ngx_prom_snapshot_t *sn,
    uint32_t hash, u_char *name, size_t len);
static ngx_prom_entry_t *ngx_prom_snapshot_find(ngx_prom_snapshot_t *sn,
    const ngx_str_t *uri, ngx_uint_t *bare);
static ngx_int_t ngx_prom_route_copy(ngx_prom_route_t *route,
    ngx_prom_snapshot_t *sn, ngx_prom_entry_t *e, ngx_pool_t *pool);


ngx_int_t
ngx_prom_registry_init(ngx_slab_pool_t *shpool)
{
    ngx_prom_registry_t  *registry;

    registry = ngx_slab_calloc(shpool, sizeof(ngx_prom_registry_t));
    if (registry == NULL) {
        return NGX_ERROR;
    }

    shpool->data = registry;

    return NGX_OK;
}


ngx_int_t
ngx_prom_registry_prepare(ngx_slab_pool_t *shpool,
    const ngx_prom_targets_t *pt, size_t *size)
{
    uint32_t              buckets;
    ngx_prom_registry_t  *registry;

    registry = shpool->data;

    if (registry->next) {
        ngx_slab_free(shpool, registry->next);
        registry->next = NULL;
    }

    *size = ngx_prom_snapshot_size(pt, &buckets);

    /* offsets are 32 bits wide */

    if (*size > NGX_MAX_UINT32_VALUE) {
        return NGX_ERROR;
    }

    registry->next = ngx_slab_alloc(shpool, *size);
    if (registry->next == NULL) {
        return NGX_ERROR;
    }

    ngx_prom_snapshot_build(registry->next, pt, buckets);

    return NGX_OK;
}


void
ngx_prom_registry_commit(ngx_slab_pool_t *shpool)
{
    ngx_prom_registry_t  *registry;
    ngx_prom_snapshot_t  *old;

    registry = shpool->data;

    if (registry->next == NULL) {
        return;
    }

    ngx_shmtx_lock(&shpool->mutex);

    old = registry->snapshot;
    registry->snapshot = registry->next;
    registry->next = NULL;

    if (old) {
        ngx_slab_free_locked(shpool, old);
    }

    ngx_shmtx_unlock(&shpool->mutex);
}


ngx_int_t
ngx_prom_registry_find(ngx_slab_pool_t *shpool, const ngx_str_t *uri,
    ngx_prom_route_t *route, ngx_pool_t *pool)
{
    ngx_int_t             rc;
    ngx_uint_t            bare;
    ngx_prom_entry_t     *e;
    ngx_prom_registry_t  *registry;
    ngx_prom_snapshot_t  *sn;

    rc = NGX_DECLINED;
    registry = shpool->data;

    ngx_shmtx_lock(&shpool->mutex);

    sn = registry->snapshot;

    if (sn) {
        e = ngx_prom_snapshot_find(sn, uri, &bare);

        if (e) {
            rc = ngx_prom_route_copy(route, sn, e, pool);
            route->bare = bare;
        }
    }

    ngx_shmtx_unlock(&shpool->mutex);

    return rc;
}


static size_t
ngx_prom_snapshot_size(const ngx_prom_targets_t *pt, uint32_t *buckets)
{
    size_t              size;
    uint32_t            i, n;
    ngx_prom_target_t  *target;

    for (n = 1; n < pt->count && n < 0x80000000; n <<= 1) { /* void */ }

    size = sizeof(ngx_prom_snapshot_t) + n * sizeof(uint32_t)
           + pt->count * sizeof(ngx_prom_entry_t);

    for (i = 0; i < pt->count; i++) {
        target = &pt->targets[i];
        size += target->name.len + target->authority.len + target->base.len
                + target->labels.len;
    }

    *buckets = n;

    return size;
}


static void
ngx_prom_snapshot_build(ngx_prom_snapshot_t *sn, const ngx_prom_targets_t *pt,
    uint32_t buckets)
{
    uint32_t  i, offset;

    sn->count = pt->count;
    sn->mask = buckets - 1;
    sn->depth = 0;
    sn->entries = sizeof(ngx_prom_snapshot_t) + buckets * sizeof(uint32_t);

    ngx_memzero((u_char *) sn + sizeof(ngx_prom_snapshot_t),
                buckets * sizeof(uint32_t));

    offset = sn->entries + pt->count * sizeof(ngx_prom_entry_t);

    for (i = 0; i < pt->count; i++) {
        offset = ngx_prom_snapshot_add(sn, i, offset, &pt->targets[i]);
    }
}


static uint32_t
ngx_prom_snapshot_add(ngx_prom_snapshot_t *sn, uint32_t i, uint32_t offset,
    const ngx_prom_target_t *target)
{
    char              *host;
    size_t             n;
    u_char            *p;
    uint32_t           hash, depth, *bucket;
    ngx_prom_entry_t  *e;

    e = (ngx_prom_entry_t *) ((u_char *) sn + sn->entries) + i;

    hash = NGX_PROM_HASH_INIT;
    depth = 1;

    for (n = 0; n < target->name.len; n++) {

        if (target->name.data[n] == '/') {
            depth++;
        }

        hash = ngx_prom_hash(hash, (u_char) target->name.data[n]);
    }

    if (depth > sn->depth) {
        sn->depth = depth;
    }

    bucket = (uint32_t *) (sn + 1) + (hash & sn->mask);

    e->hash = hash;
    e->next = *bucket;
    *bucket = i + 1;

    host = target->host.data;

    e->strings = offset;
    e->labels_len = target->labels.len;
    e->authority_len = target->authority.len;
    e->base_len = target->base.len;
    e->host_len = target->host.len;
    e->port = target->port;
    e->name_len = target->name.len;
    e->host = host - target->authority.data;
    e->kind = target->kind;
    e->tls = target->tls;
    ngx_memcpy(e->ip, target->ip, sizeof(e->ip));

    p = (u_char *) sn + offset;
    p = ngx_cpymem(p, target->name.data, target->name.len);
    p = ngx_cpymem(p, target->authority.data, target->authority.len);
    p = ngx_cpymem(p, target->base.data, target->base.len);
    p = ngx_cpymem(p, target->labels.data, target->labels.len);

    return p - (u_char *) sn;
}


static ngx_prom_entry_t *
ngx_prom_snapshot_probe(ngx_prom_snapshot_t *sn, uint32_t hash, u_char *name,
    size_t len)
{
    uint32_t           i;
    ngx_prom_entry_t  *e, *entries;

    entries = (ngx_prom_entry_t *) ((u_char *) sn + sn->entries);

    i = *((uint32_t *) (sn + 1) + (hash & sn->mask));

    while (i) {
        e = &entries[i - 1];

        if (e->hash == hash
            && e->name_len == len
            && ngx_memcmp((u_char *) sn + e->strings, name, len) == 0)
        {
            return e;
        }

        i = e->next;
    }

    return NULL;
}


static ngx_prom_entry_t *
ngx_prom_snapshot_find(ngx_prom_snapshot_t *sn, const ngx_str_t *uri,
    ngx_uint_t *bare)
{
    size_t             n, last;
    u_char            *name;
    uint32_t           hash;
    ngx_uint_t         depth;
    ngx_prom_entry_t  *e;

    struct {
        uint32_t       hash;
        uint32_t       len;
    } prefix[NGX_PROM_DEPTH_MAX];

    if (uri->len < 2 || uri->data[0] != '/') {
        return NULL;
    }

    name = uri->data + 1;
    last = ngx_min(uri->len - 1, NGX_PROM_NAME_MAX + 1);

    hash = NGX_PROM_HASH_INIT;
    depth = 0;

    for (n = 0; n < last; n++) {

        if (name[n] == '/') {

            if (depth == sn->depth) {
                break;
            }

            prefix[depth].hash = hash;
            prefix[depth].len = n;
            depth++;
        }

        hash = ngx_prom_hash(hash, name[n]);
    }

    /* "/NAME" goes before all prefixes, as nginx's own redirect does */

    *bare = 1;

    if (n == uri->len - 1 && n <= NGX_PROM_NAME_MAX && name[n - 1] != '/') {
        e = ngx_prom_snapshot_probe(sn, hash, name, n);

        if (e) {
            return e;
        }
    }

    *bare = 0;

    while (depth--) {
        e = ngx_prom_snapshot_probe(sn, prefix[depth].hash, name,
                                    prefix[depth].len);
        if (e) {
            return e;
        }
    }

    return NULL;
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

    route->port = e->port;
    route->kind = e->kind;
    route->tls = e->tls;
    ngx_memcpy(route->ip, e->ip, sizeof(route->ip));

    return NGX_OK;
}
