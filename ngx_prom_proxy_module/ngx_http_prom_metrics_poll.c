/*
 * Metrics of clients that poll: what is counted in their zone, and what is
 * known of each that is a target.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_metrics.h"


/* aborted is what has no status, or 499 */

#define NGX_HTTP_PROM_METRICS_POLL_CODE  600


/* by ngx_prom_poll_path_e, ngx_prom_poll_fail_e and the class of a status */

static const char  *ngx_http_prom_metrics_poll_paths[] = {
    "poll", "push", "clients", "metrics", "proxy"
};

static const char  *ngx_http_prom_metrics_poll_fails[] = {
    "absent", "late", "answer", "broken", "scraper"
};

static const char  *ngx_http_prom_metrics_poll_codes[] = {
    "aborted", "1xx", "2xx", "3xx", "4xx", "5xx"
};


u_char *
ngx_http_prom_metrics_poll_requests(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    uint64_t                   codes[NGX_PROM_POLL_CODES];
    ngx_uint_t                 path, code;
    ngx_prom_poll_counters_t  *counters;

    counters = ngx_prom_poll_zone_counters(m->polls);

    for (path = 0; path < NGX_PROM_POLL_PATHS; path++) {

        ngx_memzero(codes, sizeof(codes));

        for (code = 0; code < NGX_HTTP_PROM_METRICS_POLL_CODE; code++) {

            if (code == NGX_HTTP_CLIENT_CLOSED_REQUEST) {
                codes[0] += counters->requests[path][code];

            } else {
                codes[code / 100] += counters->requests[path][code];
            }
        }

        for (code = 0; code < NGX_PROM_POLL_CODES; code++) {
            p = ngx_sprintf(p, "%V{path=\"%s\",code=\"%s\"} %uL\n",
                            &family->name,
                            ngx_http_prom_metrics_poll_paths[path],
                            ngx_http_prom_metrics_poll_codes[code],
                            codes[code]);
        }
    }

    return p;
}


u_char *
ngx_http_prom_metrics_poll_durations(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    u_char                    *last, le[NGX_HTTP_PROM_METRICS_LE];
    uint64_t                   n;
    const char                *what;
    ngx_uint_t                 path, i;
    ngx_prom_poll_counters_t  *counters;

    counters = ngx_prom_poll_zone_counters(m->polls);

    for (path = 0; path < NGX_PROM_POLL_PATHS; path++) {

        what = ngx_http_prom_metrics_poll_paths[path];
        n = 0;

        for (i = 0; i < NGX_PROM_POLL_BUCKETS; i++) {
            n += counters->buckets[path][i];

            last = ngx_http_prom_metrics_le(le, m, ngx_prom_poll_bounds, i,
                                            NGX_PROM_POLL_BUCKETS - 1);

            p = ngx_sprintf(p, "%V_bucket{path=\"%s\",%*s} %uL\n",
                            &family->name, what, (size_t) (last - le), le, n);
        }

        p = ngx_sprintf(p, "%V_sum{path=\"%s\"} ", &family->name, what);
        p = ngx_http_prom_metrics_seconds(p, counters->duration[path]);
        p = ngx_sprintf(p, "\n%V_count{path=\"%s\"} %uL\n", &family->name,
                        what, n);
    }

    return p;
}


u_char *
ngx_http_prom_metrics_poll_failures(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    ngx_uint_t                 i;
    ngx_prom_poll_counters_t  *counters;

    counters = ngx_prom_poll_zone_counters(m->polls);

    for (i = 0; i < NGX_PROM_POLL_FAILS; i++) {
        p = ngx_sprintf(p, "%V{reason=\"%s\"} %uA\n", &family->name,
                        ngx_http_prom_metrics_poll_fails[i],
                        counters->fails[i]);
    }

    return p;
}


u_char *
ngx_http_prom_metrics_poll_counter(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    ngx_atomic_t  *n;

    n = (ngx_atomic_t *) ((u_char *) ngx_prom_poll_zone_counters(m->polls)
                          + family->offset);

    p = ngx_http_prom_metrics_sample(p, m, family, "", "");
    return ngx_sprintf(p, "%uA\n", *n);
}


u_char *
ngx_http_prom_metrics_poll_since(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    if (m->tunnel.state != NGX_HTTP_PROM_TUNNEL_CONNECTED) {
        return p;
    }

    p = ngx_http_prom_metrics_sample(p, m, family, "", "");
    p = ngx_http_prom_metrics_seconds(p, m->tunnel.since);
    return ngx_sprintf(p, "\n");
}


u_char *
ngx_http_prom_metrics_poll_info(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    if (m->tunnel.state != NGX_HTTP_PROM_TUNNEL_CONNECTED) {
        return p;
    }

    p = ngx_sprintf(p, "%V{%V,address=\"", &family->name, &m->label);
    p = ngx_http_prom_escape_label(p, &m->tunnel.address);
    return ngx_sprintf(p, "\"} 1\n");
}
