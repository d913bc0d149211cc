/*
 * The forward proxy's http side: a request in absolute form is decided on, and
 * then goes on as one that "prom_proxy" has routed, to the addresses that were
 * allowed.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_poll.h"
#include "ngx_http_prom_forward.h"


static ngx_int_t ngx_http_prom_forward_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_prom_forward_serve(ngx_http_request_t *r);
static ngx_http_prom_forward_ctx_t *ngx_http_prom_forward_create_ctx(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_prom_forward_credentials(ngx_http_request_t *r,
    ngx_str_t *credentials);
static void ngx_http_prom_forward_drop(ngx_http_request_t *r);
static void ngx_http_prom_forward_decided(ngx_prom_forward_query_t *query);
static ngx_int_t ngx_http_prom_forward_go_on(ngx_http_request_t *r,
    ngx_http_prom_forward_ctx_t *ctx);
static ngx_int_t ngx_http_prom_forward_route(ngx_http_request_t *r,
    ngx_http_prom_forward_ctx_t *ctx);
static ngx_int_t ngx_http_prom_forward_refuse(ngx_http_request_t *r,
    ngx_http_prom_forward_ctx_t *ctx);
static ngx_int_t ngx_http_prom_forward_log_handler(ngx_http_request_t *r);
static void ngx_http_prom_forward_cleanup(void *data);

static ngx_int_t ngx_http_prom_forward_postconfiguration(ngx_conf_t *cf);
static void *ngx_http_prom_forward_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_prom_forward_merge_loc_conf(ngx_conf_t *cf,
    void *parent, void *child);
static char *ngx_http_prom_forward(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_prom_forward_server(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_prom_forward_error(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_prom_forward_t *ngx_http_prom_forward_block(ngx_conf_t *cf);


static ngx_str_t  ngx_http_prom_forward_authorization =
    ngx_string("proxy-authorization");


static ngx_command_t  ngx_http_prom_forward_commands[] = {

    /* prom_forward NAME; requests in absolute form, by the block NAME */

    { ngx_string("prom_forward"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_prom_forward,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    /* prom_forward_server NAME; what stream hands over comes to this server */

    { ngx_string("prom_forward_server"),
      NGX_HTTP_SRV_CONF|NGX_CONF_TAKE1,
      ngx_http_prom_forward_server,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    /* prom_forward_error; tells in one line why there is no answer */

    { ngx_string("prom_forward_error"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_prom_forward_error,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_prom_forward_module_ctx = {
    ngx_http_prom_forward_add_variables,   /* preconfiguration */
    ngx_http_prom_forward_postconfiguration,  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_prom_forward_create_loc_conf, /* create location configuration */
    ngx_http_prom_forward_merge_loc_conf   /* merge location configuration */
};


ngx_module_t  ngx_http_prom_forward_module = {
    NGX_MODULE_V1,
    &ngx_http_prom_forward_module_ctx,     /* module context */
    ngx_http_prom_forward_commands,        /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


/* the precontent phase: access was granted */

static ngx_int_t
ngx_http_prom_forward_handler(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    rc = ngx_http_prom_forward_serve(r);

    if (rc == NGX_OK || rc == NGX_AGAIN) {
        /* it has been answered, or will be once the connection takes it */
        ngx_http_finalize_request(r, rc);
        return NGX_DONE;
    }

    return rc;
}


static ngx_int_t
ngx_http_prom_forward_serve(ngx_http_request_t *r)
{
    ngx_int_t                          rc;
    ngx_str_t                          line;
    ngx_http_prom_forward_ctx_t       *ctx;
    ngx_http_prom_forward_loc_conf_t  *flcf;

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_prom_forward_module);

    if (flcf->forward == NULL || r != r->main) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_prom_forward_ctx(r);

    if (ctx && ctx->query.forward == flcf->forward) {
        return ctx->decided ? ngx_http_prom_forward_go_on(r, ctx) : NGX_DONE;
    }

    ctx = ngx_http_prom_forward_create_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->query.forward = flcf->forward;

    rc = ngx_http_prom_forward_uri(r, ctx);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_DECLINED) {
        ngx_str_set(&line, "this is a forward proxy: give it as proxy_url, "
                    "for targets http://HOST[:PORT]/... without a user");
        ctx->query.decision = NGX_PROM_FORWARD_BAD;
        ctx->decided = 1;
        return ngx_http_prom_forward_answer(r, NGX_HTTP_BAD_REQUEST, &line);
    }

    if (ngx_http_prom_forward_credentials(r, &ctx->query.credentials)
        != NGX_OK)
    {
        ngx_str_set(&line, "more than one Proxy-Authorization");
        ctx->query.decision = NGX_PROM_FORWARD_BAD;
        ctx->decided = 1;
        return ngx_http_prom_forward_answer(r, NGX_HTTP_BAD_REQUEST, &line);
    }

    if (ctx->tls && !flcf->forward->verify && !flcf->forward->trusting) {
        ngx_str_set(&line, "https:// is for CONNECT here, which nothing but "
                    "plain http is asked without");
        ctx->query.decision = NGX_PROM_FORWARD_BAD;
        ctx->decided = 1;
        return ngx_http_prom_forward_answer(r, NGX_HTTP_BAD_REQUEST, &line);
    }

    rc = ngx_prom_forward_decide(&ctx->query);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_AGAIN) {

        /* a client that goes away meanwhile ends the request */

        r->read_event_handler = ngx_http_test_reading;
        r->write_event_handler = ngx_http_request_empty_handler;

        return NGX_DONE;
    }

    ctx->decided = 1;

    return ngx_http_prom_forward_go_on(r, ctx);
}


static ngx_http_prom_forward_ctx_t *
ngx_http_prom_forward_create_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t           *cln;
    ngx_http_prom_forward_ctx_t  *ctx;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_prom_forward_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    ctx = cln->data;

    ngx_memzero(ctx, sizeof(ngx_http_prom_forward_ctx_t));

    ctx->request = r;
    ctx->query.connection = r->connection;
    ctx->query.pool = r->pool;
    ctx->query.handler = ngx_http_prom_forward_decided;
    ctx->query.data = ctx;

    ngx_str_set(&ctx->query.rule, "-");

    cln->handler = ngx_http_prom_forward_cleanup;

    ngx_http_set_ctx(r, ctx, ngx_http_prom_forward_module);

    return ctx;
}


/* an internal redirect clears the contexts of all modules */

ngx_http_prom_forward_ctx_t *
ngx_http_prom_forward_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t           *cln;
    ngx_http_prom_forward_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_prom_forward_module);

    if (ctx || (!r->internal && !r->filter_finalize)) {
        return ctx;
    }

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler == ngx_http_prom_forward_cleanup) {
            return cln->data;
        }
    }

    return NULL;
}


static ngx_int_t
ngx_http_prom_forward_credentials(ngx_http_request_t *r,
    ngx_str_t *credentials)
{
    ngx_table_elt_t             *h;
    ngx_http_prom_header_pos_t   pos;

    ngx_memzero(&pos, sizeof(ngx_http_prom_header_pos_t));

    h = ngx_http_prom_proxy_header(&r->headers_in.headers,
                                   &ngx_http_prom_forward_authorization,
                                   &pos);
    if (h == NULL) {
        return NGX_OK;
    }

    *credentials = h->value;

    h = ngx_http_prom_proxy_header(&r->headers_in.headers,
                                   &ngx_http_prom_forward_authorization,
                                   &pos);

    return h ? NGX_DECLINED : NGX_OK;
}


/* Proxy-Authorization, Proxy-Connection and such are for this proxy alone */

static void
ngx_http_prom_forward_drop(ngx_http_request_t *r)
{
    ngx_str_t                    name;
    ngx_table_elt_t             *h;
    ngx_http_prom_header_pos_t   pos;

    ngx_memzero(&pos, sizeof(ngx_http_prom_header_pos_t));

    for ( ;; ) {
        h = ngx_http_prom_proxy_next_header(&r->headers_in.headers, &pos);
        if (h == NULL) {
            return;
        }

        if (h->key.len >= sizeof("proxy-") - 1
            && ngx_strncasecmp(h->key.data, (u_char *) "proxy-",
                               sizeof("proxy-") - 1)
               == 0)
        {
            name = h->key;
            ngx_http_prom_poll_drop(r, &name);
        }
    }
}


static void
ngx_http_prom_forward_decided(ngx_prom_forward_query_t *query)
{
    ngx_connection_t             *c;
    ngx_http_request_t           *r;
    ngx_http_prom_forward_ctx_t  *ctx;

    ctx = query->data;
    r = ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ctx->decided = 1;

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_core_run_phases;

    ngx_http_core_run_phases(r);
    ngx_http_run_posted_requests(c);
}


static ngx_int_t
ngx_http_prom_forward_go_on(ngx_http_request_t *r,
    ngx_http_prom_forward_ctx_t *ctx)
{
    if (ctx->query.status) {
        return ngx_http_prom_forward_refuse(r, ctx);
    }

    if (ctx->proxy) {
        return NGX_DECLINED;
    }

    return ngx_http_prom_forward_route(r, ctx);
}


/* as the router of the scrape side leaves it */

static ngx_int_t
ngx_http_prom_forward_route(ngx_http_request_t *r,
    ngx_http_prom_forward_ctx_t *ctx)
{
    ngx_prom_route_t           *route;
    ngx_prom_forward_query_t   *query;
    ngx_http_prom_proxy_ctx_t  *proxy;

    query = &ctx->query;

    proxy = ngx_http_prom_proxy_create_ctx(r);
    if (proxy == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    route = &proxy->route;

    route->name = query->target;
    route->authority = query->target;
    route->port = (in_port_t) query->port;

    route->host.data = query->target.data;
    route->host.len = query->host.len;
    route->kind = NGX_PROM_ADDRESS_DNS;

    if (query->target.data[0] == '[') {
        route->host.data++;
    }

    if (query->numeric) {
        route->kind = (query->addrs[0].sockaddr->sa_family == AF_INET)
                      ? NGX_PROM_ADDRESS_IPV4 : NGX_PROM_ADDRESS_IPV6;
    }

    route->tls = (ctx->tls || !ngx_prom_forward_plain(query));

    ctx->verify.key = query->forward->name;
    ctx->verify.store = query->forward->verify ? query->forward->store : NULL;
    ctx->verify.host = query->host;
    ctx->verify.sockaddr = query->numeric ? query->addrs[0].sockaddr : NULL;

    proxy->verify = &ctx->verify;
    proxy->addrs = query->addrs;
    proxy->naddrs = query->naddrs;
    proxy->found = 1;

    ctx->proxy = proxy;

    ngx_http_prom_proxy_deadline(r, proxy);
    ngx_http_prom_forward_drop(r);
    ngx_http_prom_proxy_drop_hop_headers(r);

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_prom_forward_refuse(ngx_http_request_t *r,
    ngx_http_prom_forward_ctx_t *ctx)
{
    ngx_table_elt_t  *h;

    if (ctx->query.status == 407) {
        h = ngx_list_push(&r->headers_out.headers);
        if (h == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ngx_memzero(h, sizeof(ngx_table_elt_t));

        h->hash = 1;
        ngx_str_set(&h->key, "Proxy-Authenticate");
        ngx_str_set(&h->value, "Basic realm=\"Monitoring Proxy\"");
    }

    return ngx_http_prom_forward_answer(r, ctx->query.status,
                                        &ctx->query.reason);
}


static ngx_int_t
ngx_http_prom_forward_log_handler(ngx_http_request_t *r)
{
    ngx_http_prom_forward_ctx_t  *ctx;

    if (r != r->main) {
        return NGX_OK;
    }

    ctx = ngx_http_prom_forward_ctx(r);

    if (ctx == NULL || !ctx->decided) {
        return NGX_OK;
    }

    ngx_http_prom_forward_outcome(r, ctx);

    ngx_prom_forward_count(&ctx->query, NGX_PROM_FORWARD_SIDE_HTTP,
                           r->request_length, r->connection->sent);

    return NGX_OK;
}


static void
ngx_http_prom_forward_cleanup(void *data)
{
    ngx_http_prom_forward_ctx_t *ctx = data;

    ngx_prom_forward_cancel(&ctx->query);
}


static ngx_int_t
ngx_http_prom_forward_postconfiguration(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_prom_forward_handler;

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_prom_forward_log_handler;

    return NGX_OK;
}


static void *
ngx_http_prom_forward_create_loc_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_prom_forward_loc_conf_t));
}


static char *
ngx_http_prom_forward_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child)
{
    ngx_http_core_loc_conf_t          *clcf;
    ngx_http_prom_forward_loc_conf_t  *prev = parent;
    ngx_http_prom_forward_loc_conf_t  *conf = child;

    /* "if" and limit_except in its location are parts of it */

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (conf->forward == NULL && clcf->noname) {
        conf->forward = prev->forward;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_prom_forward(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_prom_forward_loc_conf_t *flcf = conf;

    if (flcf->forward) {
        return "is duplicate";
    }

    flcf->forward = ngx_http_prom_forward_block(cf);

    return flcf->forward ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_http_prom_forward_server(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_prom_forward_t  *forward;

    forward = ngx_http_prom_forward_block(cf);

    if (forward == NULL) {
        return NGX_CONF_ERROR;
    }

    if (forward->server) {
        return "is there in another server, with the same name";
    }

    forward->server = ngx_http_conf_get_module_srv_conf(cf,
                                                        ngx_http_core_module);
    return NGX_CONF_OK;
}


static char *
ngx_http_prom_forward_error(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler) {
        return "is duplicate, or beside another handler";
    }

    clcf->handler = ngx_http_prom_forward_error_handler;

    return NGX_CONF_OK;
}


static ngx_prom_forward_t *
ngx_http_prom_forward_block(ngx_conf_t *cf)
{
    ngx_str_t           *value;
    ngx_prom_forward_t  *forward;

    value = cf->args->elts;

    forward = ngx_prom_forward_find(cf, &value[1]);

    if (forward == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "there is no \"prom_forward %V { ... }\" before "
                           "\"http\"", &value[1]);
    }

    return forward;
}
