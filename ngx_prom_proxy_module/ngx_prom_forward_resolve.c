/*
 * A target's name to its addresses, by nginx's resolver.  That remembers what
 * it found for as long as DNS says, but nothing of what it didn't find: that
 * is here, for some seconds, so that scrapes of a name that is gone don't each
 * ask for it, or wait until nobody has answered.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_prom_forward.h"
#include "ngx_prom_forward_core.h"


#define NGX_PROM_FORWARD_FAILED    5000     /* ms that a failure is known */
#define NGX_PROM_FORWARD_FAILURES  1024     /* the oldest is forgotten */


/* one for each worker and block */

typedef struct {
    ngx_rbtree_t                     tree;
    ngx_rbtree_node_t                sentinel;
    ngx_queue_t                      all;      /* the oldest is the last */
    ngx_uint_t                       count;
} ngx_prom_forward_failures_t;


typedef struct {
    ngx_str_node_t                   sn;
    ngx_queue_t                      queue;
    ngx_msec_t                       until;
    ngx_int_t                        rc;
    u_char                           name[NGX_PROM_RULE_NAME];
} ngx_prom_forward_failure_t;


static void ngx_prom_forward_resolve_handler(ngx_resolver_ctx_t *rctx);
static ngx_prom_forward_failure_t *ngx_prom_forward_failure(
    ngx_prom_forward_failures_t *failures, ngx_str_t *name);
static void ngx_prom_forward_failed(ngx_prom_forward_failures_t *failures,
    ngx_str_t *name, ngx_int_t rc);
static void ngx_prom_forward_forget(ngx_prom_forward_failures_t *failures,
    ngx_prom_forward_failure_t *failure);


ngx_int_t
ngx_prom_forward_resolve_init(ngx_prom_forward_t *forward, ngx_cycle_t *cycle)
{
    ngx_prom_forward_failures_t  *failures;

    failures = ngx_pcalloc(cycle->pool, sizeof(ngx_prom_forward_failures_t));
    if (failures == NULL) {
        return NGX_ERROR;
    }

    ngx_rbtree_init(&failures->tree, &failures->sentinel,
                    ngx_str_rbtree_insert_value);
    ngx_queue_init(&failures->all);

    forward->failures = failures;

    return NGX_OK;
}


ngx_int_t
ngx_prom_forward_resolve(ngx_prom_forward_query_t *query,
    ngx_prom_forward_resolved_pt handler)
{
    ngx_resolver_ctx_t           temp, *rctx;
    ngx_prom_forward_t          *forward;
    ngx_prom_forward_failure_t  *failure;

    forward = query->forward;

    failure = ngx_prom_forward_failure(forward->failures, &query->host);

    if (failure) {
        handler(query, failure->rc, NULL, 0);
        return NGX_OK;
    }

    if (forward->resolver == NULL) {
        ngx_log_error(NGX_LOG_ERR, query->connection->log, 0,
                      "no resolver in \"prom_forward %V\" to resolve %V",
                      &forward->name, &query->host);
        handler(query, NGX_RESOLVE_REFUSED, NULL, 0);
        return NGX_OK;
    }

    ngx_memzero(&temp, sizeof(ngx_resolver_ctx_t));
    temp.name = query->host;

    rctx = ngx_resolve_start(forward->resolver, &temp);

    if (rctx == NULL) {
        return NGX_ERROR;
    }

    if (rctx == NGX_NO_RESOLVER) {
        handler(query, NGX_RESOLVE_REFUSED, NULL, 0);
        return NGX_OK;
    }

    rctx->name = query->host;
    rctx->handler = ngx_prom_forward_resolve_handler;
    rctx->data = query;
    rctx->timeout = forward->resolver_timeout;

    query->resolving = rctx;
    query->resolved = handler;

    if (ngx_resolve_name(rctx) != NGX_OK) {
        query->resolving = NULL;
        return NGX_ERROR;
    }

    if (query->resolving == NULL) {
        /* it was known */
        return NGX_OK;
    }

    query->later = 1;

    return NGX_AGAIN;
}


static void
ngx_prom_forward_resolve_handler(ngx_resolver_ctx_t *rctx)
{
    ngx_prom_forward_query_t  *query;

    query = rctx->data;

    ngx_log_debug3(NGX_LOG_DEBUG_CORE, query->connection->log, 0,
                   "prom forward: \"%V\" resolved, state %i, addresses %ui",
                   &query->host, rctx->state, rctx->naddrs);

    if (rctx->state) {
        ngx_prom_forward_failed(query->forward->failures, &query->host,
                                rctx->state);
    }

    query->resolved(query, rctx->state, rctx->addrs, rctx->naddrs);
}


/* what is known of a name that could not be resolved, or NULL */

static ngx_prom_forward_failure_t *
ngx_prom_forward_failure(ngx_prom_forward_failures_t *failures,
    ngx_str_t *name)
{
    ngx_str_node_t              *sn;
    ngx_prom_forward_failure_t  *failure;

    sn = ngx_str_rbtree_lookup(&failures->tree, name,
                               ngx_crc32_short(name->data, name->len));
    if (sn == NULL) {
        return NULL;
    }

    failure = ngx_rbtree_data(&sn->node, ngx_prom_forward_failure_t, sn.node);

    if ((ngx_msec_int_t) (failure->until - ngx_current_msec) <= 0) {
        ngx_prom_forward_forget(failures, failure);
        return NULL;
    }

    return failure;
}


static void
ngx_prom_forward_failed(ngx_prom_forward_failures_t *failures,
    ngx_str_t *name, ngx_int_t rc)
{
    ngx_queue_t                 *q;
    ngx_prom_forward_failure_t  *failure;

    if (name->len > NGX_PROM_RULE_NAME
        || ngx_prom_forward_failure(failures, name))
    {
        return;
    }

    if (failures->count == NGX_PROM_FORWARD_FAILURES) {
        q = ngx_queue_last(&failures->all);
        failure = ngx_queue_data(q, ngx_prom_forward_failure_t, queue);

        ngx_prom_forward_forget(failures, failure);
    }

    failure = ngx_alloc(sizeof(ngx_prom_forward_failure_t), ngx_cycle->log);

    if (failure == NULL) {
        /* it will be asked for again */
        return;
    }

    ngx_memcpy(failure->name, name->data, name->len);

    failure->sn.str.data = failure->name;
    failure->sn.str.len = name->len;
    failure->sn.node.key = ngx_crc32_short(name->data, name->len);
    failure->until = ngx_current_msec + NGX_PROM_FORWARD_FAILED;
    failure->rc = rc;

    ngx_rbtree_insert(&failures->tree, &failure->sn.node);
    ngx_queue_insert_head(&failures->all, &failure->queue);
    failures->count++;
}


static void
ngx_prom_forward_forget(ngx_prom_forward_failures_t *failures,
    ngx_prom_forward_failure_t *failure)
{
    ngx_rbtree_delete(&failures->tree, &failure->sn.node);
    ngx_queue_remove(&failure->queue);
    failures->count--;

    ngx_free(failure);
}
