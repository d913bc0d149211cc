/*
 * The directives of the registry and the router, the zone's life, and the
 * module itself; what happens to a request is in the route, resolve and
 * error files.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_proxy.h"


/* below that, nginx's own slab book-keeping leaves too little */

#define NGX_HTTP_PROM_PROXY_ZONE_MIN  (8 * ngx_pagesize)


static ngx_int_t ngx_http_prom_proxy_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);
static ngx_int_t ngx_http_prom_proxy_init_module(ngx_cycle_t *cycle);
static ngx_uint_t ngx_http_prom_proxy_loopback6(ngx_log_t *log);

static void *ngx_http_prom_proxy_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_prom_proxy_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_prom_proxy_create_srv_conf(ngx_conf_t *cf);
static void *ngx_http_prom_proxy_create_loc_conf(ngx_conf_t *cf);
static ngx_int_t ngx_http_prom_proxy_init(ngx_conf_t *cf);
static char *ngx_http_prom_proxy_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_prom_proxy_targets(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static void ngx_http_prom_proxy_free_targets(void *data);
static char *ngx_http_prom_proxy(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


static ngx_command_t  ngx_http_prom_proxy_commands[] = {

    /* prom_proxy_zone NAME SIZE; the registry's shared memory */

    { ngx_string("prom_proxy_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE2,
      ngx_http_prom_proxy_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    /* prom_proxy_targets FILE; the registry's source */

    { ngx_string("prom_proxy_targets"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_prom_proxy_targets,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    /* prom_proxy NAME; routes by the zone NAME; see the route handler */

    { ngx_string("prom_proxy"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_prom_proxy,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_prom_proxy_module_ctx = {
    ngx_http_prom_proxy_add_variables,     /* preconfiguration */
    ngx_http_prom_proxy_init,              /* postconfiguration */

    ngx_http_prom_proxy_create_main_conf,  /* create main configuration */
    ngx_http_prom_proxy_init_main_conf,    /* init main configuration */

    ngx_http_prom_proxy_create_srv_conf,   /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_prom_proxy_create_loc_conf,   /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_prom_proxy_module = {
    NGX_MODULE_V1,
    &ngx_http_prom_proxy_module_ctx,       /* module context */
    ngx_http_prom_proxy_commands,          /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_http_prom_proxy_init_module,       /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_prom_proxy_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_shm_zone_t  *old = data;

    size_t                            size;
    ngx_int_t                         rc;
    ngx_slab_pool_t                  *shpool;
    ngx_http_prom_proxy_main_conf_t  *pmcf;

    pmcf = shm_zone->data;
    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    /*
     * A reload hands over the segment with the registry in it, which workers
     * of the old configuration go on with. The new targets stand beside the
     * old ones until nothing can refuse the new configuration any more.
     */

    if (old == NULL && !shm_zone->shm.exists) {

        shpool->log_nomem = 0;

        if (ngx_prom_registry_init(shpool) != NGX_OK) {
            ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                          "\"prom_proxy_zone\" \"%V\" is too small",
                          &shm_zone->shm.name);
            return NGX_ERROR;
        }
    }

    rc = ngx_prom_registry_prepare(shpool, pmcf->targets, &size);

    if (rc != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "\"prom_proxy_zone\" \"%V\" of %uz bytes is too small "
                      "for %uD targets, which take %uz bytes, and twice that "
                      "while they are replaced",
                      &shm_zone->shm.name, shm_zone->shm.size,
                      pmcf->targets->count, size);
        return NGX_ERROR;
    }

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, shm_zone->shm.log, 0,
                   "prom proxy: prepared %uD targets, %uz bytes",
                   pmcf->targets->count, size);

    ngx_http_prom_proxy_free_targets(pmcf);

    return NGX_OK;
}


static ngx_int_t
ngx_http_prom_proxy_init_module(ngx_cycle_t *cycle)
{
    ngx_http_prom_proxy_main_conf_t  *pmcf;

    pmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_prom_proxy_module);

    if (pmcf && pmcf->zone) {
        ngx_prom_registry_commit((ngx_slab_pool_t *) pmcf->zone->shm.addr);
        pmcf->loopback6 = ngx_http_prom_proxy_loopback6(cycle->log);
    }

    return NGX_OK;
}


/*
 * Containers often have no IPv6: a second address of "localhost" that can't
 * be dialled would only fill the log.
 */

static ngx_uint_t
ngx_http_prom_proxy_loopback6(ngx_log_t *log)
{
#if (NGX_HAVE_INET6)

    ngx_uint_t            found;
    ngx_socket_t          s;
    struct sockaddr_in6   sin6;

    s = ngx_socket(AF_INET6, SOCK_STREAM, 0);

    if (s == (ngx_socket_t) -1) {
        return 0;
    }

    ngx_memzero(&sin6, sizeof(struct sockaddr_in6));

    sin6.sin6_family = AF_INET6;
    sin6.sin6_addr.s6_addr[15] = 1;

    found = (bind(s, (struct sockaddr *) &sin6, sizeof(struct sockaddr_in6))
             == 0);

    if (ngx_close_socket(s) == -1) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_socket_errno,
                      ngx_close_socket_n " failed");
    }

    return found;

#else

    return 0;

#endif
}


static void *
ngx_http_prom_proxy_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_prom_proxy_main_conf_t  *pmcf;

    pmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_prom_proxy_main_conf_t));
    if (pmcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     pmcf->zone = NULL;
     *     pmcf->file = { 0, NULL };
     *     pmcf->targets = NULL;
     *     pmcf->pool = NULL;
     *     pmcf->enabled = 0;
     *     pmcf->loopback6 = 0;
     */

    return pmcf;
}


static char *
ngx_http_prom_proxy_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_prom_proxy_main_conf_t *pmcf = conf;

    if (pmcf->file.data && pmcf->zone == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"prom_proxy_targets\" needs a \"prom_proxy_zone\"");
        return NGX_CONF_ERROR;
    }

    if (pmcf->targets == NULL) {

        /* no file: an empty registry */

        pmcf->targets = ngx_pcalloc(cf->pool, sizeof(ngx_prom_targets_t));
        if (pmcf->targets == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static void *
ngx_http_prom_proxy_create_srv_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_prom_proxy_srv_conf_t));
}


static void *
ngx_http_prom_proxy_create_loc_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_prom_proxy_loc_conf_t));
}


static ngx_int_t
ngx_http_prom_proxy_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt              *h;
    ngx_http_core_main_conf_t        *cmcf;
    ngx_http_prom_proxy_main_conf_t  *pmcf;

    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_prom_proxy_module);

    if (!pmcf->enabled) {
        return NGX_OK;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_REWRITE_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_prom_proxy_route_handler;

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_prom_proxy_resolve_handler;

    return NGX_OK;
}


static char *
ngx_http_prom_proxy_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_prom_proxy_main_conf_t *pmcf = conf;

    ssize_t     size;
    ngx_str_t  *value;

    if (pmcf->zone) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid zone name \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    size = ngx_parse_size(&value[2]);

    if (size == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid zone size \"%V\"", &value[2]);
        return NGX_CONF_ERROR;
    }

    if (size < (ssize_t) NGX_HTTP_PROM_PROXY_ZONE_MIN) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" is too small, at least %uz bytes "
                           "are needed", &value[1],
                           (size_t) NGX_HTTP_PROM_PROXY_ZONE_MIN);
        return NGX_CONF_ERROR;
    }

    pmcf->zone = ngx_shared_memory_add(cf, &value[1], size,
                                       &ngx_http_prom_proxy_module);
    if (pmcf->zone == NULL) {
        return NGX_CONF_ERROR;
    }

    pmcf->zone->init = ngx_http_prom_proxy_init_zone;
    pmcf->zone->data = pmcf;

    return NGX_CONF_OK;
}


static char *
ngx_http_prom_proxy_targets(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_prom_proxy_main_conf_t *pmcf = conf;

    ngx_str_t           *value;
    ngx_pool_cleanup_t  *cln;

    if (pmcf->file.data) {
        return "is duplicate";
    }

    value = cf->args->elts;
    pmcf->file = value[1];

    if (ngx_conf_full_name(cf->cycle, &pmcf->file, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_CONF_ERROR;
    }

    cln->handler = ngx_http_prom_proxy_free_targets;
    cln->data = pmcf;

    /* a pool of its own: nothing of it is wanted once the zone is loaded */

    pmcf->pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, cf->log);
    if (pmcf->pool == NULL) {
        return NGX_CONF_ERROR;
    }

    pmcf->targets = ngx_palloc(pmcf->pool, sizeof(ngx_prom_targets_t));
    if (pmcf->targets == NULL) {
        return NGX_CONF_ERROR;
    }

    if (ngx_prom_file_load(&pmcf->file, pmcf->targets, pmcf->pool,
                           NGX_LOG_EMERG)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static void
ngx_http_prom_proxy_free_targets(void *data)
{
    ngx_http_prom_proxy_main_conf_t *pmcf = data;

    if (pmcf->pool) {
        ngx_destroy_pool(pmcf->pool);
        pmcf->pool = NULL;
        pmcf->targets = NULL;
    }
}


static char *
ngx_http_prom_proxy(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_prom_proxy_loc_conf_t *plcf = conf;

    ngx_str_t                        *value;
    ngx_http_core_loc_conf_t         *clcf;
    ngx_http_prom_proxy_srv_conf_t   *pscf;
    ngx_http_prom_proxy_main_conf_t  *pmcf;

    if (plcf->zone) {
        return "is duplicate";
    }

    value = cf->args->elts;

    /* the zone may be defined further down: nginx says if it never is */

    plcf->zone = ngx_shared_memory_add(cf, &value[1], 0,
                                       &ngx_http_prom_proxy_module);
    if (plcf->zone == NULL) {
        return NGX_CONF_ERROR;
    }

    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_prom_proxy_module);
    pmcf->enabled = 1;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (!clcf->named) {
        return NGX_CONF_OK;
    }

    pscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_prom_proxy_module);

    if (pscf->router) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the server routes by \"prom_proxy\" in location "
                           "\"%V\" already", &pscf->router->name);
        return NGX_CONF_ERROR;
    }

    pscf->router = clcf;

    return NGX_CONF_OK;
}
