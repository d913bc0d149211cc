/*
 * Counters in the zone of a block: by side and decision, and by target, for as
 * many targets as there is room; what comes after is counted together.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_prom_forward.h"
#include "ngx_prom_forward_core.h"


static ngx_prom_forward_counter_t *ngx_prom_forward_counter(
    ngx_prom_forward_t *forward, ngx_str_t *target);
static ngx_prom_forward_counter_t *ngx_prom_forward_counter_find(
    ngx_prom_forward_counts_t *counts, ngx_str_t *target, uint32_t hash,
    ngx_uint_t add);


ngx_int_t
ngx_prom_forward_count_init(ngx_shm_zone_t *zone, void *data)
{
    ngx_prom_forward_t *old = data;

    size_t                      size;
    ngx_uint_t                  n;
    ngx_slab_pool_t            *shpool;
    ngx_prom_forward_t         *forward;
    ngx_prom_forward_counts_t  *counts;

    forward = zone->data;
    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    if (old) {
        forward->counts = old->counts;
        return NGX_OK;
    }

    if (zone->shm.exists) {
        forward->counts = shpool->data;
        return NGX_OK;
    }

    counts = ngx_slab_calloc(shpool, sizeof(ngx_prom_forward_counts_t));
    if (counts == NULL) {
        return NGX_ERROR;
    }

    /* a power of two: as many as the page of metrics has, or the zone holds */

    n = 1;

    while (n < NGX_PROM_FORWARD_TARGETS
           && n * 2 * sizeof(ngx_prom_forward_counter_t)
              < zone->shm.size - zone->shm.size / 8)
    {
        n *= 2;
    }

    for ( ;; ) {
        size = n * sizeof(ngx_prom_forward_counter_t);

        shpool->log_nomem = 0;
        counts->targets = ngx_slab_calloc(shpool, size);
        shpool->log_nomem = 1;

        if (counts->targets) {
            break;
        }

        n /= 2;

        if (n == 0) {
            return NGX_ERROR;
        }
    }

    counts->mask = n - 1;

    shpool->data = counts;
    forward->counts = counts;

    return NGX_OK;
}


/* a worker that was killed has left its tunnels behind */

void
ngx_prom_forward_count_start(ngx_prom_forward_t *forward)
{
    if (forward->counts && ngx_process_slot >= 0
        && ngx_process_slot < NGX_MAX_PROCESSES)
    {
        forward->counts->tunnels[ngx_process_slot] = 0;
    }
}


void
ngx_prom_forward_count(ngx_prom_forward_query_t *query,
    ngx_prom_forward_side_e side, off_t received, off_t sent)
{
    ngx_prom_forward_t          *forward;
    ngx_prom_forward_side_t     *counts;
    ngx_prom_forward_counter_t  *target;

    forward = query->forward;

    if (forward->counts == NULL) {
        return;
    }

    counts = &forward->counts->sides[side];

    (void) ngx_atomic_fetch_add(&counts->decisions[query->decision], 1);
    (void) ngx_atomic_fetch_add(&counts->received, received);
    (void) ngx_atomic_fetch_add(&counts->sent, sent);

    /* names that nobody has asked for in earnest would take all the room */

    if (query->naddrs == 0) {
        return;
    }

    target = ngx_prom_forward_counter(forward, &query->target);

    (void) ngx_atomic_fetch_add(&target->requests, 1);
    (void) ngx_atomic_fetch_add(&target->sent, sent);

    if (query->decision != NGX_PROM_FORWARD_ALLOWED) {
        (void) ngx_atomic_fetch_add(&target->failures, 1);
    }
}


void
ngx_prom_forward_count_tunnel(ngx_prom_forward_t *forward, ngx_int_t n)
{
    if (forward->counts && ngx_process_slot >= 0
        && ngx_process_slot < NGX_MAX_PROCESSES)
    {
        forward->counts->tunnels[ngx_process_slot] += n;
    }
}


/* the target's, or that of the rest */

static ngx_prom_forward_counter_t *
ngx_prom_forward_counter(ngx_prom_forward_t *forward, ngx_str_t *target)
{
    uint32_t                     hash;
    ngx_slab_pool_t             *shpool;
    ngx_prom_forward_counter_t  *counter;

    if (target->len > NGX_PROM_FORWARD_TARGET) {
        return &forward->counts->other;
    }

    hash = ngx_murmur_hash2(target->data, target->len);

    counter = ngx_prom_forward_counter_find(forward->counts, target, hash, 0);

    if (counter) {
        return counter;
    }

    shpool = (ngx_slab_pool_t *) forward->zone->shm.addr;

    ngx_shmtx_lock(&shpool->mutex);

    counter = ngx_prom_forward_counter_find(forward->counts, target, hash, 1);

    ngx_shmtx_unlock(&shpool->mutex);

    return counter;
}


/*
 * Open addressing, and nothing is ever taken out.  A place is anyone's until
 * its length is there, which is written last.
 */

static ngx_prom_forward_counter_t *
ngx_prom_forward_counter_find(ngx_prom_forward_counts_t *counts,
    ngx_str_t *target, uint32_t hash, ngx_uint_t add)
{
    ngx_uint_t                   i;
    ngx_prom_forward_counter_t  *counter;

    for (i = 0; i < NGX_PROM_FORWARD_PROBES; i++) {
        counter = &counts->targets[(hash + i) & counts->mask];

        if (counter->len == 0) {

            if (!add) {
                return NULL;
            }

            ngx_memcpy(counter->target, target->data, target->len);
            ngx_memory_barrier();
            counter->len = target->len;

            return counter;
        }

        if (counter->len == target->len
            && ngx_memcmp(counter->target, target->data, target->len) == 0)
        {
            return counter;
        }
    }

    return &counts->other;
}
