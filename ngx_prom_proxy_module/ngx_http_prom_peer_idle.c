/*
 * Idle connections: a hash by target, so that finding one costs the same
 * with 10 targets as with 50,000, and one list of all in the order of use,
 * which says what to close when there are too many.
 *
 * An item lives in its connection's own pool and so exactly as long.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_peer.h"


struct ngx_http_prom_peer_idle_s {
    ngx_queue_t                  queue;       /* in the target's bucket */
    ngx_queue_t                  recent;
    ngx_connection_t            *connection;
    ngx_http_prom_peer_cache_t  *cache;
    uint32_t                     hash;
    ngx_str_t                    key;
};


static ngx_http_prom_peer_idle_t *ngx_http_prom_peer_idle_create(
    ngx_http_prom_peer_cache_t *cache, ngx_str_t *key, ngx_connection_t *c);
static void ngx_http_prom_peer_idle_remove(ngx_http_prom_peer_idle_t *idle);
static void ngx_http_prom_peer_idle_dummy_handler(ngx_event_t *ev);
static void ngx_http_prom_peer_idle_handler(ngx_event_t *ev);
static void ngx_http_prom_peer_idle_close(ngx_connection_t *c);


ngx_int_t
ngx_http_prom_peer_cache_init(ngx_http_prom_peer_cache_t *cache,
    ngx_pool_t *pool)
{
    ngx_uint_t  i, n;

    for (n = 1; n < cache->max; n <<= 1) { /* void */ }

    cache->buckets = ngx_palloc(pool, n * sizeof(ngx_queue_t));
    if (cache->buckets == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        ngx_queue_init(&cache->buckets[i]);
    }

    ngx_queue_init(&cache->recent);

    cache->mask = n - 1;
    cache->count = 0;

    return NGX_OK;
}


ngx_connection_t *
ngx_http_prom_peer_cache_take(ngx_http_prom_peer_cache_t *cache,
    ngx_str_t *key, ngx_log_t *log, ngx_http_prom_peer_idle_t **idle)
{
    uint32_t                    hash;
    ngx_queue_t                *q, *bucket;
    ngx_connection_t           *c;
    ngx_http_prom_peer_idle_t  *item;

    if (cache->count == 0) {
        return NULL;
    }

    hash = ngx_murmur_hash2(key->data, key->len);
    bucket = &cache->buckets[hash & cache->mask];

    for (q = ngx_queue_head(bucket);
         q != ngx_queue_sentinel(bucket);
         q = ngx_queue_next(q))
    {
        item = ngx_queue_data(q, ngx_http_prom_peer_idle_t, queue);

        if (item->hash != hash
            || item->key.len != key->len
            || ngx_memcmp(item->key.data, key->data, key->len) != 0)
        {
            continue;
        }

        ngx_http_prom_peer_idle_remove(item);

        c = item->connection;

        c->idle = 0;
        c->sent = 0;
        c->data = NULL;
        c->log = log;
        c->read->log = log;
        c->write->log = log;
        c->pool->log = log;

        if (c->read->timer_set) {
            ngx_del_timer(c->read);
        }

        *idle = item;

        return c;
    }

    return NULL;
}


ngx_int_t
ngx_http_prom_peer_cache_put(ngx_http_prom_peer_cache_t *cache,
    ngx_str_t *key, ngx_connection_t *c, ngx_http_prom_peer_idle_t *idle)
{
    ngx_queue_t                *q;
    ngx_http_prom_peer_idle_t  *last;

    if (cache->max == 0
        || c->read->eof
        || c->read->error
        || c->read->timedout
        || c->write->error
        || c->write->timedout
        || ngx_terminate
        || ngx_exiting)
    {
        return NGX_DECLINED;
    }

    if (idle == NULL) {
        idle = ngx_http_prom_peer_idle_create(cache, key, c);
        if (idle == NULL) {
            return NGX_DECLINED;
        }
    }

    if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (cache->count == cache->max) {
        q = ngx_queue_last(&cache->recent);
        last = ngx_queue_data(q, ngx_http_prom_peer_idle_t, recent);

        ngx_http_prom_peer_idle_remove(last);
        ngx_http_prom_peer_idle_close(last->connection);
    }

    ngx_queue_insert_head(&cache->buckets[idle->hash & cache->mask],
                          &idle->queue);
    ngx_queue_insert_head(&cache->recent, &idle->recent);
    cache->count++;

    c->read->delayed = 0;
    ngx_add_timer(c->read, cache->timeout);

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }

    c->write->handler = ngx_http_prom_peer_idle_dummy_handler;
    c->read->handler = ngx_http_prom_peer_idle_handler;

    c->data = idle;
    c->idle = 1;
    c->log = ngx_cycle->log;
    c->read->log = ngx_cycle->log;
    c->write->log = ngx_cycle->log;
    c->pool->log = ngx_cycle->log;

    if (c->read->ready) {
        ngx_http_prom_peer_idle_handler(c->read);
    }

    return NGX_OK;
}


static ngx_http_prom_peer_idle_t *
ngx_http_prom_peer_idle_create(ngx_http_prom_peer_cache_t *cache,
    ngx_str_t *key, ngx_connection_t *c)
{
    ngx_http_prom_peer_idle_t  *idle;

    idle = ngx_palloc(c->pool, sizeof(ngx_http_prom_peer_idle_t));
    if (idle == NULL) {
        return NULL;
    }

    idle->key.data = ngx_pstrdup(c->pool, key);
    if (idle->key.data == NULL) {
        return NULL;
    }

    idle->key.len = key->len;
    idle->hash = ngx_murmur_hash2(key->data, key->len);
    idle->connection = c;
    idle->cache = cache;

    return idle;
}


static void
ngx_http_prom_peer_idle_remove(ngx_http_prom_peer_idle_t *idle)
{
    ngx_queue_remove(&idle->queue);
    ngx_queue_remove(&idle->recent);
    idle->cache->count--;
}


static void
ngx_http_prom_peer_idle_dummy_handler(ngx_event_t *ev)
{
    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, ev->log, 0,
                   "prom peer idle dummy handler");
}


static void
ngx_http_prom_peer_idle_handler(ngx_event_t *ev)
{
    int                n;
    char               buf[1];
    ngx_connection_t  *c;

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, ev->log, 0, "prom peer idle handler");

    c = ev->data;

    if (c->close || c->read->timedout) {
        goto close;
    }

    n = recv(c->fd, buf, 1, MSG_PEEK);

    if (n == -1 && ngx_socket_errno == NGX_EAGAIN) {
        ev->ready = 0;

        if (ngx_handle_read_event(c->read, 0) == NGX_OK) {
            return;
        }
    }

close:

    ngx_http_prom_peer_idle_remove(c->data);
    ngx_http_prom_peer_idle_close(c);
}


static void
ngx_http_prom_peer_idle_close(ngx_connection_t *c)
{
#if (NGX_HTTP_SSL)

    if (c->ssl) {
        c->ssl->no_wait_shutdown = 1;
        c->ssl->no_send_shutdown = 1;

        if (ngx_ssl_shutdown(c) == NGX_AGAIN) {
            c->ssl->handler = ngx_http_prom_peer_idle_close;
            return;
        }
    }

#endif

    ngx_destroy_pool(c->pool);
    ngx_close_connection(c);
}
