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
static ngx_prom_registry_t *ngx_http_prom_proxy_former(
    ngx_shm_zone_t *shm_zone);
static ngx_int_t ngx_http_prom_proxy_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_prom_proxy_init_process(ngx_cycle_t *cycle);
static void ngx_http_prom_proxy_exit_process(ngx_cycle_t *cycle);
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
static char *ngx_http_prom_proxy_load(ngx_conf_t *cf,
    ngx_http_prom_proxy_main_conf_t *pmcf);
static ngx_int_t ngx_http_prom_proxy_create_targets(ngx_conf_t *cf,
    ngx_http_prom_proxy_main_conf_t *pmcf);
static void ngx_http_prom_proxy_free_targets(
    ngx_http_prom_proxy_main_conf_t *pmcf);
static void ngx_http_prom_proxy_release(
    ngx_http_prom_proxy_main_conf_t *pmcf);
static void ngx_http_prom_proxy_cleanup_conf(void *data);
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

    /* prom_proxy_targets FILE [interval=TIME] [optional]; its source */

    { ngx_string("prom_proxy_targets"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE123,
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
    ngx_http_prom_proxy_init_process,      /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_prom_proxy_exit_process,      /* exit process */
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
    ngx_prom_registry_t              *registry, *former;
    ngx_http_prom_proxy_main_conf_t  *pmcf;

    pmcf = shm_zone->data;
    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;
    former = NULL;

    /*
     * A reload hands over the segment with the registry in it, which workers
     * of the old configuration go on with. The new targets stand beside the
     * old ones until nothing can refuse the new configuration any more.
     */

    if (old == NULL && !shm_zone->shm.exists) {

        shpool->log_nomem = 0;

        if (ngx_prom_registry_init(shpool, shm_zone->shm.size) != NGX_OK) {
            ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                          "\"prom_proxy_zone\" \"%V\" is too small",
                          &shm_zone->shm.name);
            return NGX_ERROR;
        }

        former = ngx_http_prom_proxy_former(shm_zone);
    }

    if (pmcf->targets == NULL) {

        /* an optional file that is missing: what there is stays */

        if (former) {
            ngx_prom_registry_inherit(shpool->data, former);
        }

        return NGX_OK;
    }

    registry = shpool->data;

    if (old) {
        /* nobody else has a new zone, which may be gone before our clean-up */
        ngx_prom_registry_acquire(registry);
        pmcf->acquired = registry;
    }

    rc = ngx_prom_registry_prepare(registry, pmcf->targets, pmcf->pool, &size);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "\"prom_proxy_zone\" \"%V\" of %uz bytes is too small "
                      "for %uD targets, %uzk would do",
                      &shm_zone->shm.name, shm_zone->shm.size,
                      pmcf->targets->count, size / 1024);
        return NGX_ERROR;
    }

    if (former) {
        ngx_prom_registry_inherit(registry, former);
    }

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, shm_zone->shm.log, 0,
                   "prom proxy: prepared %uD targets", pmcf->targets->count);

    pmcf->prepared = 1;
    ngx_http_prom_proxy_free_targets(pmcf);

    return NGX_OK;
}


/* a zone whose size was changed is a new one: the counters are in the old */

static ngx_prom_registry_t *
ngx_http_prom_proxy_former(ngx_shm_zone_t *shm_zone)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_shm_zone_t   *zone;

    part = (ngx_list_part_t *) &ngx_cycle->shared_memory.part;
    zone = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {

            if (part->next == NULL) {
                return NULL;
            }

            part = part->next;
            zone = part->elts;
            i = 0;
        }

        if (zone[i].tag == shm_zone->tag
            && zone[i].shm.addr
            && zone[i].shm.name.len == shm_zone->shm.name.len
            && ngx_strncmp(zone[i].shm.name.data, shm_zone->shm.name.data,
                           shm_zone->shm.name.len)
               == 0)
        {
            return ngx_http_prom_registry(&zone[i]);
        }
    }
}


static ngx_int_t
ngx_http_prom_proxy_init_module(ngx_cycle_t *cycle)
{
    ngx_str_t                         reason;
    ngx_prom_registry_t              *registry;
    ngx_http_prom_proxy_main_conf_t  *pmcf;

    pmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_prom_proxy_module);

    if (pmcf == NULL || pmcf->zone == NULL) {
        return NGX_OK;
    }

    registry = ngx_http_prom_registry(pmcf->zone);

    if (pmcf->prepared) {
        ngx_str_set(&reason, "");

        ngx_prom_registry_report(registry, &pmcf->id, &reason, pmcf->took, 0);
        ngx_prom_registry_commit(registry);
    }

    pmcf->configuration = ngx_prom_registry_configure(registry);

    ngx_http_prom_proxy_release(pmcf);

    pmcf->loopback6 = ngx_http_prom_proxy_loopback6(cycle->log);

    return NGX_OK;
}


static ngx_int_t
ngx_http_prom_proxy_init_process(ngx_cycle_t *cycle)
{
    ngx_http_prom_proxy_main_conf_t  *pmcf;

    pmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_prom_proxy_module);

    if (pmcf == NULL || pmcf->file.data == NULL || pmcf->interval == 0) {
        return NGX_OK;
    }

    return ngx_http_prom_watch_init(cycle, pmcf);
}


static void
ngx_http_prom_proxy_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_prom_proxy_main_conf_t  *pmcf;

    pmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_prom_proxy_module);

    if (pmcf && pmcf->watch) {
        ngx_http_prom_watch_exit(pmcf);
    }
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
    ngx_pool_cleanup_t               *cln;
    ngx_http_prom_proxy_main_conf_t  *pmcf;

    /* the clean-up's own memory: it ends with the configuration */

    cln = ngx_pool_cleanup_add(cf->pool,
                               sizeof(ngx_http_prom_proxy_main_conf_t));
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_prom_proxy_cleanup_conf;

    pmcf = cln->data;
    ngx_memzero(pmcf, sizeof(ngx_http_prom_proxy_main_conf_t));

    /*
     * set by ngx_memzero():
     *
     *     pmcf->zone = NULL;
     *     pmcf->file = { 0, NULL };
     *     pmcf->interval = 0;
     *     pmcf->optional = 0;
     *     pmcf->targets = NULL;
     *     pmcf->pool = NULL;
     *     pmcf->id = { 0 };
     *     pmcf->took = 0;
     *     pmcf->acquired = NULL;
     *     pmcf->prepared = 0;
     *     pmcf->configuration = 0;
     *     pmcf->watch = NULL;
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

    if (pmcf->file.data == NULL && pmcf->zone) {

        /* an empty registry */

        if (ngx_http_prom_proxy_create_targets(cf, pmcf) != NGX_OK) {
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

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_prom_proxy_count_handler;

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

    ngx_int_t    n;
    ngx_str_t   *value, s;
    ngx_uint_t   i;

    if (pmcf->file.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    pmcf->file = value[1];
    pmcf->interval = 1000;

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "interval=", 9) == 0) {
            s.data = value[i].data + 9;
            s.len = value[i].len - 9;

            n = ngx_parse_time(&s, 0);

            if (n == NGX_ERROR) {
                goto invalid;
            }

            pmcf->interval = n;
            continue;
        }

        if (ngx_strcmp(value[i].data, "optional") == 0) {
            pmcf->optional = 1;
            continue;
        }

        goto invalid;
    }

    if (ngx_conf_full_name(cf->cycle, &pmcf->file, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_prom_proxy_load(cf, pmcf);

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%V\" in \"%V\" directive",
                       &value[i], &cmd->name);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_prom_proxy_load(ngx_conf_t *cf,
    ngx_http_prom_proxy_main_conf_t *pmcf)
{
    ngx_err_t     err;
    ngx_str_t    *error;
    ngx_uint_t    i;
    ngx_msec_t    start;
    ngx_array_t   errors;

    err = ngx_prom_file_id(&pmcf->file, &pmcf->id);

    if (pmcf->optional && (err == NGX_ENOENT || err == NGX_ENOTDIR)) {
        ngx_log_error(NGX_LOG_NOTICE, cf->log, 0,
                      "%V: is missing, no targets are loaded until it is "
                      "there", &pmcf->file);
        return NGX_CONF_OK;
    }

    start = ngx_prom_registry_clock();

    if (ngx_http_prom_proxy_create_targets(cf, pmcf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (ngx_array_init(&errors, pmcf->pool, 4, sizeof(ngx_str_t)) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (ngx_prom_file_load(&pmcf->file, pmcf->targets, &pmcf->id, &errors,
                           pmcf->pool)
        != NGX_OK)
    {
        error = errors.elts;

        for (i = 0; i < errors.nelts; i++) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "%V", &error[i]);
        }

        return NGX_CONF_ERROR;
    }

    pmcf->took = ngx_prom_registry_clock() - start;

    return NGX_CONF_OK;
}


/* in a pool of their own: nothing is wanted once the zone is loaded */

static ngx_int_t
ngx_http_prom_proxy_create_targets(ngx_conf_t *cf,
    ngx_http_prom_proxy_main_conf_t *pmcf)
{
    pmcf->pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, &cf->cycle->new_log);
    if (pmcf->pool == NULL) {
        return NGX_ERROR;
    }

    pmcf->targets = ngx_pcalloc(pmcf->pool, sizeof(ngx_prom_targets_t));

    return pmcf->targets ? NGX_OK : NGX_ERROR;
}


static void
ngx_http_prom_proxy_free_targets(ngx_http_prom_proxy_main_conf_t *pmcf)
{
    if (pmcf->pool) {
        ngx_destroy_pool(pmcf->pool);
        pmcf->pool = NULL;
        pmcf->targets = NULL;
    }
}


static void
ngx_http_prom_proxy_release(ngx_http_prom_proxy_main_conf_t *pmcf)
{
    if (pmcf->acquired) {
        ngx_prom_registry_release(pmcf->acquired);
        pmcf->acquired = NULL;
    }
}


/* the end of a configuration, also of one that never came to be used */

static void
ngx_http_prom_proxy_cleanup_conf(void *data)
{
    ngx_http_prom_proxy_main_conf_t *pmcf = data;

    ngx_http_prom_proxy_free_targets(pmcf);
    ngx_http_prom_proxy_release(pmcf);
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
