/*
 * The target of a request in absolute form, RFC 9112, 3.2.2: taken from the
 * request line as it came, since what nginx makes of its path, and of its
 * host, is another text.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_forward.h"


static u_char *ngx_http_prom_forward_scheme(u_char *p, u_char *last,
    ngx_http_prom_forward_ctx_t *ctx);
static u_char *ngx_http_prom_forward_authority(u_char *p, u_char *last,
    ngx_prom_forward_query_t *query);


ngx_int_t
ngx_http_prom_forward_uri(ngx_http_request_t *r,
    ngx_http_prom_forward_ctx_t *ctx)
{
    u_char     *p, *last, *end;
    ngx_str_t  *uri;

    p = r->request_line.data + r->method_name.len;
    last = r->request_line.data + r->request_line.len;

    if (r->http_version < NGX_HTTP_VERSION_10
        || r->http_version >= NGX_HTTP_VERSION_20)
    {
        return NGX_DECLINED;
    }

    while (p < last && *p == ' ') {
        p++;
    }

    for (end = p; end < last && *end > ' ' && *end != 0x7f; end++) {

        if (*end == '#') {
            return NGX_DECLINED;
        }
    }

    if (end == last || *end != ' ') {
        return NGX_DECLINED;
    }

    p = ngx_http_prom_forward_scheme(p, end, ctx);

    if (p == NULL) {
        return NGX_DECLINED;
    }

    p = ngx_http_prom_forward_authority(p, end, &ctx->query);

    if (p == NULL) {
        return NGX_DECLINED;
    }

    uri = &ctx->uri;

    if (p < end && *p == '/') {
        uri->data = p;
        uri->len = end - p;

        return NGX_OK;
    }

    /* "http://host", "http://host?args" */

    uri->len = end - p + 1;
    uri->data = ngx_pnalloc(r->pool, uri->len);
    if (uri->data == NULL) {
        return NGX_ERROR;
    }

    uri->data[0] = '/';
    ngx_memcpy(uri->data + 1, p, end - p);

    return NGX_OK;
}


static u_char *
ngx_http_prom_forward_scheme(u_char *p, u_char *last,
    ngx_http_prom_forward_ctx_t *ctx)
{
    if ((size_t) (last - p) > sizeof("http://") - 1
        && ngx_strncasecmp(p, (u_char *) "http://", sizeof("http://") - 1)
           == 0)
    {

        /* one that is upgraded has the port of what it becomes */

        ctx->query.port =
            (ctx->query.forward->scheme == NGX_PROM_FORWARD_HTTPS) ? 443 : 80;

        return p + sizeof("http://") - 1;
    }

    if ((size_t) (last - p) > sizeof("https://") - 1
        && ngx_strncasecmp(p, (u_char *) "https://", sizeof("https://") - 1)
           == 0)
    {
        ctx->tls = 1;
        ctx->query.port = 443;
        return p + sizeof("https://") - 1;
    }

    return NULL;
}


/* returns where the path or the arguments begin, or NULL */

static u_char *
ngx_http_prom_forward_authority(u_char *p, u_char *last,
    ngx_prom_forward_query_t *query)
{
    u_char     *end, *port;
    ngx_int_t   n;

    for (end = p; end < last && *end != '/' && *end != '?'; end++) {

        if (*end == '@' || *end == '\\') {
            return NULL;
        }
    }

    query->host.data = p;

    if (p < end && *p == '[') {
        port = ngx_strlchr(p, end, ']');

        if (port == NULL) {
            return NULL;
        }

        query->host.data++;
        query->host.len = port - query->host.data;
        port++;

        /* brackets are for IPv6 alone */

        if (ngx_strlchr(query->host.data, port, ':') == NULL) {
            return NULL;
        }

    } else {
        port = ngx_strlchr(p, end, ':');

        if (port == NULL) {
            port = end;
        }

        query->host.len = port - p;
    }

    if (query->host.len == 0) {
        return NULL;
    }

    if (port == end) {
        return end;
    }

    if (*port++ != ':') {
        return NULL;
    }

    n = ngx_atoi(port, end - port);

    if (n == NGX_ERROR) {
        return NULL;
    }

    /* what is no port is refused by the decision, with a reason */

    query->port = (ngx_uint_t) n;

    return end;
}
