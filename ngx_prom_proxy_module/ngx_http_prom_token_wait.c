/*
 * Waiting for a credential: at the start, when there is none yet, and after a
 * remote has refused one.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_token.h"


static ngx_int_t ngx_http_prom_token_first(ngx_http_request_t *r,
    ngx_http_prom_token_ctx_t *ctx);
static ngx_int_t ngx_http_prom_token_newer(ngx_http_request_t *r,
    ngx_http_prom_token_ctx_t *ctx);
static ngx_uint_t ngx_http_prom_token_failing(ngx_http_request_t *r,
    ngx_http_prom_token_t *token);
static ngx_int_t ngx_http_prom_token_have(ngx_http_prom_token_ctx_t *ctx,
    ngx_http_prom_credential_t *credential);
static ngx_int_t ngx_http_prom_token_enter(ngx_http_request_t *r,
    ngx_http_prom_token_ctx_t *ctx);
static void ngx_http_prom_token_event(ngx_event_t *ev);


ngx_int_t
ngx_http_prom_token_wait(ngx_http_request_t *r,
    ngx_http_prom_token_ctx_t *ctx)
{
    return ctx->again ? ngx_http_prom_token_newer(r, ctx)
                      : ngx_http_prom_token_first(r, ctx);
}


static ngx_int_t
ngx_http_prom_token_first(ngx_http_request_t *r,
    ngx_http_prom_token_ctx_t *ctx)
{
    ngx_http_prom_credential_t      *credential;
    ngx_http_prom_token_loc_conf_t  *tlcf;

    credential = ngx_http_prom_token_valid(ctx->token);

    if (credential) {
        return ngx_http_prom_token_have(ctx, credential);
    }

    if (ctx->late || ngx_http_prom_token_failing(r, ctx->token)) {
        return NGX_DECLINED;
    }

    if (!ctx->begun) {
        tlcf = ngx_http_get_module_loc_conf(r, ngx_http_prom_token_module);

        ctx->begun = 1;
        ctx->deadline = ngx_current_msec + tlcf->wait;
    }

    return ngx_http_prom_token_enter(r, ctx);
}


/* what there is will do, if there is none that is newer */

static ngx_int_t
ngx_http_prom_token_newer(ngx_http_request_t *r,
    ngx_http_prom_token_ctx_t *ctx)
{
    ngx_msec_t                        since;
    ngx_http_prom_token_t            *token;
    ngx_http_prom_credential_t       *credential;
    ngx_http_prom_token_loc_conf_t   *tlcf;
    ngx_http_prom_token_main_conf_t  *tmcf;

    token = ctx->token;
    credential = ngx_http_prom_token_valid(token);

    if (credential && credential->version != ctx->refused) {
        return ngx_http_prom_token_have(ctx, credential);
    }

    tmcf = ngx_http_get_module_main_conf(r, ngx_http_prom_token_module);

    if (!ctx->begun) {
        tlcf = ngx_http_get_module_loc_conf(r, ngx_http_prom_token_module);

        ctx->begun = 1;

        if (!token->asking || token->refused != ctx->refused
            || ngx_current_msec - token->asked >= NGX_HTTP_PROM_TOKEN_FORCED)
        {
            (void) ngx_http_prom_token_keeper_fresh(tmcf->keeper, token,
                                                    ctx->refused);
        }

        /* all who were refused wait for the one answer */

        ctx->deadline = (token->asking ? token->asked : ngx_current_msec)
                        + tlcf->wait;
        ctx->heard = 0;
    }

    if (!ctx->late
        && !(ctx->heard && token->nothing)
        && (ngx_msec_int_t) (ctx->deadline - ngx_current_msec) > 0
        && ngx_http_prom_token_keeper_connected(tmcf->keeper, &since))
    {
        return ngx_http_prom_token_enter(r, ctx);
    }

    return credential ? ngx_http_prom_token_have(ctx, credential)
                      : NGX_DECLINED;
}


/* nobody waits for what has failed for longer than they would wait */

static ngx_uint_t
ngx_http_prom_token_failing(ngx_http_request_t *r,
    ngx_http_prom_token_t *token)
{
    ngx_msec_t                        since;
    ngx_http_prom_token_loc_conf_t   *tlcf;
    ngx_http_prom_token_main_conf_t  *tmcf;

    tlcf = ngx_http_get_module_loc_conf(r, ngx_http_prom_token_module);
    tmcf = ngx_http_get_module_main_conf(r, ngx_http_prom_token_module);

    if (!ngx_http_prom_token_keeper_connected(tmcf->keeper, &since)) {
        return ngx_current_msec - since >= tlcf->wait;
    }

    return token->nothing && token->failed
           && ngx_current_msec - token->since >= tlcf->wait;
}


static ngx_int_t
ngx_http_prom_token_have(ngx_http_prom_token_ctx_t *ctx,
    ngx_http_prom_credential_t *credential)
{
    credential->refs++;
    ctx->credential = credential;

    return NGX_OK;
}


static ngx_int_t
ngx_http_prom_token_enter(ngx_http_request_t *r,
    ngx_http_prom_token_ctx_t *ctx)
{
    ngx_msec_int_t  left;

    left = (ngx_msec_int_t) (ctx->deadline - ngx_current_msec);

    ctx->event.handler = ngx_http_prom_token_event;
    ctx->event.data = ctx;
    ctx->event.log = r->connection->log;
    ctx->event.timedout = 0;

    ngx_add_timer(&ctx->event, ngx_max(left, 1));

    ngx_queue_insert_tail(&ctx->token->waiting, &ctx->queue);
    ctx->queued = 1;

    /* a client that goes away meanwhile ends the request */

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    return NGX_AGAIN;
}


void
ngx_http_prom_token_leave(ngx_http_prom_token_ctx_t *ctx)
{
    if (ctx->queued) {
        ngx_queue_remove(&ctx->queue);
        ctx->queued = 0;
    }

    if (ctx->event.timer_set) {
        ngx_del_timer(&ctx->event);
    }

    if (ctx->event.posted) {
        ngx_delete_posted_event(&ctx->event);
    }
}


/* by events: one that is answered may be the last of its connection */

void
ngx_http_prom_token_wake(ngx_http_prom_token_t *token)
{
    ngx_queue_t                *q;
    ngx_http_prom_token_ctx_t  *ctx;

    for (q = ngx_queue_head(&token->waiting);
         q != ngx_queue_sentinel(&token->waiting);
         q = ngx_queue_next(q))
    {
        ctx = ngx_queue_data(q, ngx_http_prom_token_ctx_t, queue);

        ctx->heard = 1;
        ngx_post_event(&ctx->event, &ngx_posted_events);
    }
}


static void
ngx_http_prom_token_event(ngx_event_t *ev)
{
    ngx_connection_t           *c;
    ngx_http_request_t         *r;
    ngx_http_prom_token_ctx_t  *ctx;

    ctx = ev->data;
    r = ctx->request;
    c = r->connection;

    if (ev->timedout) {
        ctx->late = 1;
    }

    ngx_http_prom_token_leave(ctx);

    ngx_http_set_log_request(c->log, r);

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_core_run_phases;

    ngx_http_core_run_phases(r);
    ngx_http_run_posted_requests(c);
}


/*
 * A keeper that was asked for another version just now won't fetch one for
 * this, and one that had its time for this won't answer any more.
 */

ngx_uint_t
ngx_http_prom_token_hope(ngx_http_request_t *r, ngx_http_prom_token_t *token,
    uint64_t version)
{
    ngx_msec_t                        since, asked;
    ngx_http_prom_credential_t       *credential;
    ngx_http_prom_token_loc_conf_t   *tlcf;
    ngx_http_prom_token_main_conf_t  *tmcf;

    credential = ngx_http_prom_token_valid(token);

    if (credential && credential->version != version) {
        return 1;
    }

    tmcf = ngx_http_get_module_main_conf(r, ngx_http_prom_token_module);

    if (!ngx_http_prom_token_keeper_connected(tmcf->keeper, &since)) {
        return 0;
    }

    asked = ngx_current_msec - token->asked;

    if (!token->asking || asked >= NGX_HTTP_PROM_TOKEN_FORCED) {
        return 1;
    }

    tlcf = ngx_http_get_module_loc_conf(r, ngx_http_prom_token_module);

    return token->refused == version && asked < tlcf->wait;
}


u_char *
ngx_http_prom_token_reason(u_char *p, u_char *last,
    ngx_http_prom_token_main_conf_t *tmcf, ngx_http_prom_token_t *token)
{
    ngx_msec_t  since;

    p = ngx_slprintf(p, last, "%V: no token: ", &token->name);

    if (token->nothing && token->failed) {
        return ngx_slprintf(p, last, "%V", &token->reason);
    }

    if (!ngx_http_prom_token_keeper_connected(tmcf->keeper, &since)) {
        return ngx_slprintf(p, last, "the program that fetches it isn't "
                            "there");
    }

    if (token->nothing) {
        return ngx_slprintf(p, last, "%V", &token->reason);
    }

    if (token->expired) {
        return ngx_slprintf(p, last, "the last one has expired");
    }

    return ngx_slprintf(p, last, "none was fetched yet");
}
