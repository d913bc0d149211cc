/*
 * The directives that name a keeper, a credential, and a remote.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_token.h"
#include "ngx_prom_store.h"
#include "ngx_prom_targets_line.h"


static char *ngx_http_prom_token_url(ngx_conf_t *cf,
    ngx_http_prom_token_remote_t *remote, ngx_str_t *url);
static void ngx_http_prom_token_mistake(void *data, uint32_t line,
    uint32_t column, const char *message);
static ngx_int_t ngx_http_prom_token_addrs(ngx_conf_t *cf,
    ngx_http_prom_token_remote_t *remote);
static ngx_int_t ngx_http_prom_token_addr(ngx_conf_t *cf, ngx_addr_t *addr,
    ngx_uint_t kind, u_char *ip, in_port_t port);
static char *ngx_http_prom_token_trust(ngx_conf_t *cf,
    ngx_http_prom_token_remote_t *remote, ngx_str_t *name, ngx_str_t *ca,
    ngx_uint_t off);


char *
ngx_http_prom_token_keeper(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_prom_token_main_conf_t *tmcf = conf;

    ngx_url_t   u;
    ngx_str_t  *value;

    if (tmcf->keeper) {
        return "is duplicate";
    }

    value = cf->args->elts;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = value[1];
    u.no_resolve = 1;

    if (ngx_strncmp(value[1].data, "unix:/", 6) != 0
        || ngx_parse_url(cf->pool, &u) != NGX_OK
        || u.naddrs != 1)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"%V\" directive, it is "
                           "unix:/PATH", &value[1], &cmd->name);
        return NGX_CONF_ERROR;
    }

    tmcf->keeper = ngx_http_prom_token_keeper_create(cf, &u.addrs[0], tmcf);

    return tmcf->keeper ? NGX_CONF_OK : NGX_CONF_ERROR;
}


char *
ngx_http_prom_token(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_prom_token_loc_conf_t *tlcf = conf;

    ngx_str_t                        *value;
    ngx_uint_t                        i;
    ngx_http_prom_token_t           **token, *item;
    ngx_http_prom_token_main_conf_t  *tmcf;

    if (tlcf->token) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (!ngx_prom_token_name((char *) value[1].data, value[1].len)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"%V\" directive, a name "
                           "is 1 to %d letters, digits, \"_\" and \"-\"",
                           &value[1], &cmd->name, NGX_PROM_TOKEN_NAME_MAX);
        return NGX_CONF_ERROR;
    }

    tmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_prom_token_module);

    token = tmcf->tokens.elts;

    for (i = 0; i < tmcf->tokens.nelts; i++) {

        if (token[i]->name.len == value[1].len
            && ngx_strncmp(token[i]->name.data, value[1].data, value[1].len)
               == 0)
        {
            tlcf->token = token[i];
            return NGX_CONF_OK;
        }
    }

    token = ngx_array_push(&tmcf->tokens);
    item = ngx_pcalloc(cf->pool, sizeof(ngx_http_prom_token_t));

    if (token == NULL || item == NULL) {
        return NGX_CONF_ERROR;
    }

    item->name = value[1];
    ngx_queue_init(&item->waiting);

    *token = item;
    tlcf->token = item;

    return NGX_CONF_OK;
}


char *
ngx_http_prom_token_remote(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_prom_token_loc_conf_t *tlcf = conf;

    char                          *mistake;
    ngx_str_t                     *value, ca, name;
    ngx_uint_t                     i, off;
    ngx_http_prom_token_remote_t  *remote;

    if (tlcf->remote) {
        return "is duplicate";
    }

    remote = ngx_pcalloc(cf->pool, sizeof(ngx_http_prom_token_remote_t));
    if (remote == NULL) {
        return NGX_CONF_ERROR;
    }

    tlcf->remote = remote;

    value = cf->args->elts;

    ngx_str_set(&ca, "");
    off = 0;

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "prefix=", 7) == 0) {
            remote->prefix.data = value[i].data + 7;
            remote->prefix.len = value[i].len - 7;

            if (remote->prefix.len < 2
                || remote->prefix.data[0] != '/'
                || remote->prefix.data[remote->prefix.len - 1] == '/')
            {
                goto invalid;
            }

            continue;
        }

        if (ngx_strncmp(value[i].data, "ca=", 3) == 0 && value[i].len > 3) {
            ca.data = value[i].data + 3;
            ca.len = value[i].len - 3;

            if (ngx_conf_full_name(cf->cycle, &ca, 1) != NGX_OK) {
                return NGX_CONF_ERROR;
            }

            continue;
        }

        if (ngx_strcmp(value[i].data, "verify=off") == 0) {
            off = 1;
            continue;
        }

        goto invalid;
    }

    if (off && ca.len) {
        return "has either \"ca\" or \"verify=off\"";
    }

    mistake = ngx_http_prom_token_url(cf, remote, &value[1]);

    if (mistake != NGX_CONF_OK) {
        return mistake;
    }

    ngx_str_set(&name, "-");

    if (tlcf->token) {
        name = tlcf->token->name;
    }

    return ngx_http_prom_token_trust(cf, remote, &name, &ca, off);

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%V\" in \"%V\" directive",
                       &value[i], &cmd->name);

    return NGX_CONF_ERROR;
}


/* by the grammar of targets' addresses */

static char *
ngx_http_prom_token_url(ngx_conf_t *cf, ngx_http_prom_token_remote_t *remote,
    ngx_str_t *url)
{
    uint32_t            errors;
    ngx_prom_line_t     pl;
    ngx_prom_route_t   *route;
    ngx_prom_target_t   target;

    if (ngx_strncmp(url->data, "http://", 7) != 0
        && ngx_strncmp(url->data, "https://", 8) != 0)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid URL \"%V\", it begins with \"http://\" "
                           "or \"https://\"", url);
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&pl, sizeof(ngx_prom_line_t));
    ngx_memzero(&target, sizeof(ngx_prom_target_t));

    errors = 0;

    pl.error = ngx_http_prom_token_mistake;
    pl.data = cf;
    pl.errors = &errors;
    pl.number = 1;
    pl.start = (char *) url->data;
    pl.pos = pl.start;
    pl.end = pl.start + url->len;
    pl.last = pl.end;

    target.address.data = pl.start;
    target.address.len = url->len;

    ngx_prom_address_parse(&pl, &target);

    if (errors) {
        return NGX_CONF_ERROR;
    }

    if (target.kind == NGX_PROM_ADDRESS_UNIX) {
        return "has a URL with a host";
    }

    route = &remote->route;

    route->authority.data = (u_char *) target.authority.data;
    route->authority.len = target.authority.len;
    route->host.data = (u_char *) target.host.data;
    route->host.len = target.host.len;
    route->base.data = (u_char *) target.base.data;
    route->base.len = target.base.len;
    route->port = target.port;
    route->kind = target.kind;
    route->tls = target.tls;

    ngx_memcpy(route->ip, target.ip, sizeof(route->ip));

    /* without the port that goes without saying */

    remote->host = route->authority;

    if (route->port == (route->tls ? 443 : 80)) {
        remote->host.len = route->host.data + route->host.len
                           - route->authority.data;
        remote->host.len += (route->kind == NGX_PROM_ADDRESS_IPV6) ? 1 : 0;
    }

    if (ngx_http_prom_token_addrs(cf, remote) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static void
ngx_http_prom_token_mistake(void *data, uint32_t line, uint32_t column,
    const char *message)
{
    ngx_conf_t *cf = data;

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid URL: %s", message);
}


/* an address, or both of localhost, which name servers needn't know */

static ngx_int_t
ngx_http_prom_token_addrs(ngx_conf_t *cf,
    ngx_http_prom_token_remote_t *remote)
{
    ngx_prom_route_t  *route;

    static u_char  loopback[4] = { 127, 0, 0, 1 };
    static u_char  loopback6[16] = { 0, 0, 0, 0, 0, 0, 0, 0,
                                     0, 0, 0, 0, 0, 0, 0, 1 };

    route = &remote->route;

    if (route->kind == NGX_PROM_ADDRESS_DNS) {
        return NGX_OK;
    }

    remote->addrs = ngx_pcalloc(cf->pool, 2 * sizeof(ngx_addr_t));
    if (remote->addrs == NULL) {
        return NGX_ERROR;
    }

    if (route->kind != NGX_PROM_ADDRESS_LOCALHOST) {
        remote->naddrs = 1;
        return ngx_http_prom_token_addr(cf, remote->addrs, route->kind,
                                        route->ip, route->port);
    }

    /* there, it is a tunnel's */

    route->kind = NGX_PROM_ADDRESS_DNS;
    remote->naddrs = 2;

    if (ngx_http_prom_token_addr(cf, &remote->addrs[0], NGX_PROM_ADDRESS_IPV4,
                                 loopback, route->port)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_prom_token_addr(cf, &remote->addrs[1],
                                    NGX_PROM_ADDRESS_IPV6, loopback6,
                                    route->port);
}


static ngx_int_t
ngx_http_prom_token_addr(ngx_conf_t *cf, ngx_addr_t *addr, ngx_uint_t kind,
    u_char *ip, in_port_t port)
{
    u_char               *p;
    struct sockaddr_in   *sin;
    struct sockaddr_in6  *sin6;

    addr->sockaddr = ngx_pcalloc(cf->pool, sizeof(ngx_sockaddr_t));
    p = ngx_pnalloc(cf->pool, NGX_SOCKADDR_STRLEN);

    if (addr->sockaddr == NULL || p == NULL) {
        return NGX_ERROR;
    }

    if (kind == NGX_PROM_ADDRESS_IPV6) {
        sin6 = (struct sockaddr_in6 *) addr->sockaddr;
        sin6->sin6_family = AF_INET6;
        ngx_memcpy(&sin6->sin6_addr, ip, 16);
        addr->socklen = sizeof(struct sockaddr_in6);

    } else {
        sin = (struct sockaddr_in *) addr->sockaddr;
        sin->sin_family = AF_INET;
        ngx_memcpy(&sin->sin_addr, ip, 4);
        addr->socklen = sizeof(struct sockaddr_in);
    }

    ngx_inet_set_port(addr->sockaddr, port);

    addr->name.data = p;
    addr->name.len = ngx_sock_ntop(addr->sockaddr, addr->socklen, p,
                                   NGX_SOCKADDR_STRLEN, 1);

    return NGX_OK;
}


/* who may be the remote; authorities of one file are loaded once */

static char *
ngx_http_prom_token_trust(ngx_conf_t *cf, ngx_http_prom_token_remote_t *remote,
    ngx_str_t *name, ngx_str_t *ca, ngx_uint_t off)
{
    u_char                           *p;
    ngx_uint_t                        i;
    ngx_http_prom_verify_t           *verify;
    ngx_http_prom_token_store_t      *store;
    ngx_http_prom_token_main_conf_t  *tmcf;

    verify = &remote->verify;

    /* whom a connection was opened for is in its handshake, too */

    verify->key.len = name->len + 1 + (off ? sizeof("off") - 1 : ca->len);
    verify->key.data = ngx_pnalloc(cf->pool, verify->key.len);
    if (verify->key.data == NULL) {
        return NGX_CONF_ERROR;
    }

    p = ngx_cpymem(verify->key.data, name->data, name->len);
    *p++ = ' ';

    if (off) {
        ngx_memcpy(p, "off", sizeof("off") - 1);

    } else if (ca->len) {
        ngx_memcpy(p, ca->data, ca->len);
    }

    verify->host = remote->route.host;

    if (remote->addrs && remote->route.kind != NGX_PROM_ADDRESS_DNS) {
        verify->sockaddr = remote->addrs[0].sockaddr;
    }

    if (off || !remote->route.tls) {
        return NGX_CONF_OK;
    }

    tmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_prom_token_module);

    store = tmcf->stores.elts;

    for (i = 0; i < tmcf->stores.nelts; i++) {

        if (store[i].file.len == ca->len
            && (ca->len == 0
                || ngx_strncmp(store[i].file.data, ca->data, ca->len) == 0))
        {
            verify->store = store[i].store;
            return NGX_CONF_OK;
        }
    }

    store = ngx_array_push(&tmcf->stores);
    if (store == NULL) {
        return NGX_CONF_ERROR;
    }

    store->file = *ca;
    store->store = ngx_prom_store(cf, ca);

    verify->store = store->store;

    return verify->store ? NGX_CONF_OK : NGX_CONF_ERROR;
}
