/*
 * The directives of the registry's sources, and loading them for a new
 * configuration; ngx_http_prom_proxy_watch.c does it while running.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_proxy.h"


static ngx_int_t ngx_http_prom_source_create(ngx_conf_t *cf,
    ngx_http_prom_proxy_main_conf_t *pmcf);


char *
ngx_http_prom_source(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_int_t           n;
    ngx_str_t          *value, s;
    ngx_uint_t          i;
    ngx_prom_source_t  *source;

    source = (ngx_prom_source_t *) ((u_char *) conf + cmd->offset);

    if (source->file.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    source->file = value[1];
    source->interval = 1000;

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "interval=", 9) == 0) {
            s.data = value[i].data + 9;
            s.len = value[i].len - 9;

            n = ngx_parse_time(&s, 0);

            if (n == NGX_ERROR) {
                goto invalid;
            }

            source->interval = n;
            continue;
        }

        if (ngx_strcmp(value[i].data, "optional") == 0) {
            source->optional = 1;
            continue;
        }

        goto invalid;
    }

    if (ngx_conf_full_name(cf->cycle, &source->file, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%V\" in \"%V\" directive",
                       &value[i], &cmd->name);

    return NGX_CONF_ERROR;
}


char *
ngx_http_prom_source_poll(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_int_t    n;
    ngx_str_t   *value, s;
    ngx_msec_t  *interval;

    interval = (ngx_msec_t *) ((u_char *) conf + cmd->offset);

    if (*interval) {
        return "is duplicate";
    }

    *interval = 1000;

    if (cf->args->nelts == 1) {
        return NGX_CONF_OK;
    }

    value = cf->args->elts;

    if (ngx_strncmp(value[1].data, "interval=", 9) == 0) {
        s.data = value[1].data + 9;
        s.len = value[1].len - 9;

        n = ngx_parse_time(&s, 0);

        if (n != NGX_ERROR && n != 0) {
            *interval = n;
            return NGX_CONF_OK;
        }
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%V\" in \"%V\" directive",
                       &value[1], &cmd->name);

    return NGX_CONF_ERROR;
}


ngx_int_t
ngx_http_prom_source_load(ngx_conf_t *cf,
    ngx_http_prom_proxy_main_conf_t *pmcf)
{
    ngx_int_t            rc;
    ngx_str_t           *error;
    ngx_uint_t           i;
    ngx_msec_t           start;
    ngx_array_t          errors;
    ngx_prom_sources_t   none;

    start = ngx_prom_registry_clock();

    if (ngx_http_prom_source_create(cf, pmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_array_init(&errors, pmcf->pool, 4, sizeof(ngx_str_t)) != NGX_OK) {
        return NGX_ERROR;
    }

    /* what is in use is known, and asked, once there is a zone */

    ngx_memzero(&none, sizeof(ngx_prom_sources_t));

    rc = ngx_prom_source_load(pmcf->sources, &none, pmcf->targets,
                              &pmcf->read, &errors, pmcf->pool);

    if (rc == NGX_DECLINED && pmcf->polls == 0) {
        ngx_http_prom_source_free(pmcf);
        return NGX_OK;
    }

    if (rc == NGX_DECLINED) {
        /* clients may come all the same */
        rc = NGX_OK;
    }

    if (rc != NGX_OK) {
        error = errors.elts;

        for (i = 0; i < errors.nelts; i++) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "%V", &error[i]);
        }

        return NGX_ERROR;
    }

    pmcf->took = ngx_prom_registry_clock() - start;

    return NGX_OK;
}


/* in a pool of their own: nothing is wanted once the zone is loaded */

static ngx_int_t
ngx_http_prom_source_create(ngx_conf_t *cf,
    ngx_http_prom_proxy_main_conf_t *pmcf)
{
    pmcf->pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, &cf->cycle->new_log);
    if (pmcf->pool == NULL) {
        return NGX_ERROR;
    }

    pmcf->targets = ngx_pcalloc(pmcf->pool, sizeof(ngx_prom_targets_t));

    return pmcf->targets ? NGX_OK : NGX_ERROR;
}


/* their zone is not ready yet, or not the one that they still are in */

ngx_int_t
ngx_http_prom_source_former(ngx_http_prom_proxy_main_conf_t *pmcf)
{
    ngx_array_t      hidden;
    ngx_shm_zone_t  *zone;

    if (pmcf->polls == 0) {
        return NGX_OK;
    }

    zone = ngx_http_prom_proxy_former(pmcf->poll_zone);

    if (zone == NULL) {
        return NGX_OK;
    }

    /* who is hidden is told by the one who looks for changes */

    if (ngx_array_init(&hidden, pmcf->pool, 4, sizeof(ngx_str_t)) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_prom_source_polls(ngx_http_prom_proxy_polls(zone),
                                 pmcf->targets, &pmcf->read.polls, &hidden,
                                 pmcf->pool);
}


void
ngx_http_prom_source_free(ngx_http_prom_proxy_main_conf_t *pmcf)
{
    if (pmcf->pool) {
        ngx_destroy_pool(pmcf->pool);
        pmcf->pool = NULL;
        pmcf->targets = NULL;
    }
}


ngx_int_t
ngx_http_prom_source_ready(ngx_http_prom_proxy_main_conf_t *pmcf,
    ngx_prom_registry_t *registry, ngx_log_t *log)
{
    ngx_int_t            rc;
    ngx_uint_t           i;
    ngx_prom_sources_t   seen, used;

    ngx_prom_registry_sources(registry, &seen, &used);

    rc = pmcf->targets ? NGX_OK : NGX_DONE;

    for (i = 0; i < NGX_PROM_SOURCES; i++) {

        if (pmcf->sources[i].file.len == 0
            || !ngx_prom_file_missing(&pmcf->read.id[i]))
        {
            continue;
        }

        if (ngx_prom_file_missing(&used.id[i])) {
            ngx_log_error(NGX_LOG_NOTICE, log, 0,
                          "%V: is missing, nothing is loaded from it until "
                          "it is there", &pmcf->sources[i].file);
            continue;
        }

        ngx_log_error(NGX_LOG_WARN, log, 0,
                      "%V: is missing, the targets stay as they are",
                      &pmcf->sources[i].file);
        rc = NGX_DECLINED;
    }

    return rc;
}
