/*
 * What several modules do alike with their zones and variables.
 */


#ifndef _NGX_HTTP_PROM_CONF_H_INCLUDED_
#define _NGX_HTTP_PROM_CONF_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/*
 * The zone of a directive that starts with its NAME and SIZE, which is least
 * bytes or more: tag is its module.  NULL after a mistake, which was told.
 */

ngx_shm_zone_t *ngx_http_prom_conf_zone(ngx_conf_t *cf, size_t least,
    void *tag);

/* vars ends with an empty name */

ngx_int_t ngx_http_prom_conf_variables(ngx_conf_t *cf,
    ngx_http_variable_t *vars);

/* for a handler of one: its value, which is none if it is empty */

void ngx_http_prom_conf_set(ngx_http_variable_value_t *v, ngx_str_t *value);


#endif /* _NGX_HTTP_PROM_CONF_H_INCLUDED_ */
