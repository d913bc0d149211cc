/*
 * Exporters of a host or a node: EXPORTER:PORT,... of "ports=".
 */


#include <string.h>

#include "ngx_prom_hosts_line.h"


static int ngx_prom_exporter_check(ngx_prom_line_t *pl,
    const ngx_prom_text_t *host, const ngx_prom_text_t *exporters,
    const ngx_prom_text_t *word);
static int ngx_prom_exporter_name(ngx_prom_line_t *pl,
    const ngx_prom_text_t *host, const ngx_prom_text_t *name);
static int ngx_prom_exporter_seen(const ngx_prom_text_t *exporters,
    const char *name, size_t len);
static void ngx_prom_exporters_keep(ngx_prom_line_t *pl,
    ngx_prom_text_t *exporters);
static void ngx_prom_reverse(char *p, size_t len);


int
ngx_prom_exporters_parse(ngx_prom_line_t *pl, const ngx_prom_text_t *name,
    ngx_prom_text_t *exporters, uint16_t *ports)
{
    char             *comma, *end;
    ngx_prom_text_t   word, value;

    (void) ngx_prom_line_token(pl, &value);

    if (exporters->len) {
        ngx_prom_line_error(pl, value.data, "\"ports=\" is in the line "
                            "already");
        return 1;
    }

    value.data += sizeof("ports=") - 1;
    value.len -= sizeof("ports=") - 1;

    word = value;
    end = value.data + value.len;

    *ports = 0;
    exporters->data = value.data;

    do {
        comma = memchr(word.data, ',', end - word.data);
        word.len = (comma ? comma : end) - word.data;

        if (*ports == NGX_PROM_EXPORTERS_MAX) {
            ngx_prom_line_error(pl, word.data, "more than %d exporters of one "
                                "host", NGX_PROM_EXPORTERS_MAX);
            break;
        }

        /* up to here, for the next one to be compared with */

        exporters->len = word.data - value.data;

        if (!ngx_prom_exporter_check(pl, name, exporters, &word)) {
            break;
        }

        *ports += 1;
        word.data += word.len + 1;

    } while (comma);

    if (*ports == 0) {
        *ports = 1;
    }

    *exporters = value;
    ngx_prom_exporters_keep(pl, exporters);

    return 1;
}


static int
ngx_prom_exporter_check(ngx_prom_line_t *pl, const ngx_prom_text_t *host,
    const ngx_prom_text_t *exporters, const ngx_prom_text_t *word)
{
    char                *colon;
    size_t               len;
    ngx_prom_text_t      name;
    ngx_prom_excerpt_t   buf, port;

    colon = memchr(word->data, ':', word->len);

    if (colon == NULL || colon == word->data) {
        ngx_prom_line_error(pl, word->len ? word->data : word->data - 1,
                            "\"%s\" is not EXPORTER:PORT, as in "
                            "ports=node:9100,mysqld:9104",
                            ngx_prom_excerpt(buf, word->data, word->len));
        return 0;
    }

    name.data = word->data;
    name.len = colon - word->data;

    if (!ngx_prom_exporter_name(pl, host, &name)) {
        return 0;
    }

    ngx_prom_excerpt(buf, name.data, name.len);
    len = word->len - name.len - 1;

    if (ngx_prom_port_number(colon + 1, len) == 0) {
        ngx_prom_line_error(pl, colon + 1, "port \"%s\" of exporter \"%s\" is "
                            "not a number from 1 to 65535 without leading "
                            "zeros", ngx_prom_excerpt(port, colon + 1, len),
                            buf);
        return 0;
    }

    if (ngx_prom_exporter_seen(exporters, name.data, name.len)) {
        ngx_prom_line_error(pl, name.data, "exporter \"%s\" is in the line "
                            "already", buf);
        return 0;
    }

    return 1;
}


static int
ngx_prom_exporter_name(ngx_prom_line_t *pl, const ngx_prom_text_t *host,
    const ngx_prom_text_t *name)
{
    size_t               i;
    ngx_prom_excerpt_t   buf, byte;

    ngx_prom_excerpt(buf, name->data, name->len);

    for (i = 0; i < name->len; i++) {
        if (!ngx_prom_char_in(name->data[i], "._~-")) {
            ngx_prom_line_error(pl, &name->data[i], "exporter \"%s\" has "
                                "\"%s\" in it; it is letters, digits and "
                                "\"._~-\"", buf,
                                ngx_prom_excerpt(byte, &name->data[i], 1));
            return 0;
        }
    }

    if (ngx_prom_text_is(name, ".") || ngx_prom_text_is(name, "..")) {
        ngx_prom_line_error(pl, name->data, "exporter \"%s\" is not a segment "
                            "of a name", buf);
        return 0;
    }

    if (host->len + 1 + name->len > NGX_PROM_NAME_MAX) {
        ngx_prom_line_error(pl, name->data, "target NAME/EXPORTER of %zu "
                            "bytes; %d are allowed", host->len + 1 + name->len,
                            NGX_PROM_NAME_MAX);
        return 0;
    }

    return 1;
}


static int
ngx_prom_exporter_seen(const ngx_prom_text_t *exporters, const char *name,
    size_t len)
{
    size_t           pos;
    uint16_t         port;
    ngx_prom_text_t  other;

    pos = 0;

    while (ngx_prom_exporters_next(exporters, &pos, &other, &port)) {

        if (other.len == len && memcmp(other.data, name, len) == 0) {
            return 1;
        }
    }

    return 0;
}


/*
 * Packs the exporters to the left of the labels, which would overwrite them
 * otherwise.
 */

static void
ngx_prom_exporters_keep(ngx_prom_line_t *pl, ngx_prom_text_t *exporters)
{
    char      *first;
    size_t     labels;
    unsigned   i;

    first = pl->labels.data;
    labels = pl->labels.len;

    memmove(pl->out, exporters->data, exporters->len);

    ngx_prom_reverse(first, labels);
    ngx_prom_reverse(pl->out, exporters->len);
    ngx_prom_reverse(first, labels + exporters->len);

    exporters->data = first;

    pl->labels.data += exporters->len;
    pl->out += exporters->len;

    for (i = 0; i < pl->nlabels; i++) {
        pl->label[i].data += exporters->len;
    }
}


static void
ngx_prom_reverse(char *p, size_t len)
{
    char    ch;
    size_t  i;

    for (i = 0; i < len / 2; i++) {
        ch = p[i];
        p[i] = p[len - 1 - i];
        p[len - 1 - i] = ch;
    }
}


int
ngx_prom_exporters_next(const ngx_prom_text_t *exporters, size_t *pos,
    ngx_prom_text_t *name, uint16_t *port)
{
    char         *p, *end;
    const char   *colon;

    if (*pos >= exporters->len) {
        return 0;
    }

    p = exporters->data + *pos;
    end = exporters->data + exporters->len;

    colon = memchr(p, ':', end - p);

    name->data = p;
    name->len = colon - p;

    for (p += name->len + 1, *port = 0; p < end && *p != ','; p++) {
        *port = (uint16_t) (*port * 10 + (*p - '0'));
    }

    *pos = p + 1 - exporters->data;

    return 1;
}


size_t
ngx_prom_exporters_parent(const ngx_prom_text_t *name)
{
    size_t  len;

    for (len = name->len; len; len--) {
        if (name->data[len - 1] == '/') {
            return len - 1;
        }
    }

    return 0;
}


int
ngx_prom_exporters_have(const ngx_prom_text_t *exporters,
    const ngx_prom_text_t *name)
{
    size_t  at;

    at = ngx_prom_exporters_parent(name) + 1;

    return ngx_prom_exporter_seen(exporters, name->data + at, name->len - at);
}
