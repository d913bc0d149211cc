/*
 * A tunnel has a buffer while bytes are on their way, and none while nobody
 * says anything.  Those of proxy_pass are a session's for all its life: thus
 * they would be small, for memory's sake, and an answer would pass in many
 * steps.  Here a large one goes from tunnel to tunnel.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_stream.h>
#include "ngx_stream_prom_forward.h"


#define NGX_STREAM_PROM_FORWARD_BUFFER  65536


static ssize_t ngx_stream_prom_forward_recv(ngx_connection_t *c, u_char *buf,
    size_t size);
static void ngx_stream_prom_forward_empty(ngx_buf_t *b);


/* what a tunnel has instead, of which no byte is ever read or written */

static u_char   ngx_stream_prom_forward_none[NGX_STREAM_PROM_FORWARD_BUFFER];

/* the one that is free, for whoever reads next */

static u_char  *ngx_stream_prom_forward_spare;


/* proxy_pass has just made its buffer for what the client says */

void
ngx_stream_prom_forward_borrow(ngx_stream_prom_forward_ctx_t *ctx,
    ngx_connection_t *pc)
{
    ngx_connection_t       *c;
    ngx_stream_upstream_t  *u;

    c = ctx->session->connection;
    u = ctx->session->upstream;

    (void) ngx_pfree(c->pool, u->downstream_buf.start);

    ngx_stream_prom_forward_empty(&u->downstream_buf);
    ngx_stream_prom_forward_empty(&u->upstream_buf);

    ctx->recv = c->recv;
    ctx->peer_recv = pc->recv;

    c->recv = ngx_stream_prom_forward_recv;
    pc->recv = ngx_stream_prom_forward_recv;
}


/* proxy_pass finds what was read at the last of its buffer, as ever */

static ssize_t
ngx_stream_prom_forward_recv(ngx_connection_t *c, u_char *buf, size_t size)
{
    ssize_t                         n;
    ngx_buf_t                      *b;
    ngx_recv_pt                     recv;
    ngx_stream_session_t           *s;
    ngx_stream_prom_forward_ctx_t  *ctx;

    s = c->data;

    ctx = ngx_stream_get_module_ctx(s, ngx_stream_prom_forward_module);

    if (c == s->connection) {
        b = &s->upstream->downstream_buf;
        recv = ctx->recv;

    } else {
        b = &s->upstream->upstream_buf;
        recv = ctx->peer_recv;
    }

    if (b->start != ngx_stream_prom_forward_none) {
        return recv(c, buf, size);
    }

    if (ngx_stream_prom_forward_spare == NULL) {
        ngx_stream_prom_forward_spare =
                         ngx_alloc(NGX_STREAM_PROM_FORWARD_BUFFER, c->log);

        if (ngx_stream_prom_forward_spare == NULL) {
            return NGX_ERROR;
        }
    }

    n = recv(c, ngx_stream_prom_forward_spare, size);

    if (n > 0) {
        b->start = ngx_stream_prom_forward_spare;
        b->pos = b->start;
        b->last = b->start;
        b->end = b->start + NGX_STREAM_PROM_FORWARD_BUFFER;

        ngx_stream_prom_forward_spare = NULL;
    }

    return n;
}


void
ngx_stream_prom_forward_return(ngx_buf_t *b)
{
    if (b->start == NULL || b->start == ngx_stream_prom_forward_none) {
        return;
    }

    if (ngx_stream_prom_forward_spare) {
        ngx_free(b->start);

    } else {
        ngx_stream_prom_forward_spare = b->start;
    }

    ngx_stream_prom_forward_empty(b);
}


static void
ngx_stream_prom_forward_empty(ngx_buf_t *b)
{
    b->start = ngx_stream_prom_forward_none;
    b->pos = b->start;
    b->last = b->start;
    b->end = b->start + NGX_STREAM_PROM_FORWARD_BUFFER;
}
