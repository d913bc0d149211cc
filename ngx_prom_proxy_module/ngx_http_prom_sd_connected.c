/*
 * Which targets are connected to this proxy, for service discovery: tunnels
 * as the kernel has their ports, and clients that poll.
 *
 * The kernel is asked in slices, too, as it takes its time itself.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_sd.h"


static ngx_int_t ngx_http_prom_sd_look_more(ngx_http_prom_sd_ctx_t *ctx);
static void ngx_http_prom_sd_look_handler(ngx_event_t *ev);
static void ngx_http_prom_sd_cleanup(void *data);
static ngx_int_t ngx_http_prom_sd_tunnel(
    const ngx_prom_listening_t *listening, const ngx_prom_item_t *item,
    ngx_uint_t *open);


ngx_int_t
ngx_http_prom_sd_look(ngx_http_prom_sd_ctx_t *ctx)
{
    ngx_http_request_t  *r;
    ngx_pool_cleanup_t  *cln;

    r = ctx->request;

    ctx->polls = ngx_http_prom_proxy_poll_zone(r);
    ctx->listening = ngx_prom_listening_create(r->pool, r->connection->log);

    if (ctx->listening == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_http_prom_sd_cleanup;
    cln->data = ctx;

    if (ngx_http_prom_sd_look_more(ctx) != NGX_AGAIN) {
        return ngx_http_prom_sd_answer(ctx);
    }

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;
    r->main->count++;

    return NGX_DONE;
}


/* NGX_AGAIN: there is more, and the event comes for it */

static ngx_int_t
ngx_http_prom_sd_look_more(ngx_http_prom_sd_ctx_t *ctx)
{
    ngx_int_t                  rc;
    ngx_http_request_t        *r;
    ngx_http_core_loc_conf_t  *clcf;

    rc = ngx_prom_listening_read(ctx->listening);

    if (rc == NGX_ERROR) {
        ctx->listening = NULL;
    }

    if (rc != NGX_AGAIN) {
        return rc;
    }

    r = ctx->request;
    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    /* a worker that is to go ends once there are no timers */

    if (!r->connection->write->delayed) {
        ngx_add_timer(r->connection->write, clcf->send_timeout);
    }

    ctx->event.handler = ngx_http_prom_sd_look_handler;
    ctx->event.data = ctx;
    ctx->event.log = r->connection->log;

    ngx_post_event(&ctx->event, &ngx_posted_next_events);

    return NGX_AGAIN;
}


static void
ngx_http_prom_sd_look_handler(ngx_event_t *ev)
{
    ngx_connection_t        *c;
    ngx_http_prom_sd_ctx_t  *ctx;

    ctx = ev->data;
    c = ctx->request->connection;

    ngx_http_set_log_request(c->log, ctx->request);

    if (ngx_http_prom_sd_look_more(ctx) != NGX_AGAIN) {
        ngx_http_finalize_request(ctx->request, ngx_http_prom_sd_answer(ctx));
    }

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_prom_sd_cleanup(void *data)
{
    ngx_http_prom_sd_ctx_t *ctx = data;

    if (ctx->event.posted) {
        ngx_delete_posted_event(&ctx->event);
    }
}


void
ngx_http_prom_sd_connected(ngx_http_prom_sd_ctx_t *ctx,
    const ngx_prom_item_t *item, ngx_str_t *value)
{
    ngx_uint_t              connected;
    ngx_prom_poll_client_t  client;

    ngx_str_set(value, "");

    if (item->kind == NGX_PROM_ADDRESS_POLL) {

        if (ctx->polls == NULL) {
            return;
        }

        /* otherwise it was taken out a moment ago */

        connected = (ngx_prom_poll_get(ctx->polls, &item->name, &client)
                     == NGX_OK && !client.gone);

    } else {

        if (ctx->listening == NULL
            || ngx_http_prom_sd_tunnel(ctx->listening, item, &connected)
               != NGX_OK)
        {
            return;
        }
    }

    if (connected) {
        ngx_str_set(value, "yes");

    } else {
        ngx_str_set(value, "no");
    }
}


/* NGX_DECLINED for one that is no tunnel's end: that is on this machine */

static ngx_int_t
ngx_http_prom_sd_tunnel(const ngx_prom_listening_t *listening,
    const ngx_prom_item_t *item, ngx_uint_t *open)
{
    uint32_t  ip;

    switch (item->kind) {

    case NGX_PROM_ADDRESS_LOCALHOST:
        *open = ngx_prom_listening_inet(listening, INADDR_LOOPBACK, item->port)
                || ngx_prom_listening_inet6(listening, item->port);
        return NGX_OK;

    case NGX_PROM_ADDRESS_IPV4:
        ngx_memcpy(&ip, item->ip, sizeof(ip));
        ip = ntohl(ip);

        if (ip >> 24 != IN_LOOPBACKNET) {
            return NGX_DECLINED;
        }

        *open = ngx_prom_listening_inet(listening, ip, item->port);
        return NGX_OK;

    case NGX_PROM_ADDRESS_IPV6:

        if (ngx_memcmp(item->ip, &in6addr_loopback, 16) != 0) {
            return NGX_DECLINED;
        }

        *open = ngx_prom_listening_inet6(listening, item->port);
        return NGX_OK;

    default:
        return NGX_DECLINED;
    }
}
