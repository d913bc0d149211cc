/*
 * Reads the head of a request, and asks whether its target is allowed.  What
 * can't be CONNECT is http's from its first bytes on.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_stream.h>
#include "ngx_prom_connect.h"
#include "ngx_http_prom_forward.h"
#include "ngx_stream_prom_forward.h"


static ngx_int_t ngx_stream_prom_forward_recv(
    ngx_stream_prom_forward_ctx_t *ctx);
static void ngx_stream_prom_forward_late(ngx_stream_prom_forward_ctx_t *ctx);
static void ngx_stream_prom_forward_other(ngx_stream_prom_forward_ctx_t *ctx);
static void ngx_stream_prom_forward_ask(ngx_stream_prom_forward_ctx_t *ctx,
    ngx_prom_connect_t *connect);
static ngx_int_t ngx_stream_prom_forward_copy(
    ngx_stream_prom_forward_ctx_t *ctx, ngx_str_t *str,
    ngx_prom_connect_text_t *text);
static void ngx_stream_prom_forward_decided(ngx_prom_forward_query_t *query);
static void ngx_stream_prom_forward_watch(ngx_event_t *rev);
static ngx_uint_t ngx_stream_prom_forward_left(ngx_connection_t *c);


void
ngx_stream_prom_forward_read(ngx_event_t *rev)
{
    ngx_buf_t                      *b;
    ngx_connection_t               *c;
    ngx_prom_connect_t              connect;
    ngx_prom_connect_e              rc;
    ngx_stream_session_t           *s;
    ngx_stream_prom_forward_ctx_t  *ctx;

    c = rev->data;
    s = c->data;

    ctx = ngx_stream_get_module_ctx(s, ngx_stream_prom_forward_module);

    c->log->action = "reading the request of a client";

    if (c->close) {
        ngx_stream_prom_forward_finalize(ctx, NGX_STREAM_OK);
        return;
    }

    if (rev->timedout) {
        ngx_stream_prom_forward_late(ctx);
        return;
    }

    for ( ;; ) {

        if (ngx_stream_prom_forward_recv(ctx) != NGX_OK) {
            return;
        }

        b = c->buffer;

        rc = ngx_prom_connect_parse(&connect, (char *) b->pos,
                                    b->last - b->pos);

        if (rc != NGX_PROM_CONNECT_AGAIN) {
            break;
        }

        if (b->last == b->end) {
            ngx_stream_prom_forward_refuse_with(ctx, NGX_PROM_FORWARD_BAD, 431,
                                    "the head of the request is too large");
            return;
        }
    }

    if (rev->timer_set) {
        ngx_del_timer(rev);
    }

    switch (rc) {

    case NGX_PROM_CONNECT_OTHER:
        ngx_stream_prom_forward_other(ctx);
        return;

    case NGX_PROM_CONNECT_BAD:

        if (ngx_stream_prom_forward_copy(ctx, &ctx->query.target,
                                         &connect.target)
            != NGX_OK)
        {
            return;
        }

        ngx_stream_prom_forward_refuse_with(ctx, NGX_PROM_FORWARD_BAD,
                                            NGX_STREAM_BAD_REQUEST,
                                            connect.reason);
        return;

    default: /* NGX_PROM_CONNECT_DONE */
        ngx_stream_prom_forward_ask(ctx, &connect);
        return;
    }
}


/* a client that only waits has no buffer, and is closed first if need be */

static ngx_int_t
ngx_stream_prom_forward_recv(ngx_stream_prom_forward_ctx_t *ctx)
{
    ssize_t                      n;
    ngx_buf_t                   *b;
    ngx_connection_t            *c;
    ngx_stream_session_t        *s;
    ngx_stream_core_srv_conf_t  *cscf;

    s = ctx->session;
    c = s->connection;

    cscf = ngx_stream_get_module_srv_conf(s, ngx_stream_core_module);

    if (c->buffer == NULL) {
        c->buffer = ngx_create_temp_buf(c->pool, cscf->preread_buffer_size);

        if (c->buffer == NULL) {
            ngx_stream_prom_forward_finalize(ctx,
                                           NGX_STREAM_INTERNAL_SERVER_ERROR);
            return NGX_ERROR;
        }
    }

    b = c->buffer;

    n = c->recv(c, b->last, b->end - b->last);

    if (n > 0) {
        ngx_reusable_connection(c, 0);

        b->last += n;
        s->received += n;

        return NGX_OK;
    }

    if (n == NGX_AGAIN) {

        if (b->last == b->start) {
            ngx_pfree(c->pool, b->start);
            c->buffer = NULL;

            ngx_reusable_connection(c, 1);
        }

        if (!c->read->timer_set) {
            ngx_add_timer(c->read, cscf->preread_timeout);
        }

        if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
            ngx_stream_prom_forward_finalize(ctx,
                                           NGX_STREAM_INTERNAL_SERVER_ERROR);
        }

        return NGX_AGAIN;
    }

    ngx_log_error(NGX_LOG_INFO, c->log, 0, "client closed connection");

    ngx_stream_prom_forward_finalize(ctx, b->last == b->start
                                          ? NGX_STREAM_OK
                                          : NGX_STREAM_BAD_REQUEST);

    return NGX_DONE;
}


static void
ngx_stream_prom_forward_late(ngx_stream_prom_forward_ctx_t *ctx)
{
    ngx_connection_t  *c;

    c = ctx->session->connection;

    ngx_log_error(NGX_LOG_INFO, c->log, NGX_ETIMEDOUT, "client timed out");

    if (c->buffer == NULL) {
        c->timedout = 1;
        ngx_stream_prom_forward_finalize(ctx, NGX_STREAM_OK);
        return;
    }

    ngx_stream_prom_forward_refuse_with(ctx, NGX_PROM_FORWARD_BAD, 408,
                                    "the head of the request came too slowly");
}


static void
ngx_stream_prom_forward_other(ngx_stream_prom_forward_ctx_t *ctx)
{
    size_t             len;
    u_char            *data;
    ngx_buf_t         *b;
    ngx_connection_t  *c;

    c = ctx->session->connection;
    b = c->buffer;

    ngx_log_debug0(NGX_LOG_DEBUG_STREAM, c->log, 0,
                   "stream prom forward: not CONNECT, handing over to http");

    /* http keeps it as long as the connection, which may be long */

    len = b->last - b->pos;

    data = ngx_pnalloc(c->pool, len);
    if (data == NULL) {
        ngx_stream_prom_forward_finalize(ctx,
                                         NGX_STREAM_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_memcpy(data, b->pos, len);

    ngx_pfree(c->pool, b->start);
    c->buffer = NULL;

    switch (ngx_http_prom_forward_take(c, ctx->query.forward, data, len)) {

    case NGX_OK:
        /* it isn't ours any more, and may be closed */
        return;

    case NGX_DECLINED:
        ngx_stream_prom_forward_refuse_with(ctx, NGX_PROM_FORWARD_BAD,
                                            NGX_STREAM_BAD_REQUEST,
                                            "only CONNECT is served here");
        return;

    default: /* NGX_ERROR */
        ngx_stream_prom_forward_finalize(ctx,
                                         NGX_STREAM_INTERNAL_SERVER_ERROR);
        return;
    }
}


static void
ngx_stream_prom_forward_ask(ngx_stream_prom_forward_ctx_t *ctx,
    ngx_prom_connect_t *connect)
{
    ngx_buf_t                 *b;
    ngx_connection_t          *c;
    ngx_prom_forward_query_t  *query;

    c = ctx->session->connection;
    query = &ctx->query;

    if (ngx_stream_prom_forward_copy(ctx, &query->host, &connect->host)
        != NGX_OK
        || ngx_stream_prom_forward_copy(ctx, &query->target, &connect->target)
        != NGX_OK
        || ngx_stream_prom_forward_copy(ctx, &query->credentials,
                                        &connect->credentials)
        != NGX_OK)
    {
        return;
    }

    query->port = connect->port;
    query->handler = ngx_stream_prom_forward_decided;
    query->data = ctx;

    /* what is behind the head is proxy_pass' to send; it is often nothing */

    b = c->buffer;
    b->pos += connect->len;

    if (b->pos == b->last) {
        ngx_pfree(c->pool, b->start);
        c->buffer = NULL;
    }

    c->log->action = "deciding on the target of a tunnel";

    switch (ngx_prom_forward_decide(query)) {

    case NGX_OK:
        ngx_stream_prom_forward_decided(query);
        return;

    case NGX_AGAIN:
        (void) ngx_stream_prom_forward_wait(ctx);
        return;

    default: /* NGX_ERROR */
        ngx_stream_prom_forward_finalize(ctx,
                                         NGX_STREAM_INTERNAL_SERVER_ERROR);
        return;
    }
}


static ngx_int_t
ngx_stream_prom_forward_copy(ngx_stream_prom_forward_ctx_t *ctx,
    ngx_str_t *str, ngx_prom_connect_text_t *text)
{
    if (text->data == NULL) {
        return NGX_OK;
    }

    str->data = ngx_pnalloc(ctx->query.pool, text->len + 1);

    if (str->data == NULL) {
        ngx_stream_prom_forward_finalize(ctx,
                                         NGX_STREAM_INTERNAL_SERVER_ERROR);
        return NGX_ERROR;
    }

    ngx_memcpy(str->data, text->data, text->len);
    str->data[text->len] = '\0';
    str->len = text->len;

    return NGX_OK;
}


static void
ngx_stream_prom_forward_decided(ngx_prom_forward_query_t *query)
{
    ngx_stream_prom_forward_ctx_t  *ctx;

    ctx = query->data;
    ctx->decided = 1;

    if (query->decision != NGX_PROM_FORWARD_ALLOWED) {
        ngx_stream_prom_forward_refuse(ctx);
        return;
    }

    ngx_stream_prom_forward_dial(ctx);
}


ngx_int_t
ngx_stream_prom_forward_wait(ngx_stream_prom_forward_ctx_t *ctx)
{
    ngx_connection_t  *c;

    c = ctx->session->connection;

    c->read->handler = ngx_stream_prom_forward_watch;
    c->write->handler = ngx_stream_prom_forward_ignore;

    /* it may have left before somebody looked */

    if (ngx_stream_prom_forward_left(c)) {
        ngx_log_error(NGX_LOG_INFO, c->log, 0, "client closed connection");

        /* nginx' own for a client that doesn't wait for its answer */
        ngx_stream_prom_forward_finalize(ctx, 499);
        return NGX_DONE;
    }

    return NGX_OK;
}


static void
ngx_stream_prom_forward_watch(ngx_event_t *rev)
{
    ngx_connection_t               *c;
    ngx_stream_session_t           *s;
    ngx_stream_prom_forward_ctx_t  *ctx;

    c = rev->data;
    s = c->data;

    ctx = ngx_stream_get_module_ctx(s, ngx_stream_prom_forward_module);

    if (c->close) {
        ngx_log_error(NGX_LOG_INFO, c->log, 0, "shutdown timeout");
        ngx_stream_prom_forward_finalize(ctx, NGX_STREAM_OK);
        return;
    }

    (void) ngx_stream_prom_forward_wait(ctx);
}


/*
 * As in http, a client that half-closes its connection before it has its
 * answer has left: it isn't told apart from one that is gone.
 */

static ngx_uint_t
ngx_stream_prom_forward_left(ngx_connection_t *c)
{
    char          buf[1];
    ssize_t       n;
    ngx_err_t     err;
    ngx_event_t  *rev;

    rev = c->read;

    if (rev->pending_eof || rev->eof || rev->error) {
        goto left;
    }

#if (NGX_HAVE_EPOLLRDHUP)

    if ((ngx_event_flags & NGX_USE_EPOLL_EVENT) && ngx_use_epoll_rdhup) {
        return 0;
    }

#endif

    n = recv(c->fd, buf, 1, MSG_PEEK);
    err = ngx_socket_errno;

    if (n == 0 || (n == -1 && err != NGX_EAGAIN)) {
        goto left;
    }

    /* what is there already would be told again and again */

    if ((ngx_event_flags & NGX_USE_LEVEL_EVENT) && rev->active && n == 1) {
        (void) ngx_del_event(rev, NGX_READ_EVENT, 0);
    }

    return 0;

left:

    rev->eof = 1;
    c->error = 1;

    return 1;
}


void
ngx_stream_prom_forward_ignore(ngx_event_t *ev)
{
    ngx_log_debug0(NGX_LOG_DEBUG_STREAM, ev->log, 0,
                   "stream prom forward: nothing to do");

    if ((ngx_event_flags & NGX_USE_LEVEL_EVENT) && ev->write && ev->active) {
        (void) ngx_del_event(ev, NGX_WRITE_EVENT, 0);
    }
}
