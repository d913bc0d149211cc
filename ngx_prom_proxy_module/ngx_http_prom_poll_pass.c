/*
 * A scrape and its push, once they are a pair: the response goes to the
 * scraper as it comes, and no faster than the scraper takes it.
 *
 * Bodies aren't copied.  The bufs that the scraper is sent point into the one
 * buffer that nginx reads the push into, so nothing more is read into it
 * until they have gone out.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_poll.h"
#include "ngx_http_prom_poll_pass.h"


/* a piece of a body that is copied next to the one before it */

#define NGX_HTTP_PROM_POLL_SMALL  128

/* what is read of a push behind the response, for its connection's sake */

#define NGX_HTTP_PROM_POLL_REST   65536


static void ngx_http_prom_poll_pass_wait(ngx_http_prom_poll_ctx_t *push);
static ngx_prom_poll_answer_e ngx_http_prom_poll_pass_body(
    ngx_http_prom_poll_ctx_t *push, ngx_chain_t **out);
static ngx_buf_t *ngx_http_prom_poll_pass_buf(ngx_http_prom_poll_ctx_t *push,
    ngx_chain_t ***ll);
static off_t ngx_http_prom_poll_pass_used(ngx_http_request_t *r);
static void ngx_http_prom_poll_pass_rest(ngx_http_request_t *r);


/* something of the push is there, or its connection has ended */

void
ngx_http_prom_poll_pass_reader(ngx_http_request_t *r)
{
    ngx_connection_t          *c;
    ngx_http_prom_poll_ctx_t  *push;

    push = ngx_http_get_module_ctx(r, ngx_http_prom_poll_module);

    if (push->peer == NULL) {
        return;
    }

    c = push->peer->request->connection;
    ngx_http_set_log_request(c->log, push->peer->request);

    ngx_http_prom_poll_pass(push);

    ngx_http_run_posted_requests(c);
}


/* the scraper takes more */

void
ngx_http_prom_poll_pass_writer(ngx_http_request_t *r)
{
    ngx_chain_t               *out;
    ngx_event_t               *wev;
    ngx_connection_t          *c;
    ngx_http_prom_poll_ctx_t  *scrape, *push;

    scrape = ngx_http_get_module_ctx(r, ngx_http_prom_poll_module);
    push = scrape->peer;

    if (push == NULL || push->busy == NULL) {
        return;
    }

    wev = r->connection->write;

    if (wev->delayed) {
        /* limit_rate */
        if (ngx_handle_write_event(wev, 0) != NGX_OK) {
            ngx_http_finalize_request(r, NGX_ERROR);
        }

        return;
    }

    c = push->request->connection;
    ngx_http_set_log_request(c->log, push->request);

    if (ngx_http_output_filter(r, NULL) == NGX_ERROR) {
        ngx_http_prom_poll_pair_gone(push);

    } else {
        out = NULL;
        ngx_chain_update_chains(r->pool, &push->free, &push->busy, &out,
                                (ngx_buf_tag_t) &ngx_http_prom_poll_pass);
        ngx_http_prom_poll_pass(push);
    }

    ngx_http_run_posted_requests(c);
}


/* as far as it goes; both may be gone when it returns */

void
ngx_http_prom_poll_pass(ngx_http_prom_poll_ctx_t *push)
{
    ngx_int_t                rc;
    ngx_chain_t             *out;
    ngx_http_request_t      *r, *sr;
    ngx_prom_poll_answer_e   found;

    r = push->request;
    sr = push->peer->request;

    for ( ;; ) {

        if (push->busy) {
            ngx_http_prom_poll_pass_wait(push);
            return;
        }

        if (push->sent) {
            (void) ngx_http_prom_poll_pass_used(r);
            push->sent = 0;
        }

        if (push->answered) {
            ngx_http_prom_poll_pass_done(push);
            return;
        }

        if (r->request_body->bufs == NULL && r->reading_body) {

            rc = ngx_http_read_unbuffered_request_body(r);

            if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
                ngx_http_prom_poll_pair_broken(push, rc);
                return;
            }

            if (r->request_body->bufs == NULL && r->reading_body) {

                /* the scrape's deadline is the only one from here on */

                if (r->connection->read->timer_set) {
                    ngx_del_timer(r->connection->read);
                }

                return;
            }
        }

        found = ngx_http_prom_poll_pass_body(push, &out);

        if (found == NGX_PROM_POLL_ANSWER_ERROR) {
            ngx_http_prom_poll_pair_refused(push);
            return;
        }

        push->sent = 1;
        push->answered = (found == NGX_PROM_POLL_ANSWER_DONE);

        if (out == NULL) {
            continue;
        }

        if (ngx_http_output_filter(sr, out) == NGX_ERROR) {
            ngx_http_prom_poll_pair_gone(push);
            return;
        }

        ngx_chain_update_chains(sr->pool, &push->free, &push->busy, &out,
                                (ngx_buf_tag_t) &ngx_http_prom_poll_pass);
    }
}


/* for the scraper, until its deadline; the push isn't read meanwhile */

static void
ngx_http_prom_poll_pass_wait(ngx_http_prom_poll_ctx_t *push)
{
    ngx_connection_t  *c, *sc;

    c = push->request->connection;
    sc = push->peer->request->connection;

    if (c->error) {
        ngx_http_prom_poll_pair_broken(push, NGX_HTTP_BAD_REQUEST);
        return;
    }

    if (c->read->timer_set) {
        ngx_del_timer(c->read);
    }

    if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        ngx_http_prom_poll_pair_broken(push, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    if (ngx_handle_write_event(sc->write, 0) != NGX_OK) {
        ngx_http_prom_poll_pair_gone(push);
    }
}


/* bufs for what was read of the response's body */

static ngx_prom_poll_answer_e
ngx_http_prom_poll_pass_body(ngx_http_prom_poll_ctx_t *push, ngx_chain_t **out)
{
    size_t                     len, bytes;
    ngx_buf_t                 *b;
    ngx_chain_t               *cl, **ll;
    const u_char              *pos, *body;
    ngx_http_request_t        *r;
    ngx_prom_poll_answer_e     rc;
    ngx_prom_poll_counters_t  *counters;

    r = push->request;
    rc = NGX_PROM_POLL_ANSWER_MORE;
    b = NULL;
    bytes = 0;
    *out = NULL;
    ll = out;

    for (cl = r->request_body->bufs;
         cl && rc == NGX_PROM_POLL_ANSWER_MORE;
         cl = cl->next)
    {
        pos = cl->buf->pos;

        for ( ;; ) {
            rc = ngx_prom_poll_answer_feed(&push->answer, 0, &pos,
                                           cl->buf->last, &body, &len);

            if (rc != NGX_PROM_POLL_ANSWER_BODY) {
                break;
            }

            bytes += len;

            /* both are of one buffer, with a chunk's size between them */

            if (b && len <= NGX_HTTP_PROM_POLL_SMALL
                && b->end == cl->buf->last)
            {
                b->last = ngx_movemem(b->last, body, len);
                continue;
            }

            b = ngx_http_prom_poll_pass_buf(push, &ll);
            if (b == NULL) {
                return NGX_PROM_POLL_ANSWER_ERROR;
            }

            b->start = (u_char *) body;
            b->pos = b->start;
            b->last = b->start + len;
            b->end = cl->buf->last;
            b->temporary = 1;
        }
    }

    if (rc == NGX_PROM_POLL_ANSWER_MORE && !r->reading_body) {
        rc = ngx_prom_poll_answer_end(&push->answer);
    }

    if (rc == NGX_PROM_POLL_ANSWER_ERROR) {
        return rc;
    }

    if (rc == NGX_PROM_POLL_ANSWER_DONE) {

        if (b == NULL) {
            b = ngx_http_prom_poll_pass_buf(push, &ll);
            if (b == NULL) {
                return NGX_PROM_POLL_ANSWER_ERROR;
            }
        }

        b->last_buf = 1;
    }

    if (b) {
        /* nothing is read until it has gone out, so it must not linger */
        b->flush = 1;
        b->last_in_chain = 1;
    }

    counters = ngx_prom_poll_zone_counters(ngx_http_prom_poll_worker()->zone);
    (void) ngx_atomic_fetch_add(&counters->bytes, bytes);

    return rc;
}


/* the scraper's own, which may be in its chains for longer than the push is */

static ngx_buf_t *
ngx_http_prom_poll_pass_buf(ngx_http_prom_poll_ctx_t *push, ngx_chain_t ***ll)
{
    ngx_chain_t  *cl;

    cl = ngx_chain_get_free_buf(push->peer->request->pool, &push->free);
    if (cl == NULL) {
        push->answer.reason = "no memory";
        return NULL;
    }

    ngx_memzero(cl->buf, sizeof(ngx_buf_t));

    cl->buf->tag = (ngx_buf_tag_t) &ngx_http_prom_poll_pass;

    **ll = cl;
    *ll = &cl->next;

    return cl->buf;
}


/* nginx may read into the buffer again */

static off_t
ngx_http_prom_poll_pass_used(ngx_http_request_t *r)
{
    off_t         size;
    ngx_chain_t  *cl, *next;

    size = 0;

    for (cl = r->request_body->bufs; cl; cl = next) {
        next = cl->next;

        size += ngx_buf_size(cl->buf);
        cl->buf->pos = cl->buf->last;
        cl->buf->file_pos = cl->buf->file_last;

        ngx_free_chain(r->pool, cl);
    }

    r->request_body->bufs = NULL;

    return size;
}


void
ngx_http_prom_poll_pass_done(ngx_http_prom_poll_ctx_t *push)
{
    ngx_http_prom_poll_ctx_t  *scrape;

    scrape = ngx_http_prom_poll_part(push);

    ngx_http_finalize_request(scrape->request, NGX_OK);

    push->request->read_event_handler = ngx_http_prom_poll_pass_rest;

    ngx_http_prom_poll_pass_rest(push->request);
}


/*
 * What is left of the push is the end of its own chunks, or what no client
 * should have sent.  If that is much, the connection isn't kept.
 */

static void
ngx_http_prom_poll_pass_rest(ngx_http_request_t *r)
{
    ngx_int_t                  rc;
    ngx_http_prom_poll_ctx_t  *push;

    push = ngx_http_get_module_ctx(r, ngx_http_prom_poll_module);

    for ( ;; ) {
        push->rest += ngx_http_prom_poll_pass_used(r);

        if (!r->reading_body || push->rest > NGX_HTTP_PROM_POLL_REST) {
            break;
        }

        rc = ngx_http_read_unbuffered_request_body(r);

        if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
            ngx_http_finalize_request(r, rc);
            return;
        }

        if (r->request_body->bufs == NULL && r->reading_body) {
            return;
        }
    }

    if (r->reading_body) {
        r->keepalive = 0;
    }

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = 0;
    r->header_only = 1;

    ngx_http_finalize_request(r, ngx_http_send_header(r));
}
