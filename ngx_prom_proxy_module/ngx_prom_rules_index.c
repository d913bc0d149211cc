/*
 * The index of the allow-list; see the header.
 */


#include <stdlib.h>
#include <string.h>

#include "ngx_prom_rules_index.h"


static ngx_prom_rules_key_t *ngx_prom_rules_key(ngx_prom_rules_index_t *index,
    const ngx_prom_rules_key_t *like);
static void ngx_prom_rules_length(ngx_prom_rules_index_t *index,
    const ngx_prom_rules_key_t *key);
static const ngx_prom_rules_key_t *ngx_prom_rules_find(
    const ngx_prom_rules_index_t *index, const ngx_prom_rules_key_t *like,
    uint32_t hash, ngx_prom_rules_slot_t **empty);
static int ngx_prom_rules_same(const ngx_prom_rules_key_t *key,
    const ngx_prom_rules_key_t *like);
static uint32_t ngx_prom_rules_key_hash(const ngx_prom_rules_key_t *key);
static uint32_t ngx_prom_rules_network_hash(
    const ngx_prom_rules_bits_t *bits, unsigned length);
static uint32_t ngx_prom_rules_name_hash(ngx_prom_rules_kind_e kind,
    uint64_t hash);
static uint64_t ngx_prom_rules_load(const uint8_t *p);
static int ngx_prom_rules_order(const void *one, const void *two);


ngx_prom_rules_index_t *
ngx_prom_rules_index_new(const ngx_prom_rules_t *rules, size_t nrules,
    size_t nranges)
{
    size_t                   size;
    ngx_prom_rules_index_t  *index;

    if (nrules > UINT32_MAX / 4
        || nranges > UINT32_MAX
        || nranges > SIZE_MAX / sizeof(ngx_prom_rules_range_t)
        || nrules > SIZE_MAX / 4 / sizeof(ngx_prom_rules_key_t))
    {
        return NULL;
    }

    index = rules->alloc(rules->data, sizeof(ngx_prom_rules_index_t));
    if (index == NULL) {
        return NULL;
    }

    memset(index, 0, sizeof(ngx_prom_rules_index_t));

    /* at most half full */

    for (size = 4; size < 2 * nrules; size *= 2) { /* void */ }

    index->mask = (uint32_t) (size - 1);
    size *= sizeof(ngx_prom_rules_slot_t);

    index->slots = rules->alloc(rules->data, size);
    if (index->slots == NULL) {
        return NULL;
    }

    memset(index->slots, 0, size);

    index->keys = rules->alloc(rules->data,
                               nrules * sizeof(ngx_prom_rules_key_t));
    if (index->keys == NULL) {
        return NULL;
    }

    index->ranges = rules->alloc(rules->data,
                                 nranges * sizeof(ngx_prom_rules_range_t));

    return index->ranges ? index : NULL;
}


void
ngx_prom_rules_index_add(ngx_prom_rules_index_t *index,
    const ngx_prom_rules_key_t *like, uint32_t start, uint32_t rule, int deny)
{
    uint32_t               i, number;
    ngx_prom_rules_key_t  *key;

    key = ngx_prom_rules_key(index, like);
    number = (uint32_t) (key - index->keys);

    for (i = start; i < index->nranges; i++) {
        index->ranges[i].key = 2 * number + (deny ? 1 : 0);
        index->ranges[i].rule = rule;
    }
}


/*
 * Where ranges of a list overlap, the one that begins first stays, and of
 * those that begin at the same port the one that was written first.
 */

void
ngx_prom_rules_index_done(ngx_prom_rules_index_t *index)
{
    uint32_t                 i, n;
    ngx_prom_rules_key_t    *key;
    ngx_prom_rules_range_t  *range, *prev;

    if (index->nranges == 0) {
        return;
    }

    qsort(index->ranges, index->nranges, sizeof(ngx_prom_rules_range_t),
          ngx_prom_rules_order);

    n = 0;
    prev = NULL;

    for (i = 0; i < index->nranges; i++) {
        range = &index->ranges[i];

        if (prev && prev->key == range->key && prev->last >= range->first) {

            if (prev->last >= range->last) {
                continue;
            }

            range->first = (uint16_t) (prev->last + 1);
        }

        key = &index->keys[range->key / 2];

        if (key->allow == 0 && key->deny == 0) {
            key->ranges = n;
        }

        if (range->key % 2) {
            key->deny++;

        } else {
            key->allow++;
        }

        prev = &index->ranges[n++];
        *prev = *range;
    }

    index->nranges = n;
}


/* the key that is like this, or a new one */

static ngx_prom_rules_key_t *
ngx_prom_rules_key(ngx_prom_rules_index_t *index,
    const ngx_prom_rules_key_t *like)
{
    uint32_t                     hash;
    ngx_prom_rules_key_t        *key;
    ngx_prom_rules_slot_t       *slot;
    const ngx_prom_rules_key_t  *found;

    if (like->kind == NGX_PROM_RULES_ANY) {

        if (index->any) {
            return index->any;
        }

        key = &index->keys[index->nkeys++];
        index->any = key;

    } else {
        hash = ngx_prom_rules_key_hash(like);
        found = ngx_prom_rules_find(index, like, hash, &slot);

        if (found) {
            return &index->keys[found - index->keys];
        }

        key = &index->keys[index->nkeys++];

        slot->hash = hash;
        slot->number = index->nkeys;
    }

    *key = *like;

    key->ranges = 0;
    key->allow = 0;
    key->deny = 0;

    if (key->kind == NGX_PROM_RULES_NETWORK) {
        ngx_prom_rules_length(index, key);
    }

    return key;
}


static void
ngx_prom_rules_length(ngx_prom_rules_index_t *index,
    const ngx_prom_rules_key_t *key)
{
    int        ipv4;
    uint8_t   *lengths;
    unsigned   i, n;

    /* no shorter prefix leaves the bits of ::ffff:0:0/96 */

    ipv4 = ngx_prom_rules_ipv4(&key->u.network);

    lengths = index->lengths[ipv4];
    n = index->nlengths[ipv4];

    for (i = 0; i < n && lengths[i] > key->length; i++) { /* void */ }

    if (i < n && lengths[i] == key->length) {
        return;
    }

    memmove(&lengths[i + 1], &lengths[i], n - i);

    lengths[i] = key->length;
    index->nlengths[ipv4]++;
}


const ngx_prom_rules_range_t *
ngx_prom_rules_range(const ngx_prom_rules_index_t *index,
    const ngx_prom_rules_key_t *key, int deny, unsigned port)
{
    uint32_t                       low, high, i;
    const ngx_prom_rules_range_t  *ranges;

    if (key == NULL) {
        return NULL;
    }

    ranges = &index->ranges[key->ranges + (deny ? key->allow : 0)];

    low = 0;
    high = deny ? key->deny : key->allow;

    while (low < high) {
        i = low + (high - low) / 2;

        if (port < ranges[i].first) {
            high = i;

        } else if (port > ranges[i].last) {
            low = i + 1;

        } else {
            return &ranges[i];
        }
    }

    return NULL;
}


const ngx_prom_rules_key_t *
ngx_prom_rules_network(const ngx_prom_rules_index_t *index,
    const ngx_prom_rules_bits_t *bits, unsigned length)
{
    ngx_prom_rules_key_t  like;

    like.u.network = *bits;
    like.kind = NGX_PROM_RULES_NETWORK;
    like.length = (uint8_t) length;

    ngx_prom_rules_cut(&like.u.network, length);

    return ngx_prom_rules_find(index, &like,
                               ngx_prom_rules_network_hash(&like.u.network,
                                                           length),
                               NULL);
}


const ngx_prom_rules_key_t *
ngx_prom_rules_named(const ngx_prom_rules_index_t *index,
    ngx_prom_rules_kind_e kind, const char *name, size_t len, uint64_t hash)
{
    ngx_prom_rules_key_t  like;

    like.u.name.data = (char *) name;
    like.u.name.len = len;
    like.kind = kind;
    like.length = 0;

    return ngx_prom_rules_find(index, &like,
                               ngx_prom_rules_name_hash(kind, hash), NULL);
}


static const ngx_prom_rules_key_t *
ngx_prom_rules_find(const ngx_prom_rules_index_t *index,
    const ngx_prom_rules_key_t *like, uint32_t hash,
    ngx_prom_rules_slot_t **empty)
{
    uint32_t                i;
    ngx_prom_rules_key_t   *key;
    ngx_prom_rules_slot_t  *slot;

    for (i = hash & index->mask; ; i = (i + 1) & index->mask) {
        slot = &index->slots[i];

        if (slot->number == 0) {

            if (empty) {
                *empty = slot;
            }

            return NULL;
        }

        if (slot->hash == hash) {
            key = &index->keys[slot->number - 1];

            if (ngx_prom_rules_same(key, like)) {
                return key;
            }
        }
    }
}


static int
ngx_prom_rules_same(const ngx_prom_rules_key_t *key,
    const ngx_prom_rules_key_t *like)
{
    size_t  i;

    if (key->kind != like->kind) {
        return 0;
    }

    if (key->kind == NGX_PROM_RULES_NETWORK) {
        return key->length == like->length
               && key->u.network.high == like->u.network.high
               && key->u.network.low == like->u.network.low;
    }

    if (key->u.name.len != like->u.name.len) {
        return 0;
    }

    for (i = 0; i < key->u.name.len; i++) {
        if (ngx_prom_rules_lower(key->u.name.data[i])
            != ngx_prom_rules_lower(like->u.name.data[i]))
        {
            return 0;
        }
    }

    return 1;
}


static uint32_t
ngx_prom_rules_key_hash(const ngx_prom_rules_key_t *key)
{
    size_t    i;
    uint64_t  hash;

    if (key->kind == NGX_PROM_RULES_NETWORK) {
        return ngx_prom_rules_network_hash(&key->u.network, key->length);
    }

    hash = NGX_PROM_RULES_HASH;

    for (i = key->u.name.len; i > 0; i--) {
        hash = ngx_prom_rules_hash(hash,
                                   ngx_prom_rules_lower(key->u.name.data[i - 1]
                                                        ));
    }

    return ngx_prom_rules_name_hash(key->kind, hash);
}


/* multipliers of splitmix64, which spread each bit over the upper half */

static uint32_t
ngx_prom_rules_network_hash(const ngx_prom_rules_bits_t *bits, unsigned length)
{
    uint64_t  hash;

    hash = (bits->high ^ length) * 0xbf58476d1ce4e5b9ULL;
    hash = (hash ^ (hash >> 32) ^ bits->low) * 0x94d049bb133111ebULL;

    return (uint32_t) (hash >> 32);
}


static uint32_t
ngx_prom_rules_name_hash(ngx_prom_rules_kind_e kind, uint64_t hash)
{
    hash = (hash ^ (hash >> 32) ^ kind) * 0x94d049bb133111ebULL;

    return (uint32_t) (hash >> 32);
}


static int
ngx_prom_rules_order(const void *one, const void *two)
{
    const ngx_prom_rules_range_t  *a = one;
    const ngx_prom_rules_range_t  *b = two;

    if (a->key != b->key) {
        return a->key < b->key ? -1 : 1;
    }

    if (a->first != b->first) {
        return a->first < b->first ? -1 : 1;
    }

    return (a->rule > b->rule) - (a->rule < b->rule);
}


void
ngx_prom_rules_bits(ngx_prom_rules_bits_t *bits, const ngx_prom_ip_t *ip)
{
    bits->high = ngx_prom_rules_load(ip->bytes);
    bits->low = ngx_prom_rules_load(&ip->bytes[8]);
}


/* compilers make one instruction of it */

static uint64_t
ngx_prom_rules_load(const uint8_t *p)
{
    return (uint64_t) p[0] << 56 | (uint64_t) p[1] << 48
           | (uint64_t) p[2] << 40 | (uint64_t) p[3] << 32
           | (uint64_t) p[4] << 24 | (uint64_t) p[5] << 16
           | (uint64_t) p[6] << 8 | (uint64_t) p[7];
}


void
ngx_prom_rules_cut(ngx_prom_rules_bits_t *bits, unsigned length)
{
    if (length <= 64) {
        bits->low = 0;
        bits->high &= length ? ~0ULL << (64 - length) : 0;

    } else {
        bits->low &= ~0ULL << (128 - length);
    }
}


int
ngx_prom_rules_ipv4(const ngx_prom_rules_bits_t *bits)
{
    return bits->high == 0 && bits->low >> 32 == 0xffff;
}
