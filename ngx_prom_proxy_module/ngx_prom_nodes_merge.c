/*
 * The targets that nodes make: none of them twice, and beside those of the
 * other files.
 */


#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ngx_prom_nodes_line.h"
#include "ngx_prom_peers.h"


/* with a zero */

#define NGX_PROM_NODE_TEXT  (INET6_ADDRSTRLEN + sizeof("[]:65535") - 1)


static void ngx_prom_nodes_error(ngx_prom_nodes_t *pn,
    const ngx_prom_node_t *node, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void ngx_prom_nodes_meet_node(ngx_prom_nodes_t *pn,
    const ngx_prom_node_t *node, const ngx_prom_seen_t *names);
static void ngx_prom_nodes_size(const ngx_prom_nodes_t *pn, size_t *count,
    size_t *bytes);
static void ngx_prom_nodes_merge_node(ngx_prom_merge_t *merge,
    const ngx_prom_node_t *node);
static void ngx_prom_nodes_address(ngx_prom_merge_t *merge,
    ngx_prom_target_t *target, const ngx_prom_node_t *node, uint16_t port);
static void ngx_prom_nodes_merge_check(const ngx_prom_merge_t *merge,
    ngx_prom_nodes_t *pn, const ngx_prom_node_t *node,
    const ngx_prom_target_t *target);


int
ngx_prom_nodes_meet(ngx_prom_nodes_t *pn)
{
    uint32_t          i, exporters;
    ngx_prom_seen_t   names;
    ngx_prom_text_t  *name;

    exporters = 0;

    for (i = 0; i < pn->count; i++) {
        exporters += pn->nodes[i].exporters.len != 0;
    }

    if (exporters == 0) {
        return 0;
    }

    if (ngx_prom_seen_init(&names, pn->alloc, pn->data, pn->count) == -1) {
        return -1;
    }

    for (i = 0; i < pn->count; i++) {
        name = &pn->nodes[i].name;
        (void) ngx_prom_seen_add(&names, name->data, name->len, i + 1);
    }

    for (i = 0; i < pn->count; i++) {
        ngx_prom_nodes_meet_node(pn, &pn->nodes[i], &names);
    }

    return 0;
}


/* a name in full may be that of another node's exporter */

static void
ngx_prom_nodes_meet_node(ngx_prom_nodes_t *pn, const ngx_prom_node_t *node,
    const ngx_prom_seen_t *names)
{
    size_t                   len;
    uint32_t                 n;
    ngx_prom_excerpt_t       buf, exporter;
    const ngx_prom_node_t   *parent;

    if (node->exporters.len) {
        return;
    }

    len = ngx_prom_exporters_parent(&node->name);

    if (len == 0) {
        return;
    }

    n = ngx_prom_seen_find(names, node->name.data, len);
    parent = n ? &pn->nodes[n - 1] : NULL;

    if (parent == NULL
        || !ngx_prom_exporters_have(&parent->exporters, &node->name))
    {
        return;
    }

    ngx_prom_nodes_error(pn, node, "target \"%s\" is made by exporter \"%s\" "
                         "on line %u already",
                         ngx_prom_excerpt(buf, node->name.data,
                                          node->name.len),
                         ngx_prom_excerpt(exporter, node->name.data + len + 1,
                                          node->name.len - len - 1),
                         (unsigned) parent->line);
}


int
ngx_prom_nodes_merge(ngx_prom_nodes_t *pn, ngx_prom_targets_t *pt)
{
    size_t              count, bytes;
    uint32_t            i;
    ngx_prom_merge_t    merge;
    ngx_prom_target_t  *target;

    ngx_prom_nodes_size(pn, &count, &bytes);

    if (count == 0) {
        return 0;
    }

    if (ngx_prom_merge_start(&merge, pt, count, bytes) == -1) {
        return -1;
    }

    for (i = 0; i < pn->count; i++) {
        target = merge.target;
        ngx_prom_nodes_merge_node(&merge, &pn->nodes[i]);

        for ( /* void */ ; target < merge.target; target++) {
            ngx_prom_nodes_merge_check(&merge, pn, &pn->nodes[i], target);
        }
    }

    if (pn->errors) {
        return 1;
    }

    ngx_prom_merge_end(&merge, pt);

    return 0;
}


static void
ngx_prom_nodes_size(const ngx_prom_nodes_t *pn, size_t *count, size_t *bytes)
{
    size_t                  pos;
    uint16_t                port;
    uint32_t                i;
    ngx_prom_text_t         name;
    const ngx_prom_node_t  *node;

    *count = 0;
    *bytes = 0;

    for (i = 0; i < pn->count; i++) {
        node = &pn->nodes[i];
        pos = 0;

        while (ngx_prom_nodes_exporter(node, &pos, &name, &port)) {
            *count += 1;
            *bytes += NGX_PROM_NODE_TEXT;

            if (name.len) {
                *bytes += node->name.len + 1 + name.len;
            }
        }
    }
}


static void
ngx_prom_nodes_merge_node(ngx_prom_merge_t *merge, const ngx_prom_node_t *node)
{
    size_t              pos;
    uint8_t             key[NGX_PROM_NODE_KEY];
    uint16_t            port;
    ngx_prom_text_t     name;
    ngx_prom_target_t  *target;

    (void) ngx_prom_nodes_key(key, node->key.data, node->key.len);

    pos = 0;

    while (ngx_prom_nodes_exporter(node, &pos, &name, &port)) {
        target = merge->target++;

        memset(target, 0, sizeof(ngx_prom_target_t));

        ngx_prom_nodes_address(merge, target, node, port);
        ngx_prom_merge_name(merge, target, &node->name, &name);

        target->labels = node->labels;
        target->node = ngx_prom_peers_mark(key);
        target->line = node->line;
    }
}


static void
ngx_prom_nodes_address(ngx_prom_merge_t *merge, ngx_prom_target_t *target,
    const ngx_prom_node_t *node, uint16_t port)
{
    int   n;
    char  text[INET6_ADDRSTRLEN];

    if (node->address4.len) {
        target->kind = NGX_PROM_ADDRESS_IPV4;
        memcpy(target->ip, node->ip4, 4);
        (void) inet_ntop(AF_INET, node->ip4, text, sizeof(text));

        n = snprintf(merge->text, NGX_PROM_NODE_TEXT, "%s:%u", text,
                     (unsigned) port);

        target->host.data = merge->text;

    } else {
        target->kind = NGX_PROM_ADDRESS_IPV6;
        memcpy(target->ip, node->ip6, 16);
        (void) inet_ntop(AF_INET6, node->ip6, text, sizeof(text));

        n = snprintf(merge->text, NGX_PROM_NODE_TEXT, "[%s]:%u", text,
                     (unsigned) port);

        target->host.data = merge->text + 1;
    }

    target->host.len = strlen(text);
    target->address.data = merge->text;
    target->address.len = (size_t) n;
    target->authority = target->address;
    target->base.data = merge->text + n;
    target->port = port;

    merge->text += NGX_PROM_NODE_TEXT;
}


static void
ngx_prom_nodes_merge_check(const ngx_prom_merge_t *merge, ngx_prom_nodes_t *pn,
    const ngx_prom_node_t *node, const ngx_prom_target_t *target)
{
    ngx_prom_excerpt_t        buf;
    const ngx_prom_target_t  *other;

    other = ngx_prom_merge_find(merge, target);

    if (other) {
        ngx_prom_nodes_error(pn, node, "target \"%s\" is on line %u of the %s "
                             "file already",
                             ngx_prom_excerpt(buf, target->name.data,
                                              target->name.len),
                             (unsigned) other->line,
                             other->tunnel ? "hosts" : "targets");
    }
}


static void
ngx_prom_nodes_error(ngx_prom_nodes_t *pn, const ngx_prom_node_t *node,
    const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    ngx_prom_lines_error(pn->error, pn->data, &pn->errors, node->line,
                         node->column, fmt, args);
    va_end(args);
}
