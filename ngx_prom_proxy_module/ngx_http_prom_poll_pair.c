/*
 * A scrape and the push that answers it, as a pair.
 *
 * Either half can end at any time, in an event of its own or in one of the
 * other's.  Whoever ends first parts the two; the other half then ends in a
 * posted event, as a request must not be finalized while another one is.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_poll.h"
#include "ngx_http_prom_poll_pass.h"


static ngx_int_t ngx_http_prom_poll_pair_init(ngx_http_prom_poll_ctx_t *ctx,
    ngx_event_handler_pt ended, ngx_http_cleanup_pt cleanup);
static void ngx_http_prom_poll_push_ended(ngx_event_t *ev);
static void ngx_http_prom_poll_push_cleanup(void *data);
static void ngx_http_prom_poll_scrape_ended(ngx_event_t *ev);
static void ngx_http_prom_poll_scrape_parted(void *data);


/* in an event of the push's; the header of the response is whole */

void
ngx_http_prom_poll_pair(ngx_http_prom_poll_ctx_t *push,
    ngx_http_prom_poll_ctx_t *scrape)
{
    ngx_int_t            rc;
    ngx_connection_t    *c;
    ngx_http_request_t  *r, *sr;

    r = push->request;
    sr = scrape->request;
    c = sr->connection;

    if (ngx_http_prom_poll_pair_init(push, ngx_http_prom_poll_push_ended,
                                     ngx_http_prom_poll_push_cleanup)
        != NGX_OK
        || ngx_http_prom_poll_pair_init(scrape,
                                        ngx_http_prom_poll_scrape_ended,
                                        ngx_http_prom_poll_scrape_parted)
           != NGX_OK
        || ngx_http_prom_poll_pass_header(sr, &push->answer) != NGX_OK)
    {
        ngx_http_prom_poll_fail(scrape, NGX_PROM_POLL_FAIL_BROKEN,
                                "no memory");
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "prom poll push: %ui to its scraper",
                   sr->headers_out.status);

    push->peer = scrape;
    push->paired = 1;

    scrape->peer = push;
    scrape->paired = 1;
    scrape->answered = 1;

    r->read_event_handler = ngx_http_prom_poll_pass_reader;
    r->write_event_handler = ngx_http_request_empty_handler;
    sr->write_event_handler = ngx_http_prom_poll_pass_writer;

    ngx_http_set_log_request(c->log, sr);

    rc = ngx_http_send_header(sr);

    if (rc == NGX_ERROR || rc > NGX_OK) {
        ngx_http_prom_poll_pair_gone(push);

    } else if (sr->header_only) {
        ngx_http_prom_poll_pass_done(push);

    } else {
        ngx_http_prom_poll_pass(push);
    }

    ngx_http_run_posted_requests(c);
}


static ngx_int_t
ngx_http_prom_poll_pair_init(ngx_http_prom_poll_ctx_t *ctx,
    ngx_event_handler_pt ended, ngx_http_cleanup_pt cleanup)
{
    ngx_http_cleanup_t  *cln;

    ctx->ended = ngx_pcalloc(ctx->request->pool, sizeof(ngx_event_t));
    if (ctx->ended == NULL) {
        return NGX_ERROR;
    }

    ctx->ended->handler = ended;
    ctx->ended->data = ctx;
    ctx->ended->log = ctx->request->connection->log;

    cln = ngx_http_cleanup_add(ctx->request, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = cleanup;
    cln->data = ctx;

    return NGX_OK;
}


/* the push ended before its response did */

void
ngx_http_prom_poll_pair_broken(ngx_http_prom_poll_ctx_t *push, ngx_int_t rc)
{
    ngx_http_prom_poll_fail(ngx_http_prom_poll_part(push),
                            NGX_PROM_POLL_FAIL_BROKEN,
                            ngx_http_prom_poll_push_reason(rc));

    ngx_http_finalize_request(push->request, rc);
}


const char *
ngx_http_prom_poll_push_reason(ngx_int_t rc)
{
    switch (rc) {

    case NGX_HTTP_REQUEST_TIME_OUT:
        return "its client has stopped sending its answer";

    case NGX_HTTP_REQUEST_ENTITY_TOO_LARGE:
        return "its client's answer is larger than client_max_body_size";

    case NGX_HTTP_INTERNAL_SERVER_ERROR:
        return "its client's answer could not be read";

    default:
        return "its client broke off its answer";
    }
}


/* the response is none, or has a mistake */

void
ngx_http_prom_poll_pair_refused(ngx_http_prom_poll_ctx_t *push)
{
    ngx_int_t  rc;

    ngx_http_prom_poll_fail(ngx_http_prom_poll_part(push),
                            NGX_PROM_POLL_FAIL_ANSWER, push->answer.reason);

    rc = ngx_http_prom_poll_refuse(push->request, NGX_HTTP_BAD_REQUEST,
                                   "the pushed response is refused: %s",
                                   push->answer.reason);
    ngx_http_finalize_request(push->request, rc);
}


void
ngx_http_prom_poll_pair_gone(ngx_http_prom_poll_ctx_t *push)
{
    ngx_int_t  rc;

    ngx_http_prom_poll_fail(ngx_http_prom_poll_part(push),
                            NGX_PROM_POLL_FAIL_SCRAPER,
                            "the scraper went away");

    rc = ngx_http_prom_poll_refuse(push->request,
                                   NGX_HTTP_INTERNAL_SERVER_ERROR,
                                   "the scraper went away");
    ngx_http_finalize_request(push->request, rc);
}


/* the push's bufs are in the scraper's chains still, if it is broken off */

ngx_http_prom_poll_ctx_t *
ngx_http_prom_poll_part(ngx_http_prom_poll_ctx_t *push)
{
    ngx_http_prom_poll_ctx_t  *scrape;

    scrape = push->peer;

    scrape->peer = NULL;

    push->peer = NULL;
    push->free = NULL;
    push->busy = NULL;

    return scrape;
}


void
ngx_http_prom_poll_unpair(ngx_http_prom_poll_ctx_t *scrape)
{
    ngx_http_prom_poll_ctx_t  *push;

    push = scrape->peer;

    if (push) {
        (void) ngx_http_prom_poll_part(push);
        ngx_post_event(push->ended, &ngx_posted_events);
    }
}


/* its scraper, or the scrape's time, is gone */

static void
ngx_http_prom_poll_push_ended(ngx_event_t *ev)
{
    ngx_int_t                  rc;
    ngx_connection_t          *c;
    ngx_http_prom_poll_ctx_t  *push;

    push = ev->data;
    c = push->request->connection;

    ngx_http_set_log_request(c->log, push->request);

    rc = ngx_http_prom_poll_refuse(push->request,
                                   NGX_HTTP_INTERNAL_SERVER_ERROR,
                                   "the scraper went away, or its scrape "
                                   "took too long");
    ngx_http_finalize_request(push->request, rc);

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_prom_poll_push_cleanup(void *data)
{
    ngx_http_prom_poll_ctx_t *push = data;

    ngx_http_prom_poll_ctx_t  *scrape;

    if (push->ended->posted) {
        ngx_delete_posted_event(push->ended);
    }

    if (push->peer) {
        scrape = ngx_http_prom_poll_part(push);

        /* nothing may be sent any more of what goes with the push */

        scrape->request->connection->error = 1;

        ngx_post_event(scrape->ended, &ngx_posted_events);
    }
}


static void
ngx_http_prom_poll_scrape_ended(ngx_event_t *ev)
{
    ngx_http_prom_poll_ctx_t *scrape = ev->data;

    ngx_http_prom_poll_fail(scrape, NGX_PROM_POLL_FAIL_BROKEN,
                        ngx_http_prom_poll_push_reason(NGX_HTTP_BAD_REQUEST));
}


static void
ngx_http_prom_poll_scrape_parted(void *data)
{
    ngx_http_prom_poll_ctx_t *scrape = data;

    ngx_http_prom_poll_unpair(scrape);

    if (scrape->ended->posted) {
        ngx_delete_posted_event(scrape->ended);
    }
}


/*
 * An answer of HTTP/1.0 without a length ends where the connection does: only
 * a reset tells that this one isn't whole.
 */

void
ngx_http_prom_poll_reset(ngx_http_request_t *r)
{
    struct linger  linger;

#if (NGX_HTTP_V2)
    if (r->stream) {
        return;
    }
#endif

    if (r->chunked || r->headers_out.content_length_n != -1) {
        return;
    }

    linger.l_onoff = 1;
    linger.l_linger = 0;

    if (setsockopt(r->connection->fd, SOL_SOCKET, SO_LINGER,
                   (const void *) &linger, sizeof(struct linger)) == -1)
    {
        ngx_log_error(NGX_LOG_ALERT, r->connection->log, ngx_socket_errno,
                      "setsockopt(SO_LINGER) failed");
    }
}


/* true if another worker has broken off its answer, which is always framed */

ngx_uint_t
ngx_http_prom_poll_cut(ngx_http_request_t *r)
{
    off_t                 left;
    ngx_http_upstream_t  *u;

    u = r->upstream;

    if (u == NULL || !u->header_sent || r->header_only
        || !u->headers_in.chunked)
    {
        return 0;
    }

    left = u->buffering ? u->pipe->length : u->length;

    return left != 0;
}
