/*
 * The labels of a target: LABEL=VALUE, as Prometheus takes them.
 *
 * They are unescaped and packed to the left where they stand, which always
 * fits: the blank in front and the "=" make room for the two zeros.
 */


#include <string.h>

#include "ngx_prom_targets_line.h"


/* Prometheus keeps durations as nanoseconds in an int64 */

#define NGX_PROM_DURATION_MAX    9223372036854ULL


typedef struct {
    const char          *name;
    uint64_t             msec;
} ngx_prom_unit_t;


static void ngx_prom_label_check(ngx_prom_line_t *pl,
    const ngx_prom_text_t *name);
static int ngx_prom_value_bare(ngx_prom_line_t *pl,
    const ngx_prom_text_t *name);
static int ngx_prom_value_quoted(ngx_prom_line_t *pl,
    const ngx_prom_text_t *name);
static void ngx_prom_value_check(ngx_prom_line_t *pl, char *at,
    const ngx_prom_text_t *name, const ngx_prom_text_t *value);
static uint64_t ngx_prom_duration_parse(const ngx_prom_text_t *value);
static int ngx_prom_utf8_check(const ngx_prom_text_t *text);


static const ngx_prom_unit_t  ngx_prom_units[] = {
    { "y",  31536000000ULL },
    { "w",  604800000ULL },
    { "d",  86400000ULL },
    { "h",  3600000ULL },
    { "m",  60000ULL },
    { "s",  1000ULL },
    { "ms", 1ULL },
    { NULL, 0ULL }
};


void
ngx_prom_labels_start(ngx_prom_line_t *pl)
{
    pl->out = pl->pos;
    pl->nlabels = 0;
    pl->interval = 0;
    pl->timeout = 0;

    pl->labels.data = pl->pos;
    pl->labels.len = 0;
}


int
ngx_prom_label_parse(ngx_prom_line_t *pl)
{
    int                  found;
    char                *p, *at;
    ngx_prom_text_t     *name, value;
    ngx_prom_excerpt_t   buf;

    if (pl->nlabels == NGX_PROM_LABELS_MAX) {
        ngx_prom_line_error(pl, pl->pos, "more than %d labels in the line",
                            NGX_PROM_LABELS_MAX);
        return 0;
    }

    name = &pl->label[pl->nlabels];
    name->data = pl->pos;

    for (p = pl->pos; p < pl->end && *p != '=' && !ngx_prom_blank(*p); p++) {
        /* void */
    }

    name->len = p - name->data;

    if (p == pl->end || *p != '=') {
        ngx_prom_line_error(pl, name->data, "\"%s\" has no \"=\"; after NAME "
                            "come LABEL=VALUE, with spaces LABEL=\"VALUE\"",
                            ngx_prom_excerpt(buf, name->data, name->len));
        return 0;
    }

    ngx_prom_label_check(pl, name);

    memmove(pl->out, name->data, name->len);
    name->data = pl->out;
    pl->nlabels++;

    pl->out += name->len;
    *pl->out++ = '\0';
    pl->pos = p + 1;

    at = pl->pos;
    value.data = pl->out;

    if (at < pl->end && *at == '"') {
        found = ngx_prom_value_quoted(pl, name);

    } else {
        found = ngx_prom_value_bare(pl, name);
    }

    if (!found) {
        return 0;
    }

    value.len = pl->out - value.data;
    *pl->out++ = '\0';
    pl->labels.len = pl->out - pl->labels.data;

    ngx_prom_value_check(pl, at, name, &value);

    return 1;
}


static void
ngx_prom_label_check(ngx_prom_line_t *pl, const ngx_prom_text_t *name)
{
    size_t               i;
    ngx_prom_text_t     *other;
    ngx_prom_excerpt_t   buf, byte;

    ngx_prom_excerpt(buf, name->data, name->len);

    for (i = 0; i < name->len; i++) {
        if (!ngx_prom_char_in(name->data[i], "_")) {
            ngx_prom_line_error(pl, &name->data[i], "label \"%s\" has \"%s\" "
                                "in it; a label is letters, digits and \"_\"",
                                buf,
                                ngx_prom_excerpt(byte, &name->data[i], 1));
            return;
        }
    }

    if (name->len == 0 || ngx_prom_digit(name->data[0])) {
        ngx_prom_line_error(pl, name->data, "label \"%s\" does not begin "
                            "with a letter or \"_\"", buf);
        return;
    }

    if (ngx_prom_text_is(name, "job") || ngx_prom_text_is(name, "instance")) {
        ngx_prom_line_error(pl, name->data, "label \"%s\" is set by "
                            "Prometheus; names other than job and instance "
                            "are allowed", buf);
        return;
    }

    if (ngx_prom_starts(name->data, name->data + name->len, "__")
        && !ngx_prom_text_is(name, "__metrics_path__")
        && !ngx_prom_text_is(name, "__scrape_interval__")
        && !ngx_prom_text_is(name, "__scrape_timeout__")
        && (!ngx_prom_starts(name->data, name->data + name->len, "__param_")
            || name->len == sizeof("__param_") - 1))
    {
        ngx_prom_line_error(pl, name->data, "label \"%s\" is reserved by "
                            "\"__\"; __metrics_path__, __scrape_interval__, "
                            "__scrape_timeout__ and __param_NAME are allowed",
                            buf);
        return;
    }

    for (i = 0; i < pl->nlabels; i++) {
        other = &pl->label[i];

        if (other->len == name->len
            && memcmp(other->data, name->data, name->len) == 0)
        {
            ngx_prom_line_error(pl, name->data, "label \"%s\" is in the line "
                                "already", buf);
            return;
        }
    }
}


static int
ngx_prom_value_bare(ngx_prom_line_t *pl, const ngx_prom_text_t *name)
{
    char                *p;
    ngx_prom_excerpt_t   buf, byte;

    for (p = pl->pos; p < pl->end && !ngx_prom_blank(*p); p++) {

        if (*p == '"' || *p == '\'' || *p == '\\') {
            ngx_prom_line_error(pl, p, "value of \"%s\" has \"%s\" in it; "
                                "that is allowed only in double quotes",
                                ngx_prom_excerpt(buf, name->data, name->len),
                                ngx_prom_excerpt(byte, p, 1));
            return 0;
        }

        *pl->out++ = *p;
    }

    if (p == pl->pos) {
        ngx_prom_line_error(pl, p - 1, "label \"%s\" has no value; an empty "
                            "one is written as \"\"",
                            ngx_prom_excerpt(buf, name->data, name->len));
        return 0;
    }

    pl->pos = p;

    return 1;
}


static int
ngx_prom_value_quoted(ngx_prom_line_t *pl, const ngx_prom_text_t *name)
{
    char                *p;
    ngx_prom_excerpt_t   buf, byte;

    ngx_prom_excerpt(buf, name->data, name->len);

    for (p = pl->pos + 1; p < pl->end && *p != '"'; p++) {

        if (*p != '\\') {
            *pl->out++ = *p;
            continue;
        }

        if (++p == pl->end) {
            break;
        }

        if (*p != '\\' && *p != '"' && *p != 'n') {
            ngx_prom_line_error(pl, p - 1, "value of \"%s\" has \"\\\" before "
                                "\"%s\"; \\\\, \\\" and \\n are allowed", buf,
                                ngx_prom_excerpt(byte, p, 1));
            return 0;
        }

        *pl->out++ = (*p == 'n') ? '\n' : *p;
    }

    if (p == pl->end) {
        ngx_prom_line_error(pl, pl->pos, "value of \"%s\" has no closing "
                            "quote in its line", buf);
        return 0;
    }

    pl->pos = p + 1;

    if (pl->pos < pl->end && !ngx_prom_blank(*pl->pos)) {
        ngx_prom_line_error(pl, pl->pos, "\"%s\" right after the closing "
                            "quote of \"%s\"; white space is allowed",
                            ngx_prom_excerpt(byte, pl->pos, 1), buf);
        return 0;
    }

    return 1;
}


static void
ngx_prom_value_check(ngx_prom_line_t *pl, char *at,
    const ngx_prom_text_t *name, const ngx_prom_text_t *value)
{
    uint64_t             msec;
    ngx_prom_excerpt_t   buf;

    ngx_prom_excerpt(buf, name->data, name->len);

    if (value->len > NGX_PROM_VALUE_MAX) {
        ngx_prom_line_error(pl, at, "value of \"%s\" is %zu bytes; "
                            "%d are allowed", buf, value->len,
                            NGX_PROM_VALUE_MAX);
        return;
    }

    if (!ngx_prom_utf8_check(value)) {
        ngx_prom_line_error(pl, at, "value of \"%s\" is not valid UTF-8", buf);
        return;
    }

    if (ngx_prom_text_is(name, "__metrics_path__")) {

        if (value->len == 0 || value->data[0] != '/') {
            ngx_prom_line_error(pl, at, "value of \"%s\" does not begin with "
                                "\"/\"", buf);
        }

        return;
    }

    if (!ngx_prom_text_is(name, "__scrape_interval__")
        && !ngx_prom_text_is(name, "__scrape_timeout__"))
    {
        return;
    }

    msec = ngx_prom_duration_parse(value);

    if (msec == 0) {
        ngx_prom_line_error(pl, at, "value of \"%s\" is not a duration over "
                            "zero, such as 30s or 1m30s", buf);
        return;
    }

    if (ngx_prom_text_is(name, "__scrape_interval__")) {
        pl->interval = msec;

    } else {
        pl->timeout = msec;
    }

    if (pl->interval && pl->timeout > pl->interval) {
        ngx_prom_line_error(pl, at, "__scrape_timeout__ is over "
                            "__scrape_interval__; up to it is allowed");
    }
}


/* as Prometheus: units from large to small, each once; 0 if it isn't one */

static uint64_t
ngx_prom_duration_parse(const ngx_prom_text_t *value)
{
    uint64_t                n, msec;
    const char             *p, *end, *first;
    ngx_prom_text_t         text;
    const ngx_prom_unit_t  *unit;

    msec = 0;
    unit = ngx_prom_units;

    p = value->data;
    end = p + value->len;

    while (p < end) {
        n = 0;

        for (first = p; p < end && ngx_prom_digit(*p); p++) {
            n = n * 10 + (*p - '0');

            if (n > NGX_PROM_DURATION_MAX) {
                return 0;
            }
        }

        if (p == first) {
            return 0;
        }

        text.data = (char *) p;

        while (p < end && !ngx_prom_digit(*p)) {
            p++;
        }

        text.len = p - text.data;

        while (unit->name && !ngx_prom_text_is(&text, unit->name)) {
            unit++;
        }

        if (unit->name == NULL || n > NGX_PROM_DURATION_MAX / unit->msec) {
            return 0;
        }

        msec += n * unit->msec;
        unit++;

        if (msec > NGX_PROM_DURATION_MAX) {
            return 0;
        }
    }

    return msec;
}


static int
ngx_prom_utf8_check(const ngx_prom_text_t *text)
{
    size_t          i, n;
    uint32_t        code, least;
    unsigned char   ch;

    for (i = 0; i < text->len; i++) {
        ch = (unsigned char) text->data[i];

        if (ch < 0x80) {
            continue;
        }

        if (ch >= 0xf0 && ch <= 0xf4) {
            n = 3;
            code = ch & 0x07;
            least = 0x10000;

        } else if (ch >= 0xe0 && ch < 0xf0) {
            n = 2;
            code = ch & 0x0f;
            least = 0x800;

        } else if (ch >= 0xc2 && ch < 0xe0) {
            n = 1;
            code = ch & 0x1f;
            least = 0x80;

        } else {
            return 0;
        }

        if (n >= text->len - i) {
            return 0;
        }

        while (n--) {
            ch = (unsigned char) text->data[++i];

            if ((ch & 0xc0) != 0x80) {
                return 0;
            }

            code = (code << 6) | (ch & 0x3f);
        }

        if (code < least || code > 0x10ffff
            || (code >= 0xd800 && code <= 0xdfff))
        {
            return 0;
        }
    }

    return 1;
}
