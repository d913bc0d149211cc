/*
 * The balancer that gives proxy_pass the connection which was dialled before,
 * and what a tunnel has beyond that: a limit to its whole time, and an end
 * that a client with TLS doesn't take for a cut.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_stream.h>
#include "ngx_stream_prom_forward.h"


static void ngx_stream_prom_forward_total(ngx_event_t *ev);

static ngx_int_t ngx_stream_prom_forward_peer_init(ngx_stream_session_t *s,
    ngx_stream_upstream_srv_conf_t *us);
static ngx_int_t ngx_stream_prom_forward_peer_get(ngx_peer_connection_t *pc,
    void *data);
static void ngx_stream_prom_forward_peer_free(ngx_peer_connection_t *pc,
    void *data, ngx_uint_t state);
static ngx_int_t ngx_stream_prom_forward_filter(ngx_stream_session_t *s,
    ngx_chain_t *in, ngx_uint_t from_upstream);

static ngx_int_t ngx_stream_prom_forward_init_upstream(ngx_conf_t *cf,
    ngx_stream_upstream_srv_conf_t *us);


static ngx_stream_filter_pt  ngx_stream_next_filter;


/* the client has its 200 */

void
ngx_stream_prom_forward_begin(ngx_stream_prom_forward_ctx_t *ctx)
{
    ngx_connection_t    *c;
    ngx_prom_forward_t  *forward;

    c = ctx->session->connection;
    forward = ctx->query.forward;

    ctx->up = 1;
    ngx_prom_forward_count_tunnel(forward, 1);

    if (forward->total) {
        ctx->total.handler = ngx_stream_prom_forward_total;
        ctx->total.data = ctx;
        ctx->total.log = c->log;

        ngx_add_timer(&ctx->total, forward->total);
    }

    ngx_stream_core_run_phases(ctx->session);
}


void
ngx_stream_prom_forward_end(ngx_stream_prom_forward_ctx_t *ctx)
{
    if (!ctx->up) {
        return;
    }

    ctx->up = 0;
    ngx_prom_forward_count_tunnel(ctx->query.forward, -1);

    if (ctx->total.timer_set) {
        ngx_del_timer(&ctx->total);
    }

    if (ctx->recv) {
        ngx_stream_prom_forward_return(&ctx->session->upstream->upstream_buf);
        ngx_stream_prom_forward_return(
                                     &ctx->session->upstream->downstream_buf);
    }
}


/* the session is proxy_pass', and so is its end: a client that is too slow */

static void
ngx_stream_prom_forward_total(ngx_event_t *ev)
{
    ngx_connection_t               *c;
    ngx_stream_prom_forward_ctx_t  *ctx;

    ctx = ev->data;
    c = ctx->session->connection;

    ngx_log_error(NGX_LOG_INFO, c->log, 0,
                  "the tunnel to %V is closed after its time in all",
                  &ctx->query.target);

    c->read->timedout = 1;
    c->read->delayed = 0;
    c->read->handler(c->read);
}


static ngx_int_t
ngx_stream_prom_forward_peer_init(ngx_stream_session_t *s,
    ngx_stream_upstream_srv_conf_t *us)
{
    ngx_peer_connection_t          *pc;
    ngx_stream_prom_forward_ctx_t  *ctx;

    ctx = ngx_stream_get_module_ctx(s, ngx_stream_prom_forward_module);

    if (ctx == NULL || ctx->peer.connection == NULL) {
        ngx_log_error(NGX_LOG_ERR, s->connection->log, 0,
                      "upstream \"%V\" has the targets that \"prom_forward\" "
                      "has dialled, and this session has none", &us->host);
        return NGX_ERROR;
    }

    pc = &s->upstream->peer;

    pc->data = ctx;
    pc->get = ngx_stream_prom_forward_peer_get;
    pc->free = ngx_stream_prom_forward_peer_free;
    pc->tries = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_stream_prom_forward_peer_get(ngx_peer_connection_t *pc, void *data)
{
    ngx_stream_prom_forward_ctx_t *ctx = data;

    pc->sockaddr = ctx->peer.sockaddr;
    pc->socklen = ctx->peer.socklen;
    pc->name = ctx->peer.name;
    pc->connection = ctx->peer.connection;
    pc->cached = 1;

    ctx->peer.connection = NULL;

    ngx_stream_prom_forward_borrow(ctx, pc->connection);

    return NGX_DONE;
}


static void
ngx_stream_prom_forward_peer_free(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state)
{
    ngx_log_debug1(NGX_LOG_DEBUG_STREAM, pc->log, 0,
                   "free prom forward peer, state %ui", state);

    pc->tries = 0;
}


/*
 * All bytes pass here.  Half-close: nginx shuts down the socket,
 * without the close_notify by which TLS tells an end from a cut.
 */

static ngx_int_t
ngx_stream_prom_forward_filter(ngx_stream_session_t *s, ngx_chain_t *in,
    ngx_uint_t from_upstream)
{
    ngx_int_t                       rc;
    ngx_chain_t                    *cl;
    ngx_stream_prom_forward_ctx_t  *ctx;

    ctx = ngx_stream_get_module_ctx(s, ngx_stream_prom_forward_module);

    if (ctx == NULL || ctx->recv == NULL) {
        return ngx_stream_next_filter(s, in, from_upstream);
    }

    for (cl = in; cl && from_upstream; cl = cl->next) {
        if (cl->buf->last_buf) {
            ctx->ended = 1;
        }
    }

    rc = ngx_stream_next_filter(s, in, from_upstream);

    if (rc != NGX_OK) {
        return rc;
    }

    /* nothing is left to be sent */

    if (!from_upstream) {
        ngx_stream_prom_forward_return(&s->upstream->downstream_buf);
        return NGX_OK;
    }

    ngx_stream_prom_forward_return(&s->upstream->upstream_buf);

#if (NGX_STREAM_SSL)

    if (ctx->ended && !ctx->told && s->connection->ssl
        && !s->connection->buffered)
    {
        ctx->told = 1;

        (void) SSL_shutdown(s->connection->ssl->connection);
        ERR_clear_error();
    }

#endif

    return NGX_OK;
}


ngx_int_t
ngx_stream_prom_forward_filter_init(ngx_conf_t *cf)
{
    ngx_stream_next_filter = ngx_stream_top_filter;
    ngx_stream_top_filter = ngx_stream_prom_forward_filter;

    return NGX_OK;
}


static ngx_int_t
ngx_stream_prom_forward_init_upstream(ngx_conf_t *cf,
    ngx_stream_upstream_srv_conf_t *us)
{
    us->peer.init = ngx_stream_prom_forward_peer_init;

    return NGX_OK;
}


char *
ngx_stream_prom_forward_peer(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_stream_upstream_server_t    *server;
    ngx_stream_upstream_srv_conf_t  *uscf;

    uscf = ngx_stream_conf_get_module_srv_conf(cf, ngx_stream_upstream_module);

    if (uscf->peer.init_upstream == ngx_stream_prom_forward_init_upstream) {
        return "is duplicate";
    }

    if (uscf->peer.init_upstream) {
        return "is not compatible with another balancer";
    }

    uscf->peer.init_upstream = ngx_stream_prom_forward_init_upstream;

    /* nginx wants one server or more */

    server = ngx_array_push(uscf->servers);
    if (server == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(server, sizeof(ngx_stream_upstream_server_t));
    ngx_str_set(&server->name, "prom_forward_peer");
    server->down = 1;

    return NGX_CONF_OK;
}
