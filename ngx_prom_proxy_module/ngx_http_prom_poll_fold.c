/*
 * What a request has room for and a held poll does without: nginx makes it a
 * list for 20 headers that it may get, one for 20 that it may send, and if it
 * doesn't tell the length of its body, "client_body_buffer_size" for that.
 *
 * All can be given back if they are memory of their own, which they are if
 * "request_pool_size" is at most 1k.  With "connection_pool_size" and
 * "client_header_buffer_size" of 512, too, a held poll needs about 5 kB.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_poll.h"


static void ngx_http_prom_poll_fold_body(ngx_http_request_t *r);

#if (nginx_version >= 1023000)

static void ngx_http_prom_poll_fold_in(ngx_http_request_t *r);
static void ngx_http_prom_poll_fold_move(ngx_table_elt_t **h,
    ngx_table_elt_t *old, ngx_table_elt_t *elts, ngx_uint_t n);

#endif


void
ngx_http_prom_poll_fold(ngx_http_prom_poll_ctx_t *ctx)
{
    ngx_list_t          *out;
    ngx_http_request_t  *r;

    r = ctx->request;
    out = &r->headers_out.headers;

    if (out->part.nelts == 0
        && out->last == &out->part
        && ngx_pfree(r->pool, out->part.elts) == NGX_OK)
    {
        out->part.elts = NULL;
        ctx->folded = 1;
    }

#if (nginx_version >= 1023000)
    ngx_http_prom_poll_fold_in(r);
#endif

    ngx_http_prom_poll_fold_body(r);
}


/* its name is known by now */

static void
ngx_http_prom_poll_fold_body(ngx_http_request_t *r)
{
    ngx_buf_t  *b;

    b = r->request_body->buf;

    r->request_body->buf = NULL;
    r->request_body->bufs = NULL;

    if (b && b->start) {
        (void) ngx_pfree(r->pool, b->start);
    }
}


ngx_int_t
ngx_http_prom_poll_unfold(ngx_http_prom_poll_ctx_t *ctx)
{
    ngx_http_request_t  *r;

    if (!ctx->folded) {
        return NGX_OK;
    }

    r = ctx->request;

    if (ngx_list_init(&r->headers_out.headers, r->pool, 4,
                      sizeof(ngx_table_elt_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ctx->folded = 0;

    return NGX_OK;
}


#if (nginx_version >= 1023000)

/* the headers that came move to where there is room for these alone */

static void
ngx_http_prom_poll_fold_in(ngx_http_request_t *r)
{
    ngx_list_t         *in;
    ngx_uint_t          i, n;
    ngx_table_elt_t    *old, *elts;
    ngx_http_header_t  *hh;

    in = &r->headers_in.headers;
    old = in->part.elts;
    n = in->part.nelts;

    if (n == 0
        || n > in->nalloc / 2
        || in->last != &in->part
        || in->nalloc * in->size <= r->pool->max)
    {
        return;
    }

    elts = ngx_palloc(r->pool, n * sizeof(ngx_table_elt_t));
    if (elts == NULL) {
        return;
    }

    ngx_memcpy(elts, old, n * sizeof(ngx_table_elt_t));

    for (i = 0; i < n; i++) {
        ngx_http_prom_poll_fold_move(&elts[i].next, old, elts, n);
    }

    for (hh = ngx_http_headers_in; hh->name.len; hh++) {
        ngx_http_prom_poll_fold_move((ngx_table_elt_t **)
                                      ((char *) &r->headers_in + hh->offset),
                                     old, elts, n);
    }

    in->part.elts = elts;
    in->nalloc = n;

    (void) ngx_pfree(r->pool, old);
}


static void
ngx_http_prom_poll_fold_move(ngx_table_elt_t **h, ngx_table_elt_t *old,
    ngx_table_elt_t *elts, ngx_uint_t n)
{
    if (*h >= old && *h < old + n) {
        *h = elts + (*h - old);
    }
}

#endif
