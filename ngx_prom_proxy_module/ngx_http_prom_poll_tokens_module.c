/*
 * Tokens of poll clients: "prom_poll_tokens" reads a file of their hashes, and
 * follows it; $prom_poll_token_owner is the name whose token a request has in
 * "Authorization: Bearer TOKEN".
 *
 * All workers share one set in memory, so that a token that was taken out is
 * of no use at any of them, nor at one that is started later.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_conf.h"
#include "ngx_prom_file.h"
#include "ngx_prom_owners.h"
#include "ngx_prom_lock.h"

#if (NGX_OPENSSL)
#include <openssl/sha.h>
#endif


/* for about 100,000 clients; memory that isn't used isn't taken */

#define NGX_HTTP_PROM_TOKENS_ZONE    (32 * 1024 * 1024)

#define NGX_HTTP_PROM_TOKENS_BEARER  1024     /* bytes of a token */

/* a file may be written in several steps: it is read once it has settled */

#define NGX_HTTP_PROM_TOKENS_SETTLE  200
#define NGX_HTTP_PROM_TOKENS_TRIES   25


typedef struct {
    ngx_prom_owners_t               *owners;
    ngx_prom_file_id_t               seen;      /* the file as it was read */
    ngx_uint_t                       configuration;
} ngx_http_prom_tokens_shctx_t;


typedef struct {
    ngx_str_t                        file;
    ngx_msec_t                       interval;
    ngx_shm_zone_t                  *zone;
    ngx_slab_pool_t                 *shpool;
    ngx_http_prom_tokens_shctx_t    *sh;
    ngx_uint_t                       inherited;  /* the segment */
    ngx_uint_t                       configuration;

    /* of a new configuration, until it is in use */

    ngx_pool_t                      *pool;
    ngx_prom_tokens_t               *tokens;
    ngx_prom_file_id_t               read;
    ngx_prom_owners_t               *prepared;

    /* the first worker's */

    ngx_event_t                      event;
    ngx_prom_file_id_t               now;
    ngx_uint_t                       tries;
    ngx_uint_t                       failing;   /* for a passing reason */
} ngx_http_prom_tokens_main_conf_t;


typedef struct {
    ngx_prom_file_t                 *file;
    ngx_pool_t                      *pool;
} ngx_http_prom_tokens_parse_t;


static ngx_int_t ngx_http_prom_tokens_owner_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_uint_t ngx_http_prom_tokens_bearer(ngx_http_request_t *r,
    ngx_str_t *token);
static ngx_int_t ngx_http_prom_tokens_find(
    ngx_http_prom_tokens_main_conf_t *tmcf, ngx_str_t *token,
    ngx_str_t *owner, ngx_pool_t *pool);

static ngx_int_t ngx_http_prom_tokens_init_process(ngx_cycle_t *cycle);
static void ngx_http_prom_tokens_watch_handler(ngx_event_t *ev);
static ngx_msec_t ngx_http_prom_tokens_watch(
    ngx_http_prom_tokens_main_conf_t *tmcf);
static void ngx_http_prom_tokens_reload(
    ngx_http_prom_tokens_main_conf_t *tmcf);
static void ngx_http_prom_tokens_commit(
    ngx_http_prom_tokens_main_conf_t *tmcf, ngx_prom_owners_t *owners);
static ngx_int_t ngx_http_prom_tokens_load(
    ngx_http_prom_tokens_main_conf_t *tmcf, ngx_array_t *errors,
    ngx_pool_t *pool, ngx_prom_tokens_t *tokens, ngx_prom_file_id_t *id);
static void *ngx_http_prom_tokens_alloc(void *data, size_t size);
static void ngx_http_prom_tokens_error(void *data, uint32_t line,
    uint32_t column, const char *reason);
static void ngx_http_prom_tokens_log(ngx_array_t *errors, ngx_uint_t level,
    ngx_log_t *log);

static ngx_int_t ngx_http_prom_tokens_add_variables(ngx_conf_t *cf);
static void *ngx_http_prom_tokens_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_prom_tokens_init_main_conf(ngx_conf_t *cf, void *conf);
static ngx_int_t ngx_http_prom_tokens_init_zone(ngx_shm_zone_t *zone,
    void *data);
static ngx_int_t ngx_http_prom_tokens_init_module(ngx_cycle_t *cycle);
static void ngx_http_prom_tokens_cleanup(void *data);
static char *ngx_http_prom_tokens(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


static ngx_command_t  ngx_http_prom_tokens_commands[] = {

    /* prom_poll_tokens FILE [interval=1s] */

    { ngx_string("prom_poll_tokens"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE12,
      ngx_http_prom_tokens,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_prom_poll_tokens_module_ctx = {
    ngx_http_prom_tokens_add_variables,    /* preconfiguration */
    NULL,                                  /* postconfiguration */

    ngx_http_prom_tokens_create_main_conf, /* create main configuration */
    ngx_http_prom_tokens_init_main_conf,   /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_prom_poll_tokens_module = {
    NGX_MODULE_V1,
    &ngx_http_prom_poll_tokens_module_ctx, /* module context */
    ngx_http_prom_tokens_commands,         /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_http_prom_tokens_init_module,      /* init module */
    ngx_http_prom_tokens_init_process,     /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_http_variable_t  ngx_http_prom_tokens_vars[] = {

    /* NAME, or empty: no token, or none of the file's */
    { ngx_string("prom_poll_token_owner"), NULL,
      ngx_http_prom_tokens_owner_variable, 0, 0, 0 },

      ngx_http_null_variable
};


static ngx_int_t
ngx_http_prom_tokens_owner_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_int_t                          rc;
    ngx_str_t                          token, owner;
    ngx_http_prom_tokens_main_conf_t  *tmcf;

    tmcf = ngx_http_get_module_main_conf(r, ngx_http_prom_poll_tokens_module);

    if (tmcf->zone == NULL || !ngx_http_prom_tokens_bearer(r, &token)) {
        v->not_found = 1;
        return NGX_OK;
    }

    rc = ngx_http_prom_tokens_find(tmcf, &token, &owner, r->pool);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {
        v->not_found = 1;
        return NGX_OK;
    }

    ngx_http_prom_conf_set(v, &owner);

    return NGX_OK;
}


static ngx_uint_t
ngx_http_prom_tokens_bearer(ngx_http_request_t *r, ngx_str_t *token)
{
    if (r->headers_in.authorization == NULL) {
        return 0;
    }

    *token = r->headers_in.authorization->value;

    if (token->len < sizeof("Bearer ") - 1
        || ngx_strncasecmp(token->data, (u_char *) "Bearer ",
                           sizeof("Bearer ") - 1)
           != 0)
    {
        return 0;
    }

    token->data += sizeof("Bearer ") - 1;
    token->len -= sizeof("Bearer ") - 1;

    while (token->len && *token->data == ' ') {
        token->data++;
        token->len--;
    }

    return token->len && token->len <= NGX_HTTP_PROM_TOKENS_BEARER;
}


static ngx_int_t
ngx_http_prom_tokens_find(ngx_http_prom_tokens_main_conf_t *tmcf,
    ngx_str_t *token, ngx_str_t *owner, ngx_pool_t *pool)
{
#if (NGX_OPENSSL)

    u_char     hash[NGX_PROM_TOKEN_HASH], name[NGX_PROM_NAME_MAX];
    ngx_str_t  found;

    (void) SHA256(token->data, token->len, hash);

    ngx_shmtx_lock(&tmcf->shpool->mutex);

    ngx_prom_owners_find(tmcf->sh->owners, hash, &found);

    if (found.len) {
        ngx_memcpy(name, found.data, found.len);
    }

    ngx_shmtx_unlock(&tmcf->shpool->mutex);

    if (found.len == 0) {
        return NGX_DECLINED;
    }

    owner->len = found.len;
    owner->data = ngx_pnalloc(pool, found.len);

    if (owner->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(owner->data, name, found.len);

    return NGX_OK;

#else

    return NGX_DECLINED;

#endif
}


static ngx_int_t
ngx_http_prom_tokens_init_process(ngx_cycle_t *cycle)
{
    ngx_http_prom_tokens_main_conf_t  *tmcf;

    tmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                            ngx_http_prom_poll_tokens_module);

    if (tmcf == NULL || tmcf->zone == NULL || tmcf->interval == 0) {
        return NGX_OK;
    }

    if (ngx_process != NGX_PROCESS_SINGLE
        && (ngx_process != NGX_PROCESS_WORKER || ngx_worker != 0))
    {
        return NGX_OK;
    }

    tmcf->event.handler = ngx_http_prom_tokens_watch_handler;
    tmcf->event.data = tmcf;
    tmcf->event.log = cycle->log;
    tmcf->event.cancelable = 1;

    ngx_add_timer(&tmcf->event, tmcf->interval);

    return NGX_OK;
}


static void
ngx_http_prom_tokens_watch_handler(ngx_event_t *ev)
{
    ngx_http_prom_tokens_main_conf_t  *tmcf;

    tmcf = ev->data;

    /* the workers of a new configuration look for themselves */

    if (ngx_exiting || tmcf->configuration != tmcf->sh->configuration) {
        return;
    }

    ngx_add_timer(ev, ngx_http_prom_tokens_watch(tmcf));
}


/* returns when to look again */

static ngx_msec_t
ngx_http_prom_tokens_watch(ngx_http_prom_tokens_main_conf_t *tmcf)
{
    ngx_prom_file_id_t  now;

    (void) ngx_prom_file_id(&tmcf->file, &now);

    if (ngx_memcmp(&now, &tmcf->sh->seen, sizeof(ngx_prom_file_id_t)) == 0) {
        tmcf->tries = 0;
        return tmcf->interval;
    }

    if (tmcf->tries == 0
        || (tmcf->tries < NGX_HTTP_PROM_TOKENS_TRIES
            && ngx_memcmp(&now, &tmcf->now, sizeof(ngx_prom_file_id_t)) != 0))
    {
        tmcf->now = now;
        tmcf->tries++;
        return ngx_min(tmcf->interval, NGX_HTTP_PROM_TOKENS_SETTLE);
    }

    tmcf->tries = 0;

    ngx_http_prom_tokens_reload(tmcf);

    return tmcf->interval;
}


static void
ngx_http_prom_tokens_reload(ngx_http_prom_tokens_main_conf_t *tmcf)
{
    ngx_int_t            rc;
    ngx_log_t           *log;
    ngx_pool_t          *pool;
    ngx_array_t          errors;
    ngx_prom_tokens_t    tokens;
    ngx_prom_file_id_t   id;
    ngx_prom_owners_t   *owners;

    log = tmcf->event.log;

    pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, log);
    if (pool == NULL) {
        return;
    }

    if (ngx_array_init(&errors, pool, 4, sizeof(ngx_str_t)) != NGX_OK) {
        goto done;
    }

    rc = ngx_http_prom_tokens_load(tmcf, &errors, pool, &tokens, &id);

    if (rc == NGX_AGAIN) {
        goto done;
    }

    if (rc == NGX_OK) {
        owners = ngx_prom_owners_create(tmcf->shpool, &tokens);

        if (owners) {
            ngx_http_prom_tokens_commit(tmcf, owners);
            ngx_log_error(NGX_LOG_NOTICE, log, 0, "%V: tokens loaded: %uD",
                          &tmcf->file, tokens.count);

        } else {
            ngx_log_error(NGX_LOG_ERR, log, 0,
                          "%V: %uD tokens are more than fit in memory, those "
                          "before stay", &tmcf->file, tokens.count);
        }

    } else if (rc != NGX_ABORT || !tmcf->failing) {
        ngx_http_prom_tokens_log(&errors, NGX_LOG_ERR, log);
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "%V: not loaded, the tokens stay as they are",
                      &tmcf->file);
    }

    /* what may pass is tried again */

    tmcf->failing = (rc == NGX_ABORT);

    if (rc != NGX_ABORT) {
        tmcf->sh->seen = id;
    }

done:

    ngx_destroy_pool(pool);
}


static void
ngx_http_prom_tokens_commit(ngx_http_prom_tokens_main_conf_t *tmcf,
    ngx_prom_owners_t *owners)
{
    ngx_prom_owners_t  *old;

    ngx_prom_lock(&tmcf->shpool->mutex);

    old = tmcf->sh->owners;
    tmcf->sh->owners = owners;

    if (old) {
        ngx_slab_free_locked(tmcf->shpool, old);
    }

    ngx_prom_unlock(&tmcf->shpool->mutex);
}


/* returns as ngx_prom_file_read() does */

static ngx_int_t
ngx_http_prom_tokens_load(ngx_http_prom_tokens_main_conf_t *tmcf,
    ngx_array_t *errors, ngx_pool_t *pool, ngx_prom_tokens_t *tokens,
    ngx_prom_file_id_t *id)
{
    ngx_int_t                     rc;
    ngx_prom_file_t               file;
    ngx_http_prom_tokens_parse_t  parse;

    file.name = &tmcf->file;
    file.errors = errors;
    file.pool = pool;

    rc = ngx_prom_file_read(&file);

    *id = file.id;

    if (rc != NGX_OK) {
        return rc;
    }

    parse.file = &file;
    parse.pool = pool;

    tokens->alloc = ngx_http_prom_tokens_alloc;
    tokens->error = ngx_http_prom_tokens_error;
    tokens->data = &parse;

    switch (ngx_prom_tokens_parse(tokens, file.text, file.len)) {

    case 0:
        return NGX_OK;

    case 1:
        if (tokens->errors > NGX_PROM_ERRORS_MAX) {
            ngx_prom_file_wrong(&file, 0, ": %uD more mistakes",
                                tokens->errors - NGX_PROM_ERRORS_MAX);
        }

        return NGX_ERROR;

    default:
        ngx_prom_file_wrong(&file, NGX_ENOMEM, ": cannot be read");
        return NGX_ABORT;
    }
}


static void *
ngx_http_prom_tokens_alloc(void *data, size_t size)
{
    ngx_http_prom_tokens_parse_t *parse = data;

    return ngx_palloc(parse->pool, size);
}


static void
ngx_http_prom_tokens_error(void *data, uint32_t line, uint32_t column,
    const char *reason)
{
    ngx_http_prom_tokens_parse_t *parse = data;

    ngx_prom_file_wrong(parse->file, 0, ":%uD:%uD: %s", line, column, reason);
}


static void
ngx_http_prom_tokens_log(ngx_array_t *errors, ngx_uint_t level,
    ngx_log_t *log)
{
    ngx_str_t   *error;
    ngx_uint_t   i;

    error = errors->elts;

    for (i = 0; i < errors->nelts; i++) {
        ngx_log_error(level, log, 0, "%V", &error[i]);
    }
}


static ngx_int_t
ngx_http_prom_tokens_add_variables(ngx_conf_t *cf)
{
    return ngx_http_prom_conf_variables(cf, ngx_http_prom_tokens_vars);
}


static void *
ngx_http_prom_tokens_create_main_conf(ngx_conf_t *cf)
{
    ngx_pool_cleanup_t                *cln;
    ngx_http_prom_tokens_main_conf_t  *tmcf;

    cln = ngx_pool_cleanup_add(cf->pool,
                               sizeof(ngx_http_prom_tokens_main_conf_t));
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_prom_tokens_cleanup;

    tmcf = cln->data;
    ngx_memzero(tmcf, sizeof(ngx_http_prom_tokens_main_conf_t));

    return tmcf;
}


static char *
ngx_http_prom_tokens_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_prom_tokens_main_conf_t *tmcf = conf;

    ngx_array_t  errors;

    if (tmcf->zone == NULL) {
        return NGX_CONF_OK;
    }

    /* a pool of its own: nothing is wanted once the zone has the set */

    tmcf->pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, &cf->cycle->new_log);
    if (tmcf->pool == NULL) {
        return NGX_CONF_ERROR;
    }

    tmcf->tokens = ngx_pcalloc(tmcf->pool, sizeof(ngx_prom_tokens_t));

    if (tmcf->tokens == NULL
        || ngx_array_init(&errors, tmcf->pool, 4, sizeof(ngx_str_t))
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (ngx_http_prom_tokens_load(tmcf, &errors, tmcf->pool, tmcf->tokens,
                                  &tmcf->read)
        != NGX_OK)
    {
        ngx_http_prom_tokens_log(&errors, NGX_LOG_EMERG, cf->log);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_prom_tokens_init_zone(ngx_shm_zone_t *zone, void *data)
{
    ngx_http_prom_tokens_main_conf_t  *tmcf;

    tmcf = zone->data;
    tmcf->shpool = (ngx_slab_pool_t *) zone->shm.addr;

    /* the zone's segment may be that of the configuration before */

    tmcf->sh = tmcf->shpool->data;
    tmcf->inherited = (tmcf->sh != NULL);

    if (tmcf->sh == NULL) {
        tmcf->sh = ngx_slab_calloc(tmcf->shpool,
                                   sizeof(ngx_http_prom_tokens_shctx_t));
        if (tmcf->sh == NULL) {
            return NGX_ERROR;
        }

        tmcf->shpool->data = tmcf->sh;
        tmcf->shpool->log_nomem = 0;
    }

    tmcf->prepared = ngx_prom_owners_create(tmcf->shpool, tmcf->tokens);

    if (tmcf->prepared == NULL) {
        ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0,
                      "%V: %uD tokens are more than fit in memory",
                      &tmcf->file, tmcf->tokens->count);
        return NGX_ERROR;
    }

    ngx_destroy_pool(tmcf->pool);
    tmcf->pool = NULL;
    tmcf->tokens = NULL;

    return NGX_OK;
}


static ngx_int_t
ngx_http_prom_tokens_init_module(ngx_cycle_t *cycle)
{
    ngx_http_prom_tokens_main_conf_t  *tmcf;

    tmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                            ngx_http_prom_poll_tokens_module);

    if (tmcf == NULL || tmcf->prepared == NULL) {
        return NGX_OK;
    }

    ngx_http_prom_tokens_commit(tmcf, tmcf->prepared);

    tmcf->prepared = NULL;
    tmcf->sh->seen = tmcf->read;
    tmcf->configuration = ++tmcf->sh->configuration;

    return NGX_OK;
}


/* the end of a configuration, also of one that never came to be used */

static void
ngx_http_prom_tokens_cleanup(void *data)
{
    ngx_http_prom_tokens_main_conf_t *tmcf = data;

    if (tmcf->event.timer_set) {
        ngx_del_timer(&tmcf->event);
    }

    if (tmcf->pool) {
        ngx_destroy_pool(tmcf->pool);
    }

    /* a segment that was made for nothing is gone already */

    if (tmcf->prepared && tmcf->inherited) {
        ngx_slab_free(tmcf->shpool, tmcf->prepared);
    }
}


static char *
ngx_http_prom_tokens(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_prom_tokens_main_conf_t *tmcf = conf;

    ngx_int_t   n;
    ngx_str_t  *value, name, s;

    if (tmcf->zone) {
        return "is duplicate";
    }

#if !(NGX_OPENSSL)

    return "needs nginx to be built with OpenSSL";

#endif

    value = cf->args->elts;

    tmcf->file = value[1];
    tmcf->interval = 1000;

    if (cf->args->nelts == 3) {

        if (ngx_strncmp(value[2].data, "interval=", 9) != 0) {
            goto invalid;
        }

        s.data = value[2].data + 9;
        s.len = value[2].len - 9;

        n = ngx_parse_time(&s, 0);

        if (n == NGX_ERROR) {
            goto invalid;
        }

        tmcf->interval = n;
    }

    if (ngx_conf_full_name(cf->cycle, &tmcf->file, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    ngx_str_set(&name, "prom_poll_tokens");

    tmcf->zone = ngx_shared_memory_add(cf, &name, NGX_HTTP_PROM_TOKENS_ZONE,
                                       &ngx_http_prom_poll_tokens_module);
    if (tmcf->zone == NULL) {
        return NGX_CONF_ERROR;
    }

    tmcf->zone->init = ngx_http_prom_tokens_init_zone;
    tmcf->zone->data = tmcf;

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%V\" in \"%V\" directive",
                       &value[2], &cmd->name);

    return NGX_CONF_ERROR;
}
