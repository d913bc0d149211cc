/*
 * What stands behind the key of a host: port=, ports= and labels.
 */


#include <string.h>

#include "ngx_prom_hosts_key.h"
#include "ngx_prom_hosts_line.h"


#define NGX_PROM_KEY_WORD  60


static int ngx_prom_host_port_parse(ngx_prom_line_t *pl,
    ngx_prom_host_t *host);
static void ngx_prom_word_mistake(ngx_prom_line_t *pl,
    const ngx_prom_text_t *word);
static int ngx_prom_word_key(const ngx_prom_text_t *word);


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

        ngx_prom_line_peek(pl, &word);

        if (ngx_prom_starts(word.data, word.data + word.len, "port=")) {
            more = ngx_prom_host_port_parse(pl, host);

        } else if (ngx_prom_starts(word.data, word.data + word.len,
                                   "ports="))
        {
            more = ngx_prom_exporters_parse(pl, &host->name, &host->exporters,
                                            &host->ports);

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


int
ngx_prom_hosts_exporter(const ngx_prom_host_t *host, size_t *pos,
    ngx_prom_text_t *name, uint16_t *port)
{
    if (host->exporters.len == 0) {
        name->data = host->name.data + host->name.len;
        name->len = 0;
        *port = NGX_PROM_EXPORTER_PORT;

        return (*pos)++ == 0;
    }

    return ngx_prom_exporters_next(&host->exporters, pos, name, port);
}


uint16_t
ngx_prom_hosts_port(const char *name, size_t len)
{
    return (uint16_t) (NGX_PROM_PORT_FIRST
                       + ngx_prom_hash(name, len)
                         % (NGX_PROM_PORT_LAST - NGX_PROM_PORT_FIRST + 1
                            - (NGX_PROM_EXPORTERS_MAX - 1)));
}
