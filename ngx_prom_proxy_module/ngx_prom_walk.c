/*
 * Walking over all targets in slices: see ngx_prom_registry.h.
 *
 * Entries and strings of neighbours lie side by side, so that a slice is two
 * copies, made while the registry is locked; all else is done without.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_prom_lock.h"
#include "ngx_prom_snapshot.h"


/* a slice, unless a single target takes more */

#define NGX_PROM_WALK_SIZE     16384
#define NGX_PROM_WALK_TARGETS  64


static ngx_int_t ngx_prom_walk_slice(ngx_prom_walk_t *walk);
static uint32_t ngx_prom_walk_copy(ngx_prom_walk_t *walk,
    ngx_prom_snapshot_t *sn, size_t *size);


static const ngx_prom_counters_t  ngx_prom_walk_zero;


ngx_int_t
ngx_prom_walk_start(ngx_prom_walk_t *walk, ngx_prom_registry_t *registry,
    ngx_pool_t *pool)
{
    ngx_prom_snapshot_t  *sn;

    ngx_memzero(walk, sizeof(ngx_prom_walk_t));

    walk->buf = ngx_palloc(pool, NGX_PROM_WALK_SIZE);
    if (walk->buf == NULL) {
        return NGX_ERROR;
    }

    walk->size = NGX_PROM_WALK_SIZE;
    walk->registry = registry;
    walk->pool = pool;

    ngx_prom_lock(&registry->shpool->mutex);

    walk->generation = registry->generation;

    if (walk->generation) {
        sn = ngx_prom_registry_snapshot(registry, walk->generation);
        walk->count = sn->count;
        walk->digest = sn->digest;
    }

    ngx_prom_unlock(&registry->shpool->mutex);

    return walk->generation ? NGX_OK : NGX_DECLINED;
}


ngx_int_t
ngx_prom_walk_next(ngx_prom_walk_t *walk, ngx_prom_item_t *item)
{
    u_char               *p;
    uint32_t              n;
    ngx_int_t             rc;
    ngx_prom_entry_t     *e;
    ngx_prom_counters_t  *counters;

    if (walk->next >= walk->count) {
        return NGX_DONE;
    }

    if (walk->next < walk->first || walk->next >= walk->last) {
        rc = ngx_prom_walk_slice(walk);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    n = walk->next - walk->first;
    e = (ngx_prom_entry_t *) walk->buf;

    p = walk->buf + (walk->last - walk->first) * sizeof(ngx_prom_entry_t)
        + (e[n].strings - e[0].strings);

    e += n;

    item->name.data = p;
    item->name.len = e->name_len;
    p += e->name_len;

    item->authority.data = p;
    item->authority.len = e->authority_len;
    p += e->authority_len;

    item->base.data = p;
    item->base.len = e->base_len;
    p += e->base_len;

    item->labels.data = p;
    item->labels.len = e->labels_len;

    item->index = walk->next++;
    item->rank = e->rank;
    item->line = e->line;
    item->tunnel = e->tunnel;
    item->tls = e->tls;
    item->kind = e->kind;
    item->port = e->port;
    item->node = e->node;
    item->ip = e->ip;

    counters = ngx_prom_registry_counters(walk->registry, e->slot, e->serial);
    item->counters = counters ? counters : &ngx_prom_walk_zero;

    return NGX_OK;
}


ngx_uint_t
ngx_prom_item_label(const ngx_prom_item_t *item, size_t *pos,
    ngx_str_t *name, ngx_str_t *value)
{
    if (*pos >= item->labels.len) {
        return 0;
    }

    name->data = item->labels.data + *pos;
    name->len = ngx_strlen(name->data);

    value->data = name->data + name->len + 1;
    value->len = ngx_strlen(value->data);

    *pos += name->len + value->len + 2;

    return 1;
}


static ngx_int_t
ngx_prom_walk_slice(ngx_prom_walk_t *walk)
{
    size_t                size;
    uint32_t              n;
    ngx_prom_registry_t  *registry;

    registry = walk->registry;

    for ( ;; ) {
        ngx_prom_lock(&registry->shpool->mutex);

        if (registry->whole[walk->generation & 1] != walk->generation) {
            ngx_prom_unlock(&registry->shpool->mutex);
            return NGX_ABORT;
        }

        n = ngx_prom_walk_copy(walk,
                               ngx_prom_registry_snapshot(registry,
                                                          walk->generation),
                               &size);

        ngx_prom_unlock(&registry->shpool->mutex);

        if (n) {
            walk->first = walk->next;
            walk->last = walk->next + n;
            return NGX_OK;
        }

        /* a target with many labels */

        (void) ngx_pfree(walk->pool, walk->buf);

        walk->first = 0;
        walk->last = 0;
        walk->size = 0;

        walk->buf = ngx_palloc(walk->pool, size);
        if (walk->buf == NULL) {
            return NGX_ERROR;
        }

        walk->size = size;
    }
}


/* returns how many targets fitted; 0 if not a single one, which takes *size */

static uint32_t
ngx_prom_walk_copy(ngx_prom_walk_t *walk, ngx_prom_snapshot_t *sn,
    size_t *size)
{
    size_t             len;
    u_char            *p;
    uint32_t           n, most;
    ngx_prom_entry_t  *e;

    e = ngx_prom_snapshot_entries(sn) + walk->next;
    most = ngx_min(walk->count - walk->next, NGX_PROM_WALK_TARGETS);

    *size = 0;

    for (n = 0; n < most; n++) {
        len = sizeof(ngx_prom_entry_t) + ngx_prom_entry_size(&e[n]);

        if (*size + len > walk->size) {

            if (n == 0) {
                *size = len;
                return 0;
            }

            break;
        }

        *size += len;
    }

    len = n * sizeof(ngx_prom_entry_t);
    p = ngx_cpymem(walk->buf, e, len);
    ngx_memcpy(p, (u_char *) sn + e->strings, *size - len);

    return n;
}
