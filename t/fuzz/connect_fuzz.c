/*
 * Feeds the parser of CONNECT with anything.  Pieces must make no difference,
 * and what comes out must hold.  t/01-fuzz.t builds and runs it.
 */


#include "fuzz.h"
#include "ngx_prom_connect.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_done(const ngx_prom_connect_t *connect, const char *data,
    size_t size);
static void fuzz_inside(const ngx_prom_connect_text_t *text, const char *data,
    size_t len);
static void fuzz_pieces(const ngx_prom_connect_t *connect,
    ngx_prom_connect_e rc, const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char                *copy;
    ngx_prom_connect_e   rc;
    ngx_prom_connect_t   connect;

    copy = malloc(size ? size : 1);
    FUZZ_CHECK(copy != NULL);

    if (size) {
        memcpy(copy, data, size);
    }

    rc = ngx_prom_connect_parse(&connect, copy, size);

    switch (rc) {

    case NGX_PROM_CONNECT_AGAIN:
        FUZZ_CHECK(connect.reason == NULL);
        break;

    case NGX_PROM_CONNECT_OTHER:
        FUZZ_CHECK(size > 0);
        FUZZ_CHECK(size < 8 || memcmp(data, "CONNECT ", 8) != 0);
        break;

    case NGX_PROM_CONNECT_BAD:
        fuzz_reason(connect.reason, 80);
        FUZZ_CHECK(memchr(data, '\n', size) != NULL);
        break;

    case NGX_PROM_CONNECT_DONE:
        fuzz_done(&connect, copy, size);
        break;
    }

    fuzz_pieces(&connect, rc, data, size);
    free(copy);

    return 0;
}


static void
fuzz_done(const ngx_prom_connect_t *connect, const char *data, size_t size)
{
    char    port[16];
    size_t  i;

    FUZZ_CHECK(connect->reason == NULL);
    FUZZ_CHECK(connect->len <= size && data[connect->len - 1] == '\n');
    FUZZ_CHECK(connect->port >= 1 && connect->port <= 65535);
    FUZZ_CHECK(connect->host.len > 0 && connect->host.len <= 254);

    fuzz_inside(&connect->target, data, connect->len);
    fuzz_inside(&connect->host, connect->target.data, connect->target.len);

    for (i = 0; i < connect->host.len; i++) {
        FUZZ_CHECK(connect->host.data[i] > 0x20
                   && connect->host.data[i] < 0x7f);
        FUZZ_CHECK(strchr("@/?#[]%", connect->host.data[i]) == NULL);
    }

    /* the target is nothing but host and port */

    snprintf(port, sizeof(port), "%u", connect->port);
    FUZZ_CHECK(connect->target.len >= connect->host.len + 1 + strlen(port));
    FUZZ_CHECK(memcmp(connect->target.data + connect->target.len
                      - strlen(port), port, strlen(port)) == 0);

    if (connect->credentials.data) {
        fuzz_inside(&connect->credentials, data, connect->len);

        for (i = 0; i < connect->credentials.len; i++) {
            FUZZ_CHECK(connect->credentials.data[i] != '\n'
                       && connect->credentials.data[i] != '\r'
                       && connect->credentials.data[i] != '\0');
        }
    }
}


static void
fuzz_inside(const ngx_prom_connect_text_t *text, const char *data, size_t len)
{
    FUZZ_CHECK(text->data >= data && text->data + text->len <= data + len);
}


/* what a part says already is what the whole says */

static void
fuzz_pieces(const ngx_prom_connect_t *connect, ngx_prom_connect_e rc,
    const uint8_t *data, size_t size)
{
    char                *copy;
    size_t               n, step;
    ngx_prom_connect_e   rc1;
    ngx_prom_connect_t   connect1;

    step = size / 64 + 1;

    for (n = 0; n < size; n += step) {
        copy = malloc(n ? n : 1);
        FUZZ_CHECK(copy != NULL);

        if (n) {
            memcpy(copy, data, n);
        }

        rc1 = ngx_prom_connect_parse(&connect1, copy, n);
        free(copy);

        FUZZ_CHECK(rc1 == NGX_PROM_CONNECT_AGAIN || rc1 == rc);

        if (rc1 == NGX_PROM_CONNECT_DONE) {
            FUZZ_CHECK(connect1.len == connect->len);
            FUZZ_CHECK(connect1.port == connect->port);
        }

        FUZZ_CHECK(rc1 != NGX_PROM_CONNECT_BAD
                   || connect1.reason == connect->reason);
    }
}
