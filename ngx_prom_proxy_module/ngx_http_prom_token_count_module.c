/*
 * Counts requests to remotes: by the status that their caller got, and by how
 * long they took, waiting for a credential included.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_conf.h"
#include "ngx_http_prom_token.h"
#include "ngx_http_prom_token_count.h"


#define NGX_HTTP_PROM_TOKEN_ZONE_MIN  (8 * ngx_pagesize)


typedef struct {
    ngx_shm_zone_t              *zone;
    ngx_http_prom_token_main_conf_t  *tokens;    /* whose counters it has */
} ngx_http_prom_token_count_main_conf_t;


static ngx_int_t ngx_http_prom_token_count_init_zone(ngx_shm_zone_t *zone,
    void *data);
static ngx_http_prom_token_counters_t *ngx_http_prom_token_counters(
    ngx_slab_pool_t *shpool, ngx_str_t *name);
static ngx_int_t ngx_http_prom_token_count_handler(ngx_http_request_t *r);
static ngx_http_prom_token_counters_t *ngx_http_prom_token_count_of(
    ngx_http_request_t *r);
static void ngx_http_prom_token_count_status(ngx_http_request_t *r,
    ngx_http_prom_token_counters_t *counters);
static void ngx_http_prom_token_count_duration(ngx_http_request_t *r,
    ngx_http_prom_token_counters_t *counters);

static void *ngx_http_prom_token_count_create_main_conf(ngx_conf_t *cf);
static ngx_int_t ngx_http_prom_token_count_init(ngx_conf_t *cf);
static char *ngx_http_prom_token_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


/* from what a cached answer takes to what a query may at most */

const uint32_t  ngx_http_prom_token_bounds[NGX_HTTP_PROM_TOKEN_BUCKETS - 1] = {
    5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000
};


static ngx_command_t  ngx_http_prom_token_count_commands[] = {

    /* prom_token_zone NAME SIZE; counters of requests to remotes */

    { ngx_string("prom_token_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE2,
      ngx_http_prom_token_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_prom_token_count_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_prom_token_count_init,        /* postconfiguration */

    ngx_http_prom_token_count_create_main_conf,  /* create main conf. */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_prom_token_count_module = {
    NGX_MODULE_V1,
    &ngx_http_prom_token_count_module_ctx, /* module context */
    ngx_http_prom_token_count_commands,    /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


/* counters outlive a reload, also those of remotes that are gone for now */

static ngx_int_t
ngx_http_prom_token_count_init_zone(ngx_shm_zone_t *zone, void *data)
{
    ngx_uint_t                               i;
    ngx_slab_pool_t                         *shpool;
    ngx_http_prom_token_t                  **token;
    ngx_http_prom_token_count_main_conf_t   *cmcf;

    cmcf = zone->data;
    shpool = (ngx_slab_pool_t *) zone->shm.addr;
    shpool->log_nomem = 0;

    token = cmcf->tokens->tokens.elts;

    for (i = 0; i < cmcf->tokens->tokens.nelts; i++) {
        token[i]->counters = ngx_http_prom_token_counters(shpool,
                                                          &token[i]->name);
        if (token[i]->counters == NULL) {
            ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0,
                          "\"prom_token_zone\" \"%V\" is too small: it has "
                          "no room for \"%V\"",
                          &zone->shm.name, &token[i]->name);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_http_prom_token_counters_t *
ngx_http_prom_token_counters(ngx_slab_pool_t *shpool, ngx_str_t *name)
{
    ngx_http_prom_token_counters_t  *counters;

    for (counters = shpool->data; counters; counters = counters->next) {

        if (counters->len == name->len
            && ngx_memcmp(counters->name, name->data, name->len) == 0)
        {
            return counters;
        }
    }

    counters = ngx_slab_calloc(shpool,
                               sizeof(ngx_http_prom_token_counters_t));
    if (counters == NULL) {
        return NULL;
    }

    counters->len = name->len;
    ngx_memcpy(counters->name, name->data, name->len);

    /* told from the start, so that its rate begins at 0 */

    counters->codes[0].status = NGX_HTTP_OK;

    counters->next = shpool->data;
    shpool->data = counters;

    return counters;
}


static ngx_int_t
ngx_http_prom_token_count_handler(ngx_http_request_t *r)
{
    ngx_http_prom_token_counters_t  *counters;

    if (r != r->main) {
        return NGX_OK;
    }

    counters = ngx_http_prom_token_count_of(r);

    if (counters) {
        ngx_http_prom_token_count_status(r, counters);
        ngx_http_prom_token_count_duration(r, counters);
    }

    return NGX_OK;
}


/* a request may have been refused before it came to be the remote's */

static ngx_http_prom_token_counters_t *
ngx_http_prom_token_count_of(ngx_http_request_t *r)
{
    ngx_http_prom_token_ctx_t       *ctx;
    ngx_http_prom_token_loc_conf_t  *tlcf;

    ctx = ngx_http_prom_token_ctx(r);

    if (ctx) {
        return ctx->token->counters;
    }

    tlcf = ngx_http_get_module_loc_conf(r, ngx_http_prom_token_module);

    return tlcf->token ? tlcf->token->counters : NULL;
}


static void
ngx_http_prom_token_count_status(ngx_http_request_t *r,
    ngx_http_prom_token_counters_t *counters)
{
    ngx_uint_t                   i, status;
    ngx_http_prom_token_code_t  *code;

    status = r->err_status ? r->err_status : r->headers_out.status;

    if (status == NGX_HTTP_CLIENT_CLOSED_REQUEST
        || status < 100
        || r->connection->error
        || (r->upstream && r->upstream->pipe
            && r->upstream->pipe->downstream_error))
    {
        (void) ngx_atomic_fetch_add(&counters->aborted, 1);
        return;
    }

    for (i = 0; i < NGX_HTTP_PROM_TOKEN_CODES; i++) {
        code = &counters->codes[i];

        if (code->status == 0) {
            (void) ngx_atomic_cmp_set(&code->status, 0, status);
        }

        if (code->status == status) {
            (void) ngx_atomic_fetch_add(&code->requests, 1);
            return;
        }
    }

    (void) ngx_atomic_fetch_add(&counters->other, 1);
}


static void
ngx_http_prom_token_count_duration(ngx_http_request_t *r,
    ngx_http_prom_token_counters_t *counters)
{
    ngx_uint_t       i;
    ngx_time_t      *tp;
    ngx_msec_int_t   ms;

    tp = ngx_timeofday();

    ms = (ngx_msec_int_t) ((tp->sec - r->start_sec) * 1000
                           + (tp->msec - r->start_msec));
    ms = ngx_max(ms, 0);

    for (i = 0; i < NGX_HTTP_PROM_TOKEN_BUCKETS - 1; i++) {

        if (ms <= (ngx_msec_int_t) ngx_http_prom_token_bounds[i]) {
            break;
        }
    }

    (void) ngx_atomic_fetch_add(&counters->buckets[i], 1);
    (void) ngx_atomic_fetch_add(&counters->duration, ms);
}


static void *
ngx_http_prom_token_count_create_main_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool,
                       sizeof(ngx_http_prom_token_count_main_conf_t));
}


static ngx_int_t
ngx_http_prom_token_count_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt                    *h;
    ngx_http_core_main_conf_t              *cmcf;
    ngx_http_prom_token_count_main_conf_t  *tcmcf;

    tcmcf = ngx_http_conf_get_module_main_conf(cf,
                                            ngx_http_prom_token_count_module);
    if (tcmcf->zone == NULL) {
        return NGX_OK;
    }

    tcmcf->tokens = ngx_http_conf_get_module_main_conf(cf,
                                                  ngx_http_prom_token_module);

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_prom_token_count_handler;

    return NGX_OK;
}


static char *
ngx_http_prom_token_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_prom_token_count_main_conf_t *tcmcf = conf;

    if (tcmcf->zone) {
        return "is duplicate";
    }

    tcmcf->zone = ngx_http_prom_conf_zone(cf, NGX_HTTP_PROM_TOKEN_ZONE_MIN,
                                          &ngx_http_prom_token_count_module);
    if (tcmcf->zone == NULL) {
        return NGX_CONF_ERROR;
    }

    tcmcf->zone->init = ngx_http_prom_token_count_init_zone;
    tcmcf->zone->data = tcmcf;

    return NGX_CONF_OK;
}
