/*
 * What the log tells of a tunnel, by the same names as in http.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_stream.h>
#include "ngx_stream_prom_forward.h"


static ngx_int_t ngx_stream_prom_forward_variable(ngx_stream_session_t *s,
    ngx_stream_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_stream_prom_forward_address_variable(
    ngx_stream_session_t *s, ngx_stream_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_stream_prom_forward_decision_variable(
    ngx_stream_session_t *s, ngx_stream_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_stream_prom_forward_rule_variable(
    ngx_stream_session_t *s, ngx_stream_variable_value_t *v, uintptr_t data);
static void ngx_stream_prom_forward_set_variable(
    ngx_stream_variable_value_t *v, ngx_str_t *value);


static ngx_stream_variable_t  ngx_stream_prom_forward_vars[] = {

    /* HOST:PORT */
    { ngx_string("prom_forward_target"), NULL,
      ngx_stream_prom_forward_variable,
      offsetof(ngx_prom_forward_query_t, target),
      NGX_STREAM_VAR_NOCACHEABLE, 0 },

    /* ADDRESS:PORT, the last that was dialled */
    { ngx_string("prom_forward_address"), NULL,
      ngx_stream_prom_forward_address_variable, 0,
      NGX_STREAM_VAR_NOCACHEABLE, 0 },

    /* "allowed", or why not */
    { ngx_string("prom_forward_decision"), NULL,
      ngx_stream_prom_forward_decision_variable, 0,
      NGX_STREAM_VAR_NOCACHEABLE, 0 },

    /* the rule that decided */
    { ngx_string("prom_forward_rule"), NULL,
      ngx_stream_prom_forward_rule_variable, 0,
      NGX_STREAM_VAR_NOCACHEABLE, 0 },

    /* who was let in by a password */
    { ngx_string("prom_forward_user"), NULL,
      ngx_stream_prom_forward_variable,
      offsetof(ngx_prom_forward_query_t, user),
      NGX_STREAM_VAR_NOCACHEABLE, 0 },

      ngx_stream_null_variable
};


ngx_int_t
ngx_stream_prom_forward_add_variables(ngx_conf_t *cf)
{
    ngx_stream_variable_t  *var, *v;

    for (v = ngx_stream_prom_forward_vars; v->name.len; v++) {
        var = ngx_stream_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_stream_prom_forward_variable(ngx_stream_session_t *s,
    ngx_stream_variable_value_t *v, uintptr_t data)
{
    ngx_stream_prom_forward_ctx_t  *ctx;

    ctx = ngx_stream_get_module_ctx(s, ngx_stream_prom_forward_module);

    ngx_stream_prom_forward_set_variable(v, ctx == NULL ? NULL
                                 : (ngx_str_t *) ((u_char *) &ctx->query
                                                  + data));
    return NGX_OK;
}


static ngx_int_t
ngx_stream_prom_forward_address_variable(ngx_stream_session_t *s,
    ngx_stream_variable_value_t *v, uintptr_t data)
{
    ngx_stream_prom_forward_ctx_t  *ctx;

    ctx = ngx_stream_get_module_ctx(s, ngx_stream_prom_forward_module);

    ngx_stream_prom_forward_set_variable(v, ctx == NULL ? NULL
                                                        : ctx->peer.name);

    return NGX_OK;
}


static ngx_int_t
ngx_stream_prom_forward_decision_variable(ngx_stream_session_t *s,
    ngx_stream_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                       name;
    ngx_stream_prom_forward_ctx_t  *ctx;

    ctx = ngx_stream_get_module_ctx(s, ngx_stream_prom_forward_module);

    ngx_str_null(&name);

    if (ctx && ctx->decided) {
        ngx_prom_forward_decision(ctx->query.decision, &name);
    }

    ngx_stream_prom_forward_set_variable(v, &name);

    return NGX_OK;
}


static ngx_int_t
ngx_stream_prom_forward_rule_variable(ngx_stream_session_t *s,
    ngx_stream_variable_value_t *v, uintptr_t data)
{
    ngx_stream_prom_forward_ctx_t  *ctx;

    ctx = ngx_stream_get_module_ctx(s, ngx_stream_prom_forward_module);

    ngx_stream_prom_forward_set_variable(v, ctx == NULL ? NULL
                                 : ngx_prom_forward_rule_of(&ctx->query,
                                                            ctx->peer.name));
    return NGX_OK;
}


static void
ngx_stream_prom_forward_set_variable(ngx_stream_variable_value_t *v,
    ngx_str_t *value)
{
    if (value == NULL || value->len == 0) {
        v->not_found = 1;
        return;
    }

    v->len = value->len;
    v->data = value->data;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
}
