/*
 * The balancer of hops: dials the private socket of the worker that a poll, a
 * push or a scrape concerns, and keeps its idle connections.
 *
 * A worker may be gone by then.  A poll or a scrape starts anew in that case,
 * by way of this worker's own socket; a push can't, as its scrape went too.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>
#include "ngx_http_prom_peer.h"
#include "ngx_http_prom_poll.h"


typedef struct {
    ngx_http_prom_peer_cache_t   cache;
} ngx_http_prom_poll_peer_srv_conf_t;


typedef struct {
    ngx_http_prom_poll_ctx_t    *ctx;
    ngx_http_request_t          *request;
    ngx_http_prom_peer_cache_t  *cache;

    ngx_prom_poll_at_t           at;
    ngx_addr_t                   addr;

    ngx_str_t                    key;       /* of the idle connections: at */
    ngx_http_prom_peer_idle_t   *idle;      /* of the connection in use */

    ngx_http_upstream_conf_t     conf;

    /* nginx's own */

    void                       (*finalize)(ngx_http_request_t *r,
                                           ngx_int_t rc);
} ngx_http_prom_poll_peer_data_t;


static ngx_int_t ngx_http_prom_poll_peer_init(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us);
static void ngx_http_prom_poll_peer_conf(ngx_http_prom_poll_peer_data_t *pd,
    ngx_http_upstream_t *u);
static ngx_int_t ngx_http_prom_poll_peer_get(ngx_peer_connection_t *pc,
    void *data);
static ngx_connection_t *ngx_http_prom_poll_peer_idle(
    ngx_http_prom_poll_peer_data_t *pd, ngx_log_t *log);
static void ngx_http_prom_poll_peer_free(ngx_peer_connection_t *pc,
    void *data, ngx_uint_t state);
static void ngx_http_prom_poll_peer_finalize(ngx_http_request_t *r,
    ngx_int_t rc);
static void ngx_http_prom_poll_peer_failed(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx, ngx_uint_t status);

static ngx_int_t ngx_http_prom_poll_peer_init_upstream(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us);
static ngx_int_t ngx_http_prom_poll_peer_postconfiguration(ngx_conf_t *cf);
static void *ngx_http_prom_poll_peer_create_conf(ngx_conf_t *cf);
static char *ngx_http_prom_poll_peer(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


static ngx_command_t  ngx_http_prom_poll_peer_commands[] = {

    /* prom_poll_peer [idle=NUMBER] [timeout=TIME]; dials other workers */

    { ngx_string("prom_poll_peer"),
      NGX_HTTP_UPS_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE12,
      ngx_http_prom_poll_peer,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_prom_poll_peer_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_prom_poll_peer_postconfiguration,  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    ngx_http_prom_poll_peer_create_conf,   /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_prom_poll_peer_module = {
    NGX_MODULE_V1,
    &ngx_http_prom_poll_peer_module_ctx,   /* module context */
    ngx_http_prom_poll_peer_commands,      /* module directives */
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


static ngx_int_t
ngx_http_prom_poll_peer_init(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_http_upstream_t                 *u;
    ngx_http_prom_poll_ctx_t            *ctx;
    ngx_http_prom_poll_peer_data_t      *pd;
    ngx_http_prom_poll_peer_srv_conf_t  *pscf;

    ctx = ngx_http_prom_poll_ctx(r, NGX_HTTP_PROM_POLL_NONE);

    if (ctx == NULL || !ctx->hop) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "upstream \"%V\" dials workers for polls, pushes and "
                      "scrapes that concern them, and this request is none",
                      &us->host);
        return NGX_ERROR;
    }

    pscf = ngx_http_conf_upstream_srv_conf(us, ngx_http_prom_poll_peer_module);

    pd = ngx_pcalloc(r->pool, sizeof(ngx_http_prom_poll_peer_data_t));
    if (pd == NULL) {
        return NGX_ERROR;
    }

    u = r->upstream;

    pd->ctx = ctx;
    pd->request = r;
    pd->cache = &pscf->cache;
    pd->at = ctx->to;
    pd->key.data = (u_char *) &pd->at;
    pd->key.len = sizeof(ngx_prom_poll_at_t);

    pd->finalize = u->finalize_request;
    u->finalize_request = ngx_http_prom_poll_peer_finalize;

    u->peer.data = pd;
    u->peer.get = ngx_http_prom_poll_peer_get;
    u->peer.free = ngx_http_prom_poll_peer_free;
    u->peer.tries = (ctx->kind == NGX_HTTP_PROM_POLL_PUSH) ? 1 : 2;

    ngx_http_prom_poll_peer_conf(pd, u);

    if (ctx->kind == NGX_HTTP_PROM_POLL_PUSH) {
        return ngx_http_prom_poll_push_stream(r);
    }

    return NGX_OK;
}


/*
 * What proxy_* directives say of other upstreams must not tear the two halves
 * of a request apart: the worker at its end has the deadline, and makes the
 * errors' lines.
 */

static void
ngx_http_prom_poll_peer_conf(ngx_http_prom_poll_peer_data_t *pd,
    ngx_http_upstream_t *u)
{
    pd->conf = *u->conf;

    pd->conf.read_timeout = NGX_MAX_INT32_VALUE;
    pd->conf.send_timeout = NGX_MAX_INT32_VALUE;
    pd->conf.ignore_client_abort = 0;
    pd->conf.intercept_errors = 0;

    /* a poll changes nothing and may be sent again, though it is a POST */

    pd->conf.next_upstream = NGX_HTTP_UPSTREAM_FT_ERROR
                             |NGX_HTTP_UPSTREAM_FT_NON_IDEMPOTENT;
    pd->conf.next_upstream_timeout = 0;
    pd->conf.next_upstream_tries = 0;

    u->conf = &pd->conf;
}


static ngx_int_t
ngx_http_prom_poll_peer_get(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_prom_poll_peer_data_t *pd = data;

    ngx_http_prom_poll_worker_t  *worker;

    worker = ngx_http_prom_poll_worker();
    if (worker == NULL) {
        return NGX_BUSY;
    }

    if (!ngx_prom_poll_zone_has(worker->zone, &pd->at)) {

        if (pd->ctx->kind == NGX_HTTP_PROM_POLL_PUSH) {
            return NGX_BUSY;
        }

        pd->at = worker->at;
    }

    if (ngx_http_prom_poll_address(&pd->at, &pd->addr, pd->request->pool)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                   "get prom poll peer %V, try %ui",
                   &pd->addr.name, pc->tries);

    pc->sockaddr = pd->addr.sockaddr;
    pc->socklen = pd->addr.socklen;
    pc->name = &pd->addr.name;
    pc->cached = 0;

    pc->connection = ngx_http_prom_poll_peer_idle(pd, pc->log);

    if (pc->connection) {
        pc->cached = 1;
        return NGX_DONE;
    }

    return NGX_OK;
}


/*
 * A push that went out on a connection which is closed already would be lost,
 * so it is asked first.
 */

static ngx_connection_t *
ngx_http_prom_poll_peer_idle(ngx_http_prom_poll_peer_data_t *pd,
    ngx_log_t *log)
{
    char               buf[1];
    ngx_connection_t  *c;

    for ( ;; ) {
        pd->idle = NULL;

        c = ngx_http_prom_peer_cache_take(pd->cache, &pd->key, log, &pd->idle);

        if (c == NULL) {
            return NULL;
        }

        if (recv(c->fd, buf, 1, MSG_PEEK) == -1
            && ngx_socket_errno == NGX_EAGAIN)
        {
            ngx_log_debug1(NGX_LOG_DEBUG_HTTP, log, 0,
                           "get prom poll peer: using connection %p", c);
            return c;
        }

        ngx_destroy_pool(c->pool);
        ngx_close_connection(c);
    }
}


static void
ngx_http_prom_poll_peer_free(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state)
{
    ngx_http_prom_poll_peer_data_t *pd = data;

    ngx_http_upstream_t          *u;
    ngx_http_prom_poll_worker_t  *worker;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                   "free prom poll peer %V, state %ui", &pd->addr.name, state);

    u = pd->request->upstream;

    if (state & NGX_PEER_FAILED || pc->connection == NULL) {

        worker = ngx_http_prom_poll_worker();

        if (worker && !pc->cached) {

            if (pc->connection == NULL) {
                /* connect() failed */
                ngx_http_prom_poll_lost(&pd->at);
            }

            pd->at = worker->at;
        }

    } else if (u->keepalive
               && u->request_body_sent
               && ngx_http_prom_peer_cache_put(pd->cache, &pd->key,
                                               pc->connection, pd->idle)
                  == NGX_OK)
    {
        ngx_log_debug1(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                       "free prom poll peer: saving connection %p",
                       pc->connection);
        pc->connection = NULL;
    }

    if (pc->tries) {
        pc->tries--;
    }
}


/* the hop is over; nginx's own page would tell nobody anything */

static void
ngx_http_prom_poll_peer_finalize(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_http_upstream_t             *u;
    ngx_http_prom_poll_peer_data_t  *pd;

    u = r->upstream;
    pd = u->peer.data;

    pd->finalize(r, rc);

    if (u->header_sent || r->header_sent || r->connection->error) {
        return;
    }

    if (rc == NGX_HTTP_BAD_GATEWAY || rc == NGX_HTTP_GATEWAY_TIME_OUT) {
        ngx_http_prom_poll_peer_failed(r, pd->ctx, rc);

        /* nginx only ends it now */
        u->header_sent = 1;
    }
}


static void
ngx_http_prom_poll_peer_failed(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx, ngx_uint_t status)
{
    r->keepalive = 0;

    switch (ctx->kind) {

    case NGX_HTTP_PROM_POLL_POLL:

        /* it comes back at once, and to whom there is */

        r->headers_out.status = NGX_HTTP_NO_CONTENT;
        r->header_only = 1;

        (void) ngx_http_send_header(r);
        break;

    case NGX_HTTP_PROM_POLL_PUSH:
        (void) ngx_http_prom_poll_refuse(r, status,
                             "the scrape that this is the answer of has gone "
                             "with its worker");
        break;

    default:
        (void) ngx_http_prom_poll_refuse(r, status,
                             "%V: the worker that has its client has gone",
                             &ctx->name);
        break;
    }
}


static ngx_int_t
ngx_http_prom_poll_peer_init_upstream(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_http_prom_poll_peer_srv_conf_t  *pscf;

    if (ngx_http_prom_peer_alone(cf, us, "prom_poll_peer",
                                 ngx_http_prom_poll_peer_init_upstream)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    us->peer.init = ngx_http_prom_poll_peer_init;

    pscf = ngx_http_conf_upstream_srv_conf(us, ngx_http_prom_poll_peer_module);

    return ngx_http_prom_peer_cache_init(&pscf->cache, cf->pool);
}


static ngx_int_t
ngx_http_prom_poll_peer_postconfiguration(ngx_conf_t *cf)
{
    ngx_http_prom_peer_unwrap(cf, ngx_http_prom_poll_peer_init_upstream,
                              ngx_http_prom_poll_peer_init);

    return NGX_OK;
}


static void *
ngx_http_prom_poll_peer_create_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_prom_poll_peer_srv_conf_t));
}


static char *
ngx_http_prom_poll_peer(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_prom_poll_peer_srv_conf_t *pscf = conf;

    /* less than nginx's keepalive_timeout at the other end */

    pscf->cache.max = 256;
    pscf->cache.timeout = 60000;

    return ngx_http_prom_peer_set(cf, cmd, &pscf->cache,
                                  ngx_http_prom_poll_peer_init_upstream);
}
