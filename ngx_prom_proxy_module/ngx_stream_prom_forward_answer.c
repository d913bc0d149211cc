/*
 * What the client of a tunnel is told.  Prometheus shows nothing of a refusal
 * but its reason phrase, so that has the reason; a body repeats it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_stream.h>
#include "ngx_stream_prom_forward.h"


#define NGX_STREAM_PROM_FORWARD_SEND    10000   /* ms */
#define NGX_STREAM_PROM_FORWARD_LINGER  5000    /* ms */

#define NGX_STREAM_PROM_FORWARD_OK                                            \
    "HTTP/1.1 200 Connection established" CRLF CRLF

#define NGX_STREAM_PROM_FORWARD_REALM                                         \
    "Proxy-Authenticate: Basic realm=\"Monitoring Proxy\"" CRLF


static void ngx_stream_prom_forward_send(ngx_stream_prom_forward_ctx_t *ctx);
static void ngx_stream_prom_forward_write(ngx_event_t *wev);
static void ngx_stream_prom_forward_quiet(ngx_event_t *rev);
static void ngx_stream_prom_forward_linger(
    ngx_stream_prom_forward_ctx_t *ctx);
static void ngx_stream_prom_forward_discard(ngx_event_t *rev);


/*
 * No header and no body: what follows is the target's.  Nothing but 200 is
 * taken for success by Go.
 */

void
ngx_stream_prom_forward_accept(ngx_stream_prom_forward_ctx_t *ctx)
{
    ngx_str_set(&ctx->answer, NGX_STREAM_PROM_FORWARD_OK);
    ctx->answered = ngx_stream_prom_forward_begin;

    ngx_stream_prom_forward_send(ctx);
}


void
ngx_stream_prom_forward_refuse_with(ngx_stream_prom_forward_ctx_t *ctx,
    ngx_prom_forward_decision_e decision, ngx_uint_t status,
    const char *reason)
{
    ctx->query.decision = decision;
    ctx->query.status = status;
    ctx->query.reason.data = (u_char *) reason;
    ctx->query.reason.len = ngx_strlen(reason);

    ngx_stream_prom_forward_refuse(ctx);
}


void
ngx_stream_prom_forward_refuse(ngx_stream_prom_forward_ctx_t *ctx)
{
    size_t             len;
    u_char            *p;
    ngx_str_t         *reason;
    ngx_connection_t  *c;

    c = ctx->session->connection;
    reason = &ctx->query.reason;

    ctx->decided = 1;
    ctx->status = ctx->query.status;

    ngx_log_error(NGX_LOG_INFO, c->log, 0, "no tunnel to \"%V\": %ui %V",
                  &ctx->query.target, ctx->status, reason);

    len = sizeof("HTTP/1.1 400 " CRLF
                 NGX_STREAM_PROM_FORWARD_REALM
                 "Content-Type: text/plain" CRLF
                 "Content-Length: " CRLF
                 "Connection: close" CRLF CRLF "\n") - 1
          + NGX_SIZE_T_LEN + 2 * reason->len;

    p = ngx_pnalloc(c->pool, len);
    if (p == NULL) {
        ngx_stream_prom_forward_finalize(ctx,
                                         NGX_STREAM_INTERNAL_SERVER_ERROR);
        return;
    }

    ctx->answer.data = p;

    p = ngx_sprintf(p, "HTTP/1.1 %03ui %V" CRLF, ctx->status, reason);

    if (ctx->status == 407) {
        p = ngx_cpymem(p, NGX_STREAM_PROM_FORWARD_REALM,
                       sizeof(NGX_STREAM_PROM_FORWARD_REALM) - 1);
    }

    p = ngx_sprintf(p, "Content-Type: text/plain" CRLF
                    "Content-Length: %uz" CRLF
                    "Connection: close" CRLF CRLF
                    "%V\n", reason->len + 1, reason);

    ctx->answer.len = p - ctx->answer.data;
    ctx->answered = ngx_stream_prom_forward_linger;

    ngx_stream_prom_forward_send(ctx);
}


static void
ngx_stream_prom_forward_send(ngx_stream_prom_forward_ctx_t *ctx)
{
    ssize_t            n;
    ngx_connection_t  *c;

    c = ctx->session->connection;

    c->log->action = "answering the client of a tunnel";
    c->read->handler = ngx_stream_prom_forward_quiet;

    if (c->read->timer_set) {
        ngx_del_timer(c->read);
    }

    while (ctx->answer.len) {

        n = c->send(c, ctx->answer.data, ctx->answer.len);

        if (n == NGX_AGAIN) {
            c->write->handler = ngx_stream_prom_forward_write;

            if (!c->write->timer_set) {
                ngx_add_timer(c->write, NGX_STREAM_PROM_FORWARD_SEND);
            }

            if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
                ngx_stream_prom_forward_finalize(ctx,
                                           NGX_STREAM_INTERNAL_SERVER_ERROR);
            }

            return;
        }

        if (n <= 0) {
            c->error = 1;
            ngx_stream_prom_forward_finalize(ctx, 499);
            return;
        }

        ctx->answer.data += n;
        ctx->answer.len -= n;
    }

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }

    c->write->handler = ngx_stream_prom_forward_ignore;

    ctx->answered(ctx);
}


static void
ngx_stream_prom_forward_write(ngx_event_t *wev)
{
    ngx_connection_t               *c;
    ngx_stream_session_t           *s;
    ngx_stream_prom_forward_ctx_t  *ctx;

    c = wev->data;
    s = c->data;

    ctx = ngx_stream_get_module_ctx(s, ngx_stream_prom_forward_module);

    if (wev->timedout) {
        ngx_log_error(NGX_LOG_INFO, c->log, NGX_ETIMEDOUT, "client timed out");
        c->timedout = 1;
        ngx_stream_prom_forward_finalize(ctx, 499);
        return;
    }

    ngx_stream_prom_forward_send(ctx);
}


/* what the client says while it is being answered can wait */

static void
ngx_stream_prom_forward_quiet(ngx_event_t *rev)
{
    ngx_connection_t               *c;
    ngx_stream_session_t           *s;
    ngx_stream_prom_forward_ctx_t  *ctx;

    c = rev->data;

    if (c->close) {
        s = c->data;
        ctx = ngx_stream_get_module_ctx(s, ngx_stream_prom_forward_module);

        ngx_stream_prom_forward_finalize(ctx, NGX_STREAM_OK);
        return;
    }

    if ((ngx_event_flags & NGX_USE_LEVEL_EVENT) && rev->active) {
        (void) ngx_del_event(rev, NGX_READ_EVENT, 0);
    }
}


/*
 * A connection that is closed with bytes unread is reset, and the client may
 * lose the answer by that: so they are read first, without a look at them, TLS
 * or not.
 */

static void
ngx_stream_prom_forward_linger(ngx_stream_prom_forward_ctx_t *ctx)
{
    ngx_connection_t  *c;

    c = ctx->session->connection;

    c->log->action = "closing the connection of a client";

#if (NGX_STREAM_SSL)

    if (c->ssl) {
        (void) SSL_shutdown(c->ssl->connection);
        ERR_clear_error();

        c->ssl->no_wait_shutdown = 1;
        c->ssl->no_send_shutdown = 1;
    }

#endif

    if (ngx_shutdown_socket(c->fd, NGX_WRITE_SHUTDOWN) == -1) {
        ngx_connection_error(c, ngx_socket_errno,
                             ngx_shutdown_socket_n " failed");
        ngx_stream_prom_forward_finalize(ctx, ctx->status);
        return;
    }

    c->read->handler = ngx_stream_prom_forward_discard;

    ngx_add_timer(c->read, NGX_STREAM_PROM_FORWARD_LINGER);

    /* TLS may have found the socket empty, and yet there is more by now */

    c->read->ready = 1;

    ngx_stream_prom_forward_discard(c->read);
}


static void
ngx_stream_prom_forward_discard(ngx_event_t *rev)
{
    u_char                          buf[4096];
    ssize_t                         n;
    ngx_connection_t               *c;
    ngx_stream_session_t           *s;
    ngx_stream_prom_forward_ctx_t  *ctx;

    c = rev->data;
    s = c->data;

    ctx = ngx_stream_get_module_ctx(s, ngx_stream_prom_forward_module);

    while (!rev->timedout && !c->close) {

        n = ngx_recv(c, buf, sizeof(buf));

        if (n == NGX_AGAIN) {
            if (ngx_handle_read_event(rev, 0) == NGX_OK) {
                return;
            }

            break;
        }

        if (n <= 0) {
            break;
        }
    }

    ngx_stream_prom_forward_finalize(ctx, ctx->status);
}
