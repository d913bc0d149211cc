/*
 * Certificate authorities, to verify servers by.
 */


#ifndef _NGX_PROM_STORE_H_INCLUDED_
#define _NGX_PROM_STORE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * The X509_STORE of a file, or the system's if it is empty, as long as there
 * is the configuration.  NULL after a mistake, which was told.
 */

void *ngx_prom_store(ngx_conf_t *cf, ngx_str_t *file);


#endif /* _NGX_PROM_STORE_H_INCLUDED_ */
