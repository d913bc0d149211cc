/*
 * What a request may not carry to a target: headers that were meant for us
 * alone, and a path that some servers would read as leaving the base path.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_proxy.h"


/* more names than a client has reason for; each costs a walk of the list */

#define NGX_HTTP_PROM_PROXY_HOP_MAX  32


static ngx_uint_t ngx_http_prom_proxy_drop_named(ngx_http_request_t *r,
    ngx_str_t *names, ngx_uint_t left);
static void ngx_http_prom_proxy_drop(ngx_http_request_t *r, u_char *name,
    size_t len);


static ngx_str_t  ngx_http_prom_proxy_connection = ngx_string("connection");


/* RFC 9110, 7.6.1: headers named in Connection end at the next hop */

void
ngx_http_prom_proxy_drop_hop_headers(ngx_http_request_t *r)
{
    ngx_uint_t                   left;
    ngx_table_elt_t             *header;
    ngx_http_prom_header_pos_t   pos;

    ngx_memzero(&pos, sizeof(ngx_http_prom_header_pos_t));

    left = NGX_HTTP_PROM_PROXY_HOP_MAX;

    while (left) {
        header = ngx_http_prom_proxy_next_header(&r->headers_in.headers, &pos);
        if (header == NULL) {
            return;
        }

        /* a header that was dropped has the name, but no names in it */

        if (header->key.len == ngx_http_prom_proxy_connection.len
            && header->key.data != ngx_http_prom_proxy_connection.data
            && ngx_memcmp(header->lowcase_key,
                          ngx_http_prom_proxy_connection.data,
                          ngx_http_prom_proxy_connection.len)
               == 0)
        {
            left = ngx_http_prom_proxy_drop_named(r, &header->value, left);
        }
    }
}


static ngx_uint_t
ngx_http_prom_proxy_drop_named(ngx_http_request_t *r, ngx_str_t *names,
    ngx_uint_t left)
{
    u_char  *p, *start, *last;

    p = names->data;
    last = p + names->len;

    while (p < last && left) {

        while (p < last && (*p == ' ' || *p == '\t' || *p == ',')) {
            p++;
        }

        start = p;

        while (p < last && *p != ' ' && *p != '\t' && *p != ',') {
            p++;
        }

        /* Connection itself goes to nobody, but may have names still */

        if ((size_t) (p - start) == ngx_http_prom_proxy_connection.len
            && ngx_strncasecmp(start, ngx_http_prom_proxy_connection.data,
                               ngx_http_prom_proxy_connection.len)
               == 0)
        {
            continue;
        }

        if (p > start) {
            ngx_http_prom_proxy_drop(r, start, p - start);
            left--;
        }
    }

    return left;
}


/*
 * The list has pointers into it and can't shrink. A header with the name of
 * Connection, which no proxy_pass hands on, is as good as gone.
 */

static void
ngx_http_prom_proxy_drop(ngx_http_request_t *r, u_char *name, size_t len)
{
    ngx_str_t                    dropped;
    ngx_table_elt_t             *header;
    ngx_http_prom_header_pos_t   pos;

    dropped.data = name;
    dropped.len = len;

    ngx_memzero(&pos, sizeof(ngx_http_prom_header_pos_t));

    for ( ;; ) {
        header = ngx_http_prom_proxy_header(&r->headers_in.headers, &dropped,
                                            &pos);
        if (header == NULL) {
            return;
        }

        ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                       "prom proxy: header \"%V\" is for this hop",
                       &header->key);

        header->key = ngx_http_prom_proxy_connection;
        header->lowcase_key = ngx_http_prom_proxy_connection.data;
        header->hash = ngx_hash_key(header->key.data, header->key.len);
    }
}


ngx_table_elt_t *
ngx_http_prom_proxy_header(ngx_list_t *headers, const ngx_str_t *name,
    ngx_http_prom_header_pos_t *pos)
{
    ngx_table_elt_t  *header;

    for ( ;; ) {
        header = ngx_http_prom_proxy_next_header(headers, pos);
        if (header == NULL) {
            return NULL;
        }

        if (header->key.len == name->len
            && ngx_strncasecmp(header->key.data, name->data, name->len) == 0)
        {
            return header;
        }
    }
}


/*
 * nginx has resolved "." and ".." segments. Tomcat also takes "..;x" for one,
 * and IIS a backslash for a slash.
 */

ngx_int_t
ngx_http_prom_proxy_leaves_base(ngx_http_request_t *r,
    ngx_prom_route_t *route)
{
    u_char  *p, *last;

    if (route->base.len == 0) {
        return 0;
    }

    /* the slash behind NAME */

    p = r->uri.data + route->name.len + 1;
    last = r->uri.data + r->uri.len;

    for ( /* void */ ; last - p > 2; p++) {

        if ((*p == '/' || *p == '\\')
            && p[1] == '.'
            && p[2] == '.'
            && (last - p == 3 || p[3] == ';' || p[3] == '\\' || p[3] == '/'))
        {
            return 1;
        }
    }

    return 0;
}
