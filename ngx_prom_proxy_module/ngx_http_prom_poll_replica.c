/*
 * Which of several proxies behind one load balancer this is.  A client may
 * push only where it was handed the scrape; so answers to polls say who has
 * given them, and a poll that is meant for another proxy is sent away.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <sys/random.h>
#include "ngx_http_prom_proxy.h"
#include "ngx_http_prom_page.h"
#include "ngx_http_prom_poll.h"


static ngx_str_t  ngx_http_prom_poll_replica_name =
    ngx_string("Prom-Poll-Replica");


/* a reload keeps it with the zone, a new master has another */

ngx_int_t
ngx_http_prom_poll_replica_init(ngx_prom_poll_zone_t *zone, ngx_log_t *log)
{
    u_char  *replica, bytes[NGX_PROM_POLL_REPLICA / 2];

    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t) sizeof(bytes)) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno, "getrandom() failed");
        return NGX_ERROR;
    }

    replica = ngx_prom_poll_zone_replica(zone);

    *ngx_hex_dump(replica, bytes, sizeof(bytes)) = '\0';

    return NGX_OK;
}


ngx_uint_t
ngx_http_prom_poll_replica_is_other(ngx_http_request_t *r)
{
    u_char                      *replica;
    ngx_table_elt_t             *h;
    ngx_http_prom_header_pos_t   pos;

    ngx_memzero(&pos, sizeof(ngx_http_prom_header_pos_t));

    h = ngx_http_prom_proxy_header(&r->headers_in.headers,
                                   &ngx_http_prom_poll_replica_name, &pos);
    if (h == NULL) {
        return 0;
    }

    replica = ngx_prom_poll_zone_replica(ngx_http_prom_poll_worker()->zone);

    return h->value.len != NGX_PROM_POLL_REPLICA
           || ngx_memcmp(h->value.data, replica, NGX_PROM_POLL_REPLICA) != 0;
}


ngx_int_t
ngx_http_prom_poll_replica_tell(ngx_http_request_t *r)
{
    u_char  *replica;

    replica = ngx_prom_poll_zone_replica(ngx_http_prom_poll_worker()->zone);

    return ngx_http_prom_page_header(r,
                              (char *) ngx_http_prom_poll_replica_name.data,
                              (char *) replica)
           ? NGX_OK : NGX_ERROR;
}
