/*
 * Texts of the targets file in what the pages are written in.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_page.h"


/*
 * RFC 8259.  What isn't UTF-8 becomes U+FFFD, byte by byte, since JSON has
 * nothing else for it.
 */

u_char *
ngx_http_prom_escape_json(u_char *dst, const ngx_str_t *text)
{
    size_t         n;
    const u_char  *p, *last;

    p = text->data;
    last = p + text->len;

    while (p < last) {

        if (*p == '"' || *p == '\\') {
            *dst++ = '\\';
            *dst++ = *p++;
            continue;
        }

        if (*p < 0x20 || *p == 0x7f) {
            dst = ngx_sprintf(dst, "\\u%04xd", (int) *p++);
            continue;
        }

        if (*p < 0x80) {
            *dst++ = *p++;
            continue;
        }

        n = ngx_http_prom_utf8(p, last);

        if (n == 0) {
            dst = ngx_cpymem(dst, "\\ufffd", 6);
            p++;
            continue;
        }

        dst = ngx_cpymem(dst, p, n);
        p += n;
    }

    return dst;
}


u_char *
ngx_http_prom_escape_html(u_char *dst, const ngx_str_t *text)
{
    const u_char  *p, *last;

    p = text->data;
    last = p + text->len;

    for ( /* void */ ; p < last; p++) {

        switch (*p) {

        case '<':
            dst = ngx_cpymem(dst, "&lt;", 4);
            break;

        case '>':
            dst = ngx_cpymem(dst, "&gt;", 4);
            break;

        case '&':
            dst = ngx_cpymem(dst, "&amp;", 5);
            break;

        case '"':
            dst = ngx_cpymem(dst, "&quot;", 6);
            break;

        case '\'':
            dst = ngx_cpymem(dst, "&#39;", 5);
            break;

        default:
            *dst++ = *p;
        }
    }

    return dst;
}


/*
 * The exposition formats have no escape for anything else, and a page with
 * something that isn't UTF-8 is refused as a whole.
 */

u_char *
ngx_http_prom_escape_label(u_char *dst, const ngx_str_t *text)
{
    size_t         n;
    const u_char  *p, *last;

    p = text->data;
    last = p + text->len;

    while (p < last) {

        if (*p == '\n') {
            *dst++ = '\\';
            *dst++ = 'n';
            p++;
            continue;
        }

        if (*p == '\\' || *p == '"') {
            *dst++ = '\\';
            *dst++ = *p++;
            continue;
        }

        if (*p < 0x80) {
            *dst++ = *p++;
            continue;
        }

        n = ngx_http_prom_utf8(p, last);

        if (n == 0) {
            *dst++ = '?';
            p++;
            continue;
        }

        dst = ngx_cpymem(dst, p, n);
        p += n;
    }

    return dst;
}


/* RFC 3629: neither overlong nor a surrogate */

size_t
ngx_http_prom_utf8(const u_char *p, const u_char *last)
{
    size_t  i, n;
    u_char  min, max;

    min = 0x80;
    max = 0xbf;

    if (*p >= 0xc2 && *p <= 0xdf) {
        n = 2;

    } else if (*p >= 0xe0 && *p <= 0xef) {
        n = 3;
        min = (*p == 0xe0) ? 0xa0 : 0x80;
        max = (*p == 0xed) ? 0x9f : 0xbf;

    } else if (*p >= 0xf0 && *p <= 0xf4) {
        n = 4;
        min = (*p == 0xf0) ? 0x90 : 0x80;
        max = (*p == 0xf4) ? 0x8f : 0xbf;

    } else {
        return 0;
    }

    if ((size_t) (last - p) < n || p[1] < min || p[1] > max) {
        return 0;
    }

    for (i = 2; i < n; i++) {

        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }

    return n;
}
