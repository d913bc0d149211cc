/*
 * Parses the targets file on stdin and prints every field of every target,
 * for t/00-targets.t.  With a number N as its argument, allocations fail
 * after N of them.
 *
 * The text has just the memory that the parser asks for, so that a sanitizer
 * sees any step outside.
 */


#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dump.h"
#include "ngx_prom_targets.h"


static void dump_target(const ngx_prom_target_t *target);
static void dump_text(const char *name, const ngx_prom_text_t *text);
static void dump_bytes(const char *data, size_t len);


static const char  *dump_kinds[] = {
    "ipv4", "ipv6", "localhost", "dns", "unix"
};


int
main(int argc, char **argv)
{
    int                 rc;
    char               *text;
    size_t              len;
    uint32_t            i;
    dump_memory_t       memory;
    ngx_prom_targets_t  pt;

    memset(&memory, 0, sizeof(memory));
    memory.left = argc > 1 ? atoi(argv[1]) : 8;

    text = dump_read(stdin, &len);

    memset(&pt, 0xff, sizeof(pt));
    pt.alloc = dump_alloc;
    pt.error = dump_error;
    pt.data = &memory;

    rc = ngx_prom_targets_parse(&pt, text, len);

    printf("rc=%d", rc);

    if (rc != -1) {
        printf(" count=%u errors=%u allocs=%d bytes=%zu\n", pt.count,
               pt.errors, memory.used, memory.bytes);

        for (i = 0; i < pt.count; i++) {
            dump_target(&pt.targets[i]);
        }
    }

    putchar('\n');

    dump_free(&memory);
    free(text);

    return 0;
}


static void
dump_target(const ngx_prom_target_t *target)
{
    char         ip[INET6_ADDRSTRLEN];
    size_t       pos;
    const char  *name, *value;

    dump_text("name", &target->name);
    dump_text("address", &target->address);
    dump_text("authority", &target->authority);
    dump_text("host", &target->host);
    dump_text("base", &target->base);

    printf("line=%u port=%u tls=%u kind=%s", target->line, target->port,
           target->tls, dump_kinds[target->kind]);

    if (target->kind == NGX_PROM_ADDRESS_IPV4) {
        printf(" ip=%s", inet_ntop(AF_INET, target->ip, ip, sizeof(ip)));

    } else if (target->kind == NGX_PROM_ADDRESS_IPV6) {
        printf(" ip=%s", inet_ntop(AF_INET6, target->ip, ip, sizeof(ip)));
    }

    pos = 0;

    while (ngx_prom_targets_label(target, &pos, &name, &value)) {
        printf(" %s=[", name);
        dump_bytes(value, strlen(value));
        putchar(']');
    }

    putchar('\n');
}


static void
dump_text(const char *name, const ngx_prom_text_t *text)
{
    printf("%s=", name);
    dump_bytes(text->data, text->len);
    putchar(' ');
}


static void
dump_bytes(const char *data, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {
        if (data[i] == '\n') {
            fputs("<0a>", stdout);
            continue;
        }

        putchar(data[i]);
    }
}
