/*
 * Metrics under PushProx's names, for the dashboards and alerts of its users.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_page.h"
#include "ngx_http_prom_metrics.h"
#include "ngx_http_prom_poll.h"


/* the longest line, and what describes a family */

#define NGX_HTTP_PROM_POLL_METRICS_LINE  256


/* where the page is: families, their paths, and codes or buckets of these */

typedef struct ngx_http_prom_poll_metrics_s  ngx_http_prom_poll_metrics_t;

typedef u_char *(*ngx_http_prom_poll_metrics_pt)(u_char *p,
    ngx_http_prom_poll_metrics_t *m);

struct ngx_http_prom_poll_metrics_s {
    ngx_prom_poll_zone_t          *zone;
    ngx_prom_poll_counters_t      *counters;
    ngx_uint_t                     family;
    ngx_uint_t                     path;
    ngx_uint_t                     item;
    uint64_t                       sum;       /* of the buckets so far */
    ngx_uint_t                     described;
};

typedef struct {
    const char                    *name;
    const char                    *type;
    const char                    *help;
    ngx_http_prom_poll_metrics_pt  write;     /* one line or none */
    ngx_uint_t                     first;     /* path */
    ngx_uint_t                     last;
    ngx_uint_t                     items;     /* of a path */
} ngx_http_prom_poll_metrics_family_t;


static ngx_int_t ngx_http_prom_poll_metrics_write(ngx_http_prom_page_t *page);
static u_char *ngx_http_prom_poll_metrics_requests(u_char *p,
    ngx_http_prom_poll_metrics_t *m);
static u_char *ngx_http_prom_poll_metrics_proxied(u_char *p,
    ngx_http_prom_poll_metrics_t *m);
static u_char *ngx_http_prom_poll_metrics_duration(u_char *p,
    ngx_http_prom_poll_metrics_t *m);
static u_char *ngx_http_prom_poll_metrics_clients(u_char *p,
    ngx_http_prom_poll_metrics_t *m);


static const char  *ngx_http_prom_poll_metrics_paths[] = {
    "/poll", "/push", "/clients", "/metrics"
};


static const ngx_http_prom_poll_metrics_family_t
    ngx_http_prom_poll_metrics_families[] =
{
    { "pushprox_http_duration_seconds", "histogram",
      "How long requests took, by path; a poll is held meanwhile.",
      ngx_http_prom_poll_metrics_duration,
      NGX_PROM_POLL_PATH_POLL, NGX_PROM_POLL_PATH_METRICS,
      NGX_PROM_POLL_BUCKETS + 2 },

    { "pushprox_http_requests_total", "counter",
      "Requests other than scrapes, by status and path.",
      ngx_http_prom_poll_metrics_requests,
      NGX_PROM_POLL_PATH_POLL, NGX_PROM_POLL_PATH_METRICS, 600 },

    { "pushprox_proxy_clients", "gauge",
      "Clients that are listed.",
      ngx_http_prom_poll_metrics_clients,
      0, 0, 1 },

    { "pushproxy_proxied_requests_total", "counter",
      "Scrapes by status.",
      ngx_http_prom_poll_metrics_proxied,
      NGX_PROM_POLL_PATH_PROXY, NGX_PROM_POLL_PATH_PROXY, 600 },

    { NULL, NULL, NULL, NULL, 0, 0, 0 }
};


ngx_int_t
ngx_http_prom_poll_metrics_handler(ngx_http_request_t *r)
{
    ngx_int_t                        rc;
    ngx_http_prom_poll_metrics_t    *m;
    ngx_http_prom_poll_main_conf_t  *pmcf;

    rc = ngx_http_prom_page_check(r);

    if (rc != NGX_OK) {
        return rc;
    }

    m = ngx_pcalloc(r->pool, sizeof(ngx_http_prom_poll_metrics_t));
    if (m == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_prom_poll_module);

    m->zone = ((ngx_slab_pool_t *) pmcf->zone->shm.addr)->data;
    m->counters = ngx_prom_poll_zone_counters(m->zone);

    /* the length to the first parameter is what "gzip_types" looks at */

    ngx_str_set(&r->headers_out.content_type,
                "text/plain; version=0.0.4; charset=utf-8");
    r->headers_out.content_type_len = sizeof("text/plain") - 1;
    r->headers_out.content_type_lowcase = NULL;

    return ngx_http_prom_page_send(r, ngx_http_prom_poll_metrics_write, m);
}


static ngx_int_t
ngx_http_prom_poll_metrics_write(ngx_http_prom_page_t *page)
{
    ngx_http_prom_poll_metrics_t *m = page->data;

    u_char                                     *p;
    const ngx_http_prom_poll_metrics_family_t  *family;

    for ( ;; ) {
        family = &ngx_http_prom_poll_metrics_families[m->family];

        if (family->name == NULL) {
            return NGX_OK;
        }

        p = ngx_http_prom_page_room(page, 2 * NGX_HTTP_PROM_POLL_METRICS_LINE);
        if (p == NULL) {
            return NGX_AGAIN;
        }

        if (!m->described) {
            p = ngx_sprintf(p, "# HELP %s %s\n# TYPE %s %s\n",
                            family->name, family->help,
                            family->name, family->type);

            m->described = 1;
            m->path = family->first;
            m->item = 0;
            m->sum = 0;
        }

        ngx_http_prom_page_wrote(page, family->write(p, m));

        if (++m->item < family->items) {
            continue;
        }

        m->item = 0;
        m->sum = 0;

        if (m->path++ == family->last) {
            m->described = 0;
            m->family++;
        }
    }
}


/* the buckets, then the sum, then the count */

static u_char *
ngx_http_prom_poll_metrics_duration(u_char *p, ngx_http_prom_poll_metrics_t *m)
{
    const char  *path;

    path = ngx_http_prom_poll_metrics_paths[m->path];

    if (m->item < NGX_PROM_POLL_BUCKETS) {
        m->sum += m->counters->buckets[m->path][m->item];

        p = ngx_sprintf(p, "pushprox_http_duration_seconds_bucket{path=\"%s\","
                           "le=\"", path);

        p = (m->item == NGX_PROM_POLL_BUCKETS - 1)
            ? ngx_sprintf(p, "+Inf")
            : ngx_http_prom_metrics_seconds(p, ngx_prom_poll_bounds[m->item]);

        return ngx_sprintf(p, "\"} %uL\n", m->sum);
    }

    if (m->item == NGX_PROM_POLL_BUCKETS) {
        p = ngx_sprintf(p, "pushprox_http_duration_seconds_sum{path=\"%s\"} ",
                        path);
        p = ngx_http_prom_metrics_seconds(p, m->counters->duration[m->path]);
        *p++ = '\n';

        return p;
    }

    return ngx_sprintf(p, "pushprox_http_duration_seconds_count{path=\"%s\"} "
                          "%uL\n", path, m->sum);
}


/* those that PushProx has from the start are there with 0, too */

static u_char *
ngx_http_prom_poll_metrics_requests(u_char *p, ngx_http_prom_poll_metrics_t *m)
{
    ngx_uint_t         known;
    ngx_atomic_uint_t  n;

    n = m->counters->requests[m->path][m->item];

    known = m->item == 200
            || (m->item == 408 && m->path == NGX_PROM_POLL_PATH_POLL)
            || (m->item == 500 && m->path == NGX_PROM_POLL_PATH_PUSH);

    if (n == 0 && !known) {
        return p;
    }

    return ngx_sprintf(p, "pushprox_http_requests_total{code=\"%ui\","
                          "path=\"%s\"} %uA\n", m->item,
                       ngx_http_prom_poll_metrics_paths[m->path], n);
}


static u_char *
ngx_http_prom_poll_metrics_proxied(u_char *p, ngx_http_prom_poll_metrics_t *m)
{
    ngx_atomic_uint_t  n;

    n = m->counters->requests[m->path][m->item];

    if (n == 0) {
        return p;
    }

    return ngx_sprintf(p, "pushproxy_proxied_requests_total{code=\"%ui\"} "
                          "%uA\n", m->item, n);
}


static u_char *
ngx_http_prom_poll_metrics_clients(u_char *p, ngx_http_prom_poll_metrics_t *m)
{
    return ngx_sprintf(p, "pushprox_proxy_clients %ui\n",
                       ngx_prom_poll_count(m->zone));
}
