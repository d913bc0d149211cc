/*
 * Feeds what signs for AWS with anything: the first line is a path, the next a
 * query, the rest a header's value.  The canonical form of a query is its own,
 * sorted, and has nothing in it that could be read otherwise.  t/01-fuzz.t
 * builds and runs it.
 */


#include "fuzz.h"
#include "ngx_prom_sigv4.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static ngx_prom_sigv4_text_t fuzz_line(fuzz_text_t *text, size_t *from);
static ngx_prom_sigv4_text_t fuzz_query(fuzz_text_t *text,
    ngx_prom_sigv4_text_t query);
static void fuzz_canonical(ngx_prom_sigv4_text_t query);
static void fuzz_sign(fuzz_text_t *text, ngx_prom_sigv4_t *request);
static void fuzz_request(const ngx_prom_sigv4_t *request, const char *text,
    size_t len);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t                  from;
    fuzz_text_t             text;
    ngx_prom_sigv4_t        request;
    ngx_prom_sigv4_pair_t   header;
    ngx_prom_sigv4_text_t   once, twice;

    fuzz_text_init(&text, data, size);
    memset(&request, 0, sizeof(ngx_prom_sigv4_t));

    from = 0;
    request.path = fuzz_line(&text, &from);
    once = fuzz_query(&text, fuzz_line(&text, &from));

    fuzz_canonical(once);

    twice = fuzz_query(&text, once);
    FUZZ_CHECK(twice.len == once.len);
    FUZZ_CHECK(memcmp(twice.data, once.data, once.len) == 0);

    header.name.data = "host";
    header.name.len = 4;
    header.value.data = text.data + from;
    header.value.len = size - from;

    request.query = once;
    request.headers = &header;
    request.nheaders = 1;

    fuzz_sign(&text, &request);
    fuzz_text_free(&text);

    return 0;
}


static ngx_prom_sigv4_text_t
fuzz_line(fuzz_text_t *text, size_t *from)
{
    const char             *end;
    ngx_prom_sigv4_text_t   line;

    line.data = text->data + *from;
    line.len = text->len - *from;

    end = memchr(line.data, '\n', line.len);

    if (end) {
        line.len = (size_t) (end - line.data);
        *from += 1;
    }

    *from += line.len;

    return line;
}


static ngx_prom_sigv4_text_t
fuzz_query(fuzz_text_t *text, ngx_prom_sigv4_text_t query)
{
    char                   *dst;
    size_t                  n;
    ngx_prom_sigv4_pair_t  *params;
    ngx_prom_sigv4_text_t   canonical;

    n = ngx_prom_sigv4_params(query.data, query.len);
    FUZZ_CHECK(n <= (query.len + 1) / 2);

    params = fuzz_text_alloc(text, n * sizeof(ngx_prom_sigv4_pair_t));
    dst = fuzz_text_alloc(text, ngx_prom_sigv4_query_room(query.len, n));

    canonical.data = dst;
    canonical.len = ngx_prom_sigv4_query(dst, query.data, query.len, params);

    FUZZ_CHECK(canonical.len <= ngx_prom_sigv4_query_room(query.len, n) / 2);
    FUZZ_CHECK(ngx_prom_sigv4_params(dst, canonical.len) == n);

    return canonical;
}


static void
fuzz_canonical(ngx_prom_sigv4_text_t query)
{
    size_t   i, equals;
    int      c;

    static const char  digits[] = "0123456789ABCDEF";
    static const char  plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

    equals = 0;

    for (i = 0; i < query.len; i++) {
        c = query.data[i];

        if (c == '&') {
            FUZZ_CHECK(equals == 1 && i + 1 < query.len);
            equals = 0;

        } else if (c == '=') {
            equals++;

        } else if (c == '%') {
            FUZZ_CHECK(query.len - i > 2);
            FUZZ_CHECK(memchr(digits, query.data[i + 1], 16) != NULL);
            FUZZ_CHECK(memchr(digits, query.data[i + 2], 16) != NULL);
            i += 2;

        } else {
            FUZZ_CHECK(memchr(plain, c, sizeof(plain) - 1) != NULL);
        }
    }

    FUZZ_CHECK(query.len == 0 || equals == 1);
}


static void
fuzz_sign(fuzz_text_t *text, ngx_prom_sigv4_t *request)
{
    char           *canonical, *string, *authorization;
    size_t          room, len, string_len;
    unsigned char   key[NGX_PROM_SIGV4_KEY];

    request->method.data = "GET";
    request->method.len = 3;
    request->region = request->service = request->method;
    request->access_key = request->path;
    request->payload = "e3b0c44298fc1c149afbf4c8996fb924"
                       "27ae41e4649b934ca495991b7852b855";
    request->date = "20150830T123600Z";

    room = ngx_prom_sigv4_room(request);

    canonical = fuzz_text_alloc(text, room);
    string = fuzz_text_alloc(text, room);
    authorization = fuzz_text_alloc(text, room);

    FUZZ_CHECK(ngx_prom_sigv4_key(key, request->path.data,
                                  request->path.len % 1024, request->date,
                                  &request->region, &request->service)
               == 0);

    len = ngx_prom_sigv4_request(canonical, request);
    FUZZ_CHECK(len <= room);
    fuzz_request(request, canonical, len);

    string_len = ngx_prom_sigv4_string(string, request, canonical, len);
    FUZZ_CHECK(string_len > NGX_PROM_SIGV4_HEX && string_len <= room);

    len = ngx_prom_sigv4_authorization(authorization, request, key, string,
                                       string_len);
    FUZZ_CHECK(len > NGX_PROM_SIGV4_HEX && len <= room);
}


/* neither path nor query has a line more than it should */

static void
fuzz_request(const ngx_prom_sigv4_t *request, const char *text, size_t len)
{
    size_t       i;
    const char  *end;

    for (i = 0; i < 3; i++) {
        end = memchr(text, '\n', len);
        FUZZ_CHECK(end != NULL);

        FUZZ_CHECK(i != 2 || ((size_t) (end - text) == request->query.len
                              && memcmp(text, request->query.data,
                                        request->query.len) == 0));

        len -= (size_t) (end + 1 - text);
        text = end + 1;
    }

    FUZZ_CHECK(len >= 5 && memcmp(text, "host:", 5) == 0);
}
