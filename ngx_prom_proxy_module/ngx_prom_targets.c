/*
 * The grammar of /etc/monitoring/targets; see the header.  Here are its lines
 * and their names; ADDRESS and the labels have files of their own.
 */


#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ngx_prom_targets_line.h"


#define NGX_PROM_LINE_MIN        3      /* bytes of a line with a NAME */

#define NGX_PROM_BOM             "\xef\xbb\xbf"
#define NGX_PROM_REASON          512


/* a slot of the hash that finds duplicates; empty if name is NULL */

struct ngx_prom_seen_s {
    const char          *name;
    uint32_t             line;
    uint16_t             len;
    uint16_t             tag;         /* bits of the hash, to compare first */
};


static size_t ngx_prom_targets_bound(const char *text, const char *last);
static int ngx_prom_targets_init(ngx_prom_line_t *pl, size_t bound);
static void ngx_prom_line_parse(ngx_prom_line_t *pl);
static int ngx_prom_line_check(ngx_prom_line_t *pl);
static int ngx_prom_line_token(ngx_prom_line_t *pl, ngx_prom_text_t *token);
static void ngx_prom_name_parse(ngx_prom_line_t *pl, ngx_prom_text_t *name);
static void ngx_prom_name_seen(ngx_prom_line_t *pl,
    const ngx_prom_text_t *name);


int
ngx_prom_targets_parse(ngx_prom_targets_t *pt, char *text, size_t len)
{
    char             *p, *last, *eol;
    ngx_prom_line_t   pl;

    pt->targets = NULL;
    pt->count = 0;
    pt->errors = 0;

    memset(&pl, 0, sizeof(ngx_prom_line_t));
    pl.pt = pt;

    p = text;
    last = text + len;

    if (ngx_prom_starts(p, last, NGX_PROM_BOM)) {
        p += sizeof(NGX_PROM_BOM) - 1;
    }

    if (len >= UINT32_MAX) {
        pl.number = 1;
        pl.start = p;
        ngx_prom_line_error(&pl, p, "more than 4 GB; less is allowed");
        return 1;
    }

    if (ngx_prom_targets_init(&pl, ngx_prom_targets_bound(p, last)) == -1) {
        return -1;
    }

    while (p < last) {
        eol = memchr(p, '\n', last - p);

        pl.number++;
        pl.start = p;
        pl.pos = p;
        pl.end = eol ? eol : last;

        if (eol && pl.end > p && pl.end[-1] == '\r') {
            pl.end--;
        }

        /* labels may overwrite the line's end */

        p = eol ? eol + 1 : last;

        ngx_prom_line_parse(&pl);
    }

    return pt->errors ? 1 : 0;
}


int
ngx_prom_targets_label(const ngx_prom_target_t *target, size_t *pos,
    const char **name, const char **value)
{
    const char  *p;

    if (*pos >= target->labels.len) {
        return 0;
    }

    p = target->labels.data + *pos;
    *name = p;

    p += strlen(p) + 1;
    *value = p;

    p += strlen(p) + 1;
    *pos = p - target->labels.data;

    return 1;
}


/* counts the lines that may have a NAME, so that arrays never grow */

static size_t
ngx_prom_targets_bound(const char *text, const char *last)
{
    size_t       n;
    const char  *p, *eol;

    n = 0;

    for (p = text; p < last; p = eol + 1) {
        eol = memchr(p, '\n', last - p);

        if (eol == NULL) {
            eol = last;
        }

        if (eol - p >= NGX_PROM_LINE_MIN && *p != '#') {
            n++;
        }

        if (eol == last) {
            break;
        }
    }

    return n;
}


static int
ngx_prom_targets_init(ngx_prom_line_t *pl, size_t bound)
{
    size_t               size;
    ngx_prom_targets_t  *pt;

    if (bound == 0) {
        return 0;
    }

    /* at most half full; bound is under 2^30, as LINE_MIN + 1 is 4 */

    for (size = 4; size < 2 * bound; size *= 2) { /* void */ }

    if (size > SIZE_MAX / sizeof(ngx_prom_seen_t)
        || bound > SIZE_MAX / sizeof(ngx_prom_target_t))
    {
        return -1;
    }

    pt = pl->pt;

    pt->targets = pt->alloc(pt->data, bound * sizeof(ngx_prom_target_t));
    if (pt->targets == NULL) {
        return -1;
    }

    pl->seen = pt->alloc(pt->data, size * sizeof(ngx_prom_seen_t));
    if (pl->seen == NULL) {
        return -1;
    }

    memset(pl->seen, 0, size * sizeof(ngx_prom_seen_t));
    pl->seen_mask = (uint32_t) (size - 1);

    return 0;
}


static void
ngx_prom_line_parse(ngx_prom_line_t *pl)
{
    ngx_prom_text_t      address, name;
    ngx_prom_targets_t  *pt;

    pl->wrong = 0;

    if (!ngx_prom_line_check(pl)) {
        return;
    }

    if (!ngx_prom_line_token(pl, &address)) {
        return;
    }

    if (!ngx_prom_line_token(pl, &name)) {
        ngx_prom_line_error(pl, address.data, "no NAME after the address; "
                            "a line is ADDRESS NAME [LABEL=VALUE ...]");
        return;
    }

    pt = pl->pt;

    pl->target = &pt->targets[pt->count];
    memset(pl->target, 0, sizeof(ngx_prom_target_t));

    pl->target->line = pl->number;
    pl->target->address = address;

    ngx_prom_address_parse(pl);
    ngx_prom_name_parse(pl, &name);
    ngx_prom_labels_parse(pl);

    if (!pl->wrong) {
        pt->count++;
    }
}


static int
ngx_prom_line_check(ngx_prom_line_t *pl)
{
    char           *p;
    unsigned char   ch;

    if (pl->end - pl->start > NGX_PROM_LINE_MAX) {
        ngx_prom_line_error(pl, pl->start + NGX_PROM_LINE_MAX,
                            "line of %zu bytes; %d are allowed",
                            (size_t) (pl->end - pl->start), NGX_PROM_LINE_MAX);
        return 0;
    }

    for (p = pl->start; p < pl->end; p++) {
        ch = (unsigned char) *p;

        if (ch == '\r') {
            ngx_prom_line_error(pl, p, "carriage return within the line; "
                                "lines end with LF or CRLF");
            return 0;
        }

        if ((ch < 0x20 && ch != '\t') || ch == 0x7f) {
            ngx_prom_line_error(pl, p, "control character 0x%02x; "
                                "the only one allowed is tab", ch);
            return 0;
        }

        if (ch == 0xef && ngx_prom_starts(p, pl->end, NGX_PROM_BOM)) {
            ngx_prom_line_error(pl, p, "byte order mark; it is allowed only "
                                "at the start of the file");
            return 0;
        }
    }

    return 1;
}


int
ngx_prom_line_more(ngx_prom_line_t *pl)
{
    while (pl->pos < pl->end && ngx_prom_blank(*pl->pos)) {
        pl->pos++;
    }

    return pl->pos < pl->end && *pl->pos != '#';
}


static int
ngx_prom_line_token(ngx_prom_line_t *pl, ngx_prom_text_t *token)
{
    if (!ngx_prom_line_more(pl)) {
        return 0;
    }

    token->data = pl->pos;

    while (pl->pos < pl->end && !ngx_prom_blank(*pl->pos)) {
        pl->pos++;
    }

    token->len = pl->pos - token->data;

    return 1;
}


void
ngx_prom_line_error(ngx_prom_line_t *pl, const char *at, const char *fmt, ...)
{
    char                 reason[NGX_PROM_REASON];
    va_list              args;
    ngx_prom_targets_t  *pt;

    pl->wrong = 1;
    pt = pl->pt;

    if (pt->errors++ >= NGX_PROM_ERRORS_MAX) {
        return;
    }

    va_start(args, fmt);
    (void) vsnprintf(reason, sizeof(reason), fmt, args);
    va_end(args);

    pt->error(pt->data, pl->number, (uint32_t) (at - pl->start + 1), reason);
}


const char *
ngx_prom_excerpt(ngx_prom_excerpt_t buf, const char *data, size_t len)
{
    char           *out;
    size_t          i;
    unsigned char   ch;

    static const char  hex[] = "0123456789abcdef";

    out = buf;

    for (i = 0; i < len && i < NGX_PROM_EXCERPT; i++) {
        ch = (unsigned char) data[i];

        if (ch < 0x20 || ch > 0x7e) {
            *out++ = '\\';
            *out++ = 'x';
            *out++ = hex[ch >> 4];
            *out++ = hex[ch & 0xf];
            continue;
        }

        if (ch == '"' || ch == '\\') {
            *out++ = '\\';
        }

        *out++ = (char) ch;
    }

    memcpy(out, i < len ? "..." : "", i < len ? 4 : 1);

    return buf;
}


static void
ngx_prom_name_parse(ngx_prom_line_t *pl, ngx_prom_text_t *name)
{
    size_t               i;
    const char          *mistake;
    ngx_prom_text_t      whole;
    ngx_prom_excerpt_t   buf, byte;

    whole = *name;

    for (i = 0; i < name->len; i++) {
        if (!ngx_prom_char_in(name->data[i], "/._~-")) {
            ngx_prom_line_error(pl, &name->data[i], "name \"%s\" has \"%s\" "
                                "in it; segments are letters, digits and "
                                "\"._~-\"",
                                ngx_prom_excerpt(buf, whole.data, whole.len),
                                ngx_prom_excerpt(byte, &name->data[i], 1));
            return;
        }
    }

    if (name->data[0] == '/') {
        name->data++;
        name->len--;
    }

    if (name->len && name->data[name->len - 1] == '/') {
        name->len--;
    }

    mistake = ngx_prom_segments_check(name->data, name->len);

    if (mistake) {
        ngx_prom_line_error(pl, whole.data, "name \"%s\" has %s in it; "
                            "segments are letters, digits and \"._~-\"",
                            ngx_prom_excerpt(buf, whole.data, whole.len),
                            mistake);
        return;
    }

    if (name->len > NGX_PROM_NAME_MAX) {
        ngx_prom_line_error(pl, whole.data, "name of %zu bytes; "
                            "%d are allowed", name->len, NGX_PROM_NAME_MAX);
        return;
    }

    pl->target->name = *name;

    ngx_prom_name_seen(pl, name);
}


const char *
ngx_prom_segments_check(const char *p, size_t len)
{
    const char  *end, *slash;

    for (end = p + len; p <= end; p = slash + 1) {
        slash = memchr(p, '/', end - p);

        if (slash == NULL) {
            slash = end;
        }

        if (slash == p) {
            return "an empty segment";
        }

        if (slash - p == 1 && p[0] == '.') {
            return "\".\"";
        }

        if (slash - p == 2 && p[0] == '.' && p[1] == '.') {
            return "\"..\"";
        }
    }

    return NULL;
}


/* FNV-1a; names of lines with other mistakes count too */

static void
ngx_prom_name_seen(ngx_prom_line_t *pl, const ngx_prom_text_t *name)
{
    size_t               i;
    uint16_t             tag;
    uint64_t             hash;
    ngx_prom_seen_t     *seen;
    ngx_prom_excerpt_t   buf;

    hash = 14695981039346656037ULL;

    for (i = 0; i < name->len; i++) {
        hash = (hash ^ (unsigned char) name->data[i]) * 1099511628211ULL;
    }

    hash ^= hash >> 32;
    tag = (uint16_t) (hash >> 48);

    for (i = hash & pl->seen_mask; ; i = (i + 1) & pl->seen_mask) {
        seen = &pl->seen[i];

        if (seen->name == NULL) {
            break;
        }

        if (seen->tag == tag && seen->len == name->len
            && memcmp(seen->name, name->data, name->len) == 0)
        {
            ngx_prom_line_error(pl, name->data, "name \"%s\" is on line %u "
                                "already", ngx_prom_excerpt(buf, name->data,
                                                            name->len),
                                (unsigned) seen->line);
            return;
        }
    }

    seen->name = name->data;
    seen->line = pl->number;
    seen->len = (uint16_t) name->len;
    seen->tag = tag;
}


int
ngx_prom_text_is(const ngx_prom_text_t *text, const char *s)
{
    size_t  len;

    len = strlen(s);

    return text->len == len && memcmp(text->data, s, len) == 0;
}


int
ngx_prom_starts(const char *p, const char *end, const char *s)
{
    size_t  len;

    len = strlen(s);

    return (size_t) (end - p) >= len && memcmp(p, s, len) == 0;
}


int
ngx_prom_char_in(char ch, const char *others)
{
    unsigned char  c;

    c = (unsigned char) (ch | 0x20);

    return (c >= 'a' && c <= 'z') || ngx_prom_digit(ch)
           || (ch && strchr(others, ch) != NULL);
}
