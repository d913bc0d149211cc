/*
 * A nodes file by the grammar of the nginx module.
 */


#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "file.h"
#include "ngx_prom_hosts.h"
#include "nodes_file.h"
#include "text.h"


#define NODES_FILE_ALLOCS  32         /* the parsers', and those of merges */


struct nodes_file_s {
    const char          *path;
    FILE                *told;
    char                *text;
    void                *allocs[NODES_FILE_ALLOCS];
    unsigned             nallocs;
    ngx_prom_nodes_t     nodes;
};


static nodes_file_t *nodes_file_new(const char *path, const char *text,
    size_t len, FILE *told);
static int nodes_file_parse_text(nodes_file_t *file, size_t len,
    const nodes_beside_t *beside);
static void nodes_file_conf(nodes_file_t *file, const conf_t *conf);
static void nodes_file_key(nodes_file_t *file, const ngx_prom_node_t *node,
    const conf_t *conf);
static void nodes_file_address(nodes_file_t *file, const ngx_prom_node_t *node,
    const ngx_prom_text_t *address, const uint8_t *ip, const conf_t *conf);
static int nodes_file_merge(nodes_file_t *file, const nodes_beside_t *beside);
static void nodes_file_hosts(nodes_file_t *file, const char *path,
    ngx_prom_targets_t *pt, char **text);
static void *nodes_file_alloc(void *data, size_t size);
static void nodes_file_error(void *data, uint32_t line, uint32_t column,
    const char *reason);
static void nodes_file_silent(void *data, uint32_t line, uint32_t column,
    const char *reason);
static void nodes_file_mistake(nodes_file_t *file, uint32_t line,
    uint32_t column, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));


nodes_file_t *
nodes_file_load(const char *path, const nodes_beside_t *beside, FILE *told)
{
    char          *text;
    size_t         len;
    struct stat    st;
    nodes_file_t  *file;

    if (lstat(path, &st) == -1 && errno == ENOENT) {
        return nodes_file_parse(path, "", 0, beside, told);
    }

    text = text_read(path, &len, told);
    if (text == NULL) {
        return NULL;
    }

    file = nodes_file_parse(path, text, len, beside, told);

    free(text);

    return file;
}


nodes_file_t *
nodes_file_parse(const char *path, const char *text, size_t len,
    const nodes_beside_t *beside, FILE *told)
{
    int            rc;
    nodes_file_t  *file;

    file = nodes_file_new(path, text, len, told);
    if (file == NULL) {
        return NULL;
    }

    rc = nodes_file_parse_text(file, len, beside);

    if (rc == 0) {
        return file;
    }

    if (rc == -1) {
        text_fail(path, "out of memory", told);

    } else if (told && file->nodes.errors > NGX_PROM_ERRORS_MAX) {
        fprintf(told, "%s: and %u more mistakes\n", path,
                (unsigned) file->nodes.errors - NGX_PROM_ERRORS_MAX);
    }

    nodes_file_free(file);

    return NULL;
}


nodes_file_t *
nodes_file_right(const char *text, size_t len)
{
    nodes_file_t  *file;

    file = nodes_file_new("", text, len, NULL);

    if (file
        && ngx_prom_nodes_parse(&file->nodes, file->text, len) == -1)
    {
        nodes_file_free(file);
        return NULL;
    }

    return file;
}


static nodes_file_t *
nodes_file_new(const char *path, const char *text, size_t len, FILE *told)
{
    nodes_file_t  *file;

    file = calloc(1, sizeof(nodes_file_t));

    if (file) {
        file->text = malloc(len + 1);
    }

    if (file == NULL || file->text == NULL) {
        text_fail(path, "out of memory", told);
        free(file);
        return NULL;
    }

    memcpy(file->text, text, len);

    file->path = path;
    file->told = told;
    file->nodes.alloc = nodes_file_alloc;
    file->nodes.error = nodes_file_error;
    file->nodes.data = file;

    return file;
}


static int
nodes_file_parse_text(nodes_file_t *file, size_t len,
    const nodes_beside_t *beside)
{
    int  rc;

    rc = ngx_prom_nodes_parse(&file->nodes, file->text, len);

    if (rc == -1) {
        return -1;
    }

    if (beside->conf) {
        nodes_file_conf(file, beside->conf);
    }

    if (file->nodes.errors == 0 && nodes_file_merge(file, beside) == -1) {
        return -1;
    }

    return file->nodes.errors ? 1 : 0;
}


static void
nodes_file_conf(nodes_file_t *file, const conf_t *conf)
{
    uint32_t                i;
    const ngx_prom_node_t  *node;

    for (i = 0; i < file->nodes.count; i++) {
        node = &file->nodes.nodes[i];

        nodes_file_key(file, node, conf);

        if (node->address4.len) {
            nodes_file_address(file, node, &node->address4, node->ip4, conf);
        }

        if (node->address6.len) {
            nodes_file_address(file, node, &node->address6, node->ip6, conf);
        }
    }
}


static void
nodes_file_key(nodes_file_t *file, const ngx_prom_node_t *node,
    const conf_t *conf)
{
    uint32_t            i;
    const conf_peer_t  *peer;

    if (ngx_prom_text_is(&node->key, conf->public_key)) {
        nodes_file_mistake(file, node->line, node->key_column, "key is that "
                           "of the monitor itself, of wg0.conf");
        return;
    }

    for (i = 0; i < conf->npeers; i++) {
        peer = &conf->peers[i];

        if (peer->public_key.len == node->key.len
            && memcmp(peer->public_key.data, node->key.data, node->key.len)
               == 0)
        {
            nodes_file_mistake(file, node->line, node->key_column, "key is "
                               "that of the [Peer] on line %u of wg0.conf",
                               (unsigned) peer->line);
            return;
        }
    }
}


static void
nodes_file_address(nodes_file_t *file, const ngx_prom_node_t *node,
    const ngx_prom_text_t *address, const uint8_t *ip, const conf_t *conf)
{
    int                  len;
    unsigned             bytes;
    uint32_t             line;
    const conf_net_t    *net;

    bytes = ip == node->ip4 ? 4 : 16;
    net = bytes == 4 ? &conf->net4 : &conf->net6;
    len = (int) address->len;

    if (net->bytes == 0) {
        nodes_file_mistake(file, node->line, node->address_column, "address "
                           "\"%.*s\" is of IPv%u, and wg0.conf has no Address "
                           "of that", len, address->data,
                           bytes == 4 ? 4u : 6u);
        return;
    }

    if (!conf_inside(net, ip)) {
        nodes_file_mistake(file, node->line, node->address_column, "address "
                           "\"%.*s\" is outside of the network that wg0.conf "
                           "has as Address", len, address->data);
        return;
    }

    if (conf_own(net, ip)) {
        nodes_file_mistake(file, node->line, node->address_column, "address "
                           "\"%.*s\" is the monitor's own, of wg0.conf", len,
                           address->data);
        return;
    }

    line = conf_peer_has(conf, ip, bytes);

    if (line) {
        nodes_file_mistake(file, node->line, node->address_column, "address "
                           "\"%.*s\" is that of the [Peer] on line %u of "
                           "wg0.conf", len, address->data, (unsigned) line);
    }
}


static int
nodes_file_merge(nodes_file_t *file, const nodes_beside_t *beside)
{
    int                  rc;
    char                *hosts;
    targets_file_t      *targets;
    ngx_prom_targets_t   pt;

    if (beside->targets == NULL && beside->hosts == NULL) {
        return 0;
    }

    targets = beside->targets ? targets_file_load(beside->targets, NULL)
                              : NULL;
    hosts = NULL;

    memset(&pt, 0, sizeof(pt));

    if (targets) {
        pt = *targets_file_targets(targets);
    }

    pt.alloc = nodes_file_alloc;
    pt.data = file;

    if (beside->hosts) {
        nodes_file_hosts(file, beside->hosts, &pt, &hosts);
    }

    rc = ngx_prom_nodes_merge(&file->nodes, &pt);

    free(hosts);

    if (targets) {
        targets_file_free(targets);
    }

    return rc;
}


static void
nodes_file_hosts(nodes_file_t *file, const char *path, ngx_prom_targets_t *pt,
    char **text)
{
    size_t            len;
    ngx_prom_hosts_t  ph;

    *text = text_read(path, &len, NULL);

    if (*text == NULL) {
        return;
    }

    memset(&ph, 0, sizeof(ph));

    ph.alloc = nodes_file_alloc;
    ph.error = nodes_file_silent;
    ph.data = file;

    if (ngx_prom_hosts_parse(&ph, *text, len) == 0) {
        (void) ngx_prom_hosts_merge(&ph, pt);
    }
}


const ngx_prom_nodes_t *
nodes_file_nodes(const nodes_file_t *file)
{
    return &file->nodes;
}


void
nodes_file_free(nodes_file_t *file)
{
    while (file->nallocs) {
        free(file->allocs[--file->nallocs]);
    }

    free(file->text);
    free(file);
}


static void *
nodes_file_alloc(void *data, size_t size)
{
    nodes_file_t  *file = data;

    if (file->nallocs == NODES_FILE_ALLOCS) {
        return NULL;
    }

    file->allocs[file->nallocs] = malloc(size);

    return file->allocs[file->nallocs++];
}


static void
nodes_file_error(void *data, uint32_t line, uint32_t column,
    const char *reason)
{
    nodes_file_t  *file = data;

    if (file->told) {
        fprintf(file->told, "%s:%u:%u: %s\n", file->path, (unsigned) line,
                (unsigned) column, reason);
    }
}


static void
nodes_file_silent(void *data, uint32_t line, uint32_t column,
    const char *reason)
{
    (void) data;
    (void) line;
    (void) column;
    (void) reason;
}


static void
nodes_file_mistake(nodes_file_t *file, uint32_t line, uint32_t column,
    const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    ngx_prom_lines_error(nodes_file_error, file, &file->nodes.errors, line,
                         column, fmt, args);
    va_end(args);
}
