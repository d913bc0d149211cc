/*
 * What targets take of the zone: zone FILE
 *
 * Prints, in bytes, a snapshot of FILE's targets, and the counters of one
 * target: "SNAPSHOT COUNTERS".
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_prom_snapshot.h"


static void *allocate(void *data, size_t size);
static void complain(void *data, uint32_t line, uint32_t column,
    const char *reason);


int
main(int argc, char **argv)
{
    FILE                *file;
    size_t               size;
    uint32_t             buckets;
    ngx_prom_targets_t   pt;

    static char  text[16777216];

    file = (argc == 2) ? fopen(argv[1], "r") : NULL;

    if (file == NULL) {
        fprintf(stderr, "usage: zone FILE\n");
        return 2;
    }

    size = fread(text, 1, sizeof(text), file);
    (void) fclose(file);

    ngx_memzero(&pt, sizeof(ngx_prom_targets_t));

    pt.alloc = allocate;
    pt.error = complain;

    if (size == sizeof(text) || ngx_prom_targets_parse(&pt, text, size) != 0) {
        fprintf(stderr, "zone: reading \"%s\" failed\n", argv[1]);
        return 1;
    }

    printf("%zu %zu\n", ngx_prom_snapshot_size(&pt, &buckets),
           sizeof(ngx_prom_counters_t));

    return 0;
}


static void *
allocate(void *data, size_t size)
{
    return malloc(size);
}


static void
complain(void *data, uint32_t line, uint32_t column, const char *reason)
{
    fprintf(stderr, "zone: line %u: %s\n", (unsigned) line, reason);
}


/* in place of nginx's core, which only building a snapshot asks for */

void *
ngx_palloc(ngx_pool_t *pool, size_t size)
{
    return NULL;
}


ngx_int_t
ngx_memn2cmp(u_char *s1, u_char *s2, size_t n1, size_t n2)
{
    return 0;
}
