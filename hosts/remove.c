/*
 * The command that takes a host's line out, whatever else is in the file: a
 * mistake elsewhere must not keep a host in.
 */


#define _POSIX_C_SOURCE  200809L

#include <stdio.h>
#include <stdlib.h>

#include "commands.h"
#include "raw.h"
#include "store.h"


static int remove_line(store_t *store, const char *path, const char *given,
    const ngx_prom_text_t *name);


int
hosts_remove(const hosts_options_t *options, int argc, char **argv)
{
    int               rc;
    store_t          *store;
    ngx_prom_text_t   name;

    (void) options;
    (void) argc;

    store = store_open(argv[0], 0, stderr);

    if (store == NULL) {
        return HOSTS_MISTAKE;
    }

    hosts_name(&name, argv[1]);
    rc = remove_line(store, argv[0], argv[1], &name);

    store_close(store);

    return rc;
}


static int
remove_line(store_t *store, const char *path, const char *given,
    const ngx_prom_text_t *name)
{
    int          rc;
    char        *out;
    FILE        *stream;
    size_t       len, left;
    unsigned     n;
    const char  *text;

    text = store_text(store, &len);

    stream = open_memstream(&out, &left);
    if (stream == NULL) {
        perror("monitoring-proxy-hosts");
        return HOSTS_MISTAKE;
    }

    n = raw_without(stream, text, len, name->data, name->len);

    if (fclose(stream) == EOF) {
        perror("monitoring-proxy-hosts");
        rc = HOSTS_MISTAKE;

    } else if (n == 0) {
        fprintf(stderr, "%s: no host \"%s\"\n", path, given);
        rc = HOSTS_NONE;

    } else if (store_write(store, out, left) == -1) {
        rc = HOSTS_MISTAKE;

    } else {
        rc = HOSTS_OK;
    }

    free(out);

    return rc;
}
