/*
 * The command that takes a host's line out, whatever else is in the file: a
 * mistake elsewhere must not keep a host in.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    char        *out, *p;
    size_t       len, pos, start;
    raw_line_t   line;
    const char  *text;

    text = store_text(store, &len);

    out = malloc(len + 1);
    if (out == NULL) {
        perror("monitoring-proxy-hosts");
        return HOSTS_MISTAKE;
    }

    p = out;

    for (pos = 0, start = 0; raw_line(&line, text, len, &pos); start = pos) {

        if (!raw_line_has(&line, name->data, name->len)) {
            memcpy(p, text + start, pos - start);
            p += pos - start;
        }
    }

    if ((size_t) (p - out) == len) {
        fprintf(stderr, "%s: no host \"%s\"\n", path, given);
        rc = HOSTS_NONE;

    } else if (store_write(store, out, (size_t) (p - out)) == -1) {
        rc = HOSTS_MISTAKE;

    } else {
        rc = HOSTS_OK;
    }

    free(out);

    return rc;
}
