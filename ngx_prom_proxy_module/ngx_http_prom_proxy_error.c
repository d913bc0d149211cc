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
    u_char                     *p, *last;
    size_t                      len;
    ngx_http_prom_reason_t      reason;
    ngx_http_prom_proxy_ctx_t  *ctx;

    ctx = ngx_http_prom_proxy_ctx(r);

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

        p = ngx_http_prom_proxy_reason(p, last, &reason);

    } else {
        p = ngx_slprintf(p, last, "no target for \"");
        p = ngx_http_prom_proxy_error_path(p, last, &r->uri);
        p = ngx_slprintf(p, last, "\": a target's path is /NAME/ with a NAME "
                                  "of the targets file");
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

    case NGX_HTTP_PROM_FAIL_CONNECT:
        return ngx_http_prom_proxy_reason_connect(p, last, reason);

    case NGX_HTTP_PROM_FAIL_CONNECT_TIME:
        return ngx_slprintf(p, last, "connect to %V: timed out",
                            &reason->authority);

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
        p = ngx_slprintf(p, last, "no answer from %V within the scrape "
                         "timeout of %M", &reason->authority,
                         reason->timeout / 1000);

        if (reason->timeout % 1000) {
            p = ngx_slprintf(p, last, ".%03M", reason->timeout % 1000);
        }

        return ngx_slprintf(p, last, "s");

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
    u_char  *start;

    p = ngx_slprintf(p, last, "%sconnect to %V: ",
                     (reason->kind == NGX_PROM_ADDRESS_LOCALHOST
                      && reason->code == NGX_ECONNREFUSED)
                     ? "no tunnel: " : "", &reason->authority);

    if (reason->code == 0) {
        return ngx_slprintf(p, last, "refused or unreachable");
    }

    start = p;
    p = ngx_strerror(reason->code, p, last - p);

    return ngx_http_prom_proxy_lower(start, p);
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
