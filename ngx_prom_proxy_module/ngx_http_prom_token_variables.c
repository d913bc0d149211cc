/*
 * The variables that hand a credential to proxy_set_header, and the URI to
 * proxy_pass.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_conf.h"
#include "ngx_http_prom_token.h"


static ngx_int_t ngx_http_prom_token_authorization_variable(
    ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_prom_token_text_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_prom_token_remote_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


static ngx_http_variable_t  ngx_http_prom_token_vars[] = {

    /* for the header Authorization */
    { ngx_string("prom_token_authorization"), NULL,
      ngx_http_prom_token_authorization_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* for X-Amz-Date, if it is signed */
    { ngx_string("prom_token_date"), NULL,
      ngx_http_prom_token_text_variable,
      offsetof(ngx_http_prom_token_ctx_t, date),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* for X-Amz-Security-Token, if there is one */
    { ngx_string("prom_token_session"), NULL,
      ngx_http_prom_token_text_variable,
      offsetof(ngx_http_prom_token_ctx_t, session),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* the path and the arguments, as they came, behind the URL's path */
    { ngx_string("prom_token_uri"), NULL,
      ngx_http_prom_token_text_variable,
      offsetof(ngx_http_prom_token_ctx_t, uri),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* NAME */
    { ngx_string("prom_token_remote"), NULL,
      ngx_http_prom_token_remote_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_prom_token_add_variables(ngx_conf_t *cf)
{
    return ngx_http_prom_conf_variables(cf, ngx_http_prom_token_vars);
}


static ngx_int_t
ngx_http_prom_token_authorization_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_prom_token_ctx_t  *ctx;

    ctx = ngx_http_prom_token_ctx(r);

    if (ctx == NULL || ctx->credential == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    ngx_http_prom_conf_set(v, ctx->credential->kind == NGX_PROM_TOKEN_AWS
                              ? &ctx->authorization
                              : &ctx->credential->value);

    return NGX_OK;
}


static ngx_int_t
ngx_http_prom_token_text_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_prom_token_ctx_t  *ctx;

    ctx = ngx_http_prom_token_ctx(r);

    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    ngx_http_prom_conf_set(v, (ngx_str_t *) ((u_char *) ctx + data));

    return NGX_OK;
}


static ngx_int_t
ngx_http_prom_token_remote_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_prom_token_ctx_t  *ctx;

    ctx = ngx_http_prom_token_ctx(r);

    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    ngx_http_prom_conf_set(v, &ctx->token->name);

    return NGX_OK;
}
