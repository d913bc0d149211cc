/*
 * What the grammars of targets, hosts, nodes and tokens share: lines, words
 * and names, and finding what is there twice.
 */


#include <stdio.h>
#include <string.h>

#include "ngx_prom_targets_line.h"


#define NGX_PROM_BOM             "\xef\xbb\xbf"
#define NGX_PROM_REASON          512


/* a slot of the hash that finds duplicates; empty if data is NULL */

struct ngx_prom_slot_s {
    const char          *data;
    uint32_t             line;
    uint16_t             len;
    uint16_t             tag;         /* bits of the hash, to compare first */
};


static int ngx_prom_line_check(ngx_prom_line_t *pl);
static ngx_prom_slot_t *ngx_prom_seen_slot(const ngx_prom_seen_t *seen,
    const char *data, size_t len, uint64_t hash);


int
ngx_prom_lines_start(ngx_prom_line_t *pl, char *text, size_t len,
    ngx_prom_targets_error_pt error, void *data, uint32_t *errors)
{
    memset(pl, 0, sizeof(ngx_prom_line_t));

    pl->error = error;
    pl->data = data;
    pl->errors = errors;
    pl->next = text;
    pl->last = text + len;

    if (ngx_prom_starts(pl->next, pl->last, NGX_PROM_BOM)) {
        pl->next += sizeof(NGX_PROM_BOM) - 1;
    }

    if (len >= UINT32_MAX) {
        pl->number = 1;
        pl->start = pl->next;
        ngx_prom_line_error(pl, pl->start, "more than 4 GB; less is allowed");
        return 0;
    }

    return 1;
}


size_t
ngx_prom_lines_bound(const ngx_prom_line_t *pl, size_t least)
{
    size_t       n;
    const char  *p, *eol;

    n = 0;

    for (p = pl->next; p < pl->last; p = eol + 1) {
        eol = memchr(p, '\n', pl->last - p);

        if (eol == NULL) {
            eol = pl->last;
        }

        if ((size_t) (eol - p) >= least && *p != '#') {
            n++;
        }

        if (eol == pl->last) {
            break;
        }
    }

    return n;
}


void *
ngx_prom_lines_array(ngx_prom_targets_alloc_pt alloc, void *data,
    size_t bound, size_t size)
{
    if (bound == 0 || bound > SIZE_MAX / size) {
        return NULL;
    }

    return alloc(data, bound * size);
}


int
ngx_prom_line_next(ngx_prom_line_t *pl)
{
    char  *eol;

    while (pl->next < pl->last) {
        eol = memchr(pl->next, '\n', pl->last - pl->next);

        pl->number++;
        pl->wrong = 0;
        pl->start = pl->next;
        pl->pos = pl->next;
        pl->end = eol ? eol : pl->last;

        if (eol && pl->end > pl->start && pl->end[-1] == '\r') {
            pl->end--;
        }

        /* labels may overwrite the line's end */

        pl->next = eol ? eol + 1 : pl->last;

        if (ngx_prom_line_check(pl)) {
            return 1;
        }
    }

    return 0;
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


int
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
ngx_prom_line_peek(const ngx_prom_line_t *pl, ngx_prom_text_t *word)
{
    char  *p;

    for (p = pl->pos; p < pl->end && !ngx_prom_blank(*p); p++) { /* void */ }

    word->data = pl->pos;
    word->len = p - pl->pos;
}


uint32_t
ngx_prom_port_number(const char *p, size_t len)
{
    size_t    i;
    uint32_t  port;

    port = 0;

    for (i = 0; i < len; i++) {
        if (!ngx_prom_digit(p[i])) {
            return 0;
        }

        port = port * 10 + (uint32_t) (p[i] - '0');

        if (port == 0 || port > 65535) {
            return 0;
        }
    }

    return port;
}


void
ngx_prom_line_error(ngx_prom_line_t *pl, const char *at, const char *fmt, ...)
{
    va_list  args;

    pl->wrong = 1;

    va_start(args, fmt);
    ngx_prom_lines_error(pl->error, pl->data, pl->errors, pl->number,
                         (uint32_t) (at - pl->start + 1), fmt, args);
    va_end(args);
}


void
ngx_prom_lines_error(ngx_prom_targets_error_pt error, void *data,
    uint32_t *errors, uint32_t line, uint32_t column, const char *fmt,
    va_list args)
{
    char  reason[NGX_PROM_REASON];

    if ((*errors)++ >= NGX_PROM_ERRORS_MAX) {
        return;
    }

    (void) vsnprintf(reason, sizeof(reason), fmt, args);

    error(data, line, column, reason);
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


int
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
            return 0;
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
        return 0;
    }

    if (name->len > NGX_PROM_NAME_MAX) {
        ngx_prom_line_error(pl, whole.data, "name of %zu bytes; "
                            "%d are allowed", name->len, NGX_PROM_NAME_MAX);
        return 0;
    }

    return 1;
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


int
ngx_prom_seen_init(ngx_prom_seen_t *seen, ngx_prom_targets_alloc_pt alloc,
    void *data, size_t bound)
{
    size_t  size;

    seen->slots = NULL;

    if (bound == 0) {
        return 0;
    }

    if (bound > UINT32_MAX / 2) {
        return -1;
    }

    /* at most half full */

    for (size = 4; size < 2 * bound; size *= 2) { /* void */ }

    if (size > SIZE_MAX / sizeof(ngx_prom_slot_t)) {
        return -1;
    }

    seen->slots = alloc(data, size * sizeof(ngx_prom_slot_t));
    if (seen->slots == NULL) {
        return -1;
    }

    memset(seen->slots, 0, size * sizeof(ngx_prom_slot_t));
    seen->mask = (uint32_t) (size - 1);

    return 0;
}


uint32_t
ngx_prom_seen_add(ngx_prom_seen_t *seen, const char *data, size_t len,
    uint32_t line)
{
    uint64_t          hash;
    ngx_prom_slot_t  *slot;

    hash = ngx_prom_hash(data, len);
    slot = ngx_prom_seen_slot(seen, data, len, hash);

    if (slot->data) {
        return slot->line;
    }

    slot->data = data;
    slot->line = line;
    slot->len = (uint16_t) len;
    slot->tag = (uint16_t) (hash >> 48);

    return 0;
}


uint32_t
ngx_prom_seen_find(const ngx_prom_seen_t *seen, const char *data, size_t len)
{
    if (seen->slots == NULL) {
        return 0;
    }

    return ngx_prom_seen_slot(seen, data, len, ngx_prom_hash(data, len))->line;
}


/* the slot that has it, or an empty one for it */

static ngx_prom_slot_t *
ngx_prom_seen_slot(const ngx_prom_seen_t *seen, const char *data, size_t len,
    uint64_t hash)
{
    size_t            i;
    uint16_t          tag;
    ngx_prom_slot_t  *slot;

    tag = (uint16_t) (hash >> 48);

    for (i = hash & seen->mask; ; i = (i + 1) & seen->mask) {
        slot = &seen->slots[i];

        if (slot->data == NULL
            || (slot->tag == tag && slot->len == len
                && memcmp(slot->data, data, len) == 0))
        {
            return slot;
        }
    }
}


/* FNV-1a */

uint64_t
ngx_prom_hash(const char *data, size_t len)
{
    size_t    i;
    uint64_t  hash;

    hash = 14695981039346656037ULL;

    for (i = 0; i < len; i++) {
        hash = (hash ^ (unsigned char) data[i]) * 1099511628211ULL;
    }

    return hash ^ (hash >> 32);
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
