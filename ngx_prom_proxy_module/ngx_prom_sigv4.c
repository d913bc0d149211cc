/*
 * Makes signatures of AWS, Version 4; see the header.
 */


#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "ngx_prom_sigv4.h"


#define NGX_PROM_SIGV4_SECRET  1024   /* bytes of a secret key, at most */


static const char *ngx_prom_sigv4_param(const char **p, const char *last,
    const char **end);
static char *ngx_prom_sigv4_recode(char *dst, const char *p,
    const char *last);
static int ngx_prom_sigv4_xdigit(char c);
static void ngx_prom_sigv4_sort(ngx_prom_sigv4_pair_t *params, size_t n);
static void ngx_prom_sigv4_sift(ngx_prom_sigv4_pair_t *params, size_t i,
    size_t n);
static int ngx_prom_sigv4_less(const ngx_prom_sigv4_pair_t *a,
    const ngx_prom_sigv4_pair_t *b);
static int ngx_prom_sigv4_compare(const ngx_prom_sigv4_text_t *a,
    const ngx_prom_sigv4_text_t *b);
static char *ngx_prom_sigv4_path(char *dst,
    const ngx_prom_sigv4_text_t *path);
static char *ngx_prom_sigv4_value(char *dst,
    const ngx_prom_sigv4_text_t *value);
static char *ngx_prom_sigv4_names(char *dst, const ngx_prom_sigv4_t *request);
static char *ngx_prom_sigv4_scope(char *dst, const ngx_prom_sigv4_t *request);
static char *ngx_prom_sigv4_encode(char *dst, unsigned char c);
static char *ngx_prom_sigv4_text(char *dst,
    const ngx_prom_sigv4_text_t *text);
static char *ngx_prom_sigv4_copy(char *dst, const char *data, size_t len);
static int ngx_prom_sigv4_hmac(unsigned char *mac, const void *key,
    size_t key_len, const void *data, size_t len);


static const char  ngx_prom_sigv4_algorithm[] = "AWS4-HMAC-SHA256";
static const char  ngx_prom_sigv4_terminator[] = "aws4_request";


size_t
ngx_prom_sigv4_params(const char *query, size_t len)
{
    size_t       n;
    const char  *p, *end;

    p = query;
    n = 0;

    while (ngx_prom_sigv4_param(&p, query + len, &end)) {
        n++;
    }

    return n;
}


size_t
ngx_prom_sigv4_query(char *dst, const char *query, size_t len,
    ngx_prom_sigv4_pair_t *params)
{
    char                   *to;
    size_t                  i, n;
    const char             *p, *start, *end, *equals;
    ngx_prom_sigv4_pair_t  *param;

    /* what is sorted lies behind where it goes */

    n = ngx_prom_sigv4_params(query, len);
    to = dst + 3 * len + n;

    p = query;
    param = params;

    while ((start = ngx_prom_sigv4_param(&p, query + len, &end))) {
        equals = memchr(start, '=', (size_t) (end - start));

        param->name.data = to;
        to = ngx_prom_sigv4_recode(to, start, equals ? equals : end);
        param->name.len = (size_t) (to - param->name.data);

        param->value.data = to;

        if (equals) {
            to = ngx_prom_sigv4_recode(to, equals + 1, end);
        }

        param->value.len = (size_t) (to - param->value.data);
        param++;
    }

    ngx_prom_sigv4_sort(params, n);

    to = dst;

    for (i = 0; i < n; i++) {

        if (i) {
            *to++ = '&';
        }

        to = ngx_prom_sigv4_text(to, &params[i].name);
        *to++ = '=';
        to = ngx_prom_sigv4_text(to, &params[i].value);
    }

    return (size_t) (to - dst);
}


/* the next that isn't empty, or NULL; *p is behind it then */

static const char *
ngx_prom_sigv4_param(const char **p, const char *last, const char **end)
{
    const char  *start;

    while (*p < last && **p == '&') {
        (*p)++;
    }

    if (*p == last) {
        return NULL;
    }

    start = *p;

    *end = memchr(start, '&', (size_t) (last - start));

    if (*end == NULL) {
        *end = last;
    }

    *p = *end;

    return start;
}


static char *
ngx_prom_sigv4_recode(char *dst, const char *p, const char *last)
{
    int            high, low;
    unsigned char  c;

    while (p < last) {
        c = (unsigned char) *p++;

        if (c == '+') {
            c = ' ';

        } else if (c == '%' && last - p >= 2) {
            high = ngx_prom_sigv4_xdigit(p[0]);
            low = ngx_prom_sigv4_xdigit(p[1]);

            if (high != -1 && low != -1) {
                c = (unsigned char) (high << 4 | low);
                p += 2;
            }
        }

        dst = ngx_prom_sigv4_encode(dst, c);
    }

    return dst;
}


static int
ngx_prom_sigv4_xdigit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    c |= 0x20;

    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }

    return -1;
}


/* a heap: qsort() may allocate, and callers choose what is sorted */

static void
ngx_prom_sigv4_sort(ngx_prom_sigv4_pair_t *params, size_t n)
{
    size_t                 i;
    ngx_prom_sigv4_pair_t  param;

    for (i = n / 2; i > 0; i--) {
        ngx_prom_sigv4_sift(params, i - 1, n);
    }

    for (i = n; i > 1; i--) {
        param = params[0];
        params[0] = params[i - 1];
        params[i - 1] = param;

        ngx_prom_sigv4_sift(params, 0, i - 1);
    }
}


static void
ngx_prom_sigv4_sift(ngx_prom_sigv4_pair_t *params, size_t i, size_t n)
{
    size_t                 child;
    ngx_prom_sigv4_pair_t  param;

    param = params[i];

    for ( ;; ) {
        child = 2 * i + 1;

        if (child >= n) {
            break;
        }

        if (child + 1 < n
            && ngx_prom_sigv4_less(&params[child], &params[child + 1]))
        {
            child++;
        }

        if (!ngx_prom_sigv4_less(&param, &params[child])) {
            break;
        }

        params[i] = params[child];
        i = child;
    }

    params[i] = param;
}


static int
ngx_prom_sigv4_less(const ngx_prom_sigv4_pair_t *a,
    const ngx_prom_sigv4_pair_t *b)
{
    int  rc;

    rc = ngx_prom_sigv4_compare(&a->name, &b->name);

    if (rc == 0) {
        rc = ngx_prom_sigv4_compare(&a->value, &b->value);
    }

    return rc < 0;
}


static int
ngx_prom_sigv4_compare(const ngx_prom_sigv4_text_t *a,
    const ngx_prom_sigv4_text_t *b)
{
    int  rc;

    rc = memcmp(a->data, b->data, a->len < b->len ? a->len : b->len);

    if (rc) {
        return rc;
    }

    return (a->len > b->len) - (a->len < b->len);
}


size_t
ngx_prom_sigv4_room(const ngx_prom_sigv4_t *request)
{
    size_t  i, len;

    /* the canonical request; what the other two have is counted once more */

    len = request->method.len + 3 * request->path.len + request->query.len
          + NGX_PROM_SIGV4_HEX + sizeof("\n/\n\n\n\n") - 1;

    for (i = 0; i < request->nheaders; i++) {
        len += 2 * (request->headers[i].name.len + 1)
               + request->headers[i].value.len + 1;
    }

    len += sizeof("AWS4-HMAC-SHA256 Credential=////aws4_request, "
                  "SignedHeaders=, Signature=") - 1
           + request->access_key.len + NGX_PROM_SIGV4_DATE
           + NGX_PROM_SIGV4_DAY + request->region.len + request->service.len
           + NGX_PROM_SIGV4_HEX;

    return len;
}


size_t
ngx_prom_sigv4_request(char *dst, const ngx_prom_sigv4_t *request)
{
    char    *p;
    size_t   i;

    p = ngx_prom_sigv4_text(dst, &request->method);
    *p++ = '\n';

    p = ngx_prom_sigv4_path(p, &request->path);
    *p++ = '\n';

    p = ngx_prom_sigv4_text(p, &request->query);
    *p++ = '\n';

    for (i = 0; i < request->nheaders; i++) {
        p = ngx_prom_sigv4_text(p, &request->headers[i].name);
        *p++ = ':';
        p = ngx_prom_sigv4_value(p, &request->headers[i].value);
        *p++ = '\n';
    }

    *p++ = '\n';

    p = ngx_prom_sigv4_names(p, request);
    *p++ = '\n';

    p = ngx_prom_sigv4_copy(p, request->payload, NGX_PROM_SIGV4_HEX);

    return (size_t) (p - dst);
}


size_t
ngx_prom_sigv4_string(char *dst, const ngx_prom_sigv4_t *request,
    const char *canonical, size_t len)
{
    char  *p;

    p = ngx_prom_sigv4_copy(dst, ngx_prom_sigv4_algorithm,
                            sizeof(ngx_prom_sigv4_algorithm) - 1);
    *p++ = '\n';

    p = ngx_prom_sigv4_copy(p, request->date, NGX_PROM_SIGV4_DATE);
    *p++ = '\n';

    p = ngx_prom_sigv4_scope(p, request);
    *p++ = '\n';

    if (ngx_prom_sigv4_hash(p, canonical, len) == -1) {
        return 0;
    }

    return (size_t) (p - dst) + NGX_PROM_SIGV4_HEX;
}


size_t
ngx_prom_sigv4_authorization(char *dst, const ngx_prom_sigv4_t *request,
    const unsigned char *key, const char *string, size_t len)
{
    char           *p;
    unsigned char   mac[NGX_PROM_SIGV4_KEY];

    static const char  credential[] = " Credential=";
    static const char  headers[] = ", SignedHeaders=";
    static const char  signature[] = ", Signature=";

    if (ngx_prom_sigv4_hmac(mac, key, NGX_PROM_SIGV4_KEY, string, len) == -1) {
        return 0;
    }

    p = ngx_prom_sigv4_copy(dst, ngx_prom_sigv4_algorithm,
                            sizeof(ngx_prom_sigv4_algorithm) - 1);

    p = ngx_prom_sigv4_copy(p, credential, sizeof(credential) - 1);
    p = ngx_prom_sigv4_text(p, &request->access_key);
    *p++ = '/';
    p = ngx_prom_sigv4_scope(p, request);

    p = ngx_prom_sigv4_copy(p, headers, sizeof(headers) - 1);
    p = ngx_prom_sigv4_names(p, request);

    p = ngx_prom_sigv4_copy(p, signature, sizeof(signature) - 1);
    ngx_prom_sigv4_hex(p, mac, NGX_PROM_SIGV4_KEY);

    return (size_t) (p - dst) + NGX_PROM_SIGV4_HEX;
}


int
ngx_prom_sigv4_key(unsigned char *key, const char *secret, size_t len,
    const char *date, const ngx_prom_sigv4_text_t *region,
    const ngx_prom_sigv4_text_t *service)
{
    int            rc;
    unsigned char  first[4 + NGX_PROM_SIGV4_SECRET];

    if (len > NGX_PROM_SIGV4_SECRET) {
        return -1;
    }

    memcpy(first, "AWS4", 4);

    if (len) {
        memcpy(first + 4, secret, len);
    }

    rc = 0;

    if (ngx_prom_sigv4_hmac(key, first, 4 + len, date, NGX_PROM_SIGV4_DAY)
        == -1
        || ngx_prom_sigv4_hmac(key, key, NGX_PROM_SIGV4_KEY, region->data,
                               region->len)
           == -1
        || ngx_prom_sigv4_hmac(key, key, NGX_PROM_SIGV4_KEY, service->data,
                               service->len)
           == -1
        || ngx_prom_sigv4_hmac(key, key, NGX_PROM_SIGV4_KEY,
                               ngx_prom_sigv4_terminator,
                               sizeof(ngx_prom_sigv4_terminator) - 1)
           == -1)
    {
        rc = -1;
    }

    OPENSSL_cleanse(first, sizeof(first));

    return rc;
}


int
ngx_prom_sigv4_hash(char *hex, const void *data, size_t len)
{
    unsigned       n;
    unsigned char  hash[EVP_MAX_MD_SIZE];

    if (EVP_Digest(data, len, hash, &n, EVP_sha256(), NULL) != 1) {
        return -1;
    }

    ngx_prom_sigv4_hex(hex, hash, n);

    return 0;
}


void
ngx_prom_sigv4_hex(char *hex, const unsigned char *data, size_t len)
{
    size_t  i;

    static const char  digits[] = "0123456789abcdef";

    for (i = 0; i < len; i++) {
        hex[2 * i] = digits[data[i] >> 4];
        hex[2 * i + 1] = digits[data[i] & 0xf];
    }
}


/* encoded once more: what was encoded already is so twice */

static char *
ngx_prom_sigv4_path(char *dst, const ngx_prom_sigv4_text_t *path)
{
    size_t  i;

    if (path->len == 0) {
        *dst++ = '/';
    }

    for (i = 0; i < path->len; i++) {

        if (path->data[i] == '/') {
            *dst++ = '/';

        } else {
            dst = ngx_prom_sigv4_encode(dst, (unsigned char) path->data[i]);
        }
    }

    return dst;
}


/* without spaces around it, and with one instead of several */

static char *
ngx_prom_sigv4_value(char *dst, const ngx_prom_sigv4_text_t *value)
{
    size_t  i;
    int     space, started;

    space = 0;
    started = 0;

    for (i = 0; i < value->len; i++) {

        if (value->data[i] == ' ' || value->data[i] == '\t') {
            space = started;
            continue;
        }

        if (space) {
            *dst++ = ' ';
            space = 0;
        }

        *dst++ = value->data[i];
        started = 1;
    }

    return dst;
}


static char *
ngx_prom_sigv4_names(char *dst, const ngx_prom_sigv4_t *request)
{
    size_t  i;

    for (i = 0; i < request->nheaders; i++) {

        if (i) {
            *dst++ = ';';
        }

        dst = ngx_prom_sigv4_text(dst, &request->headers[i].name);
    }

    return dst;
}


static char *
ngx_prom_sigv4_scope(char *dst, const ngx_prom_sigv4_t *request)
{
    dst = ngx_prom_sigv4_copy(dst, request->date, NGX_PROM_SIGV4_DAY);
    *dst++ = '/';

    dst = ngx_prom_sigv4_text(dst, &request->region);
    *dst++ = '/';

    dst = ngx_prom_sigv4_text(dst, &request->service);
    *dst++ = '/';

    return ngx_prom_sigv4_copy(dst, ngx_prom_sigv4_terminator,
                               sizeof(ngx_prom_sigv4_terminator) - 1);
}


static char *
ngx_prom_sigv4_encode(char *dst, unsigned char c)
{
    static const char  digits[] = "0123456789ABCDEF";

    if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')
        || (c >= '0' && c <= '9')
        || c == '-' || c == '.' || c == '_' || c == '~')
    {
        *dst++ = (char) c;
        return dst;
    }

    *dst++ = '%';
    *dst++ = digits[c >> 4];
    *dst++ = digits[c & 0xf];

    return dst;
}


static char *
ngx_prom_sigv4_text(char *dst, const ngx_prom_sigv4_text_t *text)
{
    return ngx_prom_sigv4_copy(dst, text->data, text->len);
}


static char *
ngx_prom_sigv4_copy(char *dst, const char *data, size_t len)
{
    if (len) {
        memcpy(dst, data, len);
    }

    return dst + len;
}


static int
ngx_prom_sigv4_hmac(unsigned char *mac, const void *key, size_t key_len,
    const void *data, size_t len)
{
    unsigned       n;
    unsigned char  out[EVP_MAX_MD_SIZE];

    /* a key of its own, as mac may be the key */

    if (HMAC(EVP_sha256(), key, (int) key_len, data, len, out, &n) == NULL
        || n != NGX_PROM_SIGV4_KEY)
    {
        return -1;
    }

    memcpy(mac, out, NGX_PROM_SIGV4_KEY);
    OPENSSL_cleanse(out, sizeof(out));

    return 0;
}
