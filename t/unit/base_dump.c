/*
 * Prints the configuration that is made of the base on stdin, for
 * t/03-discovery-base.t:
 *
 * base_dump DIRECTORY [NAME=ADDRESS ...]
 *
 * NAME=ADDRESS is a PushProx proxy.  What is wrong with the base is told on
 * stderr, and the status is 1.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"


#define DUMP_LISTS  8


int
main(int argc, char **argv)
{
    int             i, rc;
    char            chunk[4096];
    size_t          n;
    base_t          base;
    buffer_t        text, config;
    reason_t        why;
    output_list_t   lists[DUMP_LISTS];

    memset(&base, 0, sizeof(base));
    memset(&text, 0, sizeof(text));
    memset(&config, 0, sizeof(config));
    memset(lists, 0, sizeof(lists));

    if (argc < 2 || argc - 2 > DUMP_LISTS) {
        return 2;
    }

    while ((n = fread(chunk, 1, sizeof(chunk), stdin))) {
        buffer_add(&text, chunk, n);
    }

    for (i = 2; i < argc; i++) {
        lists[i - 2].name = strtok(argv[i], "=");
        lists[i - 2].address = strtok(NULL, "");
        lists[i - 2].pushprox = 1;
    }

    rc = config_directory(argv[1], why) == 0
         && base_set(&base, "base", &text, why) == 0;

    if (rc) {
        config_write(&base, argv[1], lists, (size_t) argc - 2, &config);
        rc = fwrite(config.start, 1, config.len, stdout) == config.len;

    } else {
        fprintf(stderr, "%s\n", why);
    }

    base_free(&base);
    buffer_free(&text);
    buffer_free(&config);

    return rc ? 0 : 1;
}
