/*
 * "prom_proxy_share": scrapes of one target that come within a time share
 * one upstream request.
 *
 * It is nginx's own proxy_cache with its lock, set up as one would by hand.
 * But proxy_cache counts whole seconds, from the answer's header on, and
 * doesn't lock where an expired answer is still there. So how old an answer
 * may be is seen to here: one that is too old is taken out of the cache just
 * before nginx looks for it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_proxy.h"


/* two Prometheus scrape at most that often, and neither wants older values */

#define NGX_HTTP_PROM_SHARE_MAX    60000

/* as long as a scrape may take; whoever waits has a deadline of its own */

#define NGX_HTTP_PROM_SHARE_LOCK   60000

/* longer than an answer can be on its way; see above */

#define NGX_HTTP_PROM_SHARE_VALID  3600


typedef struct {
    ngx_shm_zone_t              *zone;      /* NULL: nothing is shared */
    ngx_array_t                 *valid;     /* of ngx_http_cache_valid_t */
} ngx_http_prom_share_main_conf_t;


typedef struct {
    ngx_msec_t                   time;
} ngx_http_prom_share_loc_conf_t;


static size_t ngx_http_prom_share_expire(ngx_http_script_engine_t *e);
static ngx_uint_t ngx_http_prom_share_fresh(ngx_http_request_t *r,
    ngx_file_info_t *fi);
static ngx_int_t ngx_http_prom_share_forget(ngx_http_cache_t *c,
    ngx_file_info_t *fi);
static ngx_http_file_cache_node_t *ngx_http_prom_share_lookup(
    ngx_http_cache_t *c);
static size_t ngx_http_prom_share_vary(ngx_http_script_engine_t *e);
static ngx_uint_t ngx_http_prom_share_in_key(ngx_str_t *names);

static void *ngx_http_prom_share_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_prom_share_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_prom_share_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_prom_share_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_array_t *ngx_http_prom_share_predicates(ngx_conf_t *cf,
    ngx_array_t *own, ngx_http_complex_value_t *first);
static char *ngx_http_prom_share(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_prom_share_zone(ngx_conf_t *cf,
    ngx_http_prom_share_main_conf_t *smcf);
static ngx_http_upstream_conf_t *ngx_http_prom_share_upstream(void *plcf);
static ngx_command_t *ngx_http_prom_share_command(char *name);
static char *ngx_http_prom_share_set(ngx_conf_t *cf, ngx_str_t *args,
    ngx_uint_t n);


extern ngx_module_t  ngx_http_proxy_module;


/* what else an answer may depend on, by what Vary may name */

static ngx_str_t  ngx_http_prom_share_headers[] = {
    ngx_string("accept"),
    ngx_string("accept-encoding"),
    ngx_string("authorization"),
    ngx_string("cookie"),
    ngx_string("host"),
    ngx_null_string
};


/* in no part of it can be a line feed */

static ngx_str_t  ngx_http_prom_share_key[] = {
    ngx_string("proxy_cache_key"),
    ngx_string("$request_method\n$scheme\n$server_name\n$server_port\n"
               "$proxy_host\n$prom_proxy_target\n$prom_proxy_uri\n"
               "$request_uri\n$http_accept\n$http_accept_encoding\n"
               "$http_authorization\n$http_cookie\n$http_host")
};


static ngx_str_t  ngx_http_prom_share_cache[] = {
    ngx_string("proxy_cache"),
    ngx_string("prom_proxy_share")
};


/* one directory, on one file system with what becomes a file of it */

static ngx_str_t  ngx_http_prom_share_path[] = {
    ngx_string("proxy_cache_path"),
    ngx_string("prom_proxy_share"),
    ngx_string("keys_zone=prom_proxy_share:16m"),
    ngx_string("max_size=64m"),
    ngx_string("use_temp_path=off")
};


/*
 * Values that are always empty, as scripts that nginx would compile. It asks
 * for proxy_cache_bypass when it knows the key and before it opens the file,
 * in one go with both, and for proxy_no_cache when it has the answer's header.
 */

static uintptr_t  ngx_http_prom_share_no_codes[] = {
    (uintptr_t) NULL
};


static uintptr_t  ngx_http_prom_share_expire_codes[] = {
    (uintptr_t) ngx_http_prom_share_expire,
    (uintptr_t) NULL
};


static uintptr_t  ngx_http_prom_share_vary_codes[] = {
    (uintptr_t) ngx_http_prom_share_vary,
    (uintptr_t) NULL
};


static ngx_http_complex_value_t  ngx_http_prom_share_bypass = {
    ngx_null_string, NULL, ngx_http_prom_share_expire_codes,
    ngx_http_prom_share_no_codes, { 0 }
};


static ngx_http_complex_value_t  ngx_http_prom_share_no_cache = {
    ngx_null_string, NULL, ngx_http_prom_share_vary_codes,
    ngx_http_prom_share_no_codes, { 0 }
};


static const ngx_str_t  ngx_http_prom_share_vary_name = ngx_string("Vary");


static ngx_command_t  ngx_http_prom_share_commands[] = {

    /* prom_proxy_share TIME; scrapes within TIME share an upstream request */

    { ngx_string("prom_proxy_share"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_prom_share,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_prom_share_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    ngx_http_prom_share_create_main_conf,  /* create main configuration */
    ngx_http_prom_share_init_main_conf,    /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_prom_share_create_loc_conf,   /* create location configuration */
    ngx_http_prom_share_merge_loc_conf     /* merge location configuration */
};


ngx_module_t  ngx_http_prom_share_module = {
    NGX_MODULE_V1,
    &ngx_http_prom_share_module_ctx,       /* module context */
    ngx_http_prom_share_commands,          /* module directives */
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


static size_t
ngx_http_prom_share_expire(ngx_http_script_engine_t *e)
{
    ngx_path_t          *path;
    ngx_file_info_t      fi;
    ngx_http_cache_t    *c;
    ngx_http_request_t  *r;

    e->ip += sizeof(uintptr_t);

    r = e->request;
    c = r->cache;

    /* nginx doesn't make the name again */

    path = c->file_cache->path;

    c->file.name.len = path->name.len + 1 + path->len
                       + 2 * NGX_HTTP_CACHE_KEY_LEN;

    c->file.name.data = ngx_pnalloc(r->pool, c->file.name.len + 1);
    if (c->file.name.data == NULL) {
        c->file.name.len = 0;
        return 0;
    }

    ngx_memcpy(c->file.name.data, path->name.data, path->name.len);

    *ngx_hex_dump(c->file.name.data + path->name.len + 1 + path->len, c->key,
                  NGX_HTTP_CACHE_KEY_LEN)
        = '\0';

    ngx_create_hashed_filename(path, c->file.name.data, c->file.name.len);

    if (ngx_file_info(c->file.name.data, &fi) == NGX_FILE_ERROR
        || ngx_http_prom_share_fresh(r, &fi)
        || ngx_http_prom_share_forget(c, &fi) != NGX_OK)
    {
        return 0;
    }

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "prom share: expired \"%V\"", &c->file.name);

    if (ngx_delete_file(c->file.name.data) == NGX_FILE_ERROR
        && ngx_errno != NGX_ENOENT)
    {
        ngx_log_error(NGX_LOG_CRIT, r->connection->log, ngx_errno,
                      ngx_delete_file_n " \"%V\" failed", &c->file.name);
    }

    return 0;
}


/* the file's time is that of the answer's last byte */

static ngx_uint_t
ngx_http_prom_share_fresh(ngx_http_request_t *r, ngx_file_info_t *fi)
{
    int64_t                          age;
    ngx_time_t                      *tp;
    ngx_http_prom_share_loc_conf_t  *slcf;

    slcf = ngx_http_get_module_loc_conf(r, ngx_http_prom_share_module);

    tp = ngx_timeofday();

    age = ((int64_t) tp->sec - fi->st_mtim.tv_sec) * 1000
          + (int64_t) tp->msec - fi->st_mtim.tv_nsec / 1000000;

    /* the worker's clock is a little late; one set back is no licence */

    return (ngx_abs(age) <= (int64_t) slcf->time);
}


/* declined if what the cache has is not that file any more */

static ngx_int_t
ngx_http_prom_share_forget(ngx_http_cache_t *c, ngx_file_info_t *fi)
{
    ngx_int_t                    rc;
    ngx_http_file_cache_t       *cache;
    ngx_http_file_cache_node_t  *fcn;

    cache = c->file_cache;

    ngx_shmtx_lock(&cache->shpool->mutex);

    fcn = ngx_http_prom_share_lookup(c);

    if (fcn == NULL) {

        /* left behind by an nginx that ended */

        rc = NGX_OK;

    } else if (fcn->exists && fcn->uniq == ngx_file_uniq(fi)) {

        cache->sh->size -= fcn->fs_size;

        fcn->exists = 0;
        fcn->uniq = 0;
        fcn->body_start = 0;
        fcn->fs_size = 0;

        rc = NGX_OK;

    } else {
        rc = NGX_DECLINED;
    }

    ngx_shmtx_unlock(&cache->shpool->mutex);

    return rc;
}


static ngx_http_file_cache_node_t *
ngx_http_prom_share_lookup(ngx_http_cache_t *c)
{
    u_char                      *rest;
    ngx_int_t                    rc;
    ngx_rbtree_t                *tree;
    ngx_rbtree_key_t             key;
    ngx_rbtree_node_t           *node;
    ngx_http_file_cache_node_t  *fcn;

    /* the first bytes order the tree, the rest those that have them alike */

    ngx_memcpy(&key, c->key, sizeof(ngx_rbtree_key_t));
    rest = c->key + sizeof(ngx_rbtree_key_t);

    tree = &c->file_cache->sh->rbtree;
    node = tree->root;

    while (node != tree->sentinel) {

        if (key != node->key) {
            node = (key < node->key) ? node->left : node->right;
            continue;
        }

        fcn = (ngx_http_file_cache_node_t *) node;

        rc = ngx_memcmp(rest, fcn->key,
                        NGX_HTTP_CACHE_KEY_LEN - sizeof(ngx_rbtree_key_t));
        if (rc == 0) {
            return fcn;
        }

        node = (rc < 0) ? node->left : node->right;
    }

    return NULL;
}


/* an answer that depends on what the key hasn't is its asker's alone */

static size_t
ngx_http_prom_share_vary(ngx_http_script_engine_t *e)
{
    ngx_table_elt_t             *header;
    ngx_http_upstream_t         *u;
    ngx_http_prom_header_pos_t   pos;

    e->ip += sizeof(uintptr_t);

    u = e->request->upstream;
    ngx_memzero(&pos, sizeof(ngx_http_prom_header_pos_t));

    for ( ;; ) {
        header = ngx_http_prom_proxy_header(&u->headers_in.headers,
                                            &ngx_http_prom_share_vary_name,
                                            &pos);
        if (header == NULL) {
            return 0;
        }

        if (header->hash && !ngx_http_prom_share_in_key(&header->value)) {
            u->cacheable = 0;
            return 0;
        }
    }
}


static ngx_uint_t
ngx_http_prom_share_in_key(ngx_str_t *names)
{
    u_char     *p, *start, *last;
    ngx_str_t  *header;

    p = names->data;
    last = p + names->len;

    for ( ;; ) {

        while (p < last && (*p == ' ' || *p == '\t' || *p == ',')) {
            p++;
        }

        if (p == last) {
            return 1;
        }

        start = p;

        while (p < last && *p != ' ' && *p != '\t' && *p != ',') {
            p++;
        }

        for (header = ngx_http_prom_share_headers; header->len; header++) {

            if (header->len == (size_t) (p - start)
                && ngx_strncasecmp(header->data, start, header->len) == 0)
            {
                break;
            }
        }

        if (header->len == 0) {
            return 0;
        }
    }
}


static void *
ngx_http_prom_share_create_main_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_prom_share_main_conf_t));
}


/*
 * The files lie beside those of proxy_temp_path, which nginx can write to.
 * What that is isn't known before the end of "http", nor made before the end
 * of the configuration.
 */

static char *
ngx_http_prom_share_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_prom_share_main_conf_t *smcf = conf;

    u_char                    *p;
    ngx_str_t                  temp, *name;
    ngx_http_file_cache_t     *cache;
    ngx_http_upstream_conf_t  *ucf;

    if (smcf->zone == NULL) {
        return NGX_CONF_OK;
    }

    ucf = ngx_http_prom_share_upstream(
               ngx_http_conf_get_module_loc_conf(cf, ngx_http_proxy_module));

    if (ucf->temp_path) {
        temp = ucf->temp_path->name;

    } else {
        ngx_str_set(&temp, NGX_HTTP_PROXY_TEMP_PATH);

        if (ngx_conf_full_name(cf->cycle, &temp, 0) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
    }

    cache = smcf->zone->data;
    name = &cache->path->name;

    name->len = temp.len + sizeof("_share") - 1;
    name->data = ngx_pnalloc(cf->pool, name->len + 1);
    if (name->data == NULL) {
        return NGX_CONF_ERROR;
    }

    p = ngx_cpymem(name->data, temp.data, temp.len);
    ngx_memcpy(p, "_share", sizeof("_share"));

    return NGX_CONF_OK;
}


static void *
ngx_http_prom_share_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_prom_share_loc_conf_t  *slcf;

    slcf = ngx_palloc(cf->pool, sizeof(ngx_http_prom_share_loc_conf_t));
    if (slcf == NULL) {
        return NULL;
    }

    slcf->time = NGX_CONF_UNSET_MSEC;

    return slcf;
}


/* nginx's proxy module comes before this one, and has merged all levels */

static char *
ngx_http_prom_share_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_prom_share_loc_conf_t *prev = parent;
    ngx_http_prom_share_loc_conf_t *conf = child;

    ngx_http_core_loc_conf_t         *clcf;
    ngx_http_upstream_conf_t         *ucf;
    ngx_http_prom_share_main_conf_t  *smcf;

    ngx_conf_merge_msec_value(conf->time, prev->time, 0);

    smcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_prom_share_module);

    ucf = ngx_http_prom_share_upstream(
               ngx_http_conf_get_module_loc_conf(cf, ngx_http_proxy_module));

    if (smcf->zone == NULL || !ucf->cache) {
        return NGX_CONF_OK;
    }

    if (conf->time == 0) {

        if (ucf->cache_zone == smcf->zone) {
            /* inherited from where it is on */
            ucf->cache = 0;
        }

        return NGX_CONF_OK;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (ucf->cache_zone != smcf->zone) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"proxy_cache\" in location \"%V\" needs "
                      "\"prom_proxy_share off\" there", &clcf->name);
        return NGX_CONF_ERROR;
    }

    if (!ucf->buffering) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"proxy_buffering off\" in location \"%V\" needs "
                      "\"prom_proxy_share off\" there", &clcf->name);
        return NGX_CONF_ERROR;
    }

    ucf->cache_valid = smcf->valid;
    ucf->cache_min_uses = 1;
    ucf->cache_methods = NGX_CONF_BITMASK_SET|NGX_HTTP_GET|NGX_HTTP_HEAD;
    ucf->cache_convert_head = 0;
    ucf->cache_use_stale = NGX_CONF_BITMASK_SET|NGX_HTTP_UPSTREAM_FT_OFF;
    ucf->cache_revalidate = 0;
    ucf->cache_background_update = 0;

    ucf->cache_lock = 1;
    ucf->cache_lock_timeout = NGX_HTTP_PROM_SHARE_LOCK;
    ucf->cache_lock_age = NGX_HTTP_PROM_SHARE_LOCK;

    /* others may wait for what a scraper that went away has asked for */

    ucf->ignore_client_abort = 1;

    ucf->ignore_headers |= NGX_HTTP_UPSTREAM_IGN_XA_EXPIRES
                           |NGX_HTTP_UPSTREAM_IGN_EXPIRES
                           |NGX_HTTP_UPSTREAM_IGN_CACHE_CONTROL
                           |NGX_HTTP_UPSTREAM_IGN_VARY;

    ucf->cache_bypass = ngx_http_prom_share_predicates(cf, ucf->cache_bypass,
                                                 &ngx_http_prom_share_bypass);
    if (ucf->cache_bypass == NULL) {
        return NGX_CONF_ERROR;
    }

    ucf->no_cache = ngx_http_prom_share_predicates(cf, ucf->no_cache,
                                               &ngx_http_prom_share_no_cache);
    if (ucf->no_cache == NULL) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_array_t *
ngx_http_prom_share_predicates(ngx_conf_t *cf, ngx_array_t *own,
    ngx_http_complex_value_t *first)
{
    ngx_uint_t                 n;
    ngx_array_t               *all;
    ngx_http_complex_value_t  *cv;

    n = own ? own->nelts : 0;

    all = ngx_array_create(cf->pool, n + 1, sizeof(ngx_http_complex_value_t));
    if (all == NULL) {
        return NULL;
    }

    cv = ngx_array_push_n(all, n + 1);
    if (cv == NULL) {
        return NULL;
    }

    cv[0] = *first;

    if (n) {
        ngx_memcpy(&cv[1], own->elts, n * sizeof(ngx_http_complex_value_t));
    }

    return all;
}


static char *
ngx_http_prom_share(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_prom_share_loc_conf_t *slcf = conf;

    char                             *rv;
    ngx_str_t                        *value;
    ngx_msec_t                        time;
    ngx_http_prom_share_main_conf_t  *smcf;

    if (slcf->time != NGX_CONF_UNSET_MSEC) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        slcf->time = 0;
        return NGX_CONF_OK;
    }

    time = ngx_parse_time(&value[1], 0);

    if (time == (ngx_msec_t) NGX_ERROR || time > NGX_HTTP_PROM_SHARE_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"%V\" directive, "
                           "it must be \"off\" or a time up to %ds",
                           &value[1], &cmd->name,
                           NGX_HTTP_PROM_SHARE_MAX / 1000);
        return NGX_CONF_ERROR;
    }

    slcf->time = time;

    if (time == 0) {
        return NGX_CONF_OK;
    }

    smcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_prom_share_module);

    if (smcf->zone == NULL) {

        rv = ngx_http_prom_share_zone(cf, smcf);
        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    /* the rest of it is set when locations are merged */

    rv = ngx_http_prom_share_set(cf, ngx_http_prom_share_cache, 2);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    return ngx_http_prom_share_set(cf, ngx_http_prom_share_key, 2);
}


static char *
ngx_http_prom_share_zone(ngx_conf_t *cf, ngx_http_prom_share_main_conf_t *smcf)
{
    char                    *rv;
    ngx_http_cache_valid_t  *valid;

    rv = ngx_http_prom_share_set(cf, ngx_http_prom_share_path, 5);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    smcf->zone = ngx_shared_memory_add(cf, &ngx_http_prom_share_cache[1], 0,
                                       &ngx_http_proxy_module);
    if (smcf->zone == NULL) {
        return NGX_CONF_ERROR;
    }

    smcf->valid = ngx_array_create(cf->pool, 1,
                                   sizeof(ngx_http_cache_valid_t));
    if (smcf->valid == NULL) {
        return NGX_CONF_ERROR;
    }

    valid = ngx_array_push(smcf->valid);
    if (valid == NULL) {
        return NGX_CONF_ERROR;
    }

    valid->status = NGX_HTTP_OK;
    valid->valid = NGX_HTTP_PROM_SHARE_VALID;

    return NGX_CONF_OK;
}


/* found by where one of the proxy module's own directives writes to */

static ngx_http_upstream_conf_t *
ngx_http_prom_share_upstream(void *plcf)
{
    ngx_command_t  *cmd;

    cmd = ngx_http_prom_share_command("proxy_cache_lock");

    return (ngx_http_upstream_conf_t *)
               ((char *) plcf + cmd->offset
                - offsetof(ngx_http_upstream_conf_t, cache_lock));
}


static ngx_command_t *
ngx_http_prom_share_command(char *name)
{
    ngx_command_t  *cmd;

    cmd = ngx_http_proxy_module.commands;

    while (ngx_strcmp(cmd->name.data, name) != 0) {
        cmd++;
    }

    return cmd;
}


/* calls the handler of one of the proxy module's directives, as nginx does */

static char *
ngx_http_prom_share_set(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t n)
{
    char           *rv;
    void          **confs;
    ngx_conf_t      pcf;
    ngx_array_t     array;
    ngx_command_t  *cmd;

    cmd = ngx_http_prom_share_command((char *) args[0].data);

    ngx_memzero(&array, sizeof(ngx_array_t));

    array.elts = args;
    array.nelts = n;
    array.size = sizeof(ngx_str_t);
    array.nalloc = n;
    array.pool = cf->pool;

    pcf = *cf;
    pcf.args = &array;

    confs = *(void ***) ((char *) cf->ctx + cmd->conf);

    rv = cmd->set(&pcf, cmd, confs[ngx_http_proxy_module.ctx_index]);

    if (rv == NGX_CONF_OK || rv == NGX_CONF_ERROR) {
        return rv;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"prom_proxy_share\" sets \"%V\", which %s",
                       &args[0], rv);

    return NGX_CONF_ERROR;
}
