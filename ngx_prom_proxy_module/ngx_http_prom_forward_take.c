/*
 * A connection that has begun with another protocol in this process becomes
 * one of http, TLS and all: nothing is copied between two sockets.
 *
 * http finds its server by the listening socket of a connection.  The one that
 * this came by is another protocol's, so each such gets a double here, of
 * which nobody accepts, with the server of "prom_forward_server" behind it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>
#include "ngx_http_prom_forward.h"
#include "ngx_http_prom_stash.h"


/* one for each listening socket, made when it is first needed */

typedef struct {
    ngx_listening_t          listening;
    ngx_listening_t         *origin;
    ngx_http_port_t          port;
    ngx_http_in_addr_t       addr;
#if (NGX_HAVE_INET6)
    ngx_http_in6_addr_t      addr6;
#endif
} ngx_http_prom_forward_double_t;


static ngx_listening_t *ngx_http_prom_forward_listening(ngx_connection_t *c,
    ngx_prom_forward_t *forward);


ngx_int_t
ngx_http_prom_forward_take(ngx_connection_t *c, ngx_prom_forward_t *forward,
    u_char *data, size_t len)
{
    ngx_listening_t  *ls;

    if (forward->server == NULL) {
        return NGX_DECLINED;
    }

    ls = ngx_http_prom_forward_listening(c, forward);
    if (ls == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_prom_stash(c, data, len) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, c->log, 0,
                   "prom forward: http takes a connection with %uz bytes",
                   len);

    c->listening = ls;
    c->data = NULL;
    c->buffer = NULL;

#if (NGX_HTTP_SSL)

    if (c->ssl) {
        /* as http makes its own */
        c->ssl->buffer = 1;
        c->ssl->buffer_size = NGX_SSL_BUFSIZE;
        c->ssl->no_wait_shutdown = 1;
    }

#endif

    if (c->read->timer_set) {
        ngx_del_timer(c->read);
    }

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }

    if (c->read->posted) {
        ngx_delete_posted_event(c->read);
    }

    /* its first bytes are there: it reads at once */

    c->read->ready = 1;

    ngx_http_init_connection(c);

    return NGX_OK;
}


static ngx_listening_t *
ngx_http_prom_forward_listening(ngx_connection_t *c,
    ngx_prom_forward_t *forward)
{
    ngx_uint_t                        i;
    ngx_listening_t                  *ls;
    ngx_http_prom_forward_double_t   *item, **slot;

    if (forward->doubles == NULL) {
        forward->doubles = ngx_array_create(ngx_cycle->pool, 2,
                                  sizeof(ngx_http_prom_forward_double_t *));
        if (forward->doubles == NULL) {
            return NULL;
        }
    }

    slot = forward->doubles->elts;

    for (i = 0; i < forward->doubles->nelts; i++) {

        if (slot[i]->origin == c->listening) {
            return &slot[i]->listening;
        }
    }

    item = ngx_pcalloc(ngx_cycle->pool,
                       sizeof(ngx_http_prom_forward_double_t));
    if (item == NULL) {
        return NULL;
    }

    slot = ngx_array_push(forward->doubles);
    if (slot == NULL) {
        return NULL;
    }

    *slot = item;

    ls = &item->listening;

    *ls = *c->listening;
    ls->handler = ngx_http_init_connection;
    ls->servers = &item->port;

    item->origin = c->listening;

    item->addr.conf.default_server = forward->server;
    item->port.addrs = &item->addr;
    item->port.naddrs = 1;

#if (NGX_HAVE_INET6)

    if (c->listening->sockaddr->sa_family == AF_INET6) {
        item->addr6.conf.default_server = forward->server;
        item->port.addrs = &item->addr6;
    }

#endif

    return ls;
}
