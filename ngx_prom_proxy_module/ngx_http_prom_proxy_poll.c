/*
 * Poll clients as targets: a scrape hops to the worker that has the client,
 * as one in absolute form would, and what is known of a client stands where
 * the tunnel of a host does; as does what is known of a WireGuard node.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_poll.h"
#include "ngx_http_prom_proxy.h"


static ngx_int_t ngx_http_prom_proxy_poll_uri(ngx_http_request_t *r,
    ngx_http_prom_proxy_ctx_t *ctx, ngx_str_t *uri);


static ngx_str_t  ngx_http_prom_proxy_poll_path =
    ngx_string("prom_proxy_uri");


ngx_int_t
ngx_http_prom_proxy_poll(ngx_http_request_t *r, ngx_http_prom_proxy_ctx_t *ctx)
{
    ngx_addr_t                   *addrs;
    ngx_atomic_t                 *fails;
    ngx_prom_poll_state_e         state;
    ngx_http_prom_poll_ctx_t     *hop;
    ngx_http_prom_poll_worker_t  *worker;

    worker = ngx_http_prom_poll_worker();

    if (worker == NULL) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "prom poll: this process has no worker's place");
        return NGX_ERROR;
    }

    hop = ngx_pcalloc(r->pool, sizeof(ngx_http_prom_poll_ctx_t));
    if (hop == NULL) {
        return NGX_ERROR;
    }

    hop->request = r;
    hop->kind = NGX_HTTP_PROM_POLL_SCRAPE;
    hop->name = ctx->route.name;
    hop->start = ngx_current_msec;
    hop->to = worker->at;

    /* one that polls again soon is waited for here */

    state = ngx_prom_poll_find(worker->zone, &hop->name, &worker->at,
                               &hop->to);

    if (state == NGX_PROM_POLL_ABSENT) {
        fails = ngx_prom_poll_zone_counters(worker->zone)->fails;
        (void) ngx_atomic_fetch_add(&fails[NGX_PROM_POLL_FAIL_ABSENT], 1);

        return NGX_DECLINED;
    }

    if (ngx_http_prom_proxy_poll_uri(r, ctx, &hop->uri) != NGX_OK
        || ngx_http_prom_poll_hop(r, hop) != NGX_OK)
    {
        return NGX_ERROR;
    }

    addrs = ngx_pcalloc(r->pool, 2 * sizeof(ngx_addr_t));
    if (addrs == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_prom_poll_address(&hop->to, &addrs[0], r->pool) != NGX_OK) {
        return NGX_ERROR;
    }

    ctx->naddrs = 1;
    ctx->poll = hop->to;

    /* were that worker killed, this one looks once more */

    if (state == NGX_PROM_POLL_THERE) {

        if (ngx_http_prom_poll_address(&worker->at, &addrs[1], r->pool)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        ctx->naddrs = 2;
    }

    ctx->addrs = addrs;

    return NGX_OK;
}


void
ngx_http_prom_proxy_poll_lost(ngx_http_prom_proxy_ctx_t *ctx)
{
    ngx_http_prom_poll_lost(&ctx->poll);
}


/* absolute, as a scraper would ask for it by a proxy */

static ngx_int_t
ngx_http_prom_proxy_poll_uri(ngx_http_request_t *r,
    ngx_http_prom_proxy_ctx_t *ctx, ngx_str_t *uri)
{
    u_char                     *p;
    size_t                      i;
    ngx_uint_t                  key;
    ngx_http_variable_value_t  *path;

    key = ngx_hash_key(ngx_http_prom_proxy_poll_path.data,
                       ngx_http_prom_proxy_poll_path.len);

    path = ngx_http_get_variable(r, &ngx_http_prom_proxy_poll_path, key);

    if (path == NULL || path->not_found) {
        return NGX_ERROR;
    }

    /* "rewrite" may have made it of anything */

    for (i = 0; i < path->len; i++) {

        if (path->data[i] <= 0x20 || path->data[i] == 0x7f) {
            ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                          "\"%v\" is no URI for a poll client", path);
            return NGX_ERROR;
        }
    }

    p = ngx_pnalloc(r->pool, sizeof("http://") - 1 + ctx->route.authority.len
                             + path->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    uri->data = p;

    p = ngx_cpymem(p, "http://", sizeof("http://") - 1);
    p = ngx_cpymem(p, ctx->route.authority.data, ctx->route.authority.len);
    p = ngx_cpymem(p, path->data, path->len);

    uri->len = p - uri->data;

    return NGX_OK;
}


ngx_prom_poll_zone_t *
ngx_http_prom_proxy_poll_zone(ngx_http_request_t *r)
{
    ngx_http_prom_proxy_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_prom_proxy_module);

    return pmcf->polls ? ngx_http_prom_proxy_polls(pmcf->poll_zone) : NULL;
}


void
ngx_http_prom_proxy_origins(ngx_http_request_t *r,
    ngx_http_prom_origins_t *origins)
{
    origins->tunnels = ngx_http_prom_tunnels_board(r);
    origins->peers = ngx_http_prom_peers_board(r);
    origins->polls = ngx_http_prom_proxy_poll_zone(r);
}


void
ngx_http_prom_proxy_tunnel(const ngx_http_prom_origins_t *origins,
    const ngx_prom_item_t *item, ngx_http_prom_tunnel_t *tunnel)
{
    ngx_prom_poll_client_t  client;

    if (item->node) {
        ngx_http_prom_peers_read(origins->peers, item, tunnel);
        return;
    }

    if (item->kind != NGX_PROM_ADDRESS_POLL) {
        ngx_http_prom_tunnels_read(origins->tunnels, item->tunnel, tunnel);
        return;
    }

    ngx_memzero(tunnel, offsetof(ngx_http_prom_tunnel_t, buf));

    tunnel->transport = NGX_HTTP_PROM_TRANSPORT_POLL;

    if (origins->polls == NULL
        || ngx_prom_poll_get(origins->polls, &item->name, &client) != NGX_OK)
    {
        /* it was taken out a moment ago */

        tunnel->state = NGX_HTTP_PROM_TUNNEL_UNKNOWN;
        return;
    }

    tunnel->state = client.gone ? NGX_HTTP_PROM_TUNNEL_CLOSED
                                : NGX_HTTP_PROM_TUNNEL_CONNECTED;
    tunnel->since = client.since;
    tunnel->ended = client.seen;
    tunnel->polls = client.polls;
    tunnel->handed = client.handed;

    tunnel->address.len = ngx_min(client.address_len,
                                  NGX_PROM_TUNNELS_ADDRESS);
    tunnel->address.data = tunnel->buf;
    ngx_memcpy(tunnel->buf, client.address, tunnel->address.len);
}
