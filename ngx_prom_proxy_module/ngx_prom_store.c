/*
 * Certificate authorities of a file, or the system's.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_prom_store.h"


#if (NGX_OPENSSL)

static void ngx_prom_store_cleanup(void *data);


void *
ngx_prom_store(ngx_conf_t *cf, ngx_str_t *file)
{
    int                  rc;
    X509_STORE          *store;
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    store = X509_STORE_new();

    if (store == NULL) {
        ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0, "X509_STORE_new() failed");
        return NULL;
    }

    cln->handler = ngx_prom_store_cleanup;
    cln->data = store;

    rc = file->len ? X509_STORE_load_locations(store, (char *) file->data,
                                               NULL)
                   : X509_STORE_set_default_paths(store);

    if (rc == 0) {
        ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0,
                      "certificate authorities of %s could not be loaded",
                      file->len ? (char *) file->data : "the system");
        return NULL;
    }

    return store;
}


static void
ngx_prom_store_cleanup(void *data)
{
    X509_STORE_free(data);
}

#else

void *
ngx_prom_store(ngx_conf_t *cf, ngx_str_t *file)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "verifying certificates needs an nginx with TLS");
    return NULL;
}

#endif
