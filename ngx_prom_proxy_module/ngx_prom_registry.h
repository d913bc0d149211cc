/*
 * The registry of targets in shared memory.
 *
 * The targets are one immutable snapshot: a single allocation with a hash
 * table, the entries and their strings, tied by offsets from its start, so
 * that no process keeps a pointer into it. A new snapshot replaces the old
 * one whole, under a lock that is held for the swap alone.
 */


#ifndef _NGX_PROM_REGISTRY_H_INCLUDED_
#define _NGX_PROM_REGISTRY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_prom_targets.h"


/* what one request needs of its target, copied into the request's pool */

typedef struct {
    ngx_str_t            name;
    ngx_str_t            authority;   /* "host:port" or "unix:PATH" */
    ngx_str_t            host;        /* no brackets; PATH of "unix:" */
    ngx_str_t            base;        /* "" or "/base" */
    in_port_t            port;        /* host order */
    u_char               ip[16];      /* network order; 4 bytes for IPv4 */
    unsigned             kind:3;      /* ngx_prom_address_e */
    unsigned             tls:1;
    unsigned             bare:1;      /* the URI is "/NAME", without a slash */
} ngx_prom_route_t;


/*
 * Prepares a fresh zone: an empty registry becomes shpool->data.
 * Returns NGX_OK, or NGX_ERROR if the zone has no room.
 */

ngx_int_t ngx_prom_registry_init(ngx_slab_pool_t *shpool);

/*
 * Puts the targets of pt, which must hold no errors, into the zone beside
 * those in use, and replaces what an earlier call has put there.
 * Returns NGX_OK, or NGX_ERROR if the zone has no room for both sets; *size
 * says how many bytes the new one takes.
 */

ngx_int_t ngx_prom_registry_prepare(ngx_slab_pool_t *shpool,
    const ngx_prom_targets_t *pt, size_t *size);

/* lets the prepared targets, if any, take the place of those in use */

void ngx_prom_registry_commit(ngx_slab_pool_t *shpool);

/*
 * Finds the target with the longest NAME so that uri is "/NAME" or begins
 * with "/NAME/", and copies it into route and pool.
 * Returns NGX_OK, NGX_DECLINED if there is none, or NGX_ERROR.
 */

ngx_int_t ngx_prom_registry_find(ngx_slab_pool_t *shpool,
    const ngx_str_t *uri, ngx_prom_route_t *route, ngx_pool_t *pool);


/*
 * Reads and parses a targets file, into pool. Every mistake is logged at
 * level as "FILE:LINE:COLUMN: reason".
 * Returns NGX_OK or NGX_ERROR.
 */

ngx_int_t ngx_prom_file_load(ngx_str_t *file, ngx_prom_targets_t *pt,
    ngx_pool_t *pool, ngx_uint_t level);


#endif /* _NGX_PROM_REGISTRY_H_INCLUDED_ */
