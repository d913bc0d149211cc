/*
 * Poll clients as targets: each is NAME, and is asked for what is at port
 * 9100 of its host, or at the port that the client itself has named.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_prom_source.h"
#include "ngx_prom_targets_line.h"


#define NGX_PROM_POLL_PORT  9100


static ngx_int_t ngx_prom_source_poll_add(ngx_array_t *targets,
    const ngx_prom_poll_client_t *client, ngx_pool_t *pool);
static size_t ngx_prom_source_poll_host(const u_char *name, size_t len,
    in_port_t *port);
static ngx_uint_t ngx_prom_source_poll_labels(
    const ngx_prom_poll_client_t *client);
static void *ngx_prom_source_poll_alloc(void *data, size_t size);


ngx_int_t
ngx_prom_source_polls(ngx_prom_poll_zone_t *zone, ngx_prom_targets_t *pt,
    ngx_uint_t *version, ngx_array_t *hidden, ngx_pool_t *pool)
{
    uint32_t                 i;
    ngx_str_t                after, *name;
    ngx_array_t              targets;
    ngx_prom_seen_t          names;
    ngx_prom_target_t       *target;
    ngx_prom_poll_client_t  *client;

    /* what changes meanwhile is seen the next time */

    *version = ngx_prom_poll_version(zone);

    client = ngx_palloc(pool, sizeof(ngx_prom_poll_client_t));
    if (client == NULL) {
        return NGX_ERROR;
    }

    if (ngx_array_init(&targets, pool,
                       pt->count + ngx_prom_poll_count(zone) + 1,
                       sizeof(ngx_prom_target_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_prom_seen_init(&names, ngx_prom_source_poll_alloc, pool,
                           pt->count)
        == -1)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < pt->count; i++) {
        target = ngx_array_push(&targets);
        *target = pt->targets[i];

        (void) ngx_prom_seen_add(&names, target->name.data, target->name.len,
                                 target->line);
    }

    ngx_str_null(&after);

    while (ngx_prom_poll_next(zone, &after, client) == NGX_OK) {

        after.data = client->name;
        after.len = client->name_len;

        if (client->name[0] == '.'
            && (client->name_len == 1
                || (client->name_len == 2 && client->name[1] == '.')))
        {
            /* no path can have it */
            continue;
        }

        if (ngx_prom_seen_find(&names, (char *) client->name,
                               client->name_len))
        {
            name = ngx_array_push(hidden);
            if (name == NULL) {
                return NGX_ERROR;
            }

            name->len = after.len;
            name->data = ngx_pstrdup(pool, &after);
            if (name->data == NULL) {
                return NGX_ERROR;
            }

            continue;
        }

        if (ngx_prom_source_poll_add(&targets, client, pool) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    pt->targets = targets.elts;
    pt->count = targets.nelts;

    return NGX_OK;
}


static ngx_int_t
ngx_prom_source_poll_add(ngx_array_t *targets,
    const ngx_prom_poll_client_t *client, ngx_pool_t *pool)
{
    size_t              len;
    u_char             *p;
    in_port_t           port;
    ngx_prom_target_t  *target;

    target = ngx_array_push(targets);
    if (target == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(target, sizeof(ngx_prom_target_t));

    port = NGX_PROM_POLL_PORT;
    len = ngx_prom_source_poll_host(client->name, client->name_len, &port);

    p = ngx_pnalloc(pool, 2 * client->name_len + sizeof(":65535") - 1
                          + client->labels_len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    target->name.data = (char *) p;
    target->name.len = client->name_len;
    p = ngx_cpymem(p, client->name, client->name_len);

    target->authority.data = (char *) p;
    target->host.data = (char *) p;
    target->host.len = len;

    p = ngx_cpymem(p, client->name, client->name_len);

    if (len == client->name_len) {
        p = ngx_sprintf(p, ":%d", NGX_PROM_POLL_PORT);
    }

    target->authority.len = (char *) p - target->authority.data;
    target->address = target->authority;

    target->base.data = (char *) p;
    target->labels.data = (char *) p;

    if (ngx_prom_source_poll_labels(client)) {
        target->labels.len = client->labels_len;
        ngx_memcpy(p, client->labels, client->labels_len);
    }

    target->port = port;
    target->kind = NGX_PROM_ADDRESS_POLL;

    return NGX_OK;
}


/* the length of the name up to its port, if it has one: "c1:9100", "[::1]" */

static size_t
ngx_prom_source_poll_host(const u_char *name, size_t len, in_port_t *port)
{
    size_t     i;
    ngx_int_t  n;

    for (i = len; i-- > 0 && name[i] != ']'; /* void */ ) {

        if (name[i] == ':') {
            n = ngx_atoi((u_char *) name + i + 1, len - i - 1);

            if (n > 0 && n < 65536) {
                *port = n;
            }

            return i;
        }
    }

    return len;
}


/* whoever reads them goes by their zeros: two for each label */

static ngx_uint_t
ngx_prom_source_poll_labels(const ngx_prom_poll_client_t *client)
{
    size_t      i;
    ngx_uint_t  n;

    n = 0;

    for (i = 0; i < client->labels_len; i++) {
        n += (client->labels[i] == '\0');
    }

    return (i && client->labels[i - 1] == '\0' && n % 2 == 0);
}


static void *
ngx_prom_source_poll_alloc(void *data, size_t size)
{
    return ngx_palloc(data, size);
}
