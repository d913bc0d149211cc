/*
 * The settings of forward proxies: "prom_forward NAME { ... }" of the main
 * level, since both http and stream refer to them.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_prom_forward.h"
#include "ngx_prom_forward_core.h"


typedef struct {
    ngx_array_t                  blocks;     /* of ngx_prom_forward_t * */
} ngx_prom_forward_conf_t;


static void *ngx_prom_forward_create_conf(ngx_cycle_t *cycle);
static char *ngx_prom_forward_block(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_uint_t ngx_prom_forward_name_ok(ngx_str_t *name);
static char *ngx_prom_forward_done(ngx_conf_t *cf,
    ngx_prom_forward_block_t *block);
static ngx_int_t ngx_prom_forward_init_process(ngx_cycle_t *cycle);


static ngx_command_t  ngx_prom_forward_commands[] = {

    /* prom_forward NAME { SETTING VALUE...; ... } */

    { ngx_string("prom_forward"),
      NGX_MAIN_CONF|NGX_DIRECT_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_prom_forward_block,
      0,
      0,
      NULL },

      ngx_null_command
};


static ngx_core_module_t  ngx_prom_forward_module_ctx = {
    ngx_string("prom_forward"),
    ngx_prom_forward_create_conf,
    NULL
};


ngx_module_t  ngx_prom_forward_module = {
    NGX_MODULE_V1,
    &ngx_prom_forward_module_ctx,          /* module context */
    ngx_prom_forward_commands,             /* module directives */
    NGX_CORE_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_prom_forward_init_process,         /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


ngx_prom_forward_t *
ngx_prom_forward_find(ngx_conf_t *cf, ngx_str_t *name)
{
    ngx_uint_t            i;
    ngx_array_t          *all;
    ngx_prom_forward_t  **forward;

    all = ngx_prom_forward_all(cf->cycle);

    if (all) {
        forward = all->elts;

        for (i = 0; i < all->nelts; i++) {

            if (forward[i]->name.len == name->len
                && ngx_memcmp(forward[i]->name.data, name->data, name->len)
                   == 0)
            {
                return forward[i];
            }
        }
    }

    return NULL;
}


ngx_array_t *
ngx_prom_forward_all(ngx_cycle_t *cycle)
{
    ngx_prom_forward_conf_t  *fcf;

    fcf = (ngx_prom_forward_conf_t *)
              ngx_get_conf(cycle->conf_ctx, ngx_prom_forward_module);

    return (fcf && fcf->blocks.nelts) ? &fcf->blocks : NULL;
}


static void *
ngx_prom_forward_create_conf(ngx_cycle_t *cycle)
{
    ngx_prom_forward_conf_t  *fcf;

    fcf = ngx_pcalloc(cycle->pool, sizeof(ngx_prom_forward_conf_t));
    if (fcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&fcf->blocks, cycle->pool, 2,
                       sizeof(ngx_prom_forward_t *))
        != NGX_OK)
    {
        return NULL;
    }

    return fcf;
}


static char *
ngx_prom_forward_block(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_prom_forward_conf_t *fcf = conf;

    char                      *rv;
    ngx_str_t                 *value;
    ngx_conf_t                 save;
    ngx_prom_forward_t        *forward, **slot;
    ngx_prom_forward_block_t   block;

    value = cf->args->elts;

    if (ngx_prom_forward_find(cf, &value[1])) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate \"%V %V\"", &value[0], &value[1]);
        return NGX_CONF_ERROR;
    }

    if (!ngx_prom_forward_name_ok(&value[1])) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is no name: 1 to %d letters, digits and "
                           "\"._-\" are", &value[1], NGX_PROM_FORWARD_NAME);
        return NGX_CONF_ERROR;
    }

    if (fcf->blocks.nelts == NGX_PROM_FORWARD_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "more than %d blocks of \"%V\"",
                           NGX_PROM_FORWARD_MAX, &value[0]);
        return NGX_CONF_ERROR;
    }

    forward = ngx_pcalloc(cf->pool, sizeof(ngx_prom_forward_t));
    if (forward == NULL) {
        return NGX_CONF_ERROR;
    }

    forward->name = value[1];

    /* nginx asks another name server after 5 seconds */

    forward->resolver_timeout = 8000;
    forward->connect_timeout = 5000;

    ngx_memzero(&block, sizeof(ngx_prom_forward_block_t));
    block.forward = forward;

    save = *cf;
    cf->handler = ngx_prom_forward_setting;
    cf->handler_conf = (void *) &block;

    rv = ngx_conf_parse(cf, NULL);

    *cf = save;

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    rv = ngx_prom_forward_done(cf, &block);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    slot = ngx_array_push(&fcf->blocks);
    if (slot == NULL) {
        return NGX_CONF_ERROR;
    }

    *slot = forward;

    return NGX_CONF_OK;
}


/* it stands in metrics and logs as it is */

static ngx_uint_t
ngx_prom_forward_name_ok(ngx_str_t *name)
{
    u_char  ch;
    size_t  i;

    for (i = 0; i < name->len; i++) {
        ch = name->data[i];

        if (!((ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z')
              || (ch >= 'A' && ch <= 'Z')
              || ch == '.' || ch == '_' || ch == '-'))
        {
            return 0;
        }
    }

    return name->len && name->len <= NGX_PROM_FORWARD_NAME;
}


/* what only all settings together can tell */

static char *
ngx_prom_forward_done(ngx_conf_t *cf, ngx_prom_forward_block_t *block)
{
    ngx_prom_forward_t  *forward;

    forward = block->forward;

    if (block->allow.len == 0 && forward->file == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"prom_forward %V\" has neither \"allow\" nor "
                           "\"allow_file\", so it would allow nothing",
                           &forward->name);
        return NGX_CONF_ERROR;
    }

    if (!forward->verify && !forward->trusting
        && forward->scheme != NGX_PROM_FORWARD_HTTP)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"prom_forward %V\" needs \"verify FILE\", the "
                           "CA of the targets' certificates, or \"verify "
                           "off\"", &forward->name);
        return NGX_CONF_ERROR;
    }

    if (block->plain.len && forward->scheme != NGX_PROM_FORWARD_AUTO) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"plain\" of \"prom_forward %V\" needs \"scheme "
                           "auto\"", &forward->name);
        return NGX_CONF_ERROR;
    }

    if (block->plain.len == 0 && forward->scheme == NGX_PROM_FORWARD_AUTO) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"scheme auto\" of \"prom_forward %V\" needs "
                           "\"plain\", the targets to be asked by plain http",
                           &forward->name);
        return NGX_CONF_ERROR;
    }

    forward->rules = ngx_prom_forward_parsed(cf, &block->allow);

    if (forward->rules == NULL) {
        return NGX_CONF_ERROR;
    }

    if (block->plain.len) {
        forward->plain = ngx_prom_forward_parsed(cf, &block->plain);

        if (forward->plain == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_prom_forward_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t            i;
    ngx_array_t          *all;
    ngx_prom_forward_t  **forward;

    all = ngx_prom_forward_all(cycle);

    if (all == NULL
        || (ngx_process != NGX_PROCESS_WORKER
            && ngx_process != NGX_PROCESS_SINGLE))
    {
        return NGX_OK;
    }

    forward = all->elts;

    for (i = 0; i < all->nelts; i++) {

        if (ngx_prom_forward_resolve_init(forward[i], cycle) != NGX_OK) {
            return NGX_ERROR;
        }

        if (forward[i]->file
            && ngx_prom_forward_follow_init(forward[i]->file, cycle)
               != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (forward[i]->users
            && (ngx_prom_forward_follow_init(forward[i]->users, cycle)
                != NGX_OK
                || ngx_prom_forward_users_init(forward[i], cycle) != NGX_OK))
        {
            return NGX_ERROR;
        }

        ngx_prom_forward_count_start(forward[i]);
    }

    return NGX_OK;
}
