/*
 * From a route to the addresses to dial, just before the content phase, so
 * that access control has had its say; and the deadline of a scrape.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_proxy.h"


#define NGX_HTTP_PROM_PROXY_GRACE  1000


static ngx_int_t ngx_http_prom_proxy_inet(ngx_http_request_t *r,
    ngx_http_prom_proxy_ctx_t *ctx);
static ngx_int_t ngx_http_prom_proxy_unix(ngx_http_request_t *r,
    ngx_http_prom_proxy_ctx_t *ctx);
static ngx_int_t ngx_http_prom_proxy_resolve(ngx_http_request_t *r,
    ngx_http_prom_proxy_ctx_t *ctx);
static void ngx_http_prom_proxy_resolved(ngx_resolver_ctx_t *rctx);
static ngx_int_t ngx_http_prom_proxy_set_addr(ngx_http_request_t *r,
    ngx_http_prom_proxy_ctx_t *ctx, ngx_addr_t *addr,
    struct sockaddr *sockaddr, socklen_t socklen);
static ngx_msec_t ngx_http_prom_proxy_parse_timeout(ngx_str_t *value);
static void ngx_http_prom_proxy_late(ngx_event_t *ev);


static const ngx_str_t  ngx_http_prom_proxy_timeout_name =
    ngx_string("x-prometheus-scrape-timeout-seconds");


ngx_int_t
ngx_http_prom_proxy_resolve_handler(ngx_http_request_t *r)
{
    ngx_int_t                   rc;
    ngx_http_prom_proxy_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_prom_proxy_module);

    if (ctx == NULL || !ctx->found || ctx->addrs) {
        return NGX_DECLINED;
    }

    if (ctx->late) {
        return NGX_HTTP_GATEWAY_TIME_OUT;
    }

    if (ctx->fail != NGX_HTTP_PROM_FAIL_NONE) {
        return (ctx->fail == NGX_HTTP_PROM_FAIL_POLL)
               ? NGX_HTTP_SERVICE_UNAVAILABLE : NGX_HTTP_BAD_GATEWAY;
    }

    if (ctx->resolving) {
        return NGX_DONE;
    }

    switch (ctx->route.kind) {

    case NGX_PROM_ADDRESS_UNIX:
        rc = ngx_http_prom_proxy_unix(r, ctx);
        break;

    case NGX_PROM_ADDRESS_DNS:
        return ngx_http_prom_proxy_resolve(r, ctx);

    case NGX_PROM_ADDRESS_POLL:
        rc = ngx_http_prom_proxy_poll(r, ctx);

        if (rc == NGX_DECLINED) {
            ngx_http_prom_proxy_fail(ctx, NGX_HTTP_PROM_FAIL_POLL, 0);
            return NGX_HTTP_SERVICE_UNAVAILABLE;
        }

        break;

    default:
        rc = ngx_http_prom_proxy_inet(r, ctx);
    }

    return (rc == NGX_OK) ? NGX_DECLINED : NGX_HTTP_INTERNAL_SERVER_ERROR;
}


static ngx_int_t
ngx_http_prom_proxy_inet(ngx_http_request_t *r, ngx_http_prom_proxy_ctx_t *ctx)
{
    ngx_uint_t                        n;
    struct sockaddr_in                sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6               sin6;
    ngx_http_prom_proxy_main_conf_t  *pmcf;
#endif

    /* "localhost" is both loopback addresses, as sshd listens on them */

    ctx->addrs = ngx_palloc(r->pool, 2 * sizeof(ngx_addr_t));
    if (ctx->addrs == NULL) {
        return NGX_ERROR;
    }

    n = 0;

    if (ctx->route.kind != NGX_PROM_ADDRESS_IPV6) {
        ngx_memzero(&sin, sizeof(struct sockaddr_in));

        sin.sin_family = AF_INET;

        if (ctx->route.kind == NGX_PROM_ADDRESS_IPV4) {
            ngx_memcpy(&sin.sin_addr, ctx->route.ip, 4);

        } else {
            sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        }

        if (ngx_http_prom_proxy_set_addr(r, ctx, &ctx->addrs[n++],
                                         (struct sockaddr *) &sin,
                                         sizeof(struct sockaddr_in))
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

#if (NGX_HAVE_INET6)

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_prom_proxy_module);

    if (ctx->route.kind == NGX_PROM_ADDRESS_IPV6
        || (ctx->route.kind == NGX_PROM_ADDRESS_LOCALHOST && pmcf->loopback6))
    {
        ngx_memzero(&sin6, sizeof(struct sockaddr_in6));

        sin6.sin6_family = AF_INET6;

        if (ctx->route.kind == NGX_PROM_ADDRESS_IPV6) {
            ngx_memcpy(&sin6.sin6_addr, ctx->route.ip, 16);

        } else {
            sin6.sin6_addr.s6_addr[15] = 1;
        }

        if (ngx_http_prom_proxy_set_addr(r, ctx, &ctx->addrs[n++],
                                         (struct sockaddr *) &sin6,
                                         sizeof(struct sockaddr_in6))
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

#endif

    ctx->naddrs = n;

    return NGX_OK;
}


static ngx_int_t
ngx_http_prom_proxy_unix(ngx_http_request_t *r, ngx_http_prom_proxy_ctx_t *ctx)
{
    ngx_str_t           *host;
    struct sockaddr_un   saun;

    host = &ctx->route.host;

    if (host->len >= sizeof(saun.sun_path)) {
        return NGX_ERROR;
    }

    ngx_memzero(&saun, sizeof(struct sockaddr_un));

    saun.sun_family = AF_UNIX;
    ngx_memcpy(saun.sun_path, host->data, host->len);

    ctx->addrs = ngx_palloc(r->pool, sizeof(ngx_addr_t));
    if (ctx->addrs == NULL) {
        return NGX_ERROR;
    }

    ctx->naddrs = 1;

    return ngx_http_prom_proxy_set_addr(r, ctx, ctx->addrs,
                                        (struct sockaddr *) &saun,
                                        sizeof(struct sockaddr_un));
}


static ngx_int_t
ngx_http_prom_proxy_resolve(ngx_http_request_t *r,
    ngx_http_prom_proxy_ctx_t *ctx)
{
    ngx_resolver_ctx_t         temp, *rctx;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    /* a copy: the resolver puts it into lower case, in place */

    temp.name.len = ctx->route.host.len;
    temp.name.data = ngx_pstrdup(r->pool, &ctx->route.host);
    if (temp.name.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rctx = ngx_resolve_start(clcf->resolver, &temp);

    if (rctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rctx == NGX_NO_RESOLVER) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "no resolver defined to resolve %V", &ctx->route.host);
        ngx_http_prom_proxy_fail(ctx, NGX_HTTP_PROM_FAIL_RESOLVER, 0);
        return NGX_HTTP_BAD_GATEWAY;
    }

    rctx->name = temp.name;
    rctx->handler = ngx_http_prom_proxy_resolved;
    rctx->data = r;
    rctx->timeout = clcf->resolver_timeout;

    ctx->resolving = rctx;

    if (ngx_resolve_name(rctx) != NGX_OK) {
        ctx->resolving = NULL;
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->resolving) {

        /* a client that goes away meanwhile ends the request */

        r->read_event_handler = ngx_http_test_reading;
        r->write_event_handler = ngx_http_request_empty_handler;

        return NGX_DONE;
    }

    /* answered from the cache */

    if (ctx->addrs) {
        return NGX_DECLINED;
    }

    return (ctx->fail == NGX_HTTP_PROM_FAIL_NONE)
           ? NGX_HTTP_INTERNAL_SERVER_ERROR : NGX_HTTP_BAD_GATEWAY;
}


static void
ngx_http_prom_proxy_resolved(ngx_resolver_ctx_t *rctx)
{
    ngx_uint_t                  i, async;
    ngx_connection_t           *c;
    ngx_http_request_t         *r;
    ngx_http_prom_proxy_ctx_t  *ctx;

    r = rctx->data;
    c = r->connection;
    ctx = ngx_http_get_module_ctx(r, ngx_http_prom_proxy_module);

    async = rctx->async;

    ngx_http_set_log_request(c->log, r);

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, c->log, 0,
                   "prom proxy: resolved \"%V\": %i",
                   &rctx->name, rctx->state);

    if (rctx->state) {
        ngx_log_error(NGX_LOG_ERR, c->log, 0,
                      "%V could not be resolved (%i: %s)",
                      &rctx->name, rctx->state,
                      ngx_resolver_strerror(rctx->state));

        ngx_http_prom_proxy_fail(ctx, NGX_HTTP_PROM_FAIL_RESOLVE,
                                 rctx->state);
        goto done;
    }

    ctx->addrs = ngx_palloc(r->pool, rctx->naddrs * sizeof(ngx_addr_t));
    if (ctx->addrs == NULL) {
        goto done;
    }

    for (i = 0; i < rctx->naddrs; i++) {

        if (ngx_http_prom_proxy_set_addr(r, ctx, &ctx->addrs[i],
                                         rctx->addrs[i].sockaddr,
                                         rctx->addrs[i].socklen)
            != NGX_OK)
        {
            ctx->addrs = NULL;
            goto done;
        }
    }

    ctx->naddrs = rctx->naddrs;

done:

    ngx_resolve_name_done(rctx);
    ctx->resolving = NULL;

    if (!async) {
        return;
    }

    if (ctx->addrs == NULL) {
        ngx_http_finalize_request(r, (ctx->fail == NGX_HTTP_PROM_FAIL_NONE)
                                     ? NGX_HTTP_INTERNAL_SERVER_ERROR
                                     : NGX_HTTP_BAD_GATEWAY);

    } else {
        r->read_event_handler = ngx_http_block_reading;
        r->write_event_handler = ngx_http_core_run_phases;
        ngx_http_core_run_phases(r);
    }

    ngx_http_run_posted_requests(c);
}


/* copies an address into the request's pool, with the target's port */

static ngx_int_t
ngx_http_prom_proxy_set_addr(ngx_http_request_t *r,
    ngx_http_prom_proxy_ctx_t *ctx, ngx_addr_t *addr,
    struct sockaddr *sockaddr, socklen_t socklen)
{
    u_char  *p;
    size_t   len;

    addr->sockaddr = ngx_palloc(r->pool, socklen);
    if (addr->sockaddr == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(addr->sockaddr, sockaddr, socklen);
    addr->socklen = socklen;

    if (sockaddr->sa_family != AF_UNIX) {
        ngx_inet_set_port(addr->sockaddr, ctx->route.port);
    }

    p = ngx_pnalloc(r->pool, NGX_SOCKADDR_STRLEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    len = ngx_sock_ntop(addr->sockaddr, socklen, p, NGX_SOCKADDR_STRLEN, 1);

    addr->name.data = p;
    addr->name.len = len;

    return NGX_OK;
}


void
ngx_http_prom_proxy_deadline(ngx_http_request_t *r,
    ngx_http_prom_proxy_ctx_t *ctx)
{
    ngx_time_t      *tp;
    ngx_msec_t       timeout;
    ngx_msec_int_t   spent;

    ctx->timeout = ngx_http_prom_proxy_timeout(r);

    if (ctx->timeout == 0) {
        return;
    }

    /* from the request's arrival, as the scraper counts */

    tp = ngx_timeofday();

    spent = (ngx_msec_int_t) ((tp->sec - r->start_sec) * 1000
                              + (tp->msec - r->start_msec));
    spent = ngx_max(spent, 0);

    ctx->deadline.handler = ngx_http_prom_proxy_late;
    ctx->deadline.data = ctx;
    ctx->deadline.log = r->connection->log;

    timeout = ctx->timeout;

    if (ctx->route.kind == NGX_PROM_ADDRESS_POLL) {
        /* the worker that has the client has the same one, and knows more */
        timeout += NGX_HTTP_PROM_PROXY_GRACE;
    }

    ngx_add_timer(&ctx->deadline,
                  (timeout > (ngx_msec_t) spent)
                  ? timeout - (ngx_msec_t) spent : 1);
}


/*
 * X-Prometheus-Scrape-Timeout-Seconds in milliseconds, 0 if it is not there
 * or no such number; proxy_read_timeout alone holds then.
 */

ngx_msec_t
ngx_http_prom_proxy_timeout(ngx_http_request_t *r)
{
    ngx_msec_t                   timeout;
    ngx_table_elt_t             *header;
    ngx_http_prom_header_pos_t   pos;

    ngx_memzero(&pos, sizeof(ngx_http_prom_header_pos_t));

    header = ngx_http_prom_proxy_header(&r->headers_in.headers,
                                        &ngx_http_prom_proxy_timeout_name,
                                        &pos);
    if (header == NULL) {
        return 0;
    }

    timeout = ngx_http_prom_proxy_parse_timeout(&header->value);

    if (timeout == 0) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "client sent invalid \"%V: %V\" header",
                      &header->key, &header->value);
    }

    return timeout;
}


static ngx_msec_t
ngx_http_prom_proxy_parse_timeout(ngx_str_t *value)
{
    u_char     *p, *last;
    ngx_int_t   ms;

    /* Prometheus writes plain decimals: "10", "1.5", "0.25" */

    last = value->data + value->len;
    p = ngx_strlchr(value->data, last, '.');

    /* what is finer than a millisecond is dropped, but must be digits */

    if (p && last - p > 4) {

        if (ngx_atoi(p + 4, last - p - 4) == NGX_ERROR) {
            return 0;
        }

        last = p + 4;
    }

    ms = ngx_atofp(value->data, last - value->data, 3);

    if (ms == NGX_ERROR || ms > NGX_MAX_INT32_VALUE) {
        return 0;
    }

    return (ngx_msec_t) ms;
}


static void
ngx_http_prom_proxy_late(ngx_event_t *ev)
{
    ngx_event_t                *e;
    ngx_connection_t           *c;
    ngx_http_request_t         *r;
    ngx_http_prom_proxy_ctx_t  *ctx;

    ctx = ev->data;
    r = ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, c->log, 0,
                   "prom proxy: deadline of %M ms passed", ctx->timeout);

    ctx->late = 1;
    ngx_http_prom_proxy_fail(ctx, NGX_HTTP_PROM_FAIL_DEADLINE, 0);

    if (ctx->resolving) {
        ngx_resolve_name_done(ctx->resolving);
        ctx->resolving = NULL;

        ngx_http_finalize_request(r, NGX_HTTP_GATEWAY_TIME_OUT);
        ngx_http_run_posted_requests(c);
        return;
    }

#if (NGX_HTTP_CACHE)

    if (r->cache && r->cache->waiting) {

        /* let the wait for another's answer find that it was too long */

        e = &r->cache->wait_event;
        r->cache->wait_time = ngx_current_msec;

        if (e->timer_set) {
            ngx_del_timer(e);
        }

        e->handler(e);
        return;
    }

#endif

    if (r->upstream == NULL || r->upstream->peer.connection == NULL) {
        return;
    }

    /* let the upstream find that its own time is up */

    c = r->upstream->peer.connection;
    e = r->upstream->request_sent ? c->read : c->write;

    e->delayed = 0;         /* by proxy_limit_rate */
    e->timedout = 1;
    e->handler(e);
}
