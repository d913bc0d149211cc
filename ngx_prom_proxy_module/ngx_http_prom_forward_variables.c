/*
 * The forward proxy's variables of http, for logs and proxy_pass.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_conf.h"
#include "ngx_http_prom_forward.h"


static ngx_int_t ngx_http_prom_forward_text_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_prom_forward_address_variable(
    ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_prom_forward_decision_variable(
    ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_prom_forward_rule_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_prom_forward_checkme_variable(
    ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);


static ngx_http_variable_t  ngx_http_prom_forward_vars[] = {

    /* the path and the arguments, as they came */
    { ngx_string("prom_forward_uri"), NULL,
      ngx_http_prom_forward_text_variable,
      offsetof(ngx_http_prom_forward_ctx_t, uri),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* HOST:PORT */
    { ngx_string("prom_forward_target"), NULL,
      ngx_http_prom_forward_text_variable,
      offsetof(ngx_http_prom_forward_ctx_t, query.target),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* what was dialled, or would have been: ADDRESS:PORT */
    { ngx_string("prom_forward_address"), NULL,
      ngx_http_prom_forward_address_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* "allowed", "denied", ...: the metrics' label */
    { ngx_string("prom_forward_decision"), NULL,
      ngx_http_prom_forward_decision_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* the rule that decided, or "-" */
    { ngx_string("prom_forward_rule"), NULL,
      ngx_http_prom_forward_rule_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* who was let in by Proxy-Authorization */
    { ngx_string("prom_forward_user"), NULL,
      ngx_http_prom_forward_text_variable,
      offsetof(ngx_http_prom_forward_ctx_t, query.user),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* for the header CheckMe; empty without "checkme" */
    { ngx_string("prom_forward_checkme"), NULL,
      ngx_http_prom_forward_checkme_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_prom_forward_add_variables(ngx_conf_t *cf)
{
    return ngx_http_prom_conf_variables(cf, ngx_http_prom_forward_vars);
}


static ngx_int_t
ngx_http_prom_forward_text_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_prom_forward_ctx_t  *ctx;

    ctx = ngx_http_prom_forward_ctx(r);

    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    ngx_http_prom_conf_set(v, (ngx_str_t *) ((u_char *) ctx + data));

    return NGX_OK;
}


static ngx_int_t
ngx_http_prom_forward_address_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_prom_forward_ctx_t  *ctx;

    ctx = ngx_http_prom_forward_ctx(r);

    if (ctx == NULL || ctx->query.naddrs == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    if (r->upstream && r->upstream->peer.name) {
        ngx_http_prom_conf_set(v, r->upstream->peer.name);
        return NGX_OK;
    }

    ngx_http_prom_conf_set(v, &ctx->query.addrs[0].name);

    return NGX_OK;
}


static ngx_int_t
ngx_http_prom_forward_decision_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                     name;
    ngx_http_prom_forward_ctx_t  *ctx;

    ctx = ngx_http_prom_forward_ctx(r);

    if (ctx == NULL || !ctx->decided) {
        v->not_found = 1;
        return NGX_OK;
    }

    ngx_http_prom_forward_outcome(r, ctx);
    ngx_prom_forward_decision(ctx->query.decision, &name);
    ngx_http_prom_conf_set(v, &name);

    return NGX_OK;
}


static ngx_int_t
ngx_http_prom_forward_rule_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_prom_forward_ctx_t  *ctx;

    ctx = ngx_http_prom_forward_ctx(r);

    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    ngx_http_prom_conf_set(v, ngx_prom_forward_rule_of(&ctx->query,
                              r->upstream ? r->upstream->peer.name : NULL));

    return NGX_OK;
}


static ngx_int_t
ngx_http_prom_forward_checkme_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                     value;
    ngx_http_prom_forward_ctx_t  *ctx;

    ctx = ngx_http_prom_forward_ctx(r);

    ngx_str_null(&value);

    if (ctx
        && ngx_http_prom_forward_checkme(r, ctx, &value) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_prom_conf_set(v, &value);

    return NGX_OK;
}


/* an allowed request that the target was not reached for is no success */

void
ngx_http_prom_forward_outcome(ngx_http_request_t *r,
    ngx_http_prom_forward_ctx_t *ctx)
{
    if (ctx->proxy == NULL || (r->upstream && r->upstream->header_sent)) {
        return;
    }

    switch (ctx->proxy->fail) {

    case NGX_HTTP_PROM_FAIL_NONE:
    case NGX_HTTP_PROM_FAIL_ABORTED:
        break;

    case NGX_HTTP_PROM_FAIL_CONNECT_TIME:
    case NGX_HTTP_PROM_FAIL_TLS_TIME:
    case NGX_HTTP_PROM_FAIL_TIME:
    case NGX_HTTP_PROM_FAIL_DEADLINE:
        ctx->query.decision = NGX_PROM_FORWARD_LATE;
        break;

    case NGX_HTTP_PROM_FAIL_CROWDED:
        ctx->query.decision = NGX_PROM_FORWARD_BUSY;
        break;

    default:
        ctx->query.decision = NGX_PROM_FORWARD_UNREACHABLE;
        break;
    }
}
