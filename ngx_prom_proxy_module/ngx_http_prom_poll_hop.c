/*
 * The header of a request that hops to another worker: what it is, how often
 * it has hopped, and what of it only its first worker could know.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_proxy.h"
#include "ngx_http_prom_poll.h"


static void ngx_http_prom_poll_hop_identity(ngx_str_t *identity,
    ngx_str_t *text);
static ngx_int_t ngx_http_prom_poll_hop_parse(ngx_http_prom_poll_ctx_t *ctx,
    ngx_str_t *value);
static ngx_int_t ngx_http_prom_poll_hop_start(ngx_http_prom_poll_ctx_t *ctx,
    ngx_str_t *word);
static ngx_uint_t ngx_http_prom_poll_hop_word(ngx_str_t *rest,
    ngx_str_t *word);


static ngx_str_t  ngx_http_prom_poll_hop_name = ngx_string("Prom-Poll");

static u_char  ngx_http_prom_poll_hop_lowcase[] = "prom-poll";

static ngx_str_t  ngx_http_prom_poll_hop_kinds[] = {
    ngx_null_string,
    ngx_string("poll"),
    ngx_string("push"),
    ngx_string("scrape"),
    ngx_string("broken")
};

/* an identity that there is none of, and one that is no client's name */

static ngx_str_t  ngx_http_prom_poll_hop_none = ngx_string("-");
static ngx_str_t  ngx_http_prom_poll_hop_other = ngx_string("?");


ngx_int_t
ngx_http_prom_poll_hop(ngx_http_request_t *r, ngx_http_prom_poll_ctx_t *ctx)
{
    ngx_table_elt_t              *h;
    ngx_http_prom_poll_worker_t  *worker;

    ngx_http_prom_poll_drop(r, &ngx_http_prom_poll_hop_name);

    h = ngx_list_push(&r->headers_in.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->key = ngx_http_prom_poll_hop_name;
    h->lowcase_key = ngx_http_prom_poll_hop_lowcase;
    h->hash = ngx_hash_key(h->lowcase_key, h->key.len);

    if (ngx_http_prom_poll_hop_value(ctx, r->pool, &h->value) != NGX_OK) {
        return NGX_ERROR;
    }

    worker = ngx_http_prom_poll_worker();

    if (worker) {
        (void) ngx_atomic_fetch_add(
                   &ngx_prom_poll_zone_counters(worker->zone)->hops, 1);
    }

    ctx->hop = 1;

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "prom poll hop to %uD-%08xD: \"%V\"",
                   ctx->to.slot, ctx->to.tag, &h->value);

    return NGX_OK;
}


ngx_int_t
ngx_http_prom_poll_hop_value(ngx_http_prom_poll_ctx_t *ctx, ngx_pool_t *pool,
    ngx_str_t *value)
{
    u_char     *p;
    ngx_str_t  *kind, identity, *about;

    kind = &ngx_http_prom_poll_hop_kinds[ctx->kind];
    about = &ctx->name;

    if (ctx->kind == NGX_HTTP_PROM_POLL_PUSH
        || ctx->kind == NGX_HTTP_PROM_POLL_BROKEN)
    {
        ngx_http_prom_poll_hop_identity(&ctx->identity, &identity);
        about = &identity;
    }

    p = ngx_pnalloc(pool, kind->len + 2 * NGX_INT_T_LEN + about->len
                          + ctx->uri.len + 5);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value->data = p;

    p = ngx_sprintf(p, "%V %ui %V", kind, ctx->hops + 1, about);

    if (ctx->kind == NGX_HTTP_PROM_POLL_SCRAPE) {
        p = ngx_sprintf(p, " %M", ctx->start);
    }

    if (ctx->uri.len) {
        p = ngx_sprintf(p, " %V", &ctx->uri);
    }

    value->len = p - value->data;

    return NGX_OK;
}


/*
 * An identity is a variable of the configuration's, and may be anything, as
 * the name in a certificate.  Such that could not be a client's name, or that
 * a header would change, become one that is no client's.
 */

static void
ngx_http_prom_poll_hop_identity(ngx_str_t *identity, ngx_str_t *text)
{
    size_t  i;

    if (identity->len == 0) {
        *text = ngx_http_prom_poll_hop_none;
        return;
    }

    *text = *identity;

    if (identity->len > NGX_HTTP_PROM_POLL_IDENTITY
        || (identity->len == 1 && identity->data[0] == '-'))
    {
        *text = ngx_http_prom_poll_hop_other;
        return;
    }

    for (i = 0; i < identity->len; i++) {

        if (identity->data[i] <= 0x20 || identity->data[i] >= 0x7f) {
            *text = ngx_http_prom_poll_hop_other;
            return;
        }
    }
}


ngx_int_t
ngx_http_prom_poll_hopped(ngx_http_request_t *r, ngx_http_prom_poll_ctx_t *ctx)
{
    ngx_str_t                    value;
    ngx_table_elt_t             *h;
    ngx_http_prom_header_pos_t   pos;

    ngx_memzero(&pos, sizeof(ngx_http_prom_header_pos_t));

    h = ngx_http_prom_proxy_header(&r->headers_in.headers,
                                   &ngx_http_prom_poll_hop_name, &pos);

    if (h == NULL) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "a request came by the private socket, but from no "
                      "worker: it has no header \"%V\"",
                      &ngx_http_prom_poll_hop_name);
        return NGX_ERROR;
    }

    value = h->value;

    ngx_http_prom_poll_drop(r, &ngx_http_prom_poll_hop_name);

    if (ngx_http_prom_poll_hop_parse(ctx, &value) != NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "a request came by the private socket, but from no "
                      "worker: its header \"%V\" is \"%V\"",
                      &ngx_http_prom_poll_hop_name, &value);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_prom_poll_hop_parse(ngx_http_prom_poll_ctx_t *ctx, ngx_str_t *value)
{
    ngx_int_t   hops;
    ngx_str_t   rest, kind, count, about, start;
    ngx_uint_t  i;

    rest = *value;

    if (!ngx_http_prom_poll_hop_word(&rest, &kind)
        || !ngx_http_prom_poll_hop_word(&rest, &count)
        || !ngx_http_prom_poll_hop_word(&rest, &about)
        || about.len > NGX_HTTP_PROM_POLL_IDENTITY)
    {
        return NGX_DECLINED;
    }

    hops = ngx_atoi(count.data, count.len);

    if (hops == NGX_ERROR) {
        return NGX_DECLINED;
    }

    for (i = NGX_HTTP_PROM_POLL_POLL; i <= NGX_HTTP_PROM_POLL_BROKEN; i++) {

        if (kind.len == ngx_http_prom_poll_hop_kinds[i].len
            && ngx_memcmp(kind.data, ngx_http_prom_poll_hop_kinds[i].data,
                          kind.len)
               == 0)
        {
            break;
        }
    }

    switch (i) {

    case NGX_HTTP_PROM_POLL_POLL:
        ctx->name = about;
        break;

    case NGX_HTTP_PROM_POLL_PUSH:
    case NGX_HTTP_PROM_POLL_BROKEN:

        if (about.len == ngx_http_prom_poll_hop_none.len
            && about.data[0] == ngx_http_prom_poll_hop_none.data[0])
        {
            about.len = 0;
        }

        ctx->identity = about;

        if (i == NGX_HTTP_PROM_POLL_BROKEN
            && !ngx_http_prom_poll_hop_word(&rest, &ctx->uri))
        {
            return NGX_DECLINED;
        }

        break;

    case NGX_HTTP_PROM_POLL_SCRAPE:

        if (!ngx_http_prom_poll_hop_word(&rest, &start)
            || ngx_http_prom_poll_hop_start(ctx, &start) != NGX_OK
            || !ngx_http_prom_poll_hop_word(&rest, &ctx->uri))
        {
            return NGX_DECLINED;
        }

        ctx->name = about;
        break;

    default:
        return NGX_DECLINED;
    }

    if (rest.len || ctx->name.len > NGX_PROM_POLL_NAME) {
        return NGX_DECLINED;
    }

    ctx->kind = i;
    ctx->hops = hops;

    return NGX_OK;
}


/* workers read the clock at different moments: no time passes backwards */

static ngx_int_t
ngx_http_prom_poll_hop_start(ngx_http_prom_poll_ctx_t *ctx, ngx_str_t *word)
{
    ngx_int_t  start;

    start = ngx_atoi(word->data, word->len);

    if (start == NGX_ERROR) {
        return NGX_DECLINED;
    }

    if ((ngx_msec_int_t) (ngx_current_msec - (ngx_msec_t) start) > 0) {
        ctx->start = start;
    }

    return NGX_OK;
}


/* takes the first word off; false if there is none */

static ngx_uint_t
ngx_http_prom_poll_hop_word(ngx_str_t *rest, ngx_str_t *word)
{
    u_char  *p, *last;

    p = rest->data;
    last = p + rest->len;

    while (p < last && *p != ' ') {
        p++;
    }

    word->data = rest->data;
    word->len = p - rest->data;

    if (p < last) {
        p++;
    }

    rest->data = p;
    rest->len = last - p;

    return word->len != 0;
}


/*
 * The list has pointers into it and can't shrink.  An empty Connection header,
 * which no proxy_pass hands on, is as good as none.
 */

void
ngx_http_prom_poll_drop(ngx_http_request_t *r, const ngx_str_t *name)
{
    ngx_table_elt_t             *h;
    ngx_http_prom_header_pos_t   pos;

    ngx_memzero(&pos, sizeof(ngx_http_prom_header_pos_t));

    for ( ;; ) {
        h = ngx_http_prom_proxy_header(&r->headers_in.headers, name, &pos);

        if (h == NULL) {
            return;
        }

        ngx_str_set(&h->key, "connection");
        ngx_str_null(&h->value);

        h->lowcase_key = h->key.data;
        h->hash = ngx_hash_key(h->key.data, h->key.len);
    }
}
