/*
 * Dials the addresses that were allowed, one after the other, before the
 * client is told anything: proxy_pass would do so, too, but could not say why
 * it failed.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_stream.h>
#include "ngx_stream_prom_forward.h"


static ngx_int_t ngx_stream_prom_forward_dial_next(
    ngx_stream_prom_forward_ctx_t *ctx);
static void ngx_stream_prom_forward_dialled(ngx_event_t *wev);
static ngx_err_t ngx_stream_prom_forward_dial_error(ngx_connection_t *pc);
static void ngx_stream_prom_forward_hold(ngx_event_t *ev);
static void ngx_stream_prom_forward_unreachable(
    ngx_stream_prom_forward_ctx_t *ctx);


void
ngx_stream_prom_forward_dial(ngx_stream_prom_forward_ctx_t *ctx)
{
    ctx->session->connection->log->action = "connecting to the target of a "
                                            "tunnel";

    while (ctx->next < ctx->query.naddrs) {

        switch (ngx_stream_prom_forward_dial_next(ctx)) {

        case NGX_OK:
            ngx_stream_prom_forward_accept(ctx);
            return;

        case NGX_AGAIN:
            (void) ngx_stream_prom_forward_wait(ctx);
            return;

        case NGX_ERROR:
            ngx_stream_prom_forward_refuse_with(ctx, NGX_PROM_FORWARD_BUSY,
                                    NGX_STREAM_SERVICE_UNAVAILABLE,
                                    "there are too many connections already");
            return;

        default: /* NGX_DECLINED */
            ctx->next++;
        }
    }

    ngx_stream_prom_forward_unreachable(ctx);
}


static ngx_int_t
ngx_stream_prom_forward_dial_next(ngx_stream_prom_forward_ctx_t *ctx)
{
    ngx_int_t               rc;
    ngx_addr_t             *addr;
    ngx_connection_t       *c, *pc;
    ngx_peer_connection_t  *peer;

    c = ctx->session->connection;
    addr = &ctx->query.addrs[ctx->next];
    peer = &ctx->peer;

    peer->sockaddr = addr->sockaddr;
    peer->socklen = addr->socklen;
    peer->name = &addr->name;
    peer->get = ngx_event_get_peer;
    peer->log = c->log;
    peer->log_error = NGX_ERROR_ERR;
    peer->type = SOCK_STREAM;

    /* what is found there is the dial's: nothing has failed since */

    ngx_set_errno(0);

    rc = ngx_event_connect_peer(peer);

    if (rc == NGX_DECLINED) {
        ctx->err = ngx_errno;
        return NGX_DECLINED;
    }

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    pc = peer->connection;

    pc->data = ctx->session;
    pc->pool = c->pool;
    pc->log = c->log;
    pc->read->handler = ngx_stream_prom_forward_hold;
    pc->write->handler = ngx_stream_prom_forward_hold;

    if (rc == NGX_AGAIN) {
        pc->write->handler = ngx_stream_prom_forward_dialled;
        ngx_add_timer(pc->write, ctx->query.forward->connect_timeout);
    }

    return rc;
}


static void
ngx_stream_prom_forward_dialled(ngx_event_t *wev)
{
    ngx_connection_t               *pc;
    ngx_stream_session_t           *s;
    ngx_stream_prom_forward_ctx_t  *ctx;

    pc = wev->data;
    s = pc->data;

    ctx = ngx_stream_get_module_ctx(s, ngx_stream_prom_forward_module);

    ctx->err = wev->timedout ? NGX_ETIMEDOUT
                             : ngx_stream_prom_forward_dial_error(pc);

    if (ctx->err == 0) {
        ngx_del_timer(wev);

        wev->handler = ngx_stream_prom_forward_hold;

        ngx_stream_prom_forward_accept(ctx);
        return;
    }

    ngx_log_error(NGX_LOG_ERR, pc->log, ctx->err, "connect() to %V failed",
                  ctx->peer.name);

    ngx_stream_prom_forward_hang_up(ctx);

    ctx->next++;

    ngx_stream_prom_forward_dial(ctx);
}


static ngx_err_t
ngx_stream_prom_forward_dial_error(ngx_connection_t *pc)
{
    int        err;
    socklen_t  len;

#if (NGX_HAVE_KQUEUE)

    if (ngx_event_flags & NGX_USE_KQUEUE_EVENT) {
        return pc->write->kq_errno ? pc->write->kq_errno
                                   : pc->read->kq_errno;
    }

#endif

    err = 0;
    len = sizeof(int);

    if (getsockopt(pc->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

    return err;
}


/* what the target does before proxy_pass looks at it */

static void
ngx_stream_prom_forward_hold(ngx_event_t *ev)
{
    ngx_connection_t               *pc;
    ngx_stream_session_t           *s;
    ngx_stream_prom_forward_ctx_t  *ctx;

    pc = ev->data;

    if (pc->close) {
        s = pc->data;
        ctx = ngx_stream_get_module_ctx(s, ngx_stream_prom_forward_module);

        ngx_log_error(NGX_LOG_INFO, pc->log, 0, "shutdown timeout");
        ngx_stream_prom_forward_finalize(ctx, NGX_STREAM_OK);
        return;
    }

    if ((ngx_event_flags & NGX_USE_LEVEL_EVENT) && ev->active) {
        (void) ngx_del_event(ev, ev->write ? NGX_WRITE_EVENT : NGX_READ_EVENT,
                             0);
    }
}


/* closes the connection that was dialled, if it is still ours */

void
ngx_stream_prom_forward_hang_up(ngx_stream_prom_forward_ctx_t *ctx)
{
    if (ctx->peer.connection) {
        ngx_close_connection(ctx->peer.connection);
        ctx->peer.connection = NULL;
    }
}


/* the last address' reason stands for all */

static void
ngx_stream_prom_forward_unreachable(ngx_stream_prom_forward_ctx_t *ctx)
{
    u_char                    *p, *last, *text;
    ngx_uint_t                 late;
    ngx_prom_forward_query_t  *query;

    query = &ctx->query;

    query->reason.data = ngx_pnalloc(query->pool,
                                     NGX_STREAM_PROM_FORWARD_REASON);
    if (query->reason.data == NULL) {
        ngx_stream_prom_forward_finalize(ctx,
                                         NGX_STREAM_INTERNAL_SERVER_ERROR);
        return;
    }

    last = query->reason.data + NGX_STREAM_PROM_FORWARD_REASON;

    p = ngx_slprintf(query->reason.data, last, "connect to %V",
                     &query->target);

    if (!query->numeric && ctx->peer.name) {
        p = ngx_slprintf(p, last, " (%V)", ctx->peer.name);
    }

    p = ngx_slprintf(p, last, ": ");

    if (ctx->err) {
        text = p;
        p = ngx_strerror(ctx->err, p, last - p);

        if (p > text) {
            *text = ngx_tolower(*text);
        }

    } else {
        p = ngx_slprintf(p, last, "refused or unreachable");
    }

    query->reason.len = p - query->reason.data;

    late = (ctx->err == NGX_ETIMEDOUT);

    query->decision = late ? NGX_PROM_FORWARD_LATE
                           : NGX_PROM_FORWARD_UNREACHABLE;
    query->status = late ? 504 : NGX_STREAM_BAD_GATEWAY;

    ngx_stream_prom_forward_refuse(ctx);
}
