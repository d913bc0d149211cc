/*
 * The owners of tokens in shared memory: a set that never changes, found by
 * the hash of a token, and replaced as a whole.
 */


#ifndef _NGX_PROM_OWNERS_H_INCLUDED_
#define _NGX_PROM_OWNERS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_prom_tokens.h"


typedef struct ngx_prom_owners_s  ngx_prom_owners_t;


/* one piece of memory, for ngx_slab_free(); NULL if there is no room */

ngx_prom_owners_t *ngx_prom_owners_create(ngx_slab_pool_t *shpool,
    const ngx_prom_tokens_t *tokens);

/* the caller holds the pool's lock; name points into the set, or is NULL */

void ngx_prom_owners_find(const ngx_prom_owners_t *owners,
    const u_char *hash, ngx_str_t *name);


#endif /* _NGX_PROM_OWNERS_H_INCLUDED_ */
