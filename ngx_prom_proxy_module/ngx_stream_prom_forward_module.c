/*
 * CONNECT on a port of the forward proxy.  It begins in the preread phase,
 * which goes on once the tunnel is up, for proxy_pass to move the bytes; what
 * is no CONNECT is handed over to http.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_stream.h>
#include "ngx_stream_prom_forward.h"


#if (NGX_STREAM_SSL)

/* "ssl_verify_client optional_no_ca" */

#define NGX_STREAM_PROM_FORWARD_OPTIONAL_NO_CA  3

#if (nginx_version >= 1025005)
typedef ngx_stream_ssl_srv_conf_t  ngx_stream_prom_forward_ssl_conf_t;
#else
typedef ngx_stream_ssl_conf_t  ngx_stream_prom_forward_ssl_conf_t;
#endif

#endif


static ngx_int_t ngx_stream_prom_forward_handler(ngx_stream_session_t *s);
static ngx_int_t ngx_stream_prom_forward_log(ngx_stream_session_t *s);

static ngx_int_t ngx_stream_prom_forward_postconf(ngx_conf_t *cf);
#if (NGX_STREAM_SSL)
static ngx_int_t ngx_stream_prom_forward_certificates(
    ngx_stream_core_main_conf_t *cmcf);
#endif
static void *ngx_stream_prom_forward_create_conf(ngx_conf_t *cf);
static char *ngx_stream_prom_forward(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


static ngx_command_t  ngx_stream_prom_forward_commands[] = {

    /* prom_forward NAME; serves CONNECT by the block of that name */

    { ngx_string("prom_forward"),
      NGX_STREAM_SRV_CONF|NGX_CONF_TAKE1,
      ngx_stream_prom_forward,
      NGX_STREAM_SRV_CONF_OFFSET,
      0,
      NULL },

    /* prom_forward_peer; gives proxy_pass the target that was dialled */

    { ngx_string("prom_forward_peer"),
      NGX_STREAM_UPS_CONF|NGX_CONF_NOARGS,
      ngx_stream_prom_forward_peer,
      NGX_STREAM_SRV_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_stream_module_t  ngx_stream_prom_forward_module_ctx = {
    ngx_stream_prom_forward_add_variables, /* preconfiguration */
    ngx_stream_prom_forward_postconf,      /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    ngx_stream_prom_forward_create_conf,   /* create server configuration */
    NULL                                   /* merge server configuration */
};


ngx_module_t  ngx_stream_prom_forward_module = {
    NGX_MODULE_V1,
    &ngx_stream_prom_forward_module_ctx,   /* module context */
    ngx_stream_prom_forward_commands,      /* module directives */
    NGX_STREAM_MODULE,                     /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


/*
 * The first time it takes the connection's events, since a head that is late
 * or too long deserves an answer, which the preread phase has none for.  The
 * second time the tunnel is up.
 */

static ngx_int_t
ngx_stream_prom_forward_handler(ngx_stream_session_t *s)
{
    ngx_connection_t                    *c;
    ngx_stream_prom_forward_ctx_t       *ctx;
    ngx_stream_prom_forward_srv_conf_t  *fscf;

    fscf = ngx_stream_get_module_srv_conf(s, ngx_stream_prom_forward_module);

    if (fscf->forward == NULL) {
        return NGX_DECLINED;
    }

    if (ngx_stream_get_module_ctx(s, ngx_stream_prom_forward_module)) {
        return NGX_OK;
    }

    c = s->connection;

    ctx = ngx_pcalloc(c->pool, sizeof(ngx_stream_prom_forward_ctx_t));
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    ctx->session = s;
    ctx->query.forward = fscf->forward;
    ctx->query.connection = c;
    ctx->query.pool = c->pool;

    ngx_stream_set_ctx(s, ctx, ngx_stream_prom_forward_module);

    /* in an event of its own, as the connection may become one of http's */

    c->read->handler = ngx_stream_prom_forward_read;
    c->write->handler = ngx_stream_prom_forward_ignore;

    ngx_post_event(c->read, &ngx_posted_events);

    return NGX_DONE;
}


void
ngx_stream_prom_forward_finalize(ngx_stream_prom_forward_ctx_t *ctx,
    ngx_uint_t status)
{
    ngx_stream_finalize_session(ctx->session, status);
}


/* whoever ends a session, this is called */

static ngx_int_t
ngx_stream_prom_forward_log(ngx_stream_session_t *s)
{
    ngx_stream_prom_forward_ctx_t  *ctx;

    ctx = ngx_stream_get_module_ctx(s, ngx_stream_prom_forward_module);

    if (ctx == NULL) {
        return NGX_OK;
    }

    ngx_prom_forward_cancel(&ctx->query);
    ngx_stream_prom_forward_hang_up(ctx);
    ngx_stream_prom_forward_end(ctx);

    if (ctx->decided) {
        ngx_prom_forward_count(&ctx->query, NGX_PROM_FORWARD_SIDE_CONNECT,
                               s->received, s->connection->sent);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_stream_prom_forward_postconf(ngx_conf_t *cf)
{
    ngx_stream_handler_pt        *h;
    ngx_stream_core_main_conf_t  *cmcf;

    cmcf = ngx_stream_conf_get_module_main_conf(cf, ngx_stream_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_STREAM_PREREAD_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_stream_prom_forward_handler;

    h = ngx_array_push(&cmcf->phases[NGX_STREAM_LOG_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_stream_prom_forward_log;

#if (NGX_STREAM_SSL)

    if (ngx_stream_prom_forward_certificates(cmcf) != NGX_OK) {
        return NGX_ERROR;
    }

#endif

    return ngx_stream_prom_forward_filter_init(cf);
}


#if (NGX_STREAM_SSL)

/* servers that answer a client whose certificate they refuse */

static ngx_int_t
ngx_stream_prom_forward_certificates(ngx_stream_core_main_conf_t *cmcf)
{
    void                                **conf;
    ngx_uint_t                            i;
    ngx_stream_core_srv_conf_t          **cscfp;
    ngx_stream_prom_forward_ssl_conf_t   *sscf;
    ngx_stream_prom_forward_srv_conf_t   *fscf;

    cscfp = cmcf->servers.elts;

    for (i = 0; i < cmcf->servers.nelts; i++) {

        conf = cscfp[i]->ctx->srv_conf;
        fscf = conf[ngx_stream_prom_forward_module.ctx_index];
        sscf = conf[ngx_stream_ssl_module.ctx_index];

        if (fscf->forward == NULL
            || !fscf->forward->certificate
            || sscf->verify != NGX_STREAM_PROM_FORWARD_OPTIONAL_NO_CA
            || sscf->ssl.ctx == NULL)
        {
            continue;
        }

        if (ngx_prom_forward_certificate_init(sscf->ssl.ctx) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}

#endif


static void *
ngx_stream_prom_forward_create_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_stream_prom_forward_srv_conf_t));
}


static char *
ngx_stream_prom_forward(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_stream_prom_forward_srv_conf_t *fscf = conf;

    ngx_str_t  *value;

    if (fscf->forward) {
        return "is duplicate";
    }

    value = cf->args->elts;

    fscf->forward = ngx_prom_forward_find(cf, &value[1]);

    if (fscf->forward == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "there is no \"prom_forward %V { ... }\" before "
                           "\"stream\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}
