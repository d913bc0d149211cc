/*
 * Text that grows, for the pieces of the status page, and how numbers read.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_status.h"


#define NGX_HTTP_PROM_STATUS_TEXT   16384   /* large enough to be freed */
#define NGX_HTTP_PROM_STATUS_PRINT  1024


/* NULL without memory, now or earlier */

u_char *
ngx_http_prom_status_room(ngx_http_prom_status_text_t *text, size_t size)
{
    size_t   used, total;
    u_char  *start;

    if (text->failed) {
        return NULL;
    }

    if (size <= (size_t) (text->end - text->last)) {
        return text->last;
    }

    used = text->last - text->start;

    if (size > NGX_MAX_SIZE_T_VALUE / 4 || used > NGX_MAX_SIZE_T_VALUE / 4) {
        text->failed = 1;
        return NULL;
    }

    total = ngx_max(2 * (used + size), NGX_HTTP_PROM_STATUS_TEXT);

    start = ngx_palloc(text->pool, total);
    if (start == NULL) {
        text->failed = 1;
        return NULL;
    }

    if (text->start) {
        ngx_memcpy(start, text->start, used);
        ngx_pfree(text->pool, text->start);
    }

    text->start = start;
    text->last = start + used;
    text->end = start + total;

    return text->last;
}


void
ngx_http_prom_status_add(ngx_http_prom_status_text_t *text,
    const ngx_str_t *piece)
{
    u_char  *p;

    p = ngx_http_prom_status_room(text, piece->len);

    if (p) {
        text->last = ngx_cpymem(p, piece->data, piece->len);
    }
}


void
ngx_http_prom_status_html(ngx_http_prom_status_text_t *text,
    const ngx_str_t *piece)
{
    u_char  *p;

    if (piece->len > NGX_MAX_SIZE_T_VALUE / 6) {
        text->failed = 1;
        return;
    }

    p = ngx_http_prom_status_room(text, 6 * piece->len);

    if (p) {
        text->last = ngx_http_prom_escape_html(p, piece);
    }
}


void
ngx_http_prom_status_print(ngx_http_prom_status_text_t *text,
    const char *fmt, ...)
{
    u_char   *p;
    va_list   args;

    p = ngx_http_prom_status_room(text, NGX_HTTP_PROM_STATUS_PRINT);

    if (p) {
        va_start(args, fmt);
        text->last = ngx_vslprintf(p, p + NGX_HTTP_PROM_STATUS_PRINT - 1, fmt,
                                   args);
        va_end(args);
    }
}


void
ngx_http_prom_status_number(ngx_http_prom_status_text_t *text, uint64_t n)
{
    if (n < 1000) {
        ngx_http_prom_status_print(text, "%uL", n);
        return;
    }

    ngx_http_prom_status_number(text, n / 1000);
    ngx_http_prom_status_print(text, ",%03uL", n % 1000);
}


void
ngx_http_prom_status_duration(ngx_http_prom_status_text_t *text, uint64_t ms)
{
    if (ms < 1000) {
        ngx_http_prom_status_print(text, "%uL ms", ms);

    } else if (ms < 10000) {
        ngx_http_prom_status_print(text, "%uL.%02uL s", ms / 1000,
                                   ms % 1000 / 10);
    } else {
        ngx_http_prom_status_print(text, "%uL.%uL s", ms / 1000,
                                   ms % 1000 / 100);
    }
}


void
ngx_http_prom_status_size(ngx_http_prom_status_text_t *text, uint64_t bytes)
{
    ngx_uint_t          i;
    static const char  *units[] = { "kB", "MB", "GB", "TB" };

    if (bytes < 1000) {
        ngx_http_prom_status_print(text, "%uL B", bytes);
        return;
    }

    for (i = 0; i < 3 && bytes >= 1000000; i++) {
        bytes /= 1000;
    }

    ngx_http_prom_status_print(text, "%uL.%uL %s", bytes / 1000,
                               bytes % 1000 / 100, units[i]);
}


/* a clock that was set back makes nothing younger than now */

void
ngx_http_prom_status_time(ngx_http_prom_status_text_t *text, uint64_t now,
    uint64_t then)
{
    ngx_tm_t  tm;
    uint64_t  s;

    ngx_gmtime((time_t) (then / 1000), &tm);

    ngx_http_prom_status_print(text,
                               "<time datetime=\"%4d-%02d-%02dT%02d:%02d:"
                               "%02dZ\">",
                               tm.ngx_tm_year, tm.ngx_tm_mon, tm.ngx_tm_mday,
                               tm.ngx_tm_hour, tm.ngx_tm_min, tm.ngx_tm_sec);

    s = (now > then) ? (now - then) / 1000 : 0;

    if (s < 120) {
        ngx_http_prom_status_print(text, "%uL s ago", s);

    } else if (s < 120 * 60) {
        ngx_http_prom_status_print(text, "%uL min ago", s / 60);

    } else if (s < 48 * 3600) {
        ngx_http_prom_status_print(text, "%uL h ago", s / 3600);

    } else {
        ngx_http_prom_status_print(text, "%uL days ago", s / 86400);
    }

    ngx_http_prom_status_print(text, "</time>");
}
