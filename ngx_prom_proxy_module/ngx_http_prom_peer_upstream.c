/*
 * The upstreams of a balancer that keeps idle connections: its directive, and
 * that no other balancer comes between.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_peer.h"


char *
ngx_http_prom_peer_set(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_prom_peer_cache_t *cache, ngx_http_upstream_init_pt init)
{
    ngx_int_t                      n;
    ngx_str_t                     *value, s;
    ngx_uint_t                     i;
    ngx_http_upstream_server_t    *us;
    ngx_http_upstream_srv_conf_t  *uscf;

    uscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_upstream_module);

    if (uscf->peer.init_upstream) {

        if (uscf->peer.init_upstream == init) {
            return "is duplicate";
        }

        return "must stand before any other balancer and \"keepalive\"";
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "idle=", 5) == 0) {
            n = ngx_atoi(value[i].data + 5, value[i].len - 5);

            if (n == NGX_ERROR || n > 1000000) {
                goto invalid;
            }

            cache->max = n;
            continue;
        }

        if (ngx_strncmp(value[i].data, "timeout=", 8) == 0) {
            s.data = value[i].data + 8;
            s.len = value[i].len - 8;

            n = ngx_parse_time(&s, 0);

            if (n == NGX_ERROR || n == 0) {
                goto invalid;
            }

            cache->timeout = n;
            continue;
        }

        goto invalid;
    }

    /* nginx wants a server in every upstream: this one is never dialled */

    us = ngx_array_push(uscf->servers);
    if (us == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(us, sizeof(ngx_http_upstream_server_t));
    us->down = 1;

    uscf->peer.init_upstream = init;
    uscf->flags = NGX_HTTP_UPSTREAM_CREATE;

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%V\" in \"%V\" directive",
                       &value[i], &cmd->name);

    return NGX_CONF_ERROR;
}


ngx_int_t
ngx_http_prom_peer_alone(ngx_conf_t *cf, ngx_http_upstream_srv_conf_t *us,
    const char *directive, ngx_http_upstream_init_pt init)
{
    if (us->peer.init_upstream != init) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"%s\" in upstream \"%V\" keeps connections itself, "
                      "and stands for itself: no \"keepalive\" or other "
                      "balancer is allowed there", directive, &us->host);
        return NGX_ERROR;
    }

#if (NGX_HTTP_UPSTREAM_ZONE)

    /* its init copies the peers of nginx's own balancer */

    if (us->shm_zone) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"zone\" is of no use with \"%s\" in upstream "
                      "\"%V\"", directive, &us->host);
        return NGX_ERROR;
    }

#endif

    return NGX_OK;
}


/*
 * From 1.29.7 nginx wraps every upstream in its own "keepalive", which looks
 * at the address alone: two TLS identities there would share.
 */

void
ngx_http_prom_peer_unwrap(ngx_conf_t *cf, ngx_http_upstream_init_pt init,
    ngx_http_upstream_init_peer_pt init_peer)
{
    ngx_uint_t                       i;
    ngx_http_upstream_srv_conf_t   **uscfp;
    ngx_http_upstream_main_conf_t   *umcf;

    umcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_upstream_module);
    uscfp = umcf->upstreams.elts;

    for (i = 0; i < umcf->upstreams.nelts; i++) {

        if (uscfp[i]->peer.init_upstream == init) {
            uscfp[i]->peer.init = init_peer;
        }
    }
}
