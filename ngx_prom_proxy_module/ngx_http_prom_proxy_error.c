/*
 * Failures as their reader will meet them: one line that names the target,
 * what was tried and why it went wrong.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_proxy.h"


/* the fixed text of the longest line, an errno's text, a path's excerpt */

#define NGX_HTTP_PROM_ERROR_LEN  512
#define NGX_HTTP_PROM_PATH_LEN   256


static u_char *ngx_http_prom_proxy_error_path(u_char *p, u_char *last,
    ngx_str_t *uri);
static u_char *ngx_http_prom_proxy_reason_connect(u_char *p, u_char *last,
    const ngx_http_prom_reason_t *reason);
static u_char *ngx_http_prom_proxy_reason_node(u_char *p, u_char *last,
    const ngx_http_prom_tunnel_t *tunnel);
static u_char *ngx_http_prom_proxy_reason_poll(u_char *p, u_char *last,
    const ngx_http_prom_tunnel_t *tunnel);
static u_char *ngx_http_prom_proxy_reason_tunnel(u_char *p, u_char *last,
    const ngx_http_prom_tunnel_t *tunnel);
static u_char *ngx_http_prom_proxy_reason_time(u_char *p, u_char *last,
    uint64_t ms);
static u_char *ngx_http_prom_proxy_lower(u_char *start, u_char *p);


void
ngx_http_prom_proxy_fail(ngx_http_prom_proxy_ctx_t *ctx,
    ngx_http_prom_fail_e fail, ngx_int_t code)
{
    if (fail > ctx->fail) {
        ctx->fail = fail;
        ctx->code = code;
    }
}


ngx_int_t
ngx_http_prom_proxy_error(ngx_http_request_t *r, ngx_str_t *line)
{
    u_char                           *p, *last;
    size_t                            len;
    ngx_prom_item_t                   item;
    ngx_http_prom_tunnel_t            tunnel;
    ngx_http_prom_reason_t            reason;
    ngx_http_prom_origins_t           origins;
    ngx_http_prom_proxy_ctx_t        *ctx;
    ngx_http_prom_proxy_main_conf_t  *pmcf;

    ctx = ngx_http_prom_proxy_ctx(r);
    pmcf = ngx_http_get_module_main_conf(r, ngx_http_prom_proxy_module);

    len = NGX_HTTP_PROM_ERROR_LEN;

    if (ctx && ctx->found) {
        len += ctx->route.name.len + ctx->route.authority.len
               + ctx->route.base.len;

    } else {
        len += NGX_HTTP_PROM_PATH_LEN;
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    line->data = p;
    last = p + len;

    if (ctx && ctx->found) {
        p = ngx_slprintf(p, last, "%V: ", &ctx->route.name);

        reason.fail = ctx->fail;
        reason.code = ctx->code;
        reason.timeout = ctx->timeout;
        reason.kind = ctx->route.kind;
        reason.authority = ctx->route.authority;
        reason.host = ctx->route.host;
        reason.base = ctx->route.base;
        reason.tunnel = &tunnel;

        ngx_memzero(&item, sizeof(ngx_prom_item_t));

        item.name = ctx->route.name;
        item.kind = ctx->route.kind;
        item.tunnel = ctx->route.tunnel;
        item.node = ctx->route.node;
        item.ip = ctx->route.ip;

        ngx_http_prom_proxy_origins(r, &origins);
        ngx_http_prom_proxy_tunnel(&origins, &item, &tunnel);

        p = ngx_http_prom_proxy_reason(p, last, &reason);

    } else {
        p = ngx_slprintf(p, last, "no target for \"");
        p = ngx_http_prom_proxy_error_path(p, last, &r->uri);
        p = ngx_slprintf(p, last, "\": a target's path is /NAME/ with a NAME "
                                  "of the targets%s or the hosts file%s",
                         pmcf->sources[NGX_PROM_SOURCE_NODES].file.len
                         ? ", the nodes" : "",
                         ngx_http_prom_proxy_poll_zone(r)
                         ? ", or of a client that polls" : "");
    }

    line->len = p - line->data;

    return NGX_OK;
}


static u_char *
ngx_http_prom_proxy_error_path(u_char *p, u_char *last, ngx_str_t *uri)
{
    size_t  n;

    last = ngx_min(last, p + NGX_HTTP_PROM_PATH_LEN);

    for (n = 0; n < uri->len && p < last; n++) {
        *p++ = (uri->data[n] < 0x20 || uri->data[n] > 0x7e)
               ? '?' : uri->data[n];
    }

    return p;
}


u_char *
ngx_http_prom_proxy_reason(u_char *p, u_char *last,
    const ngx_http_prom_reason_t *reason)
{
    u_char  *start;

    switch (reason->fail) {

    case NGX_HTTP_PROM_FAIL_PATH:
        return ngx_slprintf(p, last, "the path leads out of \"%V/\"",
                            &reason->base);

    case NGX_HTTP_PROM_FAIL_RESOLVER:
        return ngx_slprintf(p, last, "%V cannot be resolved: "
                            "no \"resolver\" is configured", &reason->host);

    case NGX_HTTP_PROM_FAIL_RESOLVE:
        p = ngx_slprintf(p, last, "%V could not be resolved: ", &reason->host);
        start = p;
        p = ngx_slprintf(p, last, "%s", ngx_resolver_strerror(reason->code));
        return ngx_http_prom_proxy_lower(start, p);

    case NGX_HTTP_PROM_FAIL_POLL:
        return ngx_http_prom_proxy_reason_poll(p, last, reason->tunnel);

    case NGX_HTTP_PROM_FAIL_CONNECT:
        return ngx_http_prom_proxy_reason_connect(p, last, reason);

    case NGX_HTTP_PROM_FAIL_CONNECT_TIME:
        p = ngx_slprintf(p, last, "connect to %V: timed out",
                         &reason->authority);
        return ngx_http_prom_proxy_reason_node(p, last, reason->tunnel);

    case NGX_HTTP_PROM_FAIL_CROWDED:
        return ngx_slprintf(p, last, "there are too many connections already");

    case NGX_HTTP_PROM_FAIL_TLS:
        return ngx_slprintf(p, last, "TLS handshake with %V failed",
                            &reason->authority);

    case NGX_HTTP_PROM_FAIL_TLS_TIME:
        return ngx_slprintf(p, last, "TLS handshake with %V: timed out",
                            &reason->authority);

    case NGX_HTTP_PROM_FAIL_TLS_VERIFY:
#if (NGX_HTTP_SSL)
        return ngx_slprintf(p, last, "certificate of %V: %s",
                            &reason->authority,
                            X509_verify_cert_error_string(reason->code));
#else
        break;
#endif

    case NGX_HTTP_PROM_FAIL_TLS_NAME:
        return ngx_slprintf(p, last, "certificate of %V: "
                            "is for another name", &reason->authority);

    case NGX_HTTP_PROM_FAIL_CLOSED:
        return ngx_slprintf(p, last, "%V closed the connection without an "
                            "answer%s", &reason->authority,
                            (reason->kind == NGX_PROM_ADDRESS_LOCALHOST)
                            ? ", the tunnel is there but nothing may listen "
                              "at its other end" : "");

    case NGX_HTTP_PROM_FAIL_HEADER:
        return ngx_slprintf(p, last, "the answer of %V is not valid HTTP",
                            &reason->authority);

    case NGX_HTTP_PROM_FAIL_TIME:
        return ngx_slprintf(p, last, "no answer from %V in time",
                            &reason->authority);

    case NGX_HTTP_PROM_FAIL_BODY:
        return ngx_slprintf(p, last, "%V broke its answer off",
                            &reason->authority);

    case NGX_HTTP_PROM_FAIL_DEADLINE:
        p = ngx_slprintf(p, last, (reason->kind == NGX_PROM_ADDRESS_POLL)
                         ? "no answer of its client for %V within the scrape "
                           "timeout of %M"
                         : "no answer from %V within the scrape timeout of %M",
                         &reason->authority, reason->timeout / 1000);

        if (reason->timeout % 1000) {
            p = ngx_slprintf(p, last, ".%03M", reason->timeout % 1000);
        }

        p = ngx_slprintf(p, last, "s");
        return ngx_http_prom_proxy_reason_node(p, last, reason->tunnel);

    case NGX_HTTP_PROM_FAIL_ABORTED:
        return ngx_slprintf(p, last, "the scraper closed the connection "
                            "before the answer of %V was whole",
                            &reason->authority);

    default:
        break;
    }

    return ngx_slprintf(p, last, "internal error, see the error log");
}


static u_char *
ngx_http_prom_proxy_reason_connect(u_char *p, u_char *last,
    const ngx_http_prom_reason_t *reason)
{
    u_char      *start;
    ngx_uint_t   none;

    none = (reason->kind == NGX_PROM_ADDRESS_LOCALHOST
            && reason->code == NGX_ECONNREFUSED);

    p = ngx_slprintf(p, last, "%sconnect to %V: ", none ? "no tunnel: " : "",
                     &reason->authority);

    if (reason->code == 0) {
        return ngx_slprintf(p, last, "refused or unreachable");
    }

    start = p;
    p = ngx_strerror(reason->code, p, last - p);
    p = ngx_http_prom_proxy_lower(start, p);

    if (none && reason->tunnel) {
        p = ngx_http_prom_proxy_reason_tunnel(p, last, reason->tunnel);
    }

    return ngx_http_prom_proxy_reason_node(p, last, reason->tunnel);
}


/* what is known of a node that can't be reached */

static u_char *
ngx_http_prom_proxy_reason_node(u_char *p, u_char *last,
    const ngx_http_prom_tunnel_t *tunnel)
{
    if (tunnel == NULL
        || tunnel->transport != NGX_HTTP_PROM_TRANSPORT_WIREGUARD)
    {
        return p;
    }

    switch (tunnel->state) {

    case NGX_HTTP_PROM_TUNNEL_NEVER:
        return ngx_slprintf(p, last, ", there was no handshake with its node "
                            "yet");

    case NGX_HTTP_PROM_TUNNEL_CLOSED:
        p = ngx_slprintf(p, last, ", the last handshake with its node was ");

        return ngx_http_prom_proxy_reason_time(p, last, tunnel->since);

    default:
        return p;
    }
}


static u_char *
ngx_http_prom_proxy_reason_poll(u_char *p, u_char *last,
    const ngx_http_prom_tunnel_t *tunnel)
{
    p = ngx_slprintf(p, last, "no client polls for this name");

    if (tunnel == NULL
        || tunnel->state != NGX_HTTP_PROM_TUNNEL_CLOSED
        || tunnel->ended == 0)
    {
        return p;
    }

    p = ngx_slprintf(p, last, ", its last poll ended ");

    return ngx_http_prom_proxy_reason_time(p, last, tunnel->ended);
}


/* what is known of the host of a port that nobody listens on */

static u_char *
ngx_http_prom_proxy_reason_tunnel(u_char *p, u_char *last,
    const ngx_http_prom_tunnel_t *tunnel)
{
    switch (tunnel->state) {

    case NGX_HTTP_PROM_TUNNEL_NEVER:
        return ngx_slprintf(p, last, ", its host was never connected");

    case NGX_HTTP_PROM_TUNNEL_CLOSED:
        p = ngx_slprintf(p, last, ", its host is not connected");

        if (tunnel->ended == 0) {
            return p;
        }

        p = ngx_slprintf(p, last, " since ");

        return ngx_http_prom_proxy_reason_time(p, last, tunnel->ended);

    case NGX_HTTP_PROM_TUNNEL_CONNECTED:
        return ngx_slprintf(p, last, ", its host is connected but doesn't "
                            "forward this port");

    default:
        return p;
    }
}


static u_char *
ngx_http_prom_proxy_reason_time(u_char *p, u_char *last, uint64_t ms)
{
    ngx_tm_t  tm;

    ngx_gmtime((time_t) (ms / 1000), &tm);

    return ngx_slprintf(p, last, "%4d-%02d-%02dT%02d:%02d:%02dZ",
                        tm.ngx_tm_year, tm.ngx_tm_mon, tm.ngx_tm_mday,
                        tm.ngx_tm_hour, tm.ngx_tm_min, tm.ngx_tm_sec);
}


/* library texts begin with a capital letter, ours go on in a line */

static u_char *
ngx_http_prom_proxy_lower(u_char *start, u_char *p)
{
    if (start < p) {
        *start = ngx_tolower(*start);
    }

    return p;
}
