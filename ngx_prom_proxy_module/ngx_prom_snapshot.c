/*
 * A snapshot of the targets: see ngx_prom_snapshot.h.
 *
 * A look-up hashes the URI once, segment by segment, and probes the table
 * for each prefix that could be a name, the longest first. Its cost depends
 * on the URI and on the depth of the deepest name, not on their number.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_prom_snapshot.h"


/* a name of NGX_PROM_NAME_MAX bytes has at most that many segments */

#define NGX_PROM_DEPTH_MAX   ((NGX_PROM_NAME_MAX + 1) / 2)

/* FNV-1a, as it can be taken up again behind each segment */

#define NGX_PROM_HASH_INIT   2166136261u
#define ngx_prom_hash(h, c)  (((h) ^ (c)) * 16777619u)

#define NGX_PROM_DIGEST_INIT   14695981039346656037ull
#define NGX_PROM_DIGEST_PRIME  1099511628211ull


/* a name to be sorted */

typedef struct {
    u_char              *data;
    uint32_t             len;
    uint32_t             index;
} ngx_prom_sorted_t;


static uint32_t ngx_prom_snapshot_add(ngx_prom_snapshot_t *sn, uint32_t i,
    uint32_t offset, const ngx_prom_target_t *target);
static void ngx_prom_snapshot_digest(ngx_prom_snapshot_t *sn,
    ngx_prom_entry_t *e);
static uint64_t ngx_prom_digest(uint64_t digest, const void *data,
    size_t len);
static ngx_int_t ngx_prom_snapshot_rank(ngx_prom_snapshot_t *sn,
    ngx_pool_t *pool);
static int ngx_libc_cdecl ngx_prom_sorted_compare(const void *one,
    const void *two);
static ngx_prom_entry_t *ngx_prom_snapshot_probe(ngx_prom_snapshot_t *sn,
    uint32_t hash, u_char *name, size_t len);


size_t
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


ngx_int_t
ngx_prom_snapshot_build(ngx_prom_snapshot_t *sn, const ngx_prom_targets_t *pt,
    uint32_t buckets, size_t size, ngx_pool_t *pool)
{
    uint32_t  i, offset;

    sn->count = pt->count;
    sn->mask = buckets - 1;
    sn->depth = 0;
    sn->entries = sizeof(ngx_prom_snapshot_t) + buckets * sizeof(uint32_t);
    sn->digest = NGX_PROM_DIGEST_INIT;
    sn->size = size;

    ngx_memzero((u_char *) sn + sizeof(ngx_prom_snapshot_t),
                buckets * sizeof(uint32_t));

    offset = sn->entries + pt->count * sizeof(ngx_prom_entry_t);

    for (i = 0; i < pt->count; i++) {
        offset = ngx_prom_snapshot_add(sn, i, offset, &pt->targets[i]);
    }

    return ngx_prom_snapshot_rank(sn, pool);
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

    e = ngx_prom_snapshot_entries(sn) + i;

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
    e->tunnel = target->tunnel;
    e->name_len = target->name.len;
    e->host = host - target->authority.data;
    e->kind = target->kind;
    e->tls = target->tls;
    e->line = target->line;
    e->node = target->node;
    ngx_memcpy(e->ip, target->ip, sizeof(e->ip));

    p = (u_char *) sn + offset;
    p = ngx_cpymem(p, target->name.data, target->name.len);
    p = ngx_cpymem(p, target->authority.data, target->authority.len);
    p = ngx_cpymem(p, target->base.data, target->base.len);
    p = ngx_cpymem(p, target->labels.data, target->labels.len);

    ngx_prom_snapshot_digest(sn, e);

    return p - (u_char *) sn;
}


/* lengths too, so that no text can pass for a part of its neighbour */

static void
ngx_prom_snapshot_digest(ngx_prom_snapshot_t *sn, ngx_prom_entry_t *e)
{
    uint32_t  head[5];

    head[0] = e->name_len;
    head[1] = e->authority_len;
    head[2] = e->base_len;
    head[3] = e->labels_len;
    head[4] = e->tls;

    sn->digest = ngx_prom_digest(sn->digest, head, sizeof(head));
    sn->digest = ngx_prom_digest(sn->digest, (u_char *) sn + e->strings,
                                 ngx_prom_entry_size(e));
}


static uint64_t
ngx_prom_digest(uint64_t digest, const void *data, size_t len)
{
    const u_char  *p = data;

    while (len--) {
        digest = (digest ^ *p++) * NGX_PROM_DIGEST_PRIME;
    }

    return digest;
}


static ngx_int_t
ngx_prom_snapshot_rank(ngx_prom_snapshot_t *sn, ngx_pool_t *pool)
{
    uint32_t            i;
    ngx_prom_entry_t   *entries;
    ngx_prom_sorted_t  *sorted;

    if (sn->count == 0) {
        return NGX_OK;
    }

    sorted = ngx_palloc(pool, sn->count * sizeof(ngx_prom_sorted_t));
    if (sorted == NULL) {
        return NGX_ERROR;
    }

    entries = ngx_prom_snapshot_entries(sn);

    for (i = 0; i < sn->count; i++) {
        sorted[i].data = (u_char *) sn + entries[i].strings;
        sorted[i].len = entries[i].name_len;
        sorted[i].index = i;
    }

    qsort(sorted, sn->count, sizeof(ngx_prom_sorted_t),
          ngx_prom_sorted_compare);

    for (i = 0; i < sn->count; i++) {
        entries[sorted[i].index].rank = i;
    }

    return NGX_OK;
}


static int ngx_libc_cdecl
ngx_prom_sorted_compare(const void *one, const void *two)
{
    const ngx_prom_sorted_t  *first = one;
    const ngx_prom_sorted_t  *second = two;

    return (int) ngx_memn2cmp(first->data, second->data, first->len,
                              second->len);
}


ngx_prom_entry_t *
ngx_prom_snapshot_same(ngx_prom_snapshot_t *sn, ngx_prom_snapshot_t *other,
    ngx_prom_entry_t *e)
{
    return ngx_prom_snapshot_probe(sn, e->hash,
                                   (u_char *) other + e->strings,
                                   e->name_len);
}


static ngx_prom_entry_t *
ngx_prom_snapshot_probe(ngx_prom_snapshot_t *sn, uint32_t hash, u_char *name,
    size_t len)
{
    uint32_t           i;
    ngx_prom_entry_t  *e, *entries;

    entries = ngx_prom_snapshot_entries(sn);

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


ngx_prom_entry_t *
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
