/*
 * The targets that hosts make, beside those of the targets file.
 */


#include <stdio.h>
#include <string.h>

#include "ngx_prom_hosts_line.h"


#define NGX_PROM_TUNNEL_HOST     "localhost"
#define NGX_PROM_TUNNEL_ADDRESS  sizeof("localhost:65535")   /* with a zero */


typedef struct {
    ngx_prom_target_t   *target;
    char                *text;        /* where the next one's texts go */
} ngx_prom_merge_t;


static void ngx_prom_merge_size(const ngx_prom_hosts_t *ph, size_t *count,
    size_t *bytes);
static void ngx_prom_merge_host(ngx_prom_merge_t *merge,
    const ngx_prom_host_t *host);
static void ngx_prom_merge_check(ngx_prom_hosts_t *ph,
    const ngx_prom_host_t *host, const ngx_prom_target_t *target,
    const ngx_prom_seen_t *names);


int
ngx_prom_hosts_merge(ngx_prom_hosts_t *ph, ngx_prom_targets_t *pt)
{
    size_t              count, bytes;
    uint32_t            i;
    ngx_prom_seen_t     names;
    ngx_prom_merge_t    merge;
    ngx_prom_target_t  *targets, *target;

    ngx_prom_merge_size(ph, &count, &bytes);

    if (count == 0) {
        return 0;
    }

    if (pt->count > SIZE_MAX / sizeof(ngx_prom_target_t) - count) {
        return -1;
    }

    targets = pt->alloc(pt->data,
                        (pt->count + count) * sizeof(ngx_prom_target_t));
    if (targets == NULL) {
        return -1;
    }

    merge.text = pt->alloc(pt->data, bytes);
    if (merge.text == NULL) {
        return -1;
    }

    if (ngx_prom_seen_init(&names, pt->alloc, pt->data, pt->count) == -1) {
        return -1;
    }

    for (i = 0; i < pt->count; i++) {
        target = &pt->targets[i];
        targets[i] = *target;

        (void) ngx_prom_seen_add(&names, target->name.data, target->name.len,
                                 target->line);
    }

    merge.target = targets + pt->count;

    for (i = 0; i < ph->count; i++) {
        target = merge.target;
        ngx_prom_merge_host(&merge, &ph->hosts[i]);

        for ( /* void */ ; target < merge.target; target++) {
            ngx_prom_merge_check(ph, &ph->hosts[i], target, &names);
        }
    }

    if (ph->errors) {
        return 1;
    }

    pt->targets = targets;
    pt->count += (uint32_t) count;

    return 0;
}


static void
ngx_prom_merge_size(const ngx_prom_hosts_t *ph, size_t *count, size_t *bytes)
{
    size_t                  pos;
    uint16_t                port;
    uint32_t                i;
    ngx_prom_text_t         name;
    const ngx_prom_host_t  *host;

    *count = 0;
    *bytes = 0;

    for (i = 0; i < ph->count; i++) {
        host = &ph->hosts[i];
        pos = 0;

        while (ngx_prom_hosts_exporter(host, &pos, &name, &port)) {
            *count += 1;
            *bytes += NGX_PROM_TUNNEL_ADDRESS;

            if (name.len) {
                *bytes += host->name.len + 1 + name.len;
            }
        }
    }
}


static void
ngx_prom_merge_host(ngx_prom_merge_t *merge, const ngx_prom_host_t *host)
{
    int                 n;
    size_t              pos;
    uint16_t            port, exporter;
    ngx_prom_text_t     name;
    ngx_prom_target_t  *target;

    pos = 0;
    port = host->port;

    while (ngx_prom_hosts_exporter(host, &pos, &name, &exporter)) {
        target = merge->target++;

        memset(target, 0, sizeof(ngx_prom_target_t));

        n = snprintf(merge->text, NGX_PROM_TUNNEL_ADDRESS,
                     NGX_PROM_TUNNEL_HOST ":%u", (unsigned) port);

        target->address.data = merge->text;
        target->address.len = (size_t) n;
        target->authority = target->address;
        target->host.data = merge->text;
        target->host.len = sizeof(NGX_PROM_TUNNEL_HOST) - 1;
        target->base.data = merge->text + n;
        target->kind = NGX_PROM_ADDRESS_LOCALHOST;
        target->port = port++;
        target->tunnel = host->port;
        target->labels = host->labels;
        target->line = host->line;

        merge->text += NGX_PROM_TUNNEL_ADDRESS;

        if (name.len == 0) {
            target->name = host->name;
            continue;
        }

        target->name.data = merge->text;
        target->name.len = host->name.len + 1 + name.len;

        memcpy(merge->text, host->name.data, host->name.len);
        merge->text[host->name.len] = '/';
        memcpy(merge->text + host->name.len + 1, name.data, name.len);

        merge->text += target->name.len;
    }
}


static void
ngx_prom_merge_check(ngx_prom_hosts_t *ph, const ngx_prom_host_t *host,
    const ngx_prom_target_t *target, const ngx_prom_seen_t *names)
{
    uint32_t             line;
    ngx_prom_excerpt_t   buf;

    line = ngx_prom_seen_find(names, target->name.data, target->name.len);

    if (line) {
        ngx_prom_hosts_error(ph, host, host->column, "target \"%s\" is on "
                             "line %u of the targets file already",
                             ngx_prom_excerpt(buf, target->name.data,
                                              target->name.len),
                             (unsigned) line);
    }
}
