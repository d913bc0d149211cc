/*
 * A balancer's idle connections, by target, and its upstreams.
 */


#ifndef _NGX_HTTP_PROM_PEER_H_INCLUDED_
#define _NGX_HTTP_PROM_PEER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


typedef struct ngx_http_prom_peer_idle_s  ngx_http_prom_peer_idle_t;


/* one for each worker and upstream: nothing of it is shared */

typedef struct {
    ngx_uint_t           max;         /* connections, 0 keeps none */
    ngx_msec_t           timeout;
    ngx_uint_t           count;
    ngx_uint_t           mask;        /* buckets - 1 */
    ngx_queue_t         *buckets;     /* by target */
    ngx_queue_t          recent;      /* of all, the last used first */
} ngx_http_prom_peer_cache_t;


/* returns NGX_OK, or NGX_ERROR if pool has no memory for max connections */

ngx_int_t ngx_http_prom_peer_cache_init(ngx_http_prom_peer_cache_t *cache,
    ngx_pool_t *pool);

/*
 * Takes the most recently used idle connection of the target key out of the
 * cache: key tells apart whatever must not share a connection. Returns the
 * connection, which carries *idle on for its next stay, or NULL.
 */

ngx_connection_t *ngx_http_prom_peer_cache_take(
    ngx_http_prom_peer_cache_t *cache, ngx_str_t *key, ngx_log_t *log,
    ngx_http_prom_peer_idle_t **idle);

/*
 * Keeps a connection until its peer closes it, timeout passes, or it is the
 * longest unused one of too many. idle is NULL at its first stay.
 * Returns NGX_OK, or NGX_DECLINED if the connection is not fit to be kept,
 * which leaves it to the caller.
 */

ngx_int_t ngx_http_prom_peer_cache_put(ngx_http_prom_peer_cache_t *cache,
    ngx_str_t *key, ngx_connection_t *c, ngx_http_prom_peer_idle_t *idle);


/*
 * The directive of a balancer that keeps idle connections, of its upstream:
 * reads "idle=" and "timeout=" into cache, which has what is used without
 * them, and makes init the upstream's.
 */

char *ngx_http_prom_peer_set(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_prom_peer_cache_t *cache, ngx_http_upstream_init_pt init);

/*
 * What init makes sure of: that it is still its upstream's, and that there is
 * nothing which would take the upstream for another.  Returns NGX_ERROR after
 * a mistake, which was told.
 */

ngx_int_t ngx_http_prom_peer_alone(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us, const char *directive,
    ngx_http_upstream_init_pt init);

/* once all upstreams were made: makes init_peer that of those with init */

void ngx_http_prom_peer_unwrap(ngx_conf_t *cf, ngx_http_upstream_init_pt init,
    ngx_http_upstream_init_peer_pt init_peer);


#endif /* _NGX_HTTP_PROM_PEER_H_INCLUDED_ */
