/*
 * Hands bytes to http that another has read off its connection: until they are
 * used up, c->recv is a function that has them.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_http_prom_stash.h"


typedef struct {
    u_char              *pos;
    u_char              *last;
    ngx_recv_pt          recv;       /* the connection's own */
} ngx_http_prom_stash_t;


static ssize_t ngx_http_prom_stash_recv(ngx_connection_t *c, u_char *buf,
    size_t size);
static ngx_http_prom_stash_t *ngx_http_prom_stash_find(ngx_connection_t *c);
static void ngx_http_prom_stash_cleanup(void *data);


ngx_int_t
ngx_http_prom_stash(ngx_connection_t *c, u_char *data, size_t len)
{
    ngx_pool_cleanup_t     *cln;
    ngx_http_prom_stash_t  *stash;

    if (len == 0) {
        return NGX_OK;
    }

    cln = ngx_pool_cleanup_add(c->pool, sizeof(ngx_http_prom_stash_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_prom_stash_cleanup;

    stash = cln->data;
    stash->pos = data;
    stash->last = data + len;
    stash->recv = c->recv;

    c->recv = ngx_http_prom_stash_recv;

    return NGX_OK;
}


void
ngx_http_prom_stash_left(ngx_connection_t *c, ngx_str_t *left)
{
    ngx_http_prom_stash_t  *stash;

    stash = ngx_http_prom_stash_find(c);

    ngx_str_null(left);

    if (stash) {
        left->data = stash->pos;
        left->len = stash->last - stash->pos;
    }
}


static ssize_t
ngx_http_prom_stash_recv(ngx_connection_t *c, u_char *buf, size_t size)
{
    size_t                  n;
    ngx_http_prom_stash_t  *stash;

    stash = ngx_http_prom_stash_find(c);

    if (stash == NULL) {
        return NGX_ERROR;
    }

    n = ngx_min(size, (size_t) (stash->last - stash->pos));

    ngx_memcpy(buf, stash->pos, n);
    stash->pos += n;

    if (stash->pos == stash->last) {
        c->recv = stash->recv;
    }

    /* what the connection has itself, it is asked for next */

    c->read->ready = 1;

    return n;
}


/* the last one: those before it are used up */

static ngx_http_prom_stash_t *
ngx_http_prom_stash_find(ngx_connection_t *c)
{
    ngx_pool_cleanup_t  *cln;

    for (cln = c->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler == ngx_http_prom_stash_cleanup) {
            return cln->data;
        }
    }

    return NULL;
}


/* tells the stash from other data of the pool */

static void
ngx_http_prom_stash_cleanup(void *data)
{
}
