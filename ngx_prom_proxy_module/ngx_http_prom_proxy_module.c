/*
 * The directives of the registry and the router, the zone's life, and the
 * module itself; where targets come from is in the source and watch files,
 * what happens to a request in the route, resolve and error files.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_conf.h"
#include "ngx_http_prom_poll.h"
#include "ngx_http_prom_proxy.h"


/* below that, nginx's own slab book-keeping leaves too little */

#define NGX_HTTP_PROM_PROXY_ZONE_MIN  (8 * ngx_pagesize)


static ngx_int_t ngx_http_prom_proxy_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);
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

    /* prom_proxy_targets FILE [interval=TIME] [optional]; its sources */

    { ngx_string("prom_proxy_targets"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE123,
      ngx_http_prom_source,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_prom_proxy_main_conf_t,
               sources[NGX_PROM_SOURCE_TARGETS]),
      NULL },

    /* prom_proxy_hosts FILE [interval=TIME] [optional]; */

    { ngx_string("prom_proxy_hosts"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE123,
      ngx_http_prom_source,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_prom_proxy_main_conf_t,
               sources[NGX_PROM_SOURCE_HOSTS]),
      NULL },

    /* prom_proxy_nodes FILE [interval=TIME] [optional]; */

    { ngx_string("prom_proxy_nodes"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE123,
      ngx_http_prom_source,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_prom_proxy_main_conf_t,
               sources[NGX_PROM_SOURCE_NODES]),
      NULL },

    /* prom_proxy_poll [interval=TIME]; clients that poll are targets, too */

    { ngx_string("prom_proxy_poll"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_http_prom_source_poll,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_prom_proxy_main_conf_t, polls),
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
    uint32_t                          count;
    ngx_int_t                         rc;
    ngx_shm_zone_t                   *zone;
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

        zone = ngx_http_prom_proxy_former(shm_zone);

        if (zone) {
            former = ngx_http_prom_registry(zone);
        }
    }

    registry = shpool->data;

    if (old) {
        /* nobody else has a new zone, which may be gone before our clean-up */
        ngx_prom_registry_acquire(registry);
        pmcf->acquired = registry;
    }

    rc = ngx_http_prom_source_ready(pmcf, former ? former : registry,
                                    shm_zone->shm.log);

    if (rc == NGX_DECLINED && former) {

        /* a new zone has no targets that could stay */

        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "\"prom_proxy_zone\" \"%V\" of another size needs all "
                      "files that its targets have come from",
                      &shm_zone->shm.name);
        return NGX_ERROR;
    }

    if (rc != NGX_OK) {

        /* what there is stays */

        if (former) {
            ngx_prom_registry_inherit(registry, former);
        }

        ngx_http_prom_source_free(pmcf);

        return NGX_OK;
    }

    count = pmcf->targets->count;

    if (ngx_http_prom_source_former(pmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    /* whoever may poll must not keep nginx from being reloaded */

    rc = ngx_prom_registry_prepare_most(registry, pmcf->targets, count,
                                        pmcf->pool, &size);

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
    ngx_http_prom_source_free(pmcf);

    return NGX_OK;
}


/* a zone whose size was changed is a new one: the counters are in the old */

ngx_shm_zone_t *
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
            return &zone[i];
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

        ngx_prom_registry_report(registry, &pmcf->read, &reason, pmcf->took,
                                 0);
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

    return pmcf ? ngx_http_prom_watch_init(cycle, pmcf) : NGX_OK;
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
     *     pmcf->sources = { { { 0, NULL }, 0, 0 } };
     *     pmcf->polls = 0;
     *     pmcf->poll_zone = NULL;
     *     pmcf->targets = NULL;
     *     pmcf->pool = NULL;
     *     pmcf->read = { 0 };
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

    const char                      *source;
    ngx_http_prom_poll_main_conf_t  *poll;

    if (pmcf->zone == NULL) {
        source = pmcf->sources[NGX_PROM_SOURCE_HOSTS].file.data ? "hosts"
                 : pmcf->sources[NGX_PROM_SOURCE_NODES].file.data ? "nodes"
                 : pmcf->sources[NGX_PROM_SOURCE_TARGETS].file.data ? "targets"
                 : pmcf->polls ? "poll" : NULL;

        if (source) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"prom_proxy_%s\" needs a \"prom_proxy_zone\"",
                          source);
            return NGX_CONF_ERROR;
        }

        return NGX_CONF_OK;
    }

    if (pmcf->polls) {
        poll = ngx_http_conf_get_module_main_conf(cf,
                                                  ngx_http_prom_poll_module);

        if (poll->zone == NULL || poll->hops == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"prom_proxy_poll\" needs a %s",
                          poll->zone ? "location with \"prom_poll_worker\""
                                     : "\"prom_poll_zone\"");
            return NGX_CONF_ERROR;
        }

        pmcf->poll_zone = poll->zone;
    }

    if (ngx_http_prom_source_load(cf, pmcf) != NGX_OK) {
        return NGX_CONF_ERROR;
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

    ngx_http_prom_proxy_filter_init();

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

    if (pmcf->zone) {
        return "is duplicate";
    }

    pmcf->zone = ngx_http_prom_conf_zone(cf, NGX_HTTP_PROM_PROXY_ZONE_MIN,
                                         &ngx_http_prom_proxy_module);
    if (pmcf->zone == NULL) {
        return NGX_CONF_ERROR;
    }

    pmcf->zone->init = ngx_http_prom_proxy_init_zone;
    pmcf->zone->data = pmcf;

    return NGX_CONF_OK;
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

    ngx_http_prom_source_free(pmcf);
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
