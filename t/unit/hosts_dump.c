/*
 * Parses the hosts file on stdin, merges it with the targets file TARGETS, and
 * prints every host and every target, for t/00-hosts.t:
 *
 *     hosts_dump [ALLOCATIONS [TARGETS]]
 *
 * Allocations fail after so many of them.  The text has just the memory that
 * the parser asks for, so that a sanitizer sees any step outside.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dump.h"
#include "ngx_prom_hosts.h"


static void dump_host(const ngx_prom_host_t *host);


int
main(int argc, char **argv)
{
    int                  rc;
    char                *text, *targets;
    FILE                *in;
    size_t               len;
    uint32_t             i;
    dump_memory_t        memory;
    ngx_prom_hosts_t     ph;
    ngx_prom_targets_t   pt;

    memset(&memory, 0, sizeof(memory));
    memory.left = argc > 1 ? atoi(argv[1]) : 16;

    memset(&pt, 0, sizeof(pt));
    pt.alloc = dump_alloc;
    pt.error = dump_error;
    pt.data = &memory;

    targets = NULL;

    if (argc > 2) {
        in = fopen(argv[2], "r");
        if (in == NULL) {
            return 2;
        }

        targets = dump_read(in, &len);
        fclose(in);

        if (ngx_prom_targets_parse(&pt, targets, len) != 0) {
            return 2;
        }
    }

    memset(&ph, 0xff, sizeof(ph));
    ph.alloc = dump_alloc;
    ph.error = dump_error;
    ph.data = &memory;

    text = dump_read(stdin, &len);
    rc = ngx_prom_hosts_parse(&ph, text, len);

    if (rc == 0) {
        for (i = 0; i < ph.count; i++) {
            dump_host(&ph.hosts[i]);
        }

        rc = ngx_prom_hosts_merge(&ph, &pt);
    }

    for (i = 0; i < pt.count; i++) {
        dump_merged(&pt.targets[i]);
    }

    printf("rc=%d\n", rc);

    dump_free(&memory);
    free(text);
    free(targets);

    return 0;
}


static void
dump_host(const ngx_prom_host_t *host)
{
    size_t           pos;
    uint16_t         port;
    ngx_prom_text_t  name;

    printf("host=%.*s type=%.*s key=%zu port=%u ports=%u given=%u line=%u",
           (int) host->name.len, host->name.data,
           (int) host->type.len, host->type.len ? host->type.data : "",
           host->key.len, (unsigned) host->port, (unsigned) host->ports,
           (unsigned) host->given, (unsigned) host->line);

    pos = 0;

    while (ngx_prom_hosts_exporter(host, &pos, &name, &port)) {
        printf(" [%.*s]:%u", (int) name.len, name.data, (unsigned) port);
    }

    putchar('\n');
}
