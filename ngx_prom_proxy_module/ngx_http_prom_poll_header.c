/*
 * The header of a pushed response, as the scraper gets it: all of it but what
 * concerns the way alone.  Of the body's framing nginx makes its own.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_poll.h"


static ngx_uint_t ngx_http_prom_poll_header_own(ngx_prom_poll_answer_t *a,
    ngx_prom_poll_answer_header_t *header);
static ngx_uint_t ngx_http_prom_poll_header_named(ngx_str_t *list,
    ngx_prom_poll_answer_header_t *header);
static ngx_uint_t ngx_http_prom_poll_header_is(
    ngx_prom_poll_answer_header_t *header, ngx_str_t *name);
static ngx_int_t ngx_http_prom_poll_header_pass(ngx_http_request_t *r,
    ngx_prom_poll_answer_header_t *header);


/*
 * What ends here.  The first of them are between client and proxy: the Go
 * client adds a timeout.  "X-Accel-..." would tell a worker that the answer
 * hops through what to do with it.
 */

static ngx_str_t  ngx_http_prom_poll_header_ends[] = {
    ngx_string("Id"),
    ngx_string("X-Prometheus-Scrape-Timeout"),
    ngx_string("X-Prometheus-Scrape-Timeout-Seconds"),
    ngx_string("Content-Length"),
    ngx_string("Connection"),
    ngx_string("Keep-Alive"),
    ngx_string("Proxy-Authenticate"),
    ngx_string("Proxy-Authentication-Info"),
    ngx_string("Proxy-Connection"),
    ngx_string("TE"),
    ngx_string("Trailer"),
    ngx_string("Transfer-Encoding"),
    ngx_string("Upgrade"),
    ngx_null_string
};

static ngx_str_t  ngx_http_prom_poll_header_accel = ngx_string("X-Accel-");

static ngx_str_t  ngx_http_prom_poll_header_connection =
    ngx_string("Connection");

static ngx_str_t  ngx_http_prom_poll_header_type = ngx_string("Content-Type");


/* those that nginx itself would add, or that tell its filters to keep off */

typedef struct {
    ngx_str_t                    name;
    ngx_uint_t                   offset;
} ngx_http_prom_poll_header_known_t;

static ngx_http_prom_poll_header_known_t  ngx_http_prom_poll_header_known[] = {
    { ngx_string("Date"), offsetof(ngx_http_headers_out_t, date) },
    { ngx_string("Server"), offsetof(ngx_http_headers_out_t, server) },
    { ngx_string("ETag"), offsetof(ngx_http_headers_out_t, etag) },
    { ngx_string("Last-Modified"),
      offsetof(ngx_http_headers_out_t, last_modified) },
    { ngx_string("Content-Encoding"),
      offsetof(ngx_http_headers_out_t, content_encoding) },
    { ngx_null_string, 0 }
};


/* takes a whole header, which it copies: the push may end before the log */

ngx_int_t
ngx_http_prom_poll_pass_header(ngx_http_request_t *r,
    ngx_prom_poll_answer_t *a)
{
    u_char                         *p, *last;
    ngx_prom_poll_answer_header_t   header;

    p = ngx_pnalloc(r->pool, a->used);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, a->buf, a->used);
    a->buf = p;

    r->headers_out.status = a->status;
    r->headers_out.content_length_n = -1;

    if (a->framing == NGX_PROM_POLL_ANSWER_LENGTH) {
        r->headers_out.content_length_n = (off_t) a->length;
    }

    while (ngx_prom_poll_answer_header(a, &header)) {

        if (ngx_http_prom_poll_header_own(a, &header)) {
            continue;
        }

        if (ngx_http_prom_poll_header_pass(r, &header) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    /* nginx knows by the status alone that there is no body */

    if (a->status != NGX_HTTP_NO_CONTENT
        && a->status != NGX_HTTP_NOT_MODIFIED)
    {
        p = a->buf + sizeof("HTTP/1.1 ") - 1;
        last = ngx_strlchr(p, a->buf + a->used, LF);

        if (last[-1] == CR) {
            last--;
        }

        r->headers_out.status_line.data = p;
        r->headers_out.status_line.len = last - p;
    }

    /* a scraper's If-None-Match was for the target, which has answered it */

    r->disable_not_modified = 1;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_prom_poll_header_own(ngx_prom_poll_answer_t *a,
    ngx_prom_poll_answer_header_t *header)
{
    ngx_str_t                      *name, list;
    ngx_prom_poll_answer_t          other;
    ngx_prom_poll_answer_header_t   connection;

    for (name = ngx_http_prom_poll_header_ends; name->len; name++) {
        if (ngx_http_prom_poll_header_is(header, name)) {
            return 1;
        }
    }

    name = &ngx_http_prom_poll_header_accel;

    if (header->name_len > name->len
        && ngx_strncasecmp((u_char *) header->name, name->data, name->len)
           == 0)
    {
        return 1;
    }

    other = *a;
    other.next = 0;

    while (ngx_prom_poll_answer_header(&other, &connection)) {

        if (!ngx_http_prom_poll_header_is(&connection,
                                     &ngx_http_prom_poll_header_connection))
        {
            continue;
        }

        list.len = connection.value_len;
        list.data = (u_char *) connection.value;

        if (ngx_http_prom_poll_header_named(&list, header)) {
            return 1;
        }
    }

    return 0;
}


/* true if the header's name is in a list with commas */

static ngx_uint_t
ngx_http_prom_poll_header_named(ngx_str_t *list,
    ngx_prom_poll_answer_header_t *header)
{
    u_char     *p, *last;
    ngx_str_t   name;

    p = list->data;
    last = p + list->len;

    while (p < last) {

        if (*p == ' ' || *p == '\t' || *p == ',') {
            p++;
            continue;
        }

        name.data = p;

        while (p < last && *p != ' ' && *p != '\t' && *p != ',') {
            p++;
        }

        name.len = p - name.data;

        if (ngx_http_prom_poll_header_is(header, &name)) {
            return 1;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_http_prom_poll_header_is(ngx_prom_poll_answer_header_t *header,
    ngx_str_t *name)
{
    return header->name_len == name->len
           && ngx_strncasecmp((u_char *) header->name, name->data, name->len)
              == 0;
}


static ngx_int_t
ngx_http_prom_poll_header_pass(ngx_http_request_t *r,
    ngx_prom_poll_answer_header_t *header)
{
    ngx_table_elt_t                    *h, **ph;
    ngx_http_prom_poll_header_known_t  *known;

    if (ngx_http_prom_poll_header_is(header,
                                     &ngx_http_prom_poll_header_type))
    {
        r->headers_out.content_type.len = header->value_len;
        r->headers_out.content_type.data = (u_char *) header->value;
        r->headers_out.content_type_len = header->value_len;
        r->headers_out.content_type_lowcase = NULL;

        return NGX_OK;
    }

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    h->key.len = header->name_len;
    h->key.data = (u_char *) header->name;
    h->value.len = header->value_len;
    h->value.data = (u_char *) header->value;

    for (known = ngx_http_prom_poll_header_known; known->name.len; known++) {

        if (ngx_http_prom_poll_header_is(header, &known->name)) {
            ph = (ngx_table_elt_t **)
                     ((char *) &r->headers_out + known->offset);

            if (*ph == NULL) {
                *ph = h;
            }

            break;
        }
    }

    return NGX_OK;
}
