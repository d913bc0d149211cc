/*
 * The targets that hosts make, beside those of the targets file.
 */


#include <stdio.h>
#include <string.h>

#include "ngx_prom_hosts_line.h"


#define NGX_PROM_TUNNEL_HOST     "localhost"
#define NGX_PROM_TUNNEL_ADDRESS  sizeof("localhost:65535")   /* with a zero */


static void ngx_prom_merge_size(const ngx_prom_hosts_t *ph, size_t *count,
    size_t *bytes);
static void ngx_prom_merge_host(ngx_prom_merge_t *merge,
    const ngx_prom_host_t *host);
static void ngx_prom_merge_check(const ngx_prom_merge_t *merge,
    ngx_prom_hosts_t *ph, const ngx_prom_host_t *host,
    const ngx_prom_target_t *target);


int
ngx_prom_hosts_merge(ngx_prom_hosts_t *ph, ngx_prom_targets_t *pt)
{
    size_t              count, bytes;
    uint32_t            i;
    ngx_prom_merge_t    merge;
    ngx_prom_target_t  *target;

    ngx_prom_merge_size(ph, &count, &bytes);

    if (count == 0) {
        return 0;
    }

    if (ngx_prom_merge_start(&merge, pt, count, bytes) == -1) {
        return -1;
    }

    for (i = 0; i < ph->count; i++) {
        target = merge.target;
        ngx_prom_merge_host(&merge, &ph->hosts[i]);

        for ( /* void */ ; target < merge.target; target++) {
            ngx_prom_merge_check(&merge, ph, &ph->hosts[i], target);
        }
    }

    if (ph->errors) {
        return 1;
    }

    ngx_prom_merge_end(&merge, pt);

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

        ngx_prom_merge_name(merge, target, &host->name, &name);
    }
}


static void
ngx_prom_merge_check(const ngx_prom_merge_t *merge, ngx_prom_hosts_t *ph,
    const ngx_prom_host_t *host, const ngx_prom_target_t *target)
{
    ngx_prom_excerpt_t        buf;
    const ngx_prom_target_t  *other;

    other = ngx_prom_merge_find(merge, target);

    if (other) {
        ngx_prom_hosts_error(ph, host, host->column, "target \"%s\" is on "
                             "line %u of the targets file already",
                             ngx_prom_excerpt(buf, target->name.data,
                                              target->name.len),
                             (unsigned) other->line);
    }
}


int
ngx_prom_merge_start(ngx_prom_merge_t *merge, const ngx_prom_targets_t *pt,
    size_t count, size_t bytes)
{
    uint32_t            i;
    ngx_prom_target_t  *target;

    if (pt->count + count > SIZE_MAX / sizeof(ngx_prom_target_t)) {
        return -1;
    }

    merge->first = pt->alloc(pt->data,
                             (pt->count + count) * sizeof(ngx_prom_target_t));
    if (merge->first == NULL) {
        return -1;
    }

    merge->text = pt->alloc(pt->data, bytes);
    if (merge->text == NULL) {
        return -1;
    }

    if (ngx_prom_seen_init(&merge->names, pt->alloc, pt->data, pt->count)
        == -1)
    {
        return -1;
    }

    for (i = 0; i < pt->count; i++) {
        target = &merge->first[i];
        *target = pt->targets[i];

        (void) ngx_prom_seen_add(&merge->names, target->name.data,
                                 target->name.len, i + 1);
    }

    merge->target = merge->first + pt->count;

    return 0;
}


void
ngx_prom_merge_name(ngx_prom_merge_t *merge, ngx_prom_target_t *target,
    const ngx_prom_text_t *name, const ngx_prom_text_t *exporter)
{
    if (exporter->len == 0) {
        target->name = *name;
        return;
    }

    target->name.data = merge->text;
    target->name.len = name->len + 1 + exporter->len;

    memcpy(merge->text, name->data, name->len);
    merge->text[name->len] = '/';
    memcpy(merge->text + name->len + 1, exporter->data, exporter->len);

    merge->text += target->name.len;
}


const ngx_prom_target_t *
ngx_prom_merge_find(const ngx_prom_merge_t *merge,
    const ngx_prom_target_t *target)
{
    uint32_t  n;

    n = ngx_prom_seen_find(&merge->names, target->name.data, target->name.len);

    return n ? &merge->first[n - 1] : NULL;
}


void
ngx_prom_merge_end(const ngx_prom_merge_t *merge, ngx_prom_targets_t *pt)
{
    pt->targets = merge->first;
    pt->count = (uint32_t) (merge->target - merge->first);
}
