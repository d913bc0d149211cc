/*
 * Parses the nodes file on stdin, merges it with the targets file TARGETS and
 * the hosts file HOSTS, and prints every node and every target, for
 * t/00-nodes.t:
 *
 *     nodes_dump [ALLOCATIONS [TARGETS HOSTS]]
 *
 * Allocations fail after so many of them.  The text has just the memory that
 * the parser asks for, so that a sanitizer sees any step outside.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dump.h"
#include "ngx_prom_hosts.h"
#include "ngx_prom_nodes.h"


static char *dump_file(const char *path, size_t *len);
static void dump_node(const ngx_prom_node_t *node);


int
main(int argc, char **argv)
{
    int                  rc;
    char                *text, *targets, *hosts;
    size_t               len;
    uint32_t             i;
    dump_memory_t        memory;
    ngx_prom_hosts_t     ph;
    ngx_prom_nodes_t     pn;
    ngx_prom_targets_t   pt;

    memset(&memory, 0, sizeof(memory));
    memory.left = argc > 1 ? atoi(argv[1]) : 16;

    memset(&pt, 0, sizeof(pt));
    pt.alloc = dump_alloc;
    pt.error = dump_error;
    pt.data = &memory;

    targets = NULL;
    hosts = NULL;

    if (argc > 3) {
        targets = dump_file(argv[2], &len);

        if (ngx_prom_targets_parse(&pt, targets, len) != 0) {
            return 2;
        }

        memset(&ph, 0xff, sizeof(ph));
        ph.alloc = dump_alloc;
        ph.error = dump_error;
        ph.data = &memory;

        hosts = dump_file(argv[3], &len);

        if (ngx_prom_hosts_parse(&ph, hosts, len) != 0
            || ngx_prom_hosts_merge(&ph, &pt) != 0)
        {
            return 2;
        }
    }

    memset(&pn, 0xff, sizeof(pn));
    pn.alloc = dump_alloc;
    pn.error = dump_error;
    pn.data = &memory;

    text = dump_read(stdin, &len);
    rc = ngx_prom_nodes_parse(&pn, text, len);

    if (rc == 0) {
        for (i = 0; i < pn.count; i++) {
            dump_node(&pn.nodes[i]);
        }

        rc = ngx_prom_nodes_merge(&pn, &pt);
    }

    for (i = 0; i < pt.count; i++) {
        dump_merged(&pt.targets[i]);
    }

    printf("rc=%d\n", rc);

    dump_free(&memory);
    free(text);
    free(targets);
    free(hosts);

    return 0;
}


static char *
dump_file(const char *path, size_t *len)
{
    char  *text;
    FILE  *in;

    in = fopen(path, "r");
    if (in == NULL) {
        exit(2);
    }

    text = dump_read(in, len);
    fclose(in);

    return text;
}


static void
dump_node(const ngx_prom_node_t *node)
{
    size_t           pos;
    uint16_t         port;
    ngx_prom_text_t  name;

    printf("node=%.*s key=%.4s at=%u ip4=%.*s ip6=%.*s at=%u number=%u "
           "line=%u",
           (int) node->name.len, node->name.data, node->key.data,
           (unsigned) node->key_column, (int) node->address4.len,
           node->address4.len ? node->address4.data : "",
           (int) node->address6.len,
           node->address6.len ? node->address6.data : "",
           (unsigned) node->address_column,
           (unsigned) ngx_prom_nodes_number(node), (unsigned) node->line);

    pos = 0;

    while (ngx_prom_nodes_exporter(node, &pos, &name, &port)) {
        printf(" [%.*s]:%u", (int) name.len, name.data, (unsigned) port);
    }

    putchar('\n');
}
