/*
 * The balancer: dials the target that the router chose, one address after
 * the other, keeps its idle connections, and learns why a dial failed.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_proxy.h"
#include "ngx_http_prom_peer.h"


typedef struct {
    ngx_http_prom_peer_cache_t   cache;
} ngx_http_prom_peer_srv_conf_t;


typedef struct {
    ngx_http_prom_proxy_ctx_t   *ctx;
    ngx_http_upstream_t         *upstream;
    ngx_http_prom_peer_cache_t  *cache;

    ngx_str_t                    key;       /* of the idle connections */
    ngx_http_prom_peer_idle_t   *idle;      /* of the connection in use */

    ngx_uint_t                   current;   /* address */
} ngx_http_prom_peer_data_t;


static ngx_int_t ngx_http_prom_peer_init(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us);
static ngx_int_t ngx_http_prom_peer_get(ngx_peer_connection_t *pc,
    void *data);
static ngx_int_t ngx_http_prom_peer_key(ngx_http_prom_peer_data_t *pd,
    ngx_addr_t *addr);
static void ngx_http_prom_peer_free(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state);
static void ngx_http_prom_peer_failed(ngx_peer_connection_t *pc,
    ngx_http_prom_peer_data_t *pd, ngx_uint_t state);
static ngx_err_t ngx_http_prom_peer_connect_error(ngx_addr_t *addr);
#if (NGX_HTTP_SSL)
static void ngx_http_prom_peer_tls_failed(ngx_connection_t *c,
    ngx_http_prom_peer_data_t *pd);
static ngx_int_t ngx_http_prom_peer_set_session(ngx_peer_connection_t *pc,
    void *data);
static void ngx_http_prom_peer_save_session(ngx_peer_connection_t *pc,
    void *data);
#endif

static ngx_int_t ngx_http_prom_peer_init_upstream(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us);
static ngx_int_t ngx_http_prom_peer_postconfiguration(ngx_conf_t *cf);
static void *ngx_http_prom_peer_create_conf(ngx_conf_t *cf);
static char *ngx_http_prom_peer(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


static ngx_command_t  ngx_http_prom_peer_commands[] = {

    /* prom_proxy_peer [idle=NUMBER] [timeout=TIME]; dials routed targets */

    { ngx_string("prom_proxy_peer"),
      NGX_HTTP_UPS_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE12,
      ngx_http_prom_peer,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_prom_peer_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_prom_peer_postconfiguration,  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    ngx_http_prom_peer_create_conf,        /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_prom_peer_module = {
    NGX_MODULE_V1,
    &ngx_http_prom_peer_module_ctx,        /* module context */
    ngx_http_prom_peer_commands,           /* module directives */
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
ngx_http_prom_peer_init(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_http_upstream_t            *u;
    ngx_http_prom_peer_data_t      *pd;
    ngx_http_prom_proxy_ctx_t      *ctx;
    ngx_http_prom_peer_srv_conf_t  *pscf;

    ctx = ngx_http_prom_proxy_ctx(r);

    if (ctx == NULL || ctx->addrs == NULL) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "upstream \"%V\" dials targets that \"prom_proxy\" "
                      "has routed, and this request is none", &us->host);
        return NGX_ERROR;
    }

    pscf = ngx_http_conf_upstream_srv_conf(us, ngx_http_prom_peer_module);

    pd = ngx_pcalloc(r->pool, sizeof(ngx_http_prom_peer_data_t));
    if (pd == NULL) {
        return NGX_ERROR;
    }

    u = r->upstream;

    pd->ctx = ctx;
    pd->upstream = u;
    pd->cache = &pscf->cache;

    u->peer.data = pd;
    u->peer.get = ngx_http_prom_peer_get;
    u->peer.free = ngx_http_prom_peer_free;
    u->peer.tries = ctx->naddrs;
#if (NGX_HTTP_SSL)

    if (ctx->verify && u->ssl && !u->conf->ssl_session_reuse) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "certificates can't be verified with "
                      "\"proxy_ssl_session_reuse off\"");
        return NGX_ERROR;
    }

    u->peer.set_session = ngx_http_prom_peer_set_session;
    u->peer.save_session = ngx_http_prom_peer_save_session;
#endif

    /* passed while the body was read or a cache's lock awaited */

    if (ctx->late && ctx->request == r) {
        ngx_add_timer(&ctx->deadline, 1);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_prom_peer_get(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_prom_peer_data_t *pd = data;

    ngx_addr_t  *addr;

    addr = &pd->ctx->addrs[pd->current % pd->ctx->naddrs];

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                   "get prom peer \"%V\" at %V",
                   &pd->ctx->route.name, &addr->name);

    pc->sockaddr = addr->sockaddr;
    pc->socklen = addr->socklen;
    pc->name = &addr->name;
    pc->cached = 0;

    if (ngx_http_prom_peer_key(pd, addr) != NGX_OK) {
        return NGX_ERROR;
    }

    pd->idle = NULL;
    pc->connection = ngx_http_prom_peer_cache_take(pd->cache, &pd->key,
                                                   pc->log, &pd->idle);

    if (pc->connection) {
        ngx_log_debug1(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                       "get prom peer: using connection %p", pc->connection);
        pc->cached = 1;
        pd->ctx->reuses++;
        return NGX_DONE;
    }

    pd->ctx->connects++;

    /* what the free handler finds there is the dial's */

    ngx_set_errno(0);

    return NGX_OK;
}


/*
 * One address may have several TLS identities, and plain HTTP too. A name's
 * connections are told apart by address, so that they follow the name. All
 * clients that poll at one worker share those to its socket.
 */

static ngx_int_t
ngx_http_prom_peer_key(ngx_http_prom_peer_data_t *pd, ngx_addr_t *addr)
{
    u_char            *p;
    size_t             len;
    ngx_prom_route_t  *route;

    route = &pd->ctx->route;

    if (route->kind == NGX_PROM_ADDRESS_POLL) {
        pd->key = addr->name;
        return NGX_OK;
    }

    len = 1 + route->authority.len;

    if (route->kind == NGX_PROM_ADDRESS_DNS) {
        len += addr->name.len;
    }

    /* certificates may be verified in several ways */

    if (pd->ctx->verify) {
        len += pd->ctx->verify->key.len + 1;
    }

    p = ngx_pnalloc(pd->ctx->request->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    pd->key.data = p;
    pd->key.len = len;

    *p++ = route->tls ? 's' : 'p';
    p = ngx_cpymem(p, route->authority.data, route->authority.len);

    if (route->kind == NGX_PROM_ADDRESS_DNS) {
        p = ngx_cpymem(p, addr->name.data, addr->name.len);
    }

    if (pd->ctx->verify) {
        *p++ = ' ';
        ngx_memcpy(p, pd->ctx->verify->key.data, pd->ctx->verify->key.len);
    }

    return NGX_OK;
}


static void
ngx_http_prom_peer_free(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state)
{
    ngx_http_prom_peer_data_t *pd = data;

    ngx_http_upstream_t  *u;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                   "free prom peer \"%V\", state %ui",
                   &pd->ctx->route.name, state);

    u = pd->upstream;

    if (state & NGX_PEER_FAILED || pc->connection == NULL) {
        ngx_http_prom_peer_failed(pc, pd, state);

    } else if (u->keepalive
               && u->request_body_sent
               && ngx_http_prom_peer_cache_put(pd->cache, &pd->key,
                                               pc->connection, pd->idle)
                  == NGX_OK)
    {
        ngx_log_debug1(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                       "free prom peer: saving connection %p",
                       pc->connection);
        pc->connection = NULL;
    }

    if (pc->tries) {
        pc->tries--;
    }

    if (pd->ctx->late) {
        pc->tries = 0;
    }
}


static void
ngx_http_prom_peer_failed(ngx_peer_connection_t *pc,
    ngx_http_prom_peer_data_t *pd, ngx_uint_t state)
{
    ngx_err_t                   err;
    ngx_addr_t                 *addr;
    ngx_connection_t           *c;
    ngx_http_prom_fail_e        fail;
    ngx_http_prom_proxy_ctx_t  *ctx;

    c = pc->connection;
    ctx = pd->ctx;

    if (c == NULL) {
        /* connect() failed at once, or there was nothing to connect with */
        ngx_http_prom_proxy_fail(ctx, (state & NGX_PEER_FAILED)
                                      ? NGX_HTTP_PROM_FAIL_CONNECT
                                      : NGX_HTTP_PROM_FAIL_CROWDED, ngx_errno);

        if (ctx->route.kind == NGX_PROM_ADDRESS_POLL) {
            ngx_http_prom_proxy_poll_lost(ctx);
        }

        pd->current++;
        return;
    }

    if (pd->upstream->request_sent) {

        fail = (c->read->timedout || c->write->timedout)
               ? NGX_HTTP_PROM_FAIL_TIME
               : (c->read->eof || c->read->error || c->write->error)
                 ? NGX_HTTP_PROM_FAIL_CLOSED : NGX_HTTP_PROM_FAIL_HEADER;

        ngx_http_prom_proxy_fail(ctx, fail, 0);

#if (NGX_HTTP_SSL)
    } else if (c->ssl) {
        ngx_http_prom_peer_tls_failed(c, pd);
#endif

    } else if (c->write->timedout) {
        ngx_http_prom_proxy_fail(ctx, NGX_HTTP_PROM_FAIL_CONNECT_TIME, 0);

    } else if (!pc->cached) {
        addr = &ctx->addrs[pd->current % ctx->naddrs];
        err = ngx_http_prom_peer_connect_error(addr);
        ngx_http_prom_proxy_fail(ctx, NGX_HTTP_PROM_FAIL_CONNECT, err);
    }

    /* a connection that went stale says nothing about its address */

    if (!pc->cached) {
        pd->current++;
    }
}


/*
 * nginx has taken the error off the socket already, logged it and told no
 * one. A second dial to an address of this machine fails at once, with the
 * same error. Elsewhere the error stays unknown, 0: nothing waits for it.
 */

static ngx_err_t
ngx_http_prom_peer_connect_error(ngx_addr_t *addr)
{
    int           err;
    socklen_t     len;
    ngx_socket_t  s;

    s = ngx_socket(addr->sockaddr->sa_family, SOCK_STREAM, 0);

    if (s == (ngx_socket_t) -1) {
        return ngx_socket_errno;
    }

    err = 0;

    if (ngx_nonblocking(s) == -1) {
        goto done;
    }

    if (connect(s, addr->sockaddr, addr->socklen) == -1) {

        err = ngx_socket_errno;

        if (err != NGX_EINPROGRESS) {
            goto done;
        }
    }

    len = sizeof(int);

    if (getsockopt(s, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

done:

    if (ngx_close_socket(s) == -1) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, ngx_socket_errno,
                      ngx_close_socket_n " failed");
    }

    return err;
}


#if (NGX_HTTP_SSL)

static void
ngx_http_prom_peer_tls_failed(ngx_connection_t *c,
    ngx_http_prom_peer_data_t *pd)
{
    long                        rc;
    ngx_http_upstream_t        *u;
    ngx_http_prom_proxy_ctx_t  *ctx;

    u = pd->upstream;
    ctx = pd->ctx;

    if (ctx->verify && ngx_http_prom_verify_failed(c, ctx)) {
        return;
    }

    if (!c->ssl->handshaked) {
        ngx_http_prom_proxy_fail(ctx, c->write->timedout
                                      ? NGX_HTTP_PROM_FAIL_TLS_TIME
                                      : NGX_HTTP_PROM_FAIL_TLS, 0);
        return;
    }

    /* shaken hands, and then refused for the certificate */

    if (ctx->verify == NULL && u->conf->ssl_verify) {

        rc = SSL_get_verify_result(c->ssl->connection);

        if (rc != X509_V_OK) {
            ngx_http_prom_proxy_fail(ctx, NGX_HTTP_PROM_FAIL_TLS_VERIFY, rc);
            return;
        }

        if (ngx_ssl_check_host(c, &u->ssl_name) != NGX_OK) {
            ngx_http_prom_proxy_fail(ctx, NGX_HTTP_PROM_FAIL_TLS_NAME, 0);
            return;
        }
    }

    /* or by the server, as one does that misses ours */

    ngx_http_prom_proxy_fail(ctx, NGX_HTTP_PROM_FAIL_CLOSED, 0);
}


/* connections are kept instead of sessions */

static ngx_int_t
ngx_http_prom_peer_set_session(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_prom_peer_data_t *pd = data;

    if (pd->ctx->verify) {
        return ngx_http_prom_verify(pc->connection, pd->ctx);
    }

    return NGX_OK;
}


static void
ngx_http_prom_peer_save_session(ngx_peer_connection_t *pc, void *data)
{
}

#endif


static ngx_int_t
ngx_http_prom_peer_init_upstream(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_http_prom_peer_srv_conf_t  *pscf;

    if (ngx_http_prom_peer_alone(cf, us, "prom_proxy_peer",
                                 ngx_http_prom_peer_init_upstream)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    us->peer.init = ngx_http_prom_peer_init;

    pscf = ngx_http_conf_upstream_srv_conf(us, ngx_http_prom_peer_module);

    return ngx_http_prom_peer_cache_init(&pscf->cache, cf->pool);
}


static ngx_int_t
ngx_http_prom_peer_postconfiguration(ngx_conf_t *cf)
{
    ngx_http_prom_peer_unwrap(cf, ngx_http_prom_peer_init_upstream,
                              ngx_http_prom_peer_init);

    return NGX_OK;
}


static void *
ngx_http_prom_peer_create_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_prom_peer_srv_conf_t));
}


static char *
ngx_http_prom_peer(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_prom_peer_srv_conf_t *pscf = conf;

    pscf->cache.max = 1024;
    pscf->cache.timeout = 75000;

    return ngx_http_prom_peer_set(cf, cmd, &pscf->cache,
                                  ngx_http_prom_peer_init_upstream);
}
