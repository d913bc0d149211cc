/*
 * Parses the file of tokens on stdin and prints what is in it, for
 * t/03-poll-tokens.t.  With a number N as its argument, allocations fail after
 * N of them.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dump.h"
#include "ngx_prom_tokens.h"


int
main(int argc, char **argv)
{
    int                 i, rc;
    char               *text;
    size_t              len;
    uint32_t            n;
    dump_memory_t       memory;
    ngx_prom_tokens_t   pt;

    memset(&memory, 0, sizeof(memory));
    memory.left = argc > 1 ? atoi(argv[1]) : 8;

    text = dump_read(stdin, &len);

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

    dump_free(&memory);
    free(text);

    return 0;
}
