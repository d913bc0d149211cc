/*
 * Polls, pushes and scrapes: the directives, the life of the zone, and the
 * module itself; what happens to a request is in the phase file, and in those
 * of its kind.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_conf.h"
#include "ngx_http_prom_poll.h"


/* below that, nginx's own slab book-keeping leaves too little */

#define NGX_HTTP_PROM_POLL_ZONE_MIN  (8 * ngx_pagesize)

/* behind a worker's path: "/", its slot, "-", its tag, and a final zero */

#define NGX_HTTP_PROM_POLL_FILE_LEN  (1 + 3 + 1 + 8 + 1)


static ngx_int_t ngx_http_prom_poll_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);
static ngx_int_t ngx_http_prom_poll_init_process(ngx_cycle_t *cycle);
static void ngx_http_prom_poll_exit_process(ngx_cycle_t *cycle);

static void *ngx_http_prom_poll_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_prom_poll_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_prom_poll_create_srv_conf(ngx_conf_t *cf);
static void *ngx_http_prom_poll_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_prom_poll_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_int_t ngx_http_prom_poll_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_prom_poll_check(ngx_conf_t *cf,
    ngx_http_prom_poll_main_conf_t *pmcf);
static char *ngx_http_prom_poll_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_prom_poll(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_prom_poll_scrape(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_prom_poll_hops(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


static ngx_path_init_t  ngx_http_prom_poll_path_init = {
    ngx_string("prom_poll_temp"), { 0, 0, 0 }
};


static ngx_command_t  ngx_http_prom_poll_commands[] = {

    /* prom_poll_zone NAME SIZE [clients=N] [timeout=TIME]; */

    { ngx_string("prom_poll_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE2|NGX_CONF_TAKE3|NGX_CONF_TAKE4,
      ngx_http_prom_poll_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    /* prom_poll_path PATH; a directory for the workers' private sockets */

    { ngx_string("prom_poll_path"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_path_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_prom_poll_main_conf_t, path),
      NULL },

    /* prom_poll; what a location serves: polls */

    { ngx_string("prom_poll"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_prom_poll,
      NGX_HTTP_LOC_CONF_OFFSET,
      NGX_HTTP_PROM_POLL_POLL,
      NULL },

    /* prom_poll_push; the answers of clients */

    { ngx_string("prom_poll_push"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_prom_poll,
      NGX_HTTP_LOC_CONF_OFFSET,
      NGX_HTTP_PROM_POLL_PUSH,
      NULL },

    /* prom_poll_scrape; all requests of the server in absolute form */

    { ngx_string("prom_poll_scrape"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_prom_poll_scrape,
      NGX_HTTP_LOC_CONF_OFFSET,
      NGX_HTTP_PROM_POLL_SCRAPE,
      NULL },

    /* prom_poll_worker; what other workers pass on */

    { ngx_string("prom_poll_worker"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_prom_poll_hops,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    /* prom_poll_identity VALUE; the name that a client has shown to have */

    { ngx_string("prom_poll_identity"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_prom_poll_loc_conf_t, identity),
      NULL },

    /* prom_poll_hold TIME; a poll that asks for a limit is held that long */

    { ngx_string("prom_poll_hold"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_prom_poll_loc_conf_t, hold),
      NULL },

    /* prom_poll_max_timeout TIME; the most that a scraper may ask for */

    { ngx_string("prom_poll_max_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_prom_poll_loc_conf_t, max_timeout),
      NULL },

    /* prom_poll_default_timeout TIME; for scrapers that don't name theirs */

    { ngx_string("prom_poll_default_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_prom_poll_loc_conf_t, default_timeout),
      NULL },

    /* prom_poll_header_size SIZE; of a pushed response */

    { ngx_string("prom_poll_header_size"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_prom_poll_loc_conf_t, header_size),
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_prom_poll_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_prom_poll_init,               /* postconfiguration */

    ngx_http_prom_poll_create_main_conf,   /* create main configuration */
    ngx_http_prom_poll_init_main_conf,     /* init main configuration */

    ngx_http_prom_poll_create_srv_conf,    /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_prom_poll_create_loc_conf,    /* create location configuration */
    ngx_http_prom_poll_merge_loc_conf      /* merge location configuration */
};


ngx_module_t  ngx_http_prom_poll_module = {
    NGX_MODULE_V1,
    &ngx_http_prom_poll_module_ctx,        /* module context */
    ngx_http_prom_poll_commands,           /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_prom_poll_init_process,       /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_prom_poll_exit_process,       /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_prom_poll_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_shm_zone_t  *old = data;

    ngx_slab_pool_t                 *shpool;
    ngx_http_prom_poll_main_conf_t  *pmcf;

    pmcf = shm_zone->data;
    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    /* clients and counters outlive a reload */

    if (old || shm_zone->shm.exists) {
        ngx_prom_poll_zone_limit(shpool->data, &pmcf->limits);
        return NGX_OK;
    }

    shpool->log_nomem = 0;

    if (ngx_prom_poll_zone_init(shpool, &pmcf->limits) != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "\"prom_poll_zone\" \"%V\" is too small",
                      &shm_zone->shm.name);
        return NGX_ERROR;
    }

    return ngx_http_prom_poll_replica_init(shpool->data, shm_zone->shm.log);
}


static ngx_int_t
ngx_http_prom_poll_init_process(ngx_cycle_t *cycle)
{
    ngx_http_prom_poll_main_conf_t  *pmcf;

    pmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_prom_poll_module);

    if (pmcf == NULL
        || pmcf->zone == NULL
        || (ngx_process != NGX_PROCESS_WORKER
            && ngx_process != NGX_PROCESS_SINGLE))
    {
        return NGX_OK;
    }

    return ngx_http_prom_poll_worker_init(cycle, pmcf);
}


static void
ngx_http_prom_poll_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_prom_poll_main_conf_t  *pmcf;

    pmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_prom_poll_module);

    if (pmcf && pmcf->worker) {
        ngx_http_prom_poll_worker_exit(pmcf);
    }
}


static void *
ngx_http_prom_poll_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_prom_poll_main_conf_t  *pmcf;

    pmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_prom_poll_main_conf_t));
    if (pmcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     pmcf->zone = NULL;
     *     pmcf->limits = { 0, 0 };
     *     pmcf->path = NULL;
     *     pmcf->hops = NULL;
     *     pmcf->server = NULL;
     *     pmcf->worker = NULL;
     */

    if (ngx_array_init(&pmcf->locations, cf->pool, 4,
                       sizeof(ngx_http_core_loc_conf_t *))
        != NGX_OK)
    {
        return NULL;
    }

    return pmcf;
}


static char *
ngx_http_prom_poll_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_prom_poll_main_conf_t *pmcf = conf;

    size_t              max;
    struct sockaddr_un  sun;

    if (pmcf->zone == NULL) {
        return NGX_CONF_OK;
    }

    if (ngx_conf_merge_path_value(cf, &pmcf->path, NULL,
                                  &ngx_http_prom_poll_path_init)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    max = sizeof(sun.sun_path) - NGX_HTTP_PROM_POLL_FILE_LEN;

    if (pmcf->path->name.len > max) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"prom_poll_path\" \"%V\" is too long, a path of a "
                      "unix socket leaves it %uz bytes",
                      &pmcf->path->name, max);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static void *
ngx_http_prom_poll_create_srv_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_prom_poll_srv_conf_t));
}


static void *
ngx_http_prom_poll_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_prom_poll_loc_conf_t  *plcf;

    plcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_prom_poll_loc_conf_t));
    if (plcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     plcf->kind = NGX_HTTP_PROM_POLL_NONE;
     *     plcf->worker = 0;
     *     plcf->identity = NULL;
     */

    plcf->hold = NGX_CONF_UNSET_MSEC;
    plcf->max_timeout = NGX_CONF_UNSET_MSEC;
    plcf->default_timeout = NGX_CONF_UNSET_MSEC;
    plcf->header_size = NGX_CONF_UNSET_SIZE;

    return plcf;
}


static char *
ngx_http_prom_poll_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_prom_poll_loc_conf_t *prev = parent;
    ngx_http_prom_poll_loc_conf_t *conf = child;

    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->noname && conf->kind == NGX_HTTP_PROM_POLL_NONE) {
        /* "if" and "limit_except" are still their location */
        conf->kind = prev->kind;
        conf->worker = prev->worker;
    }

    if (conf->identity == NULL) {
        conf->identity = prev->identity;
    }

    ngx_conf_merge_msec_value(conf->hold, prev->hold, 55000);
    ngx_conf_merge_msec_value(conf->max_timeout, prev->max_timeout, 300000);
    ngx_conf_merge_msec_value(conf->default_timeout, prev->default_timeout,
                              15000);
    ngx_conf_merge_size_value(conf->header_size, prev->header_size, 16384);

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_prom_poll_init(ngx_conf_t *cf)
{
    ngx_array_t                     *handlers;
    ngx_http_handler_pt             *h;
    ngx_http_core_main_conf_t       *cmcf;
    ngx_http_prom_poll_main_conf_t  *pmcf;

    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_prom_poll_module);

    if (ngx_http_prom_poll_check(cf, pmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (pmcf->zone == NULL) {
        return NGX_OK;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    handlers = &cmcf->phases[NGX_HTTP_SERVER_REWRITE_PHASE].handlers;

    if (ngx_array_push(handlers) == NULL) {
        return NGX_ERROR;
    }

    /* the first is called last, behind "return" and "rewrite" of servers */

    h = handlers->elts;
    ngx_memmove(h + 1, h, (handlers->nelts - 1) * sizeof(ngx_http_handler_pt));

    *h = ngx_http_prom_poll_route_handler;

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_prom_poll_handler;

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_prom_poll_log_handler;

    return NGX_OK;
}


static ngx_int_t
ngx_http_prom_poll_check(ngx_conf_t *cf, ngx_http_prom_poll_main_conf_t *pmcf)
{
    ngx_uint_t                  i;
    ngx_http_core_loc_conf_t  **clcfp, *clcf;

    clcfp = pmcf->locations.elts;

    for (i = 0; i < pmcf->locations.nelts; i++) {
        clcf = clcfp[i];

        if (pmcf->zone == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "location \"%V\" serves polls, pushes or scrapes, "
                          "which need a \"prom_poll_zone\"", &clcf->name);
            return NGX_ERROR;
        }

        if (clcf->handler == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "location \"%V\" needs a \"proxy_pass\" to an "
                          "upstream with \"prom_poll_peer\", for what "
                          "concerns another worker", &clcf->name);
            return NGX_ERROR;
        }
    }

    if (pmcf->locations.nelts && pmcf->hops == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "a named location with \"prom_poll_worker\" is needed, "
                      "for what other workers pass on");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static char *
ngx_http_prom_poll_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_prom_poll_main_conf_t *pmcf = conf;

    ngx_int_t    n;
    ngx_str_t   *value, s;
    ngx_uint_t   i;

    if (pmcf->zone) {
        return "is duplicate";
    }

    pmcf->zone = ngx_http_prom_conf_zone(cf, NGX_HTTP_PROM_POLL_ZONE_MIN,
                                         &ngx_http_prom_poll_module);
    if (pmcf->zone == NULL) {
        return NGX_CONF_ERROR;
    }

    pmcf->zone->init = ngx_http_prom_poll_init_zone;
    pmcf->zone->data = pmcf;

    value = cf->args->elts;

    pmcf->limits.clients = 10000;
    pmcf->limits.timeout = 5 * 60 * 1000;

    for (i = 3; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "clients=", 8) == 0) {

            n = ngx_atoi(value[i].data + 8, value[i].len - 8);

            if (n == NGX_ERROR || n == 0) {
                goto invalid;
            }

            pmcf->limits.clients = n;
            continue;
        }

        if (ngx_strncmp(value[i].data, "timeout=", 8) == 0) {

            s.len = value[i].len - 8;
            s.data = value[i].data + 8;

            n = ngx_parse_time(&s, 0);

            if (n == NGX_ERROR || n == 0) {
                goto invalid;
            }

            pmcf->limits.timeout = n;
            continue;
        }

        goto invalid;
    }

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"",
                       &value[i]);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_prom_poll(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_prom_poll_loc_conf_t *plcf = conf;

    ngx_http_core_loc_conf_t        **clcfp;
    ngx_http_prom_poll_main_conf_t   *pmcf;

    if (plcf->kind != NGX_HTTP_PROM_POLL_NONE || plcf->worker) {
        return (plcf->kind == cmd->offset && !plcf->worker)
               ? "is duplicate" : "is in a location that has another purpose";
    }

    plcf->kind = cmd->offset;

    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_prom_poll_module);

    clcfp = ngx_array_push(&pmcf->locations);
    if (clcfp == NULL) {
        return NGX_CONF_ERROR;
    }

    *clcfp = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    return NGX_CONF_OK;
}


static char *
ngx_http_prom_poll_scrape(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                           *rv;
    ngx_http_core_loc_conf_t       *clcf;
    ngx_http_prom_poll_srv_conf_t  *pscf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    pscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_prom_poll_module);

    if (!clcf->named) {
        return "must be in a named location";
    }

    rv = ngx_http_prom_poll(cf, cmd, conf);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (pscf->scrapes) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the server has \"prom_poll_scrape\" in location "
                           "\"%V\" already", &pscf->scrapes->name);
        return NGX_CONF_ERROR;
    }

    pscf->scrapes = clcf;

    return NGX_CONF_OK;
}


static char *
ngx_http_prom_poll_hops(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_prom_poll_loc_conf_t *plcf = conf;

    char                            *rv;
    ngx_http_core_loc_conf_t        *clcf;
    ngx_http_prom_poll_main_conf_t  *pmcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_prom_poll_module);

    if (!clcf->named) {
        return "must be in a named location";
    }

    if (plcf->worker) {
        return "is duplicate";
    }

    rv = ngx_http_prom_poll(cf, cmd, conf);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (pmcf->hops) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"prom_poll_worker\" is in location \"%V\" "
                           "already, and one is enough for all",
                           &pmcf->hops->name);
        return NGX_CONF_ERROR;
    }

    plcf->worker = 1;

    pmcf->hops = clcf;
    pmcf->server = ngx_http_conf_get_module_srv_conf(cf, ngx_http_core_module);

    return NGX_CONF_OK;
}
