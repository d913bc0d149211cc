/*
 * The arguments of the status page.  They come from links, from people and
 * from scanners: whatever they hold, a sane page is the answer.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_status.h"


#define NGX_HTTP_PROM_STATUS_PAGES  100000000    /* a page's number, at most */


static ngx_int_t ngx_http_prom_status_query(ngx_http_request_t *r,
    ngx_http_prom_status_args_t *args);
static ngx_uint_t ngx_http_prom_status_limited(ngx_http_request_t *r,
    const char *name, ngx_uint_t unset, ngx_uint_t max);
static ngx_uint_t ngx_http_prom_status_is(const ngx_str_t *value,
    const ngx_str_t *word);


/* as ngx_http_prom_status_sort_e has them */

const ngx_str_t  ngx_http_prom_status_sorts[] = {
    ngx_string("name"),
    ngx_string("state"),
    ngx_string("tunnel"),
    ngx_string("last"),
    ngx_string("latency"),
    ngx_string("size")
};


static const ngx_str_t  ngx_http_prom_status_asc = ngx_string("asc");
static const ngx_str_t  ngx_http_prom_status_desc = ngx_string("desc");


ngx_int_t
ngx_http_prom_status_args(ngx_http_request_t *r,
    ngx_http_prom_status_args_t *args)
{
    ngx_str_t   value;
    ngx_uint_t  i;

    args->sort = NGX_HTTP_PROM_STATUS_NAME;

    if (ngx_http_arg(r, (u_char *) "sort", 4, &value) == NGX_OK) {

        for (i = 0; i < NGX_HTTP_PROM_STATUS_SORTS; i++) {
            if (ngx_http_prom_status_is(&value,
                                        &ngx_http_prom_status_sorts[i])
                && (i != NGX_HTTP_PROM_STATUS_TUNNEL
                    || ngx_http_prom_tunnels_board(r)
                    || ngx_http_prom_peers_board(r)
                    || ngx_http_prom_proxy_poll_zone(r)))
            {
                args->sort = i;
                break;
            }
        }
    }

    args->descending = ngx_http_prom_status_descends(args->sort);

    if (ngx_http_arg(r, (u_char *) "order", 5, &value) == NGX_OK) {

        if (ngx_http_prom_status_is(&value, &ngx_http_prom_status_asc)) {
            args->descending = 0;

        } else if (ngx_http_prom_status_is(&value,
                                           &ngx_http_prom_status_desc))
        {
            args->descending = 1;
        }
    }

    args->page = ngx_http_prom_status_limited(r, "page", 1,
                                              NGX_HTTP_PROM_STATUS_PAGES);
    args->per = ngx_http_prom_status_limited(r, "per",
                                             NGX_HTTP_PROM_STATUS_PER,
                                             NGX_HTTP_PROM_STATUS_ROWS);

    return ngx_http_prom_status_query(r, args);
}


ngx_uint_t
ngx_http_prom_status_descends(ngx_http_prom_status_sort_e sort)
{
    return sort == NGX_HTTP_PROM_STATUS_LATENCY
           || sort == NGX_HTTP_PROM_STATUS_SIZE;
}


static ngx_int_t
ngx_http_prom_status_query(ngx_http_request_t *r,
    ngx_http_prom_status_args_t *args)
{
    u_char     *p, *last, *dst, *src;
    size_t      len;
    ngx_str_t   value;

    if (ngx_http_arg(r, (u_char *) "q", 1, &value) != NGX_OK
        || value.len == 0)
    {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, value.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    args->shown.data = p;

    /* a form sends spaces as "+" */

    ngx_memcpy(p, value.data, value.len);

    for (last = p + value.len; p < last; p++) {
        if (*p == '+') {
            *p = ' ';
        }
    }

    dst = args->shown.data;
    src = args->shown.data;

    ngx_unescape_uri(&dst, &src, value.len, 0);

    p = args->shown.data;
    last = ngx_min(dst, p + NGX_HTTP_PROM_STATUS_QUERY);

    while (p < last && *p <= ' ') {
        p++;
    }

    while (p < last && last[-1] <= ' ') {
        last--;
    }

    args->shown.data = p;
    args->shown.len = last - p;

    for ( /* void */ ; p < last; p++) {
        if (*p < ' ' || *p == 0x7f) {
            *p = ' ';
        }
    }

    args->query.len = args->shown.len;
    args->query.data = ngx_pnalloc(r->pool, args->query.len);
    if (args->query.data == NULL) {
        return NGX_ERROR;
    }

    ngx_strlow(args->query.data, args->shown.data, args->query.len);

    len = args->shown.len
          + 2 * ngx_escape_uri(NULL, args->shown.data, args->shown.len,
                               NGX_ESCAPE_URI_COMPONENT);

    args->escaped.data = ngx_pnalloc(r->pool, len);
    if (args->escaped.data == NULL) {
        return NGX_ERROR;
    }

    args->escaped.len = len;

    ngx_escape_uri(args->escaped.data, args->shown.data, args->shown.len,
                   NGX_ESCAPE_URI_COMPONENT);

    return NGX_OK;
}


/* from 1 to max; unset if it isn't a number */

static ngx_uint_t
ngx_http_prom_status_limited(ngx_http_request_t *r, const char *name,
    ngx_uint_t unset, ngx_uint_t max)
{
    size_t      i;
    ngx_str_t   value;
    ngx_uint_t  n;

    if (ngx_http_arg(r, (u_char *) name, ngx_strlen(name), &value) != NGX_OK
        || value.len == 0)
    {
        return unset;
    }

    n = 0;

    for (i = 0; i < value.len; i++) {

        if (value.data[i] < '0' || value.data[i] > '9') {
            return unset;
        }

        n = ngx_min(n * 10 + (value.data[i] - '0'), max);
    }

    return ngx_max(n, 1);
}


static ngx_uint_t
ngx_http_prom_status_is(const ngx_str_t *value, const ngx_str_t *word)
{
    return value->len == word->len
           && ngx_strncmp(value->data, word->data, word->len) == 0;
}
