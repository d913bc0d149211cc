/*
 * The query proxy: a request gets the credentials of a remote Prometheus, and
 * goes on as one that "prom_proxy" has routed.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_token.h"


static ngx_int_t ngx_http_prom_token_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_prom_token_serve(ngx_http_request_t *r);
static ngx_http_prom_token_ctx_t *ngx_http_prom_token_create_ctx(
    ngx_http_request_t *r, ngx_http_prom_token_t *token);
static ngx_int_t ngx_http_prom_token_refuse(ngx_http_request_t *r,
    ngx_http_prom_token_ctx_t *ctx);
static void ngx_http_prom_token_cleanup(void *data);

static ngx_int_t ngx_http_prom_token_init_process(ngx_cycle_t *cycle);
static void ngx_http_prom_token_exit_process(ngx_cycle_t *cycle);

static ngx_int_t ngx_http_prom_token_postconfiguration(ngx_conf_t *cf);
static void *ngx_http_prom_token_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_prom_token_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_prom_token_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_prom_token_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_http_prom_token_error(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_prom_token_ready(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_prom_token_content(ngx_conf_t *cf,
    ngx_http_handler_pt handler);


static ngx_conf_bitmask_t  ngx_http_prom_token_apis[] = {
    { ngx_string("query"), NGX_PROM_TOKEN_API_QUERY },
    { ngx_string("write"), NGX_PROM_TOKEN_API_WRITE },
    { ngx_string("admin"), NGX_PROM_TOKEN_API_ADMIN },
    { ngx_string("all"), NGX_PROM_TOKEN_API_ALL },
    { ngx_string("off"), NGX_HTTP_PROM_TOKEN_API_OFF },
    { ngx_null_string, 0 }
};


static ngx_command_t  ngx_http_prom_token_commands[] = {

    /* prom_token_keeper unix:PATH; who fetches credentials */

    { ngx_string("prom_token_keeper"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_prom_token_keeper,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    /* prom_token NAME; requests carry the credential of the remote NAME */

    { ngx_string("prom_token"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_prom_token,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    /* prom_token_remote URL [prefix=PATH] [ca=FILE|verify=off]; to there */

    { ngx_string("prom_token_remote"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE123,
      ngx_http_prom_token_remote,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    /* prom_token_api query|write|admin|all ... | off; what may be asked */

    { ngx_string("prom_token_api"),
      NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_conf_set_bitmask_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_prom_token_loc_conf_t, api),
      &ngx_http_prom_token_apis },

    /* prom_token_wait TIME; for a credential, at most */

    { ngx_string("prom_token_wait"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_prom_token_loc_conf_t, wait),
      NULL },

    /* prom_token_body SIZE; of a body that is held, at most */

    { ngx_string("prom_token_body"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_prom_token_loc_conf_t, body),
      NULL },

    /* prom_token_error; tells why there is no answer, as JSON */

    { ngx_string("prom_token_error"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_prom_token_error,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    /* prom_token_ready; 200 once there are all credentials */

    { ngx_string("prom_token_ready"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_prom_token_ready,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_prom_token_module_ctx = {
    ngx_http_prom_token_add_variables,     /* preconfiguration */
    ngx_http_prom_token_postconfiguration, /* postconfiguration */

    ngx_http_prom_token_create_main_conf,  /* create main configuration */
    ngx_http_prom_token_init_main_conf,    /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_prom_token_create_loc_conf,   /* create location configuration */
    ngx_http_prom_token_merge_loc_conf     /* merge location configuration */
};


ngx_module_t  ngx_http_prom_token_module = {
    NGX_MODULE_V1,
    &ngx_http_prom_token_module_ctx,       /* module context */
    ngx_http_prom_token_commands,          /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_prom_token_init_process,      /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_prom_token_exit_process,      /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


/* the precontent phase: access was granted */

static ngx_int_t
ngx_http_prom_token_handler(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    rc = ngx_http_prom_token_serve(r);

    if (rc == NGX_OK || rc == NGX_AGAIN) {
        /* it has been answered, or will be once the connection takes it */
        ngx_http_finalize_request(r, rc);
        return NGX_DONE;
    }

    return rc;
}


/* run again whenever what it has waited for is there */

static ngx_int_t
ngx_http_prom_token_serve(ngx_http_request_t *r)
{
    ngx_int_t                        rc;
    ngx_str_t                        line;
    ngx_http_prom_token_ctx_t       *ctx;
    ngx_http_prom_token_loc_conf_t  *tlcf;

    tlcf = ngx_http_get_module_loc_conf(r, ngx_http_prom_token_module);

    if (tlcf->token == NULL || r != r->main) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_prom_token_module);

    if (ctx == NULL) {
        ctx = ngx_http_prom_token_create_ctx(r, tlcf->token);
        if (ctx == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        rc = ngx_http_prom_token_check(r, ctx, &line);

        if (rc != NGX_OK) {
            return ngx_http_prom_token_answer(r, rc, &line);
        }
    }

    if (ctx->sent) {
        return tlcf->remote ? ngx_http_prom_proxy_resolve_handler(r)
                            : NGX_DECLINED;
    }

    if (ctx->credential == NULL) {

        rc = ngx_http_prom_token_wait(r, ctx);

        if (rc == NGX_AGAIN) {
            return NGX_DONE;
        }

        if (rc != NGX_OK) {
            return ngx_http_prom_token_refuse(r, ctx);
        }
    }

    if (!ctx->held) {

        rc = ngx_http_prom_token_body(r, ctx);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (ngx_http_prom_token_uri(r, ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->credential->kind == NGX_PROM_TOKEN_AWS) {

        rc = ngx_http_prom_token_sign(r, ctx);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    ctx->sent = 1;

    if (tlcf->remote == NULL) {
        return NGX_DECLINED;
    }

    if (ngx_http_prom_token_route(r, ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_prom_proxy_resolve_handler(r);
}


/* that of a first try that was refused goes on, any other begins anew */

static ngx_http_prom_token_ctx_t *
ngx_http_prom_token_create_ctx(ngx_http_request_t *r,
    ngx_http_prom_token_t *token)
{
    ngx_pool_cleanup_t         *cln;
    ngx_http_prom_token_ctx_t  *ctx, former;

    ctx = ngx_http_prom_token_ctx(r);

    if (ctx == NULL) {
        cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_prom_token_ctx_t));
        if (cln == NULL) {
            return NULL;
        }

        ctx = cln->data;
        ngx_memzero(ctx, sizeof(ngx_http_prom_token_ctx_t));

        cln->handler = ngx_http_prom_token_cleanup;

    } else {
        ngx_http_prom_token_cleanup(ctx);

        former = *ctx;
        ngx_memzero(ctx, sizeof(ngx_http_prom_token_ctx_t));

        if (former.again && former.token == token) {
            ctx->again = 1;
            ctx->refused = former.refused;

            /* what comes of it is to be told as what came of the first */

            r->error_page = 0;
            r->err_status = 0;
        }
    }

    ctx->request = r;
    ctx->token = token;

    ngx_http_set_ctx(r, ctx, ngx_http_prom_token_module);

    return ctx;
}


/* an internal redirect clears the contexts of all modules */

ngx_http_prom_token_ctx_t *
ngx_http_prom_token_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t         *cln;
    ngx_http_prom_token_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_prom_token_module);

    if (ctx || (!r->internal && !r->filter_finalize)) {
        return ctx;
    }

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler == ngx_http_prom_token_cleanup) {
            return cln->data;
        }
    }

    return NULL;
}


static ngx_int_t
ngx_http_prom_token_refuse(ngx_http_request_t *r,
    ngx_http_prom_token_ctx_t *ctx)
{
    u_char                           *p;
    ngx_str_t                         line;
    ngx_http_prom_token_main_conf_t  *tmcf;

    tmcf = ngx_http_get_module_main_conf(r, ngx_http_prom_token_module);

    p = ngx_pnalloc(r->pool, NGX_HTTP_PROM_TOKEN_REASON);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    line.data = p;
    line.len = ngx_http_prom_token_reason(p, p + NGX_HTTP_PROM_TOKEN_REASON,
                                          tmcf, ctx->token)
               - p;

    return ngx_http_prom_token_answer(r, NGX_HTTP_SERVICE_UNAVAILABLE, &line);
}


static void
ngx_http_prom_token_cleanup(void *data)
{
    ngx_http_prom_token_ctx_t *ctx = data;

    ngx_http_prom_token_leave(ctx);

    if (ctx->credential) {
        ngx_http_prom_token_release(ctx->credential);
        ctx->credential = NULL;
    }
}


static ngx_int_t
ngx_http_prom_token_init_process(ngx_cycle_t *cycle)
{
    ngx_http_prom_token_main_conf_t  *tmcf;

    tmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_prom_token_module);

    if (tmcf == NULL || tmcf->keeper == NULL
        || (ngx_process != NGX_PROCESS_WORKER
            && ngx_process != NGX_PROCESS_SINGLE))
    {
        return NGX_OK;
    }

    ngx_http_prom_token_keeper_start(tmcf->keeper);

    return NGX_OK;
}


static void
ngx_http_prom_token_exit_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                        i;
    ngx_http_prom_token_t           **token;
    ngx_http_prom_token_main_conf_t  *tmcf;

    tmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_prom_token_module);

    if (tmcf == NULL || tmcf->keeper == NULL) {
        return;
    }

    ngx_http_prom_token_keeper_stop(tmcf->keeper);

    token = tmcf->tokens.elts;

    for (i = 0; i < tmcf->tokens.nelts; i++) {

        if (token[i]->credential) {
            ngx_http_prom_token_release(token[i]->credential);
            token[i]->credential = NULL;
        }
    }
}


static ngx_int_t
ngx_http_prom_token_postconfiguration(ngx_conf_t *cf)
{
    ngx_http_handler_pt              *h;
    ngx_http_core_main_conf_t        *cmcf;
    ngx_http_prom_token_main_conf_t  *tmcf;

    tmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_prom_token_module);

    if (tmcf->tokens.nelts == 0) {
        return NGX_OK;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_prom_token_handler;

    ngx_http_prom_token_filter_init();

    return NGX_OK;
}


static void *
ngx_http_prom_token_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_prom_token_main_conf_t  *tmcf;

    tmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_prom_token_main_conf_t));
    if (tmcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     tmcf->keeper = NULL;
     */

    if (ngx_array_init(&tmcf->tokens, cf->pool, 4,
                       sizeof(ngx_http_prom_token_t *))
        != NGX_OK
        || ngx_array_init(&tmcf->stores, cf->pool, 4,
                          sizeof(ngx_http_prom_token_store_t))
           != NGX_OK)
    {
        return NULL;
    }

    return tmcf;
}


static char *
ngx_http_prom_token_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_prom_token_main_conf_t *tmcf = conf;

    if (tmcf->tokens.nelts && tmcf->keeper == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"prom_token\" needs a \"prom_token_keeper\"");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static void *
ngx_http_prom_token_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_prom_token_loc_conf_t  *tlcf;

    tlcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_prom_token_loc_conf_t));
    if (tlcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     tlcf->token = NULL;
     *     tlcf->remote = NULL;
     *     tlcf->api = 0;
     */

    tlcf->wait = NGX_CONF_UNSET_MSEC;
    tlcf->body = NGX_CONF_UNSET_SIZE;

    return tlcf;
}


static char *
ngx_http_prom_token_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_prom_token_loc_conf_t *prev = parent;
    ngx_http_prom_token_loc_conf_t *conf = child;

    ngx_http_core_loc_conf_t  *clcf;

    ngx_conf_merge_msec_value(conf->wait, prev->wait, 5000);
    ngx_conf_merge_size_value(conf->body, prev->body, 1024 * 1024);

    /* "if" and limit_except in its location are parts of it */

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (conf->token == NULL && clcf->noname) {
        conf->token = prev->token;
        conf->remote = prev->remote;
        conf->api = prev->api;
    }

    if (conf->api == 0) {
        conf->api = NGX_PROM_TOKEN_API_QUERY;
    }

    if (conf->api & NGX_HTTP_PROM_TOKEN_API_OFF
        && conf->api
           & (NGX_PROM_TOKEN_API_QUERY|NGX_PROM_TOKEN_API_WRITE
              |NGX_PROM_TOKEN_API_ADMIN|NGX_PROM_TOKEN_API_ALL))
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"prom_token_api off\" stands alone");
        return NGX_CONF_ERROR;
    }

    if (conf->remote && conf->token == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"prom_token_remote\" needs a \"prom_token\" in its "
                      "location");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_prom_token_error(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_prom_token_content(cf, ngx_http_prom_token_error_handler);
}


static char *
ngx_http_prom_token_ready(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_prom_token_content(cf, ngx_http_prom_token_ready_handler);
}


static char *
ngx_http_prom_token_content(ngx_conf_t *cf, ngx_http_handler_pt handler)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler) {
        return "is duplicate, or beside another handler";
    }

    clcf->handler = handler;

    return NGX_CONF_OK;
}
