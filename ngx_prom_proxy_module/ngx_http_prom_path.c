/*
 * The path of a target's metrics, which its label may set.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_page.h"


static void ngx_http_prom_path_label(const ngx_prom_item_t *item,
    ngx_str_t *value);
static u_char *ngx_http_prom_path_segment(u_char *start, u_char *p,
    const ngx_str_t *segment, ngx_uint_t last);


void
ngx_http_prom_page_metrics_path(const ngx_prom_item_t *item, ngx_str_t *path)
{
    u_char     *p, *src, *end;
    ngx_str_t   value, segment;

    ngx_http_prom_path_label(item, &value);

    p = path->data;
    src = value.data;
    end = value.data + value.len;

    if (*src == '/') {
        src++;
    }

    for ( ;; ) {
        segment.data = src;

        while (src < end && *src != '/') {
            src++;
        }

        segment.len = src - segment.data;

        p = ngx_http_prom_path_segment(path->data, p, &segment, src == end);

        if (src == end) {
            break;
        }

        src++;
    }

    path->len = p - path->data;
}


static void
ngx_http_prom_path_label(const ngx_prom_item_t *item, ngx_str_t *value)
{
    size_t     pos;
    ngx_str_t  name;

    pos = 0;

    while (ngx_prom_item_label(item, &pos, &name, value)) {

        if (value->len
            && ngx_strcmp(name.data, "__metrics_path__") == 0)
        {
            return;
        }
    }

    ngx_str_set(value, "/metrics");
}


/*
 * "." and ".." are resolved here, where "/" is the target's own: behind
 * "/NAME" they would lead to other targets.
 */

static u_char *
ngx_http_prom_path_segment(u_char *start, u_char *p, const ngx_str_t *segment,
    ngx_uint_t last)
{
    ngx_uint_t  here, parent;

    here = (segment->len == 1 && segment->data[0] == '.');
    parent = (segment->len == 2 && segment->data[0] == '.'
              && segment->data[1] == '.');

    if (parent) {
        while (p > start && *--p != '/') { /* void */ }
    }

    if (here || parent) {

        if (last) {
            *p++ = '/';
        }

        return p;
    }

    *p++ = '/';

    return ngx_cpymem(p, segment->data, segment->len);
}
