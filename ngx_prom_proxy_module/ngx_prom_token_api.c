/*
 * Methods and paths of Prometheus' API.
 *
 * A path is judged as it was sent, since it is sent on as it is: no server on
 * the way may read another one into it.  So neither an escape nor one that is
 * itself escaped may hide a slash, a segment of dots, or a control character.
 */


#include <string.h>

#include "ngx_prom_token_api.h"


#define NGX_PROM_TOKEN_GET   0x01     /* and HEAD */
#define NGX_PROM_TOKEN_POST  0x02
#define NGX_PROM_TOKEN_PUT   0x04

/* longer than a name has any use for */

#define NGX_PROM_TOKEN_SEGMENT_MAX  2048
#define NGX_PROM_TOKEN_LAYERS_MAX   8


typedef struct {
    unsigned                     api;
    unsigned                     methods;
    const char                  *path;      /* "*" is one segment */
} ngx_prom_token_path_t;


static int ngx_prom_token_api_plain(const char *p, const char *last);
static int ngx_prom_token_api_segment(const char *p, const char *last);
static int ngx_prom_token_api_decode(char *text, size_t *len, int *bad);
static int ngx_prom_token_api_dots(const char *p, size_t len);
static int ngx_prom_token_api_match(const char *pattern, const char *p,
    const char *last);
static unsigned ngx_prom_token_api_method(const char *method, size_t len);
static int ngx_prom_token_api_hex(char ch);


static const ngx_prom_token_path_t  ngx_prom_token_paths[] = {

    { NGX_PROM_TOKEN_API_QUERY, NGX_PROM_TOKEN_GET|NGX_PROM_TOKEN_POST,
      "/api/v1/query" },
    { NGX_PROM_TOKEN_API_QUERY, NGX_PROM_TOKEN_GET|NGX_PROM_TOKEN_POST,
      "/api/v1/query_range" },
    { NGX_PROM_TOKEN_API_QUERY, NGX_PROM_TOKEN_GET|NGX_PROM_TOKEN_POST,
      "/api/v1/query_exemplars" },
    { NGX_PROM_TOKEN_API_QUERY, NGX_PROM_TOKEN_GET|NGX_PROM_TOKEN_POST,
      "/api/v1/series" },
    { NGX_PROM_TOKEN_API_QUERY, NGX_PROM_TOKEN_GET|NGX_PROM_TOKEN_POST,
      "/api/v1/labels" },
    { NGX_PROM_TOKEN_API_QUERY, NGX_PROM_TOKEN_GET|NGX_PROM_TOKEN_POST,
      "/api/v1/format_query" },
    { NGX_PROM_TOKEN_API_QUERY, NGX_PROM_TOKEN_GET|NGX_PROM_TOKEN_POST,
      "/api/v1/parse_query" },
    { NGX_PROM_TOKEN_API_QUERY, NGX_PROM_TOKEN_GET|NGX_PROM_TOKEN_POST,
      "/api/v1/read" },

    /* POST to some of these writes, in Cortex and Mimir */

    { NGX_PROM_TOKEN_API_QUERY, NGX_PROM_TOKEN_GET, "/api/v1/label/*/values" },
    { NGX_PROM_TOKEN_API_QUERY, NGX_PROM_TOKEN_GET, "/api/v1/metadata" },
    { NGX_PROM_TOKEN_API_QUERY, NGX_PROM_TOKEN_GET, "/api/v1/rules" },
    { NGX_PROM_TOKEN_API_QUERY, NGX_PROM_TOKEN_GET, "/api/v1/alerts" },
    { NGX_PROM_TOKEN_API_QUERY, NGX_PROM_TOKEN_GET, "/api/v1/targets" },
    { NGX_PROM_TOKEN_API_QUERY, NGX_PROM_TOKEN_GET,
      "/api/v1/targets/metadata" },
    { NGX_PROM_TOKEN_API_QUERY, NGX_PROM_TOKEN_GET, "/api/v1/alertmanagers" },
    { NGX_PROM_TOKEN_API_QUERY, NGX_PROM_TOKEN_GET, "/api/v1/scrape_pools" },
    { NGX_PROM_TOKEN_API_QUERY, NGX_PROM_TOKEN_GET, "/api/v1/status/*" },
    { NGX_PROM_TOKEN_API_QUERY, NGX_PROM_TOKEN_GET, "/federate" },

    { NGX_PROM_TOKEN_API_WRITE, NGX_PROM_TOKEN_POST, "/api/v1/write" },
    { NGX_PROM_TOKEN_API_WRITE, NGX_PROM_TOKEN_POST,
      "/api/v1/otlp/v1/metrics" },

    { NGX_PROM_TOKEN_API_ADMIN, NGX_PROM_TOKEN_POST|NGX_PROM_TOKEN_PUT,
      "/api/v1/admin/tsdb/*" },

    { 0, 0, NULL }
};


ngx_prom_token_api_e
ngx_prom_token_api(unsigned allowed, const char *method, size_t method_len,
    const char *target, size_t len)
{
    int                           found;
    unsigned                      bit;
    const char                   *last;
    const ngx_prom_token_path_t  *path;

    if (len == 0 || *target != '/' || memchr(target, '#', len)) {
        return NGX_PROM_TOKEN_API_BAD;
    }

    last = memchr(target, '?', len);

    if (last == NULL) {
        last = target + len;
    }

    if (!ngx_prom_token_api_plain(target, last)) {
        return NGX_PROM_TOKEN_API_BAD;
    }

    if (allowed & NGX_PROM_TOKEN_API_ALL) {
        return NGX_PROM_TOKEN_API_OK;
    }

    bit = ngx_prom_token_api_method(method, method_len);
    found = 0;

    for (path = ngx_prom_token_paths; path->path; path++) {

        if ((path->api & allowed) == 0
            || !ngx_prom_token_api_match(path->path, target, last))
        {
            continue;
        }

        if (path->methods & bit) {
            return NGX_PROM_TOKEN_API_OK;
        }

        found = 1;
    }

    return found ? NGX_PROM_TOKEN_API_METHOD : NGX_PROM_TOKEN_API_PATH;
}


/* every segment means what it says; the last one may be empty */

static int
ngx_prom_token_api_plain(const char *p, const char *last)
{
    const char  *end;

    while (p < last) {

        /* the slash */

        p++;

        end = memchr(p, '/', last - p);

        if (end == NULL) {
            return p == last || ngx_prom_token_api_segment(p, last);
        }

        if (!ngx_prom_token_api_segment(p, end)) {
            return 0;
        }

        p = end;
    }

    return 1;
}


static int
ngx_prom_token_api_segment(const char *p, const char *last)
{
    int       found, bad;
    char      text[NGX_PROM_TOKEN_SEGMENT_MAX];
    size_t    i, len;
    unsigned  layer;

    len = last - p;

    if (len == 0 || len > sizeof(text)) {
        return 0;
    }

    memcpy(text, p, len);

    for (layer = 0; layer < NGX_PROM_TOKEN_LAYERS_MAX; layer++) {

        for (i = 0; i < len; i++) {

            if (text[i] == '/' || text[i] == '\\' || text[i] == '\x7f'
                || (unsigned char) text[i] < ' ')
            {
                return 0;
            }
        }

        if (ngx_prom_token_api_dots(text, len)) {
            return 0;
        }

        found = ngx_prom_token_api_decode(text, &len, &bad);

        /* what was an escaped "%" needn't begin an escape itself */

        if (!found || (bad && layer == 0)) {
            return !(bad && layer == 0);
        }
    }

    return 0;
}


/*
 * Takes one layer of escapes off; returns true if there was one.  A "%" that
 * begins none stays, and is told as bad.
 */

static int
ngx_prom_token_api_decode(char *text, size_t *len, int *bad)
{
    int          hi, lo, found;
    char        *dst;
    const char  *p, *last;

    dst = text;
    last = text + *len;
    *bad = 0;
    found = 0;

    for (p = text; p < last; p++) {

        if (*p != '%') {
            *dst++ = *p;
            continue;
        }

        hi = (last - p > 2) ? ngx_prom_token_api_hex(p[1]) : -1;
        lo = (last - p > 2) ? ngx_prom_token_api_hex(p[2]) : -1;

        if (hi < 0 || lo < 0) {
            *dst++ = *p;
            *bad = 1;
            continue;
        }

        *dst++ = (char) (hi * 16 + lo);
        p += 2;
        found = 1;
    }

    *len = dst - text;

    return found;
}


/* "." or "..", also in front of the parameters that some servers know */

static int
ngx_prom_token_api_dots(const char *p, size_t len)
{
    size_t  i;

    for (i = 0; i < len && p[i] == '.'; i++) { /* void */ }

    return (i == 1 || i == 2) && (i == len || p[i] == ';');
}


static int
ngx_prom_token_api_match(const char *pattern, const char *p, const char *last)
{
    for ( /* void */ ; *pattern; pattern++) {

        if (*pattern != '*') {

            if (p == last || *p++ != *pattern) {
                return 0;
            }

            continue;
        }

        /* a segment, which has no dot that is escaped */

        if (p == last || *p == '/') {
            return 0;
        }

        for ( /* void */ ; p < last && *p != '/'; p++) {

            if (*p == '%' && last - p > 2 && p[1] == '2'
                && (p[2] == 'e' || p[2] == 'E' || p[2] == '5'))
            {
                return 0;
            }
        }
    }

    return p == last;
}


static unsigned
ngx_prom_token_api_method(const char *method, size_t len)
{
    if ((len == 3 && memcmp(method, "GET", 3) == 0)
        || (len == 4 && memcmp(method, "HEAD", 4) == 0))
    {
        return NGX_PROM_TOKEN_GET;
    }

    if (len == 4 && memcmp(method, "POST", 4) == 0) {
        return NGX_PROM_TOKEN_POST;
    }

    if (len == 3 && memcmp(method, "PUT", 3) == 0) {
        return NGX_PROM_TOKEN_PUT;
    }

    return 0;
}


static int
ngx_prom_token_api_hex(char ch)
{
    if (ch >= '0' && ch <= '9') {
        return ch - '0';
    }

    ch |= 0x20;

    return (ch >= 'a' && ch <= 'f') ? ch - 'a' + 10 : -1;
}
