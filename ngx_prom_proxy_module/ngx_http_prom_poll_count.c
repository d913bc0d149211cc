/*
 * Counts requests by the paths that PushProx's metrics tell apart.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_poll.h"


void
ngx_http_prom_poll_count(ngx_http_request_t *r, ngx_prom_poll_path_e path)
{
    ngx_uint_t                       i, status;
    ngx_time_t                      *tp;
    ngx_msec_int_t                   ms;
    ngx_slab_pool_t                 *shpool;
    ngx_prom_poll_counters_t        *counters;
    ngx_http_prom_poll_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_prom_poll_module);

    shpool = (ngx_slab_pool_t *) pmcf->zone->shm.addr;
    counters = ngx_prom_poll_zone_counters(shpool->data);

    status = r->err_status ? r->err_status : r->headers_out.status;

    if (status >= 600) {
        status = 0;
    }

    tp = ngx_timeofday();

    ms = (ngx_msec_int_t)
             ((tp->sec - r->start_sec) * 1000 + (tp->msec - r->start_msec));
    ms = ngx_max(ms, 0);

    for (i = 0; i < NGX_PROM_POLL_BUCKETS - 1; i++) {

        if (ms <= (ngx_msec_int_t) ngx_prom_poll_bounds[i]) {
            break;
        }
    }

    (void) ngx_atomic_fetch_add(&counters->requests[path][status], 1);
    (void) ngx_atomic_fetch_add(&counters->buckets[path][i], 1);
    (void) ngx_atomic_fetch_add(&counters->duration[path], ms);
}
