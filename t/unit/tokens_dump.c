/*
 * Parses the file of tokens on stdin and prints what is in it, for
 * t/03-poll-tokens.t.  With a number N as its argument, allocations fail after
 * N of them.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ngx_prom_tokens.h"


#define DUMP_MAX  (64 * 1024 * 1024)


typedef struct {
    int      left;
    int      used;
    void    *blocks[8];
} dump_memory_t;


static void *dump_alloc(void *data, size_t size);
static void dump_error(void *data, uint32_t line, uint32_t column,
    const char *reason);


int
main(int argc, char **argv)
{
    int                 i, rc;
    char               *text, *whole;
    size_t              len;
    uint32_t            n;
    dump_memory_t       memory;
    ngx_prom_tokens_t   pt;

    memset(&memory, 0, sizeof(memory));
    memory.left = argc > 1 ? atoi(argv[1]) : 8;

    whole = malloc(DUMP_MAX);
    if (whole == NULL) {
        return 2;
    }

    len = fread(whole, 1, DUMP_MAX, stdin);

    /* of just the size, so that a sanitizer sees any step outside */

    text = malloc(len + 1);
    if (text == NULL) {
        return 2;
    }

    memcpy(text, whole, len);
    free(whole);

    memset(&pt, 0xff, sizeof(pt));
    pt.alloc = dump_alloc;
    pt.error = dump_error;
    pt.data = &memory;

    rc = ngx_prom_tokens_parse(&pt, text, len);

    for (n = 0; rc != -1 && n < pt.count; n++) {
        printf("%.*s ", (int) pt.tokens[n].name.len, pt.tokens[n].name.data);

        for (i = 0; i < NGX_PROM_TOKEN_HASH; i++) {
            printf("%02x", pt.tokens[n].hash[i]);
        }

        putchar('\n');
    }

    printf("rc=%d\n", rc);

    while (memory.used) {
        free(memory.blocks[--memory.used]);
    }

    free(text);

    return 0;
}


static void *
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
    }

    return p;
}


static void
dump_error(void *data, uint32_t line, uint32_t column, const char *reason)
{
    (void) data;

    printf("%u:%u: %s\n", line, column, reason);
}
