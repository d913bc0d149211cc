/*
 * What a poll says of its client: the name, the labels, and how long it may be
 * held.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_proxy.h"
#include "ngx_http_prom_page.h"
#include "ngx_http_prom_poll.h"


/* of a poll's body: its name, and white space around it */

#define NGX_HTTP_PROM_POLL_BODY  1024


static ngx_int_t ngx_http_prom_poll_hello_body(ngx_http_request_t *r,
    ngx_str_t *body);
static ngx_uint_t ngx_http_prom_poll_hello_host(u_char *p, u_char *last);
static ngx_uint_t ngx_http_prom_poll_hello_address(u_char *p, u_char *last);
static void ngx_http_prom_poll_hello_bare(ngx_str_t *name, ngx_str_t *bare);
static u_char *ngx_http_prom_poll_hello_label(u_char *p, u_char *last,
    u_char **to, u_char *end);
static ngx_uint_t ngx_http_prom_poll_hello_own(u_char *name, size_t len);
static ngx_uint_t ngx_http_prom_poll_hello_twice(ngx_str_t *labels,
    u_char *name, size_t len);


static ngx_str_t  ngx_http_prom_poll_hello_labels_name =
    ngx_string("Prom-Poll-Labels");
static ngx_str_t  ngx_http_prom_poll_hello_prefer = ngx_string("Prefer");


/*
 * The body as PushProx's clients send it, NAME, or NAME:PORT; a name may be an
 * address, of which one of IPv6 gets the brackets that it has in a URI.
 */

ngx_int_t
ngx_http_prom_poll_hello_name(ngx_http_request_t *r, ngx_str_t *name)
{
    size_t       len;
    u_char      *p, *last, *port;
    ngx_int_t    n;
    ngx_str_t    body;
    ngx_uint_t   bare;
    u_char       buf[NGX_HTTP_PROM_POLL_BODY];

    body.data = buf;

    if (ngx_http_prom_poll_hello_body(r, &body) != NGX_OK) {
        return NGX_DECLINED;
    }

    p = buf;
    last = buf + body.len;

    while (p < last && (*p == ' ' || *p == '\t' || *p == CR || *p == LF)) {
        p++;
    }

    while (p < last && (last[-1] == ' ' || last[-1] == '\t'
                        || last[-1] == CR || last[-1] == LF))
    {
        last--;
    }

    if (p == last) {
        return NGX_DECLINED;
    }

    bare = 0;
    port = last;

    if (*p == '[') {
        port = ngx_strlchr(p, last, ']');

        if (port == NULL
            || !ngx_http_prom_poll_hello_address(p + 1, port))
        {
            return NGX_DECLINED;
        }

        port++;

    } else if (ngx_http_prom_poll_hello_address(p, last)) {
        bare = 1;

    } else {
        port = ngx_strlchr(p, last, ':');

        if (port == NULL) {
            port = last;
        }

        if (!ngx_http_prom_poll_hello_host(p, port)) {
            return NGX_DECLINED;
        }
    }

    if (port < last) {
        n = (*port == ':') ? ngx_atoi(port + 1, last - port - 1) : NGX_ERROR;

        if (n < 1 || n > 65535) {
            return NGX_DECLINED;
        }
    }

    len = last - p + (bare ? 2 : 0);

    if (len > NGX_PROM_POLL_NAME) {
        return NGX_DECLINED;
    }

    name->len = len;
    name->data = ngx_pnalloc(r->pool, len);
    if (name->data == NULL) {
        return NGX_ERROR;
    }

    if (bare) {
        name->data[0] = '[';
        name->data[len - 1] = ']';
    }

    ngx_strlow(name->data + bare, p, last - p);

    return NGX_OK;
}


static ngx_int_t
ngx_http_prom_poll_hello_body(ngx_http_request_t *r, ngx_str_t *body)
{
    size_t        size;
    ngx_chain_t  *cl;

    body->len = 0;

    if (r->request_body == NULL) {
        return NGX_OK;
    }

    if (r->request_body->temp_file) {
        return NGX_DECLINED;
    }

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        size = cl->buf->last - cl->buf->pos;

        if (size > NGX_HTTP_PROM_POLL_BODY - body->len) {
            return NGX_DECLINED;
        }

        if (size == 0) {
            /* the last one may have no memory */
            continue;
        }

        ngx_memcpy(body->data + body->len, cl->buf->pos, size);
        body->len += size;
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_prom_poll_hello_host(u_char *p, u_char *last)
{
    u_char      ch;
    ngx_uint_t  dots;

    dots = 1;

    while (p < last) {
        ch = *p++;

        if (ch == '.') {
            continue;
        }

        dots = 0;

        if (!(ch >= 'a' && ch <= 'z') && !(ch >= 'A' && ch <= 'Z')
            && !(ch >= '0' && ch <= '9') && ch != '-' && ch != '_')
        {
            return 0;
        }
    }

    return !dots;
}


/* of IPv6: that it has two colons tells it from a name with a port */

static ngx_uint_t
ngx_http_prom_poll_hello_address(u_char *p, u_char *last)
{
    u_char      ch;
    ngx_uint_t  colons;

    colons = 0;

    while (p < last) {
        ch = *p++;

        if (ch == ':') {
            colons++;
            continue;
        }

        if (!(ch >= 'a' && ch <= 'f') && !(ch >= 'A' && ch <= 'F')
            && !(ch >= '0' && ch <= '9') && ch != '.')
        {
            return 0;
        }
    }

    return colons > 1;
}


/*
 * Whether an identity, NAME or NAME,NAME,..., is that of a client: one of its
 * names is the client's.
 */

ngx_uint_t
ngx_http_prom_poll_hello_is(ngx_str_t *name, ngx_str_t *identity)
{
    u_char     *p, *last, *comma;
    ngx_str_t   bare;

    ngx_http_prom_poll_hello_bare(name, &bare);

    p = identity->data;
    last = p + identity->len;

    for ( ;; ) {
        comma = ngx_strlchr(p, last, ',');

        if (comma == NULL) {
            comma = last;
        }

        if (comma > p
            && (size_t) (comma - p) == bare.len
            && ngx_strncasecmp(p, bare.data, bare.len) == 0)
        {
            return 1;
        }

        if (comma == last) {
            return 0;
        }

        p = comma + 1;
    }
}


/* a name's part that an identity has: without a port, or brackets */

static void
ngx_http_prom_poll_hello_bare(ngx_str_t *name, ngx_str_t *bare)
{
    u_char  *p, *last;

    last = name->data + name->len;

    if (name->len && name->data[0] == '[') {
        p = ngx_strlchr(name->data, last, ']');

        bare->data = name->data + 1;
        bare->len = (p ? p : last) - bare->data;

        return;
    }

    p = ngx_strlchr(name->data, last, ':');

    bare->data = name->data;
    bare->len = (p ? p : last) - bare->data;
}


/*
 * Prom-Poll-Labels: NAME="VALUE",... as in Prometheus' text format, to
 * "NAME\0VALUE\0..." in labels, which has room for NGX_PROM_POLL_LABELS bytes.
 * Names that aren't a client's to set are left out.  Returns NULL, or what is
 * wrong.
 */

const char *
ngx_http_prom_poll_hello_labels(ngx_http_request_t *r, ngx_str_t *labels)
{
    u_char                      *p, *last, *to, *start, *end;
    size_t                       len;
    ngx_table_elt_t             *header;
    ngx_http_prom_header_pos_t   pos;

    ngx_memzero(&pos, sizeof(ngx_http_prom_header_pos_t));

    labels->len = 0;
    to = labels->data;
    end = to + NGX_PROM_POLL_LABELS;

    for ( ;; ) {
        header = ngx_http_prom_proxy_header(&r->headers_in.headers,
                                    &ngx_http_prom_poll_hello_labels_name,
                                    &pos);
        if (header == NULL) {
            return NULL;
        }

        p = header->value.data;
        last = p + header->value.len;

        while (p < last) {
            start = to;

            p = ngx_http_prom_poll_hello_label(p, last, &to, end);

            if (p == NULL) {
                return (to == end) ? "are too long, 2048 bytes are allowed"
                                   : "aren't NAME=\"VALUE\", with \\\\, \\\" "
                                     "and \\n in UTF-8, between commas";
            }

            len = ngx_strlen(start);

            if (ngx_http_prom_poll_hello_own(start, len)) {
                to = start;

            } else if (ngx_http_prom_poll_hello_twice(labels, start, len)) {
                return "have a name twice";
            }

            labels->len = to - labels->data;
        }
    }
}


/* the next pair; *to is end if there was no room for it */

static u_char *
ngx_http_prom_poll_hello_label(u_char *p, u_char *last, u_char **to,
    u_char *end)
{
    size_t   n;
    u_char  *t, *value, ch;

    t = *to;

    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    for ( /* void */ ; p < last && *p != '='; p++) {
        ch = *p;

        if (!(ch >= 'a' && ch <= 'z') && !(ch >= 'A' && ch <= 'Z')
            && ch != '_' && (t == *to || !(ch >= '0' && ch <= '9')))
        {
            return NULL;
        }

        if (end - t < 3) {
            goto full;
        }

        *t++ = ch;
    }

    if (t == *to || last - p < 3 || *++p != '"') {
        return NULL;
    }

    *t++ = '\0';
    value = t;

    for (p++; p < last && *p != '"'; p++) {
        ch = *p;

        if (ch == '\\') {
            if (++p == last) {
                return NULL;
            }

            ch = (*p == 'n') ? LF : *p;

            if (ch != LF && ch != '\\' && ch != '"') {
                return NULL;
            }
        }

        if (end - t < 2) {
            goto full;
        }

        *t++ = ch;
    }

    if (p == last) {
        return NULL;
    }

    while (value < t) {
        n = (*value < 0x80) ? 1 : ngx_http_prom_utf8(value, t);

        if (n == 0) {
            return NULL;
        }

        value += n;
    }

    *t++ = '\0';

    for (p++; p < last && (*p == ' ' || *p == '\t'); p++) { /* void */ }

    if (p < last && *p++ != ',') {
        return NULL;
    }

    *to = t;

    return p;

full:

    *to = end;

    return NULL;
}


/* what is Prometheus' own to set */

static ngx_uint_t
ngx_http_prom_poll_hello_own(u_char *name, size_t len)
{
    return (len >= 2 && name[0] == '_' && name[1] == '_')
           || (len == 3 && ngx_memcmp(name, "job", 3) == 0)
           || (len == 8 && ngx_memcmp(name, "instance", 8) == 0);
}


static ngx_uint_t
ngx_http_prom_poll_hello_twice(ngx_str_t *labels, u_char *name, size_t len)
{
    size_t   n;
    u_char  *p, *last;

    p = labels->data;
    last = p + labels->len;

    while (p < last) {
        n = ngx_strlen(p);

        if (n == len && ngx_memcmp(p, name, n) == 0) {
            return 1;
        }

        p += n + 1;
        p += ngx_strlen(p) + 1;
    }

    return 0;
}


/*
 * RFC 7240: "Prefer: wait=SECONDS".  In milliseconds, or NGX_ERROR if the
 * client doesn't say.
 */

ngx_msec_int_t
ngx_http_prom_poll_hello_wait(ngx_http_request_t *r)
{
    u_char                      *p, *last, *start;
    ngx_int_t                    n;
    ngx_table_elt_t             *header;
    ngx_http_prom_header_pos_t   pos;

    ngx_memzero(&pos, sizeof(ngx_http_prom_header_pos_t));

    for ( ;; ) {
        header = ngx_http_prom_proxy_header(&r->headers_in.headers,
                                            &ngx_http_prom_poll_hello_prefer,
                                            &pos);
        if (header == NULL) {
            return NGX_ERROR;
        }

        p = header->value.data;
        last = p + header->value.len;

        while (p < last) {

            while (p < last && (*p == ' ' || *p == '\t' || *p == ',')) {
                p++;
            }

            start = p;

            while (p < last && *p != ',' && *p != ';') {
                p++;
            }

            if (p - start > 5
                && ngx_strncasecmp(start, (u_char *) "wait=", 5) == 0)
            {
                n = ngx_atoi(start + 5, p - start - 5);

                if (n != NGX_ERROR) {
                    return (ngx_msec_int_t) ngx_min(n, 86400) * 1000;
                }
            }

            while (p < last && *p != ',') {
                p++;
            }
        }
    }
}
