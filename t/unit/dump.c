/*
 * Texts and memory of the programs that print what is in a text.
 */


#include <stdlib.h>
#include <string.h>

#include "dump.h"


#define DUMP_MAX  (64 * 1024 * 1024)


/* of just the size, so that a sanitizer sees any step outside */

char *
dump_read(FILE *in, size_t *len)
{
    char  *whole, *text;

    whole = malloc(DUMP_MAX);
    if (whole == NULL) {
        exit(2);
    }

    *len = fread(whole, 1, DUMP_MAX, in);

    text = malloc(*len + 1);
    if (text == NULL) {
        exit(2);
    }

    memcpy(text, whole, *len);
    free(whole);

    return text;
}


void *
dump_alloc(void *data, size_t size)
{
    void           *p;
    dump_memory_t  *memory = data;

    if (memory->left-- <= 0) {
        return NULL;
    }

    p = malloc(size);

    if (p) {
        memset(p, 0xff, size);
        memory->blocks[memory->used++] = p;
        memory->bytes += size;
    }

    return p;
}


void
dump_free(dump_memory_t *memory)
{
    while (memory->used) {
        free(memory->blocks[--memory->used]);
    }
}


void
dump_error(void *data, uint32_t line, uint32_t column, const char *reason)
{
    (void) data;

    printf("%u:%u: %s\n", line, column, reason);
}


void
dump_merged(const ngx_prom_target_t *target)
{
    size_t       pos;
    const char  *name, *value;

    printf("target=%.*s address=%.*s host=%.*s port=%u tunnel=%u kind=%u "
           "line=%u",
           (int) target->name.len, target->name.data,
           (int) target->address.len, target->address.data,
           (int) target->host.len, target->host.data,
           (unsigned) target->port, (unsigned) target->tunnel,
           (unsigned) target->kind, (unsigned) target->line);

    if (target->node) {
        printf(" node=%.4s", (const char *) &target->node);
    }

    pos = 0;

    while (ngx_prom_targets_label(target, &pos, &name, &value)) {
        printf(" %s=[%s]", name, value);
    }

    putchar('\n');
}
