/*
 * Reads the head of a request on stdin and prints what is made of it, for
 * t/03-forward-connect.t.  It is read in pieces, too, of which each has memory
 * of its own, and must come out the same.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ngx_prom_connect.h"


#define DUMP_MAX  (1024 * 1024)


static ngx_prom_connect_e parse(ngx_prom_connect_t *connect, const char *text,
    size_t len, char **copy);


int
main(void)
{
    char                *text, *whole, *piece;
    size_t               len, i;
    ngx_prom_connect_e   rc, rc1;
    ngx_prom_connect_t   connect, connect1;

    text = malloc(DUMP_MAX);
    if (text == NULL) {
        return 2;
    }

    len = fread(text, 1, DUMP_MAX, stdin);
    rc = parse(&connect, text, len, &whole);

    for (i = 0; i <= len; i++) {
        rc1 = parse(&connect1, text, i, &piece);
        free(piece);

        if (rc1 != NGX_PROM_CONNECT_AGAIN) {
            if (rc1 != rc || connect1.len != connect.len
                || connect1.reason != connect.reason)
            {
                printf("after %zu bytes it is another\n", i);
                return 1;
            }

            break;
        }
    }

    switch (rc) {

    case NGX_PROM_CONNECT_AGAIN:
        puts("again");
        break;

    case NGX_PROM_CONNECT_OTHER:
        printf("other, after %zu\n", i);
        break;

    case NGX_PROM_CONNECT_BAD:
        puts(connect.reason);
        break;

    case NGX_PROM_CONNECT_DONE:
        printf("%.*s|%.*s|%u|1.%u|",
               (int) connect.target.len, connect.target.data,
               (int) connect.host.len, connect.host.data,
               connect.port, connect.minor);

        if (connect.credentials.data) {
            printf("<%.*s>|", (int) connect.credentials.len,
                   connect.credentials.data);
        }

        printf("%zu bytes behind it\n", len - connect.len);
        break;
    }

    free(whole);
    free(text);

    return 0;
}


static ngx_prom_connect_e
parse(ngx_prom_connect_t *connect, const char *text, size_t len, char **copy)
{
    *copy = malloc(len ? len : 1);

    if (*copy == NULL) {
        abort();
    }

    memcpy(*copy, text, len);

    return ngx_prom_connect_parse(connect, *copy, len);
}
