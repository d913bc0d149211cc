/*
 * Asks for any path: one that is allowed has the same segments however often
 * it is decoded, and none that leads out.  t/01-fuzz.t builds and runs it.
 */


#include "fuzz.h"
#include "ngx_prom_token_api.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_path(const char *path, size_t len);
static size_t fuzz_decode(char *path, size_t len);
static int fuzz_digit(char ch);
static size_t fuzz_slashes(const char *path, size_t len);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t                 i;
    const char            *end;
    fuzz_text_t            text;
    ngx_prom_token_api_e   all, some;

    static const char  *methods[] = { "GET", "HEAD", "POST", "PUT", "X" };

    fuzz_text_init(&text, data, size);

    all = ngx_prom_token_api(NGX_PROM_TOKEN_API_ALL, "X", 1, text.data, size);

    FUZZ_CHECK(all == NGX_PROM_TOKEN_API_OK || all == NGX_PROM_TOKEN_API_BAD);

    for (i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {

        some = ngx_prom_token_api(NGX_PROM_TOKEN_API_QUERY
                                  |NGX_PROM_TOKEN_API_WRITE
                                  |NGX_PROM_TOKEN_API_ADMIN,
                                  methods[i], strlen(methods[i]),
                                  text.data, size);

        /* nothing is allowed by less that isn't by all */

        FUZZ_CHECK((some == NGX_PROM_TOKEN_API_BAD)
                   == (all == NGX_PROM_TOKEN_API_BAD));
        FUZZ_CHECK(i < 4 || some != NGX_PROM_TOKEN_API_OK);
    }

    if (all == NGX_PROM_TOKEN_API_OK) {
        FUZZ_CHECK(memchr(text.data, '#', size) == NULL);

        end = memchr(text.data, '?', size);
        fuzz_path(text.data, end ? (size_t) (end - text.data) : size);
    }

    fuzz_text_free(&text);

    return 0;
}


static void
fuzz_path(const char *path, size_t len)
{
    char    *copy, *p, *last;
    size_t   slashes, before;

    copy = malloc(len);
    FUZZ_CHECK(len > 0 && copy != NULL);

    memcpy(copy, path, len);
    slashes = fuzz_slashes(copy, len);

    do {
        FUZZ_CHECK(copy[0] == '/');
        FUZZ_CHECK(fuzz_slashes(copy, len) == slashes);

        last = copy + len;

        for (p = copy; p < last; p++) {
            FUZZ_CHECK((unsigned char) *p >= 0x20 && *p != 0x7f
                       && *p != '\\');

            if (*p != '/') {
                continue;
            }

            FUZZ_CHECK(last - p < 2 || p[1] != '/');
            FUZZ_CHECK(last - p < 2 || p[1] != '.'
                       || (last - p > 2 && p[2] != '/' && p[2] != ';'
                           && p[2] != '.')
                       || (last - p > 3 && p[2] == '.' && p[3] != '/'
                           && p[3] != ';'));
        }

        before = len;
        len = fuzz_decode(copy, len);

    } while (len < before);

    free(copy);
}


static size_t
fuzz_decode(char *path, size_t len)
{
    size_t  i, n;

    n = 0;

    for (i = 0; i < len; i++) {

        if (path[i] == '%' && len - i > 2
            && fuzz_digit(path[i + 1]) >= 0 && fuzz_digit(path[i + 2]) >= 0)
        {
            path[n++] = (char) (fuzz_digit(path[i + 1]) * 16
                                + fuzz_digit(path[i + 2]));
            i += 2;
            continue;
        }

        path[n++] = path[i];
    }

    return n;
}


static int
fuzz_digit(char ch)
{
    static const char  digits[] = "0123456789abcdef0123456789ABCDEF";
    const char        *p;

    p = ch ? strchr(digits, ch) : NULL;

    return p ? (int) (p - digits) % 16 : -1;
}


static size_t
fuzz_slashes(const char *path, size_t len)
{
    size_t  i, n;

    n = 0;

    for (i = 0; i < len; i++) {
        n += (path[i] == '/');
    }

    return n;
}
