/*
 * lists_dump [-o] reads what proxies list, and tells where each target is
 * chosen, with -o once; commands are lines of standard input:
 *
 *     targets NAME FILE    what the proxy answers; it was asked, and answered
 *     clients NAME FILE    so does a PushProx proxy
 *     stale NAME           it was asked, and failed
 *     gone NAME            it isn't known any more
 *     choose               prints PROXY, a space and the group, for each
 *     places               prints PROXY and NAME for each, without the group
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "choose.h"
#include "reader.h"


#define LISTS  16


typedef struct {
    char     name[64];
    char     address[80];
    list_t   list;
    int      stale;
} dump_proxy_t;


static dump_proxy_t   dump_proxy[LISTS];
static size_t         dump_n;
static choose_from_t  dump_from[LISTS];
static int            dump_once, dump_places;


static void
dump_read(dump_proxy_t *p, const char *file, int clients)
{
    int        rc;
    char       piece[65536];
    FILE      *f;
    list_t     list;
    size_t     n;
    buffer_t   text;
    reader_t   reader;
    reason_t   why;

    memset(&text, 0, sizeof(text));
    f = fopen(file, "r");

    if (f == NULL) {
        perror(file);
        exit(2);
    }

    while ((n = fread(piece, 1, sizeof(piece), f)) > 0) {
        buffer_add(&text, piece, n);
    }

    fclose(f);

    reader.address = p->address;
    reader.replica = dump_once ? NULL : p->name;

    rc = (clients ? reader_clients : reader_targets)
             (&reader, (str_t) { text.start, text.len }, &list, why);

    buffer_free(&text);

    p->stale = rc == -1;

    if (rc == -1) {
        printf("%s: %s\n", p->name, why);
        return;
    }

    list_free(&p->list);
    p->list = list;
}


static int
dump_order(const void *a, const void *b)
{
    const dump_proxy_t  *one = a, *other = b;

    return strcmp(one->name, other->name);
}


static dump_proxy_t *
dump_find(const char *name)
{
    size_t         i;
    dump_proxy_t  *p;

    for (i = 0; i < dump_n; i++) {
        if (strcmp(dump_proxy[i].name, name) == 0) {
            return &dump_proxy[i];
        }
    }

    if (dump_n == LISTS) {
        exit(2);
    }

    p = &dump_proxy[dump_n++];

    memset(p, 0, sizeof(*p));
    (void) snprintf(p->name, sizeof(p->name), "%s", name);
    (void) snprintf(p->address, sizeof(p->address), "%s:80", name);

    qsort(dump_proxy, dump_n, sizeof(*p), dump_order);

    return dump_find(name);
}


static void
dump_chosen(void *data, size_t i, str_t line)
{
    const char  *name;

    (void) data;

    if (!dump_places) {
        printf("%s %.*s\n", dump_from[i].name, (int) line.len, line.start);
        return;
    }

    name = strstr(line.start, "\"instance\":\"") + 12;
    printf("%s %.*s\n", dump_from[i].name, (int) strcspn(name, "\""), name);
}


static int
dump_choose(choose_last_t *last)
{
    size_t  i;

    for (i = 0; i < dump_n; i++) {
        dump_from[i].name = dump_proxy[i].name;
        dump_from[i].list = &dump_proxy[i].list;
        dump_from[i].stale = dump_proxy[i].stale;
    }

    return choose(last, dump_from, dump_n, dump_once, dump_chosen, NULL);
}


int
main(int argc, char **argv)
{
    char           line[1024], what[16], name[64], file[512];
    size_t         i;
    dump_proxy_t  *p;
    choose_last_t  last;

    memset(&last, 0, sizeof(last));
    dump_once = argc > 1 && strcmp(argv[1], "-o") == 0;

    while (fgets(line, sizeof(line), stdin)) {
        name[0] = file[0] = '\0';

        if (sscanf(line, "%15s %63s %511s", what, name, file) < 1) {
            continue;
        }

        dump_places = strcmp(what, "places") == 0;

        if (dump_places || strcmp(what, "choose") == 0) {
            if (dump_choose(&last) == -1) {
                return 2;
            }

            continue;
        }

        p = dump_find(name);

        if (strcmp(what, "stale") == 0) {
            p->stale = 1;

        } else if (strcmp(what, "gone") == 0) {
            list_free(&p->list);
            i = (size_t) (p - dump_proxy);
            dump_n--;
            memmove(p, p + 1, (dump_n - i) * sizeof(*p));

        } else {
            dump_read(p, file, strcmp(what, "clients") == 0);
        }
    }

    for (i = 0; i < dump_n; i++) {
        list_free(&dump_proxy[i].list);
    }

    choose_forget(&last);

    return 0;
}
