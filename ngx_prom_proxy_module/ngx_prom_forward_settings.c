/*
 * What stands in a block "prom_forward".
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_prom_forward.h"
#include "ngx_prom_forward_core.h"
#include "ngx_prom_store.h"

#if (NGX_THREADS)
#include <ngx_thread_pool.h>
#endif


#define NGX_PROM_FORWARD_KEY  16      /* bytes of "checkme" at least */


typedef struct {
    ngx_str_t                    name;
    ngx_uint_t                   most;       /* values; 0: any number */
    ngx_uint_t                   many;       /* may be there several times */
    char                      *(*set)(ngx_conf_t *cf,
                                      ngx_prom_forward_block_t *block);
} ngx_prom_forward_setting_t;


static char *ngx_prom_forward_allow(ngx_conf_t *cf,
    ngx_prom_forward_block_t *block);
static char *ngx_prom_forward_plain_rules(ngx_conf_t *cf,
    ngx_prom_forward_block_t *block);
static char *ngx_prom_forward_add_rules(ngx_conf_t *cf, ngx_str_t *text);
static ngx_int_t ngx_prom_forward_rule(ngx_conf_t *cf, ngx_str_t *rule);
static void *ngx_prom_forward_rule_alloc(void *data, size_t size);
static void ngx_prom_forward_rule_error(void *data, uint32_t line,
    uint32_t column, const char *reason);
static char *ngx_prom_forward_allow_file(ngx_conf_t *cf,
    ngx_prom_forward_block_t *block);
static char *ngx_prom_forward_users_file(ngx_conf_t *cf,
    ngx_prom_forward_block_t *block);
static char *ngx_prom_forward_from(ngx_conf_t *cf,
    ngx_prom_forward_block_t *block);
static char *ngx_prom_forward_certificate(ngx_conf_t *cf,
    ngx_prom_forward_block_t *block);
static char *ngx_prom_forward_scheme(ngx_conf_t *cf,
    ngx_prom_forward_block_t *block);
static char *ngx_prom_forward_verify(ngx_conf_t *cf,
    ngx_prom_forward_block_t *block);
static char *ngx_prom_forward_own_ports(ngx_conf_t *cf,
    ngx_prom_forward_block_t *block);
static char *ngx_prom_forward_checkme(ngx_conf_t *cf,
    ngx_prom_forward_block_t *block);
static char *ngx_prom_forward_key_file(ngx_conf_t *cf, ngx_str_t *name,
    ngx_str_t *key);
static char *ngx_prom_forward_resolver(ngx_conf_t *cf,
    ngx_prom_forward_block_t *block);
static char *ngx_prom_forward_time(ngx_conf_t *cf,
    ngx_prom_forward_block_t *block);
static char *ngx_prom_forward_zone(ngx_conf_t *cf,
    ngx_prom_forward_block_t *block);


static ngx_prom_forward_setting_t  ngx_prom_forward_settings[] = {

    { ngx_string("allow"), 0, 1, ngx_prom_forward_allow },
    { ngx_string("allow_file"), 1, 0, ngx_prom_forward_allow_file },
    { ngx_string("plain"), 0, 1, ngx_prom_forward_plain_rules },
    { ngx_string("from"), 0, 1, ngx_prom_forward_from },
    { ngx_string("users"), 1, 0, ngx_prom_forward_users_file },
    { ngx_string("client_certificate"), 1, 0, ngx_prom_forward_certificate },
    { ngx_string("scheme"), 1, 0, ngx_prom_forward_scheme },
    { ngx_string("verify"), 1, 0, ngx_prom_forward_verify },
    { ngx_string("own"), 0, 1, ngx_prom_forward_own_ports },
    { ngx_string("checkme"), 1, 0, ngx_prom_forward_checkme },
    { ngx_string("resolver"), 0, 0, ngx_prom_forward_resolver },
    { ngx_string("resolver_timeout"), 1, 0, ngx_prom_forward_time },
    { ngx_string("connect_timeout"), 1, 0, ngx_prom_forward_time },
    { ngx_string("total"), 1, 0, ngx_prom_forward_time },
    { ngx_string("zone"), 2, 0, ngx_prom_forward_zone },
    { ngx_null_string, 0, 0, NULL }
};


char *
ngx_prom_forward_setting(ngx_conf_t *cf, ngx_command_t *dummy, void *conf)
{
    ngx_prom_forward_block_t *block = conf;

    char                        *rv;
    ngx_str_t                   *value;
    ngx_uint_t                   bit, values;
    ngx_prom_forward_setting_t  *setting;

    value = cf->args->elts;
    values = cf->args->nelts - 1;

    if (values == 1 && ngx_strcmp(value[0].data, "include") == 0) {
        return ngx_conf_include(cf, dummy, conf);
    }

    for (setting = ngx_prom_forward_settings; setting->name.len; setting++) {

        if (setting->name.len != value[0].len
            || ngx_memcmp(setting->name.data, value[0].data, value[0].len)
               != 0)
        {
            continue;
        }

        if (values == 0 || (setting->most && values != setting->most)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid number of arguments in \"%V\" "
                               "directive", &value[0]);
            return NGX_CONF_ERROR;
        }

        bit = (ngx_uint_t) 1 << (setting - ngx_prom_forward_settings);

        if ((block->seen & bit) && !setting->many) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" directive is duplicate", &value[0]);
            return NGX_CONF_ERROR;
        }

        block->seen |= bit;

        rv = setting->set(cf, block);

        if (rv == NGX_CONF_OK || rv == NGX_CONF_ERROR) {
            return rv;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\" %s", &value[0], rv);

        return NGX_CONF_ERROR;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "unknown directive \"%V\" in \"prom_forward\"",
                       &value[0]);

    return NGX_CONF_ERROR;
}


/* rules that are known to be right, one by one */

ngx_prom_rules_t *
ngx_prom_forward_parsed(ngx_conf_t *cf, ngx_str_t *text)
{
    u_char            *p;
    ngx_prom_rules_t  *rules;

    rules = ngx_pcalloc(cf->pool, sizeof(ngx_prom_rules_t));
    p = ngx_pnalloc(cf->pool, text->len + 1);

    if (rules == NULL || p == NULL) {
        return NULL;
    }

    if (text->len) {
        ngx_memcpy(p, text->data, text->len);
    }

    p[text->len] = '\0';

    rules->alloc = ngx_prom_forward_rule_alloc;
    rules->error = ngx_prom_forward_rule_error;
    rules->data = cf;

    if (ngx_prom_rules_parse(rules, (char *) p, text->len) != 0) {
        return NULL;
    }

    return rules;
}


static char *
ngx_prom_forward_allow(ngx_conf_t *cf, ngx_prom_forward_block_t *block)
{
    return ngx_prom_forward_add_rules(cf, &block->allow);
}


static char *
ngx_prom_forward_plain_rules(ngx_conf_t *cf, ngx_prom_forward_block_t *block)
{
    return ngx_prom_forward_add_rules(cf, &block->plain);
}


static char *
ngx_prom_forward_add_rules(ngx_conf_t *cf, ngx_str_t *text)
{
    size_t       len;
    u_char      *p;
    ngx_str_t   *value;
    ngx_uint_t   i;

    value = cf->args->elts;
    len = text->len;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_prom_forward_rule(cf, &value[i]) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

        len += value[i].len + 1;
    }

    p = ngx_pnalloc(cf->pool, len);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    if (text->len) {
        ngx_memcpy(p, text->data, text->len);
    }

    text->data = p;
    p += text->len;

    for (i = 1; i < cf->args->nelts; i++) {
        p = ngx_cpymem(p, value[i].data, value[i].len);
        *p++ = LF;
    }

    text->len = p - text->data;

    return NGX_CONF_OK;
}


/* by itself, so that a mistake is told with the line that has it */

static ngx_int_t
ngx_prom_forward_rule(ngx_conf_t *cf, ngx_str_t *rule)
{
    ngx_prom_rules_t  *rules;

    rules = ngx_prom_forward_parsed(cf, rule);

    if (rules == NULL) {
        return NGX_ERROR;
    }

    if (rules->count == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is no rule", rule);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void *
ngx_prom_forward_rule_alloc(void *data, size_t size)
{
    ngx_conf_t *cf = data;

    return ngx_palloc(cf->pool, size);
}


static void
ngx_prom_forward_rule_error(void *data, uint32_t line, uint32_t column,
    const char *reason)
{
    ngx_conf_t *cf = data;

    ngx_str_t  *value;

    value = cf->args->elts;

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid rule in \"%V\": %s", &value[0], reason);
}


static char *
ngx_prom_forward_allow_file(ngx_conf_t *cf, ngx_prom_forward_block_t *block)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    block->forward->file = ngx_prom_forward_follow(cf, &value[1],
                                                &ngx_prom_forward_rules_kind);

    return block->forward->file ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_prom_forward_users_file(ngx_conf_t *cf, ngx_prom_forward_block_t *block)
{
#if (NGX_OPENSSL && NGX_THREADS)

    ngx_str_t  *value;

    value = cf->args->elts;

    /* the default pool */

    if (ngx_thread_pool_add(cf, NULL) == NULL) {
        return NGX_CONF_ERROR;
    }

    block->forward->users = ngx_prom_forward_follow(cf, &value[1],
                                                &ngx_prom_forward_users_kind);

    return block->forward->users ? NGX_CONF_OK : NGX_CONF_ERROR;

#else

    return "needs an nginx with TLS and threads";

#endif
}


static char *
ngx_prom_forward_from(ngx_conf_t *cf, ngx_prom_forward_block_t *block)
{
    ngx_int_t            rc;
    ngx_str_t           *value;
    ngx_cidr_t          *cidr;
    ngx_uint_t           i;
    ngx_prom_forward_t  *forward;

    forward = block->forward;

    if (forward->from == NULL) {
        forward->from = ngx_array_create(cf->pool, 4, sizeof(ngx_cidr_t));
        if (forward->from == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        cidr = ngx_array_push(forward->from);
        if (cidr == NULL) {
            return NGX_CONF_ERROR;
        }

        rc = ngx_ptocidr(&value[i], cidr);

        if (rc == NGX_ERROR) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" is no address and no network such as "
                               "10.0.0.0/8 or fd00::/8", &value[i]);
            return NGX_CONF_ERROR;
        }

        if (rc == NGX_DONE) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "low address bits of %V are meaningless",
                               &value[i]);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_prom_forward_certificate(ngx_conf_t *cf, ngx_prom_forward_block_t *block)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "on") == 0) {
        block->forward->certificate = 1;

    } else if (ngx_strcmp(value[1].data, "off") != 0) {
        return "must be \"on\" or \"off\"";
    }

    return NGX_CONF_OK;
}


static char *
ngx_prom_forward_scheme(ngx_conf_t *cf, ngx_prom_forward_block_t *block)
{
    ngx_str_t           *value;
    ngx_prom_forward_t  *forward;

    forward = block->forward;
    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "https") == 0) {
        forward->scheme = NGX_PROM_FORWARD_HTTPS;

    } else if (ngx_strcmp(value[1].data, "http") == 0) {
        forward->scheme = NGX_PROM_FORWARD_HTTP;

    } else if (ngx_strcmp(value[1].data, "auto") == 0) {
        forward->scheme = NGX_PROM_FORWARD_AUTO;

    } else {
        return "must be \"https\", \"http\" or \"auto\"";
    }

    return NGX_CONF_OK;
}


static char *
ngx_prom_forward_verify(ngx_conf_t *cf, ngx_prom_forward_block_t *block)
{
    ngx_str_t           *value;
    ngx_prom_forward_t  *forward;

    forward = block->forward;
    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        forward->trusting = 1;
        return NGX_CONF_OK;
    }

    forward->verify = 1;
    forward->ca = value[1];

    if (ngx_conf_full_name(cf->cycle, &forward->ca, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    forward->store = ngx_prom_store(cf, &forward->ca);

    return forward->store ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_prom_forward_own_ports(ngx_conf_t *cf, ngx_prom_forward_block_t *block)
{
    ngx_int_t            n;
    ngx_str_t           *value;
    in_port_t           *port;
    ngx_uint_t           i;
    ngx_prom_forward_t  *forward;

    forward = block->forward;

    if (forward->own == NULL) {
        forward->own = ngx_array_create(cf->pool, 2, sizeof(in_port_t));
        if (forward->own == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        n = ngx_atoi(value[i].data, value[i].len);

        if (n < 1 || n > 65535) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" is no port: 1 to 65535 are", &value[i]);
            return NGX_CONF_ERROR;
        }

        port = ngx_array_push(forward->own);
        if (port == NULL) {
            return NGX_CONF_ERROR;
        }

        *port = (in_port_t) n;
    }

    return NGX_CONF_OK;
}


static char *
ngx_prom_forward_checkme(ngx_conf_t *cf, ngx_prom_forward_block_t *block)
{
    char       *rv;
    ngx_str_t  *value, *key, name;

    value = cf->args->elts;
    key = &block->forward->checkme;

    *key = value[1];
    ngx_str_null(&name);

    if (key->len > 5 && ngx_strncmp(key->data, "file:", 5) == 0) {
        name.data = key->data + 5;
        name.len = key->len - 5;

        if (ngx_conf_full_name(cf->cycle, &name, 1) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

        rv = ngx_prom_forward_key_file(cf, &name, key);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    if (key->len >= NGX_PROM_FORWARD_KEY) {
        return NGX_CONF_OK;
    }

    if (name.len == 0) {
        return "has a key of less than 16 bytes, which could be guessed";
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"%V\" has a key of less than 16 bytes, which could "
                       "be guessed", &name);

    return NGX_CONF_ERROR;
}


/* the first line of a file */

static char *
ngx_prom_forward_key_file(ngx_conf_t *cf, ngx_str_t *name, ngx_str_t *key)
{
    char         *rv;
    size_t        i;
    u_char       *p;
    ssize_t       n;
    ngx_fd_t      fd;
    const size_t  most = 4096;

    p = ngx_pnalloc(cf->pool, most);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    fd = ngx_open_file(name->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" failed", name);
        return NGX_CONF_ERROR;
    }

    rv = NGX_CONF_ERROR;
    n = ngx_read_fd(fd, p, most);

    if (n == -1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_read_fd_n " \"%V\" failed", name);
        goto failed;
    }

    for (i = 0; i < (size_t) n; i++) {

        if (p[i] == CR || p[i] == LF) {
            break;
        }

        if (p[i] < ' ' || p[i] == 0x7f) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" has a key with control characters; it "
                               "is one line of text", name);
            goto failed;
        }
    }

    key->data = p;
    key->len = i;

    rv = NGX_CONF_OK;

failed:

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_ALERT, cf, ngx_errno,
                           ngx_close_file_n " \"%V\" failed", name);
    }

    return rv;
}


static char *
ngx_prom_forward_resolver(ngx_conf_t *cf, ngx_prom_forward_block_t *block)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    block->forward->resolver = ngx_resolver_create(cf, &value[1],
                                                   cf->args->nelts - 1);

    return block->forward->resolver ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_prom_forward_time(ngx_conf_t *cf, ngx_prom_forward_block_t *block)
{
    ngx_str_t   *value;
    ngx_msec_t   ms, *field;

    value = cf->args->elts;
    ms = ngx_parse_time(&value[1], 0);

    if (ms == (ngx_msec_t) NGX_ERROR) {
        return "has an invalid time";
    }

    switch (value[0].data[0]) {

    case 'r':
        field = &block->forward->resolver_timeout;
        break;

    case 'c':
        field = &block->forward->connect_timeout;
        break;

    default: /* "total" may be 0: no limit */
        block->forward->total = ms;
        return NGX_CONF_OK;
    }

    if (ms == 0) {
        return "must not be 0";
    }

    *field = ms;

    return NGX_CONF_OK;
}


static char *
ngx_prom_forward_zone(ngx_conf_t *cf, ngx_prom_forward_block_t *block)
{
    ssize_t              size;
    ngx_str_t           *value;
    ngx_shm_zone_t      *zone;

    value = cf->args->elts;
    size = ngx_parse_size(&value[2]);

    if (size < (ssize_t) (16 * ngx_pagesize)) {
        return "has an invalid size, or one below 16 pages";
    }

    zone = ngx_shared_memory_add(cf, &value[1], size,
                                 &ngx_prom_forward_module);
    if (zone == NULL) {
        return NGX_CONF_ERROR;
    }

    if (zone->data) {
        return "is that of another \"prom_forward\"";
    }

    zone->init = ngx_prom_forward_count_init;
    zone->data = block->forward;

    block->forward->zone = zone;

    return NGX_CONF_OK;
}
