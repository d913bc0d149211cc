/*
 * Pushes: a push is read as far as the header of the response in its body,
 * which has the Id of the scrape that it answers.  If another worker has that
 * scrape, the push hops there, with what was read of it put back in front;
 * else the two are a pair, and the response goes on to the scraper.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_poll.h"


static ngx_int_t ngx_http_prom_poll_push_identity(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx);
static void ngx_http_prom_poll_push_read(ngx_http_request_t *r);
static ngx_prom_poll_answer_e ngx_http_prom_poll_push_header(
    ngx_http_request_t *r, ngx_http_prom_poll_ctx_t *ctx);
static void ngx_http_prom_poll_push_route(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx, ngx_prom_poll_answer_e found);
static ngx_int_t ngx_http_prom_poll_push_refused(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx);
static void ngx_http_prom_poll_push_lost(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx, ngx_int_t rc);
static ngx_int_t ngx_http_prom_poll_push_id(ngx_http_prom_poll_ctx_t *ctx,
    ngx_str_t *id);
static ngx_http_prom_poll_ctx_t *ngx_http_prom_poll_push_scrape(
    ngx_http_prom_poll_ctx_t *ctx, ngx_str_t *id, ngx_int_t *rc);
static ngx_int_t ngx_http_prom_poll_push_hop(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx);
static ngx_int_t ngx_http_prom_poll_push_load(ngx_http_request_t *r,
    ngx_buf_t *b);


static ngx_str_t  ngx_http_prom_poll_push_id_name = ngx_string("Id");


ngx_int_t
ngx_http_prom_poll_push_handler(ngx_http_request_t *r)
{
    off_t                           len;
    size_t                          size;
    ngx_int_t                       rc;
    ngx_http_prom_poll_ctx_t       *ctx;
    ngx_http_prom_poll_loc_conf_t  *plcf;

    ctx = ngx_http_prom_poll_ctx(r, NGX_HTTP_PROM_POLL_PUSH);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->hop) {
        /* it was read, and goes on to its worker */
        return NGX_DECLINED;
    }

    rc = ngx_http_prom_poll_push_identity(r, ctx);

    if (rc != NGX_OK) {
        return rc;
    }

    len = r->headers_in.content_length_n;

    if (len <= 0 && !r->headers_in.chunked) {
        ngx_http_finalize_request(r, ngx_http_prom_poll_refuse(r,
                                         NGX_HTTP_BAD_REQUEST,
                                         "a push has an HTTP response as its "
                                         "body, and this one has no body"));
        return NGX_DONE;
    }

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_prom_poll_module);

    size = plcf->header_size;

    if (len > 0 && len < (off_t) size) {
        size = (size_t) len;
    }

    ctx->answer.size = (uint32_t) size;
    ctx->answer.buf = ngx_pnalloc(r->pool, size);
    if (ctx->answer.buf == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->request_body_no_buffering = 1;

    rc = ngx_http_read_client_request_body(r, ngx_http_prom_poll_push_read);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        /* it ended before nginx has given away what it read */
        ngx_http_prom_poll_push_lost(r, ctx, rc);
        return rc;
    }

    ngx_http_finalize_request(r, NGX_DONE);

    return NGX_DONE;
}


/* of a hop it is known already */

static ngx_int_t
ngx_http_prom_poll_push_identity(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx)
{
    ngx_http_prom_poll_loc_conf_t  *plcf;

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_prom_poll_module);

    if (!ctx->public || plcf->identity == NULL) {
        return NGX_OK;
    }

    if (ngx_http_complex_value(r, plcf->identity, &ctx->identity) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->identity.len) {
        return NGX_OK;
    }

    ngx_http_finalize_request(r, ngx_http_prom_poll_refuse(r,
                                     NGX_HTTP_FORBIDDEN,
                                     "a push needs an identity, and this one "
                                     "has none"));
    return NGX_DONE;
}


/* the body as it comes, up to the end of the header in it */

static void
ngx_http_prom_poll_push_read(ngx_http_request_t *r)
{
    ngx_int_t                  rc;
    ngx_prom_poll_answer_e     found;
    ngx_http_prom_poll_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_prom_poll_module);

    r->read_event_handler = ngx_http_prom_poll_push_read;
    r->write_event_handler = ngx_http_request_empty_handler;

    for ( ;; ) {
        found = ngx_http_prom_poll_push_header(r, ctx);

        if (found != NGX_PROM_POLL_ANSWER_MORE) {
            break;
        }

        if (!r->reading_body) {
            found = ngx_prom_poll_answer_end(&ctx->answer);
            break;
        }

        rc = ngx_http_read_unbuffered_request_body(r);

        if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
            ngx_http_prom_poll_push_lost(r, ctx, rc);
            ngx_http_finalize_request(r, rc);
            return;
        }

        if (r->request_body->bufs == NULL && r->reading_body) {
            return;
        }
    }

    ngx_http_prom_poll_push_route(r, ctx, found);
}


/* what belongs to the header is taken out of the bufs, the rest stays there */

static ngx_prom_poll_answer_e
ngx_http_prom_poll_push_header(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx)
{
    size_t                    len;
    ngx_buf_t                *b;
    ngx_chain_t              *cl;
    const u_char             *pos, *body;
    ngx_prom_poll_answer_e    rc;
    ngx_http_request_body_t  *rb;

    rb = r->request_body;
    rc = NGX_PROM_POLL_ANSWER_MORE;

    while (rb->bufs && rc == NGX_PROM_POLL_ANSWER_MORE) {
        cl = rb->bufs;
        b = cl->buf;

        if (ngx_http_prom_poll_push_load(r, b) != NGX_OK) {
            ctx->answer.reason = "it can't be read";
            return NGX_PROM_POLL_ANSWER_ERROR;
        }

        pos = b->pos;

        rc = ngx_prom_poll_answer_feed(&ctx->answer, 0, &pos, b->last, &body,
                                       &len);

        b->pos = (u_char *) pos;

        if (b->pos == b->last) {
            rb->bufs = cl->next;
            ngx_free_chain(r->pool, cl);
        }
    }

    return rc;
}


static void
ngx_http_prom_poll_push_route(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx, ngx_prom_poll_answer_e found)
{
    ngx_int_t                  rc;
    ngx_str_t                  id;
    ngx_http_prom_poll_ctx_t  *scrape;

    if (ngx_http_prom_poll_push_id(ctx, &id) != NGX_OK) {
        ngx_http_finalize_request(r, ngx_http_prom_poll_push_refused(r, ctx));
        return;
    }

    scrape = ngx_http_prom_poll_push_scrape(ctx, &id, &rc);

    switch (rc) {

    case NGX_OK:

        if (found == NGX_PROM_POLL_ANSWER_HEADER) {
            ngx_http_prom_poll_pair(ctx, scrape);
            return;
        }

        ngx_http_prom_poll_fail(scrape, NGX_PROM_POLL_FAIL_ANSWER,
                                ctx->answer.reason);

        rc = ngx_http_prom_poll_push_refused(r, ctx);
        break;

    case NGX_AGAIN:
        rc = ngx_http_prom_poll_push_hop(r, ctx);

        if (rc == NGX_OK) {

            if (ctx->public) {
                ngx_http_prom_poll_move_later(r, &ctx->to);
            }

            r->read_event_handler = ngx_http_block_reading;
            r->write_event_handler = ngx_http_core_run_phases;
            ngx_http_core_run_phases(r);
            return;
        }

        break;

    case NGX_DECLINED:
        rc = ngx_http_prom_poll_refuse(r, NGX_HTTP_FORBIDDEN,
                                       "the scrape with this Id was handed to "
                                       "another client than \"%V\"",
                                       &ctx->identity);
        break;

    default: /* NGX_ERROR */
        rc = ngx_http_prom_poll_refuse(r, NGX_HTTP_INTERNAL_SERVER_ERROR,
                                       "unknown Id: no scrape waits for this "
                                       "answer, or not any more");
    }

    ngx_http_finalize_request(r, rc);
}


static ngx_int_t
ngx_http_prom_poll_push_refused(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx)
{
    return ngx_http_prom_poll_refuse(r, NGX_HTTP_BAD_REQUEST,
                                     "the pushed response is refused: %s",
                                     ctx->answer.reason);
}


/* the push ends with a status, but its scrape may be known by then */

static void
ngx_http_prom_poll_push_lost(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx, ngx_int_t rc)
{
    ngx_int_t                  found;
    ngx_str_t                  id;
    ngx_http_prom_poll_ctx_t  *scrape;

    if (r->request_body == NULL) {
        return;
    }

    (void) ngx_http_prom_poll_push_header(r, ctx);

    if (ngx_http_prom_poll_push_id(ctx, &id) != NGX_OK) {
        return;
    }

    scrape = ngx_http_prom_poll_push_scrape(ctx, &id, &found);

    if (found == NGX_OK) {
        ngx_http_prom_poll_fail(scrape, NGX_PROM_POLL_FAIL_BROKEN,
                                ngx_http_prom_poll_push_reason(rc));

    } else if (found == NGX_AGAIN) {
        ngx_http_prom_poll_broken(ctx, &id);
    }
}


/* of the lines that there are; a second Id would be one too many */

static ngx_int_t
ngx_http_prom_poll_push_id(ngx_http_prom_poll_ctx_t *ctx, ngx_str_t *id)
{
    ngx_prom_poll_answer_header_t  header;

    ngx_str_null(id);

    while (ngx_prom_poll_answer_header(&ctx->answer, &header)) {

        if (header.name_len != ngx_http_prom_poll_push_id_name.len
            || ngx_strncasecmp((u_char *) header.name,
                               ngx_http_prom_poll_push_id_name.data,
                               header.name_len)
               != 0)
        {
            continue;
        }

        if (id->len || header.value_len != NGX_HTTP_PROM_POLL_ID) {
            id->len = 1;
            continue;
        }

        id->len = header.value_len;
        id->data = (u_char *) header.value;
    }

    if (id->len == NGX_HTTP_PROM_POLL_ID) {
        return NGX_OK;
    }

    if (ctx->answer.reason == NULL) {
        ctx->answer.reason = "it has no Id of a scrape, or more than one";
    }

    return NGX_ERROR;
}


/*
 * *rc is NGX_OK if the scrape is here, NGX_AGAIN if it is at ctx->to,
 * NGX_DECLINED if it is another identity's, and NGX_ERROR if there is none.
 */

static ngx_http_prom_poll_ctx_t *
ngx_http_prom_poll_push_scrape(ngx_http_prom_poll_ctx_t *ctx, ngx_str_t *id,
    ngx_int_t *rc)
{
    ngx_prom_poll_at_t            at;
    ngx_http_prom_poll_ctx_t     *scrape;
    ngx_http_prom_poll_worker_t  *worker;

    *rc = NGX_ERROR;

    worker = ngx_http_prom_poll_worker();

    if (worker == NULL || ngx_http_prom_poll_id_at(id, &at) != NGX_OK) {
        return NULL;
    }

    if (at.slot != worker->at.slot || at.tag != worker->at.tag) {

        if (ctx->hops < NGX_HTTP_PROM_POLL_HOPS
            && ngx_prom_poll_zone_has(worker->zone, &at))
        {
            ctx->to = at;
            *rc = NGX_AGAIN;
        }

        return NULL;
    }

    scrape = ngx_http_prom_poll_handed(id);

    if (scrape == NULL) {
        return NULL;
    }

    *rc = ngx_http_prom_poll_push_allowed(ctx, scrape) ? NGX_OK
                                                       : NGX_DECLINED;
    return scrape;
}


/* an identity is a name without its port */

ngx_uint_t
ngx_http_prom_poll_push_allowed(ngx_http_prom_poll_ctx_t *ctx,
    ngx_http_prom_poll_ctx_t *scrape)
{
    return ctx->identity.len == 0
           || ngx_http_prom_poll_hello_is(&scrape->name, &ctx->identity);
}


/* what was taken out of the bufs goes in front of them */

static ngx_int_t
ngx_http_prom_poll_push_hop(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->start = ctx->answer.buf;
    b->pos = b->start;
    b->last = b->start + ctx->answer.used;
    b->end = b->last;
    b->temporary = 1;

    cl = ngx_alloc_chain_link(r->pool);
    if (cl == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cl->buf = b;
    cl->next = r->request_body->bufs;
    r->request_body->bufs = cl;

    /* nginx begins there once more if a kept connection has broken */

    for (cl = cl->next; cl; cl = cl->next) {
        cl->buf->start = cl->buf->pos;
    }

    if (ngx_http_prom_poll_hop(r, ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_OK;
}


/*
 * proxy_pass takes a body that somebody has begun to read for one that is
 * there.  Its request is made once more, as one whose body goes on coming.
 */

ngx_int_t
ngx_http_prom_poll_push_stream(ngx_http_request_t *r)
{
    if (!r->reading_body) {
        return NGX_OK;
    }

    r->request_body_no_buffering = 1;

    return r->upstream->create_request(r);
}


/* nginx has written one of HTTP/2 to a file if it was there before us */

static ngx_int_t
ngx_http_prom_poll_push_load(ngx_http_request_t *r, ngx_buf_t *b)
{
    off_t    size;
    u_char  *p;

    if (ngx_buf_in_memory(b) || !b->in_file) {
        return NGX_OK;
    }

    size = b->file_last - b->file_pos;

    p = ngx_pnalloc(r->pool, (size_t) size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (ngx_read_file(b->file, p, (size_t) size, b->file_pos)
        != (ssize_t) size)
    {
        return NGX_ERROR;
    }

    b->start = p;
    b->pos = p;
    b->last = p + size;
    b->end = b->last;
    b->temporary = 1;
    b->in_file = 0;

    return NGX_OK;
}
