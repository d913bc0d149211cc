/*
 * A scrape as its client is to read it: a request in absolute form, with the
 * headers that the scraper has meant for the target, the Id and the timeout.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_proxy.h"
#include "ngx_http_prom_poll.h"


static ngx_uint_t ngx_http_prom_poll_request_passes(ngx_table_elt_t *header);
static ngx_uint_t ngx_http_prom_poll_request_is_text(u_char *p, size_t len);
static void ngx_http_prom_poll_request_host(ngx_str_t *uri, ngx_str_t *host);
static size_t ngx_http_prom_poll_request_body(ngx_http_request_t *r);


/* in lower case: what ends here, or is set anew */

static ngx_str_t  ngx_http_prom_poll_request_own[] = {
    ngx_string("connection"),
    ngx_string("content-length"),
    ngx_string("expect"),
    ngx_string("host"),
    ngx_string("http2-settings"),
    ngx_string("id"),
    ngx_string("keep-alive"),
    ngx_string("prom-poll"),
    ngx_string("te"),
    ngx_string("trailer"),
    ngx_string("transfer-encoding"),
    ngx_string("upgrade"),
    ngx_string("x-prometheus-scrape-timeout-seconds"),
    ngx_null_string
};

/* Proxy-Authorization above all, which is for us alone */

static ngx_str_t  ngx_http_prom_poll_request_proxy = ngx_string("proxy-");


/* the body, if there is one, is in memory */

ngx_int_t
ngx_http_prom_poll_request(ngx_http_prom_poll_ctx_t *scrape, ngx_pool_t *pool,
    ngx_str_t *text)
{
    size_t                       len, body;
    u_char                      *p, *last;
    ngx_str_t                    host;
    ngx_msec_t                   left, spent;
    ngx_chain_t                 *cl;
    ngx_table_elt_t             *header;
    ngx_http_request_t          *r;
    ngx_http_prom_header_pos_t   pos;

    r = scrape->request;

    ngx_http_prom_poll_request_host(&scrape->uri, &host);
    body = ngx_http_prom_poll_request_body(r);

    /* of its time some may have gone by while it waited for a poll */

    spent = ngx_current_msec - scrape->start;
    left = (spent < scrape->timeout) ? scrape->timeout - spent : 1;

    len = r->method_name.len + 1 + scrape->uri.len + sizeof(" HTTP/1.1" CRLF)
          + sizeof("Host: " CRLF) + host.len
          + sizeof("Content-Length: " CRLF) + NGX_SIZE_T_LEN
          + sizeof("Id: " CRLF) + NGX_HTTP_PROM_POLL_ID
          + sizeof("X-Prometheus-Scrape-Timeout-Seconds: .000" CRLF)
          + NGX_INT64_LEN
          + sizeof(CRLF) + body;

    ngx_memzero(&pos, sizeof(ngx_http_prom_header_pos_t));

    for ( ;; ) {
        header = ngx_http_prom_proxy_next_header(&r->headers_in.headers, &pos);
        if (header == NULL) {
            break;
        }

        len += header->key.len + sizeof(": ") + header->value.len
               + sizeof(CRLF);
    }

    p = ngx_pnalloc(pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;
    last = p + len;

    p = ngx_slprintf(p, last, "%V %V HTTP/1.1" CRLF "Host: %V" CRLF,
                     &r->method_name, &scrape->uri, &host);

    ngx_memzero(&pos, sizeof(ngx_http_prom_header_pos_t));

    for ( ;; ) {
        header = ngx_http_prom_proxy_next_header(&r->headers_in.headers, &pos);
        if (header == NULL) {
            break;
        }

        if (!ngx_http_prom_poll_request_passes(header)) {
            continue;
        }

        p = ngx_cpymem(p, header->key.data, header->key.len);
        *p++ = ':'; *p++ = ' ';
        p = ngx_cpymem(p, header->value.data, header->value.len);
        *p++ = CR; *p++ = LF;
    }

    p = ngx_slprintf(p, last, "Id: %*s" CRLF
                     "X-Prometheus-Scrape-Timeout-Seconds: %M",
                     (size_t) NGX_HTTP_PROM_POLL_ID, scrape->id_buf,
                     left / 1000);

    if (left % 1000) {
        p = ngx_slprintf(p, last, ".%03M", left % 1000);
    }

    if (body) {
        p = ngx_slprintf(p, last, CRLF "Content-Length: %uz", body);
    }

    *p++ = CR; *p++ = LF;
    *p++ = CR; *p++ = LF;

    if (body) {
        for (cl = r->request_body->bufs; cl; cl = cl->next) {

            if (cl->buf->pos < cl->buf->last) {
                p = ngx_cpymem(p, cl->buf->pos, cl->buf->last - cl->buf->pos);
            }
        }
    }

    text->len = p - text->data;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_prom_poll_request_passes(ngx_table_elt_t *header)
{
    ngx_str_t  *own, *proxy;

    proxy = &ngx_http_prom_poll_request_proxy;

    if (header->key.len >= proxy->len
        && ngx_strncasecmp(header->key.data, proxy->data, proxy->len) == 0)
    {
        return 0;
    }

    for (own = ngx_http_prom_poll_request_own; own->len; own++) {

        if (header->key.len == own->len
            && ngx_strncasecmp(header->key.data, own->data, own->len) == 0)
        {
            return 0;
        }
    }

    /* nginx refuses such, but this is where it would be another request */

    return ngx_http_prom_poll_request_is_text(header->key.data,
                                              header->key.len)
           && ngx_http_prom_poll_request_is_text(header->value.data,
                                                 header->value.len);
}


static ngx_uint_t
ngx_http_prom_poll_request_is_text(u_char *p, size_t len)
{
    u_char  *last;

    for (last = p + len; p < last; p++) {

        if (*p == CR || *p == LF || *p == '\0') {
            return 0;
        }
    }

    return 1;
}


static void
ngx_http_prom_poll_request_host(ngx_str_t *uri, ngx_str_t *host)
{
    u_char  *p, *last;

    last = uri->data + uri->len;

    p = ngx_strlchr(uri->data, last, ':');

    if (p == NULL || last - p < 3) {
        /* it was looked at, and has a scheme */
        host->len = 0;
        host->data = last;
        return;
    }

    p += 3;

    host->data = p;

    while (p < last && *p != '/' && *p != '?') {
        p++;
    }

    host->len = p - host->data;
}


static size_t
ngx_http_prom_poll_request_body(ngx_http_request_t *r)
{
    size_t        len;
    ngx_chain_t  *cl;

    if (r->request_body == NULL) {
        return 0;
    }

    len = 0;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        len += cl->buf->last - cl->buf->pos;
    }

    return len;
}
