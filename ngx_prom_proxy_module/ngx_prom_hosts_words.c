/*
 * What stands behind the key of a host: port=, ports= and labels.
 */


#include <string.h>

#include "ngx_prom_hosts_key.h"
#include "ngx_prom_hosts_line.h"


#define NGX_PROM_KEY_WORD  60


static int ngx_prom_host_port_parse(ngx_prom_line_t *pl,
    ngx_prom_host_t *host);
static int ngx_prom_host_exporters_parse(ngx_prom_line_t *pl,
    ngx_prom_host_t *host);
static int ngx_prom_exporter_check(ngx_prom_line_t *pl,
    const ngx_prom_host_t *host, const ngx_prom_text_t *word);
static int ngx_prom_exporter_seen(ngx_prom_line_t *pl,
    const ngx_prom_host_t *host, const ngx_prom_text_t *name);
static void ngx_prom_exporters_keep(ngx_prom_line_t *pl,
    ngx_prom_host_t *host, const ngx_prom_text_t *value);
static void ngx_prom_reverse(char *p, size_t len);
static void ngx_prom_word_mistake(ngx_prom_line_t *pl,
    const ngx_prom_text_t *word);
static int ngx_prom_word_key(const ngx_prom_text_t *word);
static void ngx_prom_word_peek(const ngx_prom_line_t *pl,
    ngx_prom_text_t *word);
static uint32_t ngx_prom_port_number(const char *p, size_t len);


void
ngx_prom_hosts_words(ngx_prom_line_t *pl, ngx_prom_host_t *host)
{
    int               more;
    ngx_prom_text_t   word;

    ngx_prom_labels_start(pl);

    do {
        if (!ngx_prom_line_more(pl)) {
            break;
        }

        ngx_prom_word_peek(pl, &word);

        if (ngx_prom_starts(word.data, word.data + word.len, "port=")) {
            more = ngx_prom_host_port_parse(pl, host);

        } else if (ngx_prom_starts(word.data, word.data + word.len,
                                   "ports="))
        {
            more = ngx_prom_host_exporters_parse(pl, host);

        } else if (memchr(word.data, '=', word.len) == NULL
                   || ngx_prom_word_key(&word))
        {
            ngx_prom_word_mistake(pl, &word);
            more = 0;

        } else {
            more = ngx_prom_label_parse(pl);
        }

    } while (more);

    host->labels = pl->labels;

    if (host->port + host->ports - 1 >= NGX_PROM_PORTS) {
        ngx_prom_line_error(pl, pl->start + host->port_column - 1,
                            "%u ports from %u on go over 65535",
                            (unsigned) host->ports, (unsigned) host->port);
    }
}


static int
ngx_prom_host_port_parse(ngx_prom_line_t *pl, ngx_prom_host_t *host)
{
    uint32_t             port;
    ngx_prom_text_t      word;
    ngx_prom_excerpt_t   buf;

    (void) ngx_prom_line_token(pl, &word);

    if (host->given) {
        ngx_prom_line_error(pl, word.data, "\"port=\" is in the line already");
        return 1;
    }

    word.data += sizeof("port=") - 1;
    word.len -= sizeof("port=") - 1;

    host->given = 1;
    host->port_column = (uint32_t) (word.data - pl->start + 1);

    port = ngx_prom_port_number(word.data, word.len);

    if (port < NGX_PROM_PORT_LEAST) {
        ngx_prom_line_error(pl, word.data, "port \"%s\" is not a number from "
                            "%d to 65535 without leading zeros",
                            ngx_prom_excerpt(buf, word.data, word.len),
                            NGX_PROM_PORT_LEAST);
        return 1;
    }

    host->port = (uint16_t) port;

    return 1;
}


static int
ngx_prom_host_exporters_parse(ngx_prom_line_t *pl, ngx_prom_host_t *host)
{
    char             *comma, *end;
    ngx_prom_text_t   word, value;

    (void) ngx_prom_line_token(pl, &value);

    if (host->exporters.len) {
        ngx_prom_line_error(pl, value.data, "\"ports=\" is in the line "
                            "already");
        return 1;
    }

    value.data += sizeof("ports=") - 1;
    value.len -= sizeof("ports=") - 1;

    word = value;
    end = value.data + value.len;

    host->ports = 0;
    host->exporters.data = value.data;

    do {
        comma = memchr(word.data, ',', end - word.data);
        word.len = (comma ? comma : end) - word.data;

        if (host->ports == NGX_PROM_EXPORTERS_MAX) {
            ngx_prom_line_error(pl, word.data, "more than %d exporters of one "
                                "host", NGX_PROM_EXPORTERS_MAX);
            break;
        }

        /* up to here, for the next one to be compared with */

        host->exporters.len = word.data - value.data;

        if (!ngx_prom_exporter_check(pl, host, &word)) {
            break;
        }

        host->ports++;
        word.data += word.len + 1;

    } while (comma);

    if (host->ports == 0) {
        host->ports = 1;
    }

    ngx_prom_exporters_keep(pl, host, &value);

    return 1;
}


static int
ngx_prom_exporter_check(ngx_prom_line_t *pl, const ngx_prom_host_t *host,
    const ngx_prom_text_t *word)
{
    char                *colon;
    size_t               i;
    ngx_prom_text_t      name;
    ngx_prom_excerpt_t   buf, byte;

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

    ngx_prom_excerpt(buf, name.data, name.len);

    for (i = 0; i < name.len; i++) {
        if (!ngx_prom_char_in(name.data[i], "._~-")) {
            ngx_prom_line_error(pl, &name.data[i], "exporter \"%s\" has "
                                "\"%s\" in it; it is letters, digits and "
                                "\"._~-\"", buf,
                                ngx_prom_excerpt(byte, &name.data[i], 1));
            return 0;
        }
    }

    if (ngx_prom_text_is(&name, ".") || ngx_prom_text_is(&name, "..")) {
        ngx_prom_line_error(pl, name.data, "exporter \"%s\" is not a segment "
                            "of a name", buf);
        return 0;
    }

    if (host->name.len + 1 + name.len > NGX_PROM_NAME_MAX) {
        ngx_prom_line_error(pl, name.data, "target NAME/EXPORTER of %zu "
                            "bytes; %d are allowed",
                            host->name.len + 1 + name.len, NGX_PROM_NAME_MAX);
        return 0;
    }

    if (ngx_prom_port_number(colon + 1, word->len - name.len - 1) == 0) {
        ngx_prom_line_error(pl, colon + 1, "port \"%s\" of exporter \"%s\" is "
                            "not a number from 1 to 65535 without leading "
                            "zeros",
                            ngx_prom_excerpt(byte, colon + 1,
                                             word->len - name.len - 1), buf);
        return 0;
    }

    return !ngx_prom_exporter_seen(pl, host, &name);
}


static int
ngx_prom_exporter_seen(ngx_prom_line_t *pl, const ngx_prom_host_t *host,
    const ngx_prom_text_t *name)
{
    size_t               pos;
    uint16_t             port;
    ngx_prom_text_t      other;
    ngx_prom_excerpt_t   buf;

    if (host->exporters.len == 0) {
        return 0;
    }

    pos = 0;

    while (ngx_prom_hosts_exporter(host, &pos, &other, &port)) {

        if (other.len == name->len
            && memcmp(other.data, name->data, name->len) == 0)
        {
            ngx_prom_line_error(pl, name->data, "exporter \"%s\" is in the "
                                "line already",
                                ngx_prom_excerpt(buf, name->data, name->len));
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
ngx_prom_exporters_keep(ngx_prom_line_t *pl, ngx_prom_host_t *host,
    const ngx_prom_text_t *value)
{
    char      *first;
    size_t     labels;
    unsigned   i;

    first = pl->labels.data;
    labels = pl->labels.len;

    memmove(pl->out, value->data, value->len);

    ngx_prom_reverse(first, labels);
    ngx_prom_reverse(pl->out, value->len);
    ngx_prom_reverse(first, labels + value->len);

    host->exporters.data = first;
    host->exporters.len = value->len;

    pl->labels.data += value->len;
    pl->out += value->len;

    for (i = 0; i < pl->nlabels; i++) {
        pl->label[i].data += value->len;
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


/* a comment, or a second key, which is not repeated */

static void
ngx_prom_word_mistake(ngx_prom_line_t *pl, const ngx_prom_text_t *word)
{
    ngx_prom_excerpt_t  buf;

    if (ngx_prom_word_key(word) || ngx_prom_key_type(word->data, word->len)) {
        ngx_prom_line_error(pl, word->data, "a second key; a line has one");
        return;
    }

    ngx_prom_line_error(pl, word->data, "\"%s\" is the key's comment, it "
                        "seems: leave it out, or write it behind \"#\"; what "
                        "comes here is port=PORT, ports=EXPORTER:PORT,... and "
                        "LABEL=VALUE",
                        ngx_prom_excerpt(buf, word->data, word->len));
}


/* as the base64 of every key starts, and longer than any label's name is */

static int
ngx_prom_word_key(const ngx_prom_text_t *word)
{
    return word->len > NGX_PROM_KEY_WORD
           && ngx_prom_starts(word->data, word->data + word->len, "AAAA");
}


static void
ngx_prom_word_peek(const ngx_prom_line_t *pl, ngx_prom_text_t *word)
{
    char  *p;

    for (p = pl->pos; p < pl->end && !ngx_prom_blank(*p); p++) { /* void */ }

    word->data = pl->pos;
    word->len = p - pl->pos;
}


/* 0 if it isn't one */

static uint32_t
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


int
ngx_prom_hosts_exporter(const ngx_prom_host_t *host, size_t *pos,
    ngx_prom_text_t *name, uint16_t *port)
{
    char         *p, *end;
    const char   *colon;

    if (host->exporters.len == 0) {
        name->data = host->name.data + host->name.len;
        name->len = 0;
        *port = NGX_PROM_EXPORTER_PORT;

        return (*pos)++ == 0;
    }

    if (*pos >= host->exporters.len) {
        return 0;
    }

    p = host->exporters.data + *pos;
    end = host->exporters.data + host->exporters.len;

    colon = memchr(p, ':', end - p);

    name->data = p;
    name->len = colon - p;

    for (p += name->len + 1, *port = 0; p < end && *p != ','; p++) {
        *port = (uint16_t) (*port * 10 + (*p - '0'));
    }

    *pos = p + 1 - host->exporters.data;

    return 1;
}


uint16_t
ngx_prom_hosts_port(const char *name, size_t len)
{
    return (uint16_t) (NGX_PROM_PORT_FIRST
                       + ngx_prom_hash(name, len)
                         % (NGX_PROM_PORT_LAST - NGX_PROM_PORT_FIRST + 1
                            - (NGX_PROM_EXPORTERS_MAX - 1)));
}
