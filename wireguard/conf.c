/*
 * wg0.conf; see the header.  Here are its lines; what a line may say is in
 * conf_value.c.
 */


#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf_line.h"
#include "text.h"


#define CONF_NAME  24                 /* bytes of a name, at most */


static void conf_lines(conf_parse_t *parse);
static void conf_section(conf_parse_t *parse, char *p, char *end);
static void conf_line(conf_parse_t *parse, char *p, char *end);
static int conf_is_name(const ngx_prom_text_t *name);
static void conf_finish(conf_parse_t *parse);
static void conf_finish_peer(conf_parse_t *parse, uint32_t i);
static void conf_missing(conf_parse_t *parse, uint32_t line, const char *what);
static void conf_told(void *data, uint32_t line, uint32_t column,
    const char *reason);


conf_t *
conf_load(const char *dir, FILE *told)
{
    char    *text, path[CONF_PATH];
    size_t   len;

    snprintf(path, sizeof(path), "%s/wg0.conf", dir);

    text = text_read(path, &len, told);

    return text ? conf_parse(path, text, len, told) : NULL;
}


conf_t *
conf_parse(const char *path, char *text, size_t len, FILE *told)
{
    conf_t        *conf;
    conf_parse_t   parse;

    conf = calloc(1, sizeof(conf_t));
    if (conf == NULL) {
        text_fail(path, "out of memory", told);
        free(text);
        return NULL;
    }

    snprintf(conf->path, sizeof(conf->path), "%s", path);

    conf->told = told;
    conf->port = CONF_PORT;
    conf->text = text;
    conf->len = len;

    memset(&parse, 0, sizeof(parse));
    parse.conf = conf;

    conf_lines(&parse);

    if (parse.failed) {
        text_fail(conf->path, "out of memory", told);
    }

    if (parse.failed || conf->errors) {
        conf_free(conf);
        return NULL;
    }

    return conf;
}


void
conf_free(conf_t *conf)
{
    uint32_t  i;

    for (i = 0; i < conf->npeers; i++) {
        free(conf->peers[i].allowed);
    }

    if (conf->text) {
        OPENSSL_cleanse(conf->text, conf->len);
    }

    OPENSSL_cleanse(conf->key, sizeof(conf->key));

    free(conf->peers);
    free(conf->text);
    free(conf);
}


static void
conf_lines(conf_parse_t *parse)
{
    char             *p, *end, *hash;
    conf_t           *conf;
    ngx_prom_line_t  *pl;

    conf = parse->conf;
    pl = &parse->line;

    if (!ngx_prom_lines_start(pl, conf->text, conf->len, conf_told, conf,
                              &conf->errors))
    {
        return;
    }

    while (ngx_prom_line_next(pl) && !parse->failed) {
        p = pl->start;
        end = pl->end;

        hash = memchr(p, '#', end - p);

        if (hash) {
            end = hash;
        }

        while (p < end && ngx_prom_blank(*p)) {
            p++;
        }

        while (p < end && ngx_prom_blank(end[-1])) {
            end--;
        }

        if (p == end) {
            continue;
        }

        if (*p == '[') {
            conf_section(parse, p, end);

        } else {
            conf_line(parse, p, end);
        }
    }

    conf_finish(parse);
}


static void
conf_section(conf_parse_t *parse, char *p, char *end)
{
    conf_t               *conf;
    conf_peer_t          *peers;
    ngx_prom_excerpt_t    buf;

    conf = parse->conf;

    parse->seen = 0;
    parse->section = CONF_OTHER;

    if (conf_is(p, end, "[Interface]")) {
        parse->section = CONF_INTERFACE;

        if (parse->interface) {
            ngx_prom_line_error(&parse->line, p, "[Interface] is on line %u "
                                "already", (unsigned) parse->interface);
            return;
        }

        parse->interface = parse->line.number;
        return;
    }

    if (!conf_is(p, end, "[Peer]")) {
        ngx_prom_line_error(&parse->line, p, "\"%s\" is not [Interface] or "
                            "[Peer]", ngx_prom_excerpt(buf, p, end - p));
        return;
    }

    parse->section = CONF_PEER;

    peers = realloc(conf->peers, (conf->npeers + 1) * sizeof(conf_peer_t));
    if (peers == NULL) {
        parse->failed = 1;
        return;
    }

    conf->peers = peers;
    parse->peer = &peers[conf->npeers++];

    memset(parse->peer, 0, sizeof(conf_peer_t));
    parse->peer->line = parse->line.number;
}


static void
conf_line(conf_parse_t *parse, char *p, char *end)
{
    char                *equals;
    ngx_prom_text_t      name, value;
    ngx_prom_excerpt_t   buf;

    /* of a section that is wrong, nothing more is told */

    if (parse->section == CONF_OTHER) {
        return;
    }

    equals = memchr(p, '=', end - p);

    name.data = p;
    name.len = equals ? equals - p : 0;

    while (name.len && ngx_prom_blank(name.data[name.len - 1])) {
        name.len--;
    }

    if (!conf_is_name(&name)) {
        ngx_prom_line_error(&parse->line, p, "not NAME = VALUE, as lines "
                            "below a [SECTION] are");
        return;
    }

    for (p = equals + 1; p < end && ngx_prom_blank(*p); p++) { /* void */ }

    value.data = p;
    value.len = end - p;

    if (parse->section == CONF_NONE) {
        ngx_prom_line_error(&parse->line, name.data, "\"%s\" is in front of "
                            "[Interface]",
                            ngx_prom_excerpt(buf, name.data, name.len));
        return;
    }

    conf_value(parse, &name, &value);
}


/* what is none may be a key, and isn't repeated */

static int
conf_is_name(const ngx_prom_text_t *name)
{
    size_t  i;

    for (i = 0; i < name->len && i <= CONF_NAME; i++) {
        if (ngx_prom_digit(name->data[i])
            || !ngx_prom_char_in(name->data[i], ""))
        {
            return 0;
        }
    }

    return i > 0 && i <= CONF_NAME;
}


/* what is missing, and what can be told only at the end */

static void
conf_finish(conf_parse_t *parse)
{
    uint8_t    key[KEY_BYTES];
    uint32_t   i;
    conf_t    *conf;

    conf = parse->conf;

    if (parse->interface == 0) {
        conf_missing(parse, 1, "no [Interface] in the file");
        return;
    }

    if (!parse->key) {
        conf_missing(parse, parse->interface, "no PrivateKey in [Interface]; "
                     "wg genkey makes one");

    } else if (conf->errors == 0) {

        if (key_public(key, conf->key) == -1) {
            parse->failed = 1;
            return;
        }

        key_text(conf->public_key, key);
    }

    if (!parse->address) {
        conf_missing(parse, parse->interface, "no Address in [Interface]; it "
                     "is the monitor's own with the network's prefix, as in "
                     "10.87.0.1/16");
    }

    for (i = 0; i < conf->npeers; i++) {
        conf_finish_peer(parse, i);
    }
}


static void
conf_finish_peer(conf_parse_t *parse, uint32_t i)
{
    uint32_t      j;
    conf_t       *conf;
    conf_peer_t  *peer, *other;

    conf = parse->conf;
    peer = &conf->peers[i];

    if (peer->public_key.len == 0) {
        conf_missing(parse, peer->line, "no PublicKey in [Peer]");
        return;
    }

    if (ngx_prom_text_is(&peer->public_key, conf->public_key)) {
        conf_missing(parse, peer->line, "the PublicKey of this [Peer] is the "
                     "monitor's own");
        return;
    }

    for (j = 0; j < i; j++) {
        other = &conf->peers[j];

        if (other->public_key.len == peer->public_key.len
            && memcmp(other->public_key.data, peer->public_key.data,
                      peer->public_key.len) == 0)
        {
            conf_missing(parse, peer->line, "the PublicKey of this [Peer] is "
                         "that of another one already");
            return;
        }
    }
}


static void
conf_missing(conf_parse_t *parse, uint32_t line, const char *what)
{
    parse->line.number = line;
    ngx_prom_line_error(&parse->line, parse->line.start, "%s", what);
}


static void
conf_told(void *data, uint32_t line, uint32_t column, const char *reason)
{
    conf_t  *conf = data;

    if (conf->told) {
        fprintf(conf->told, "%s:%u:%u: %s\n", conf->path, (unsigned) line,
                (unsigned) column, reason);
    }
}


uint32_t
conf_last(const conf_t *conf)
{
    uint32_t  last;

    if (conf->net4.bytes == 0) {
        return CONF_NUMBER;
    }

    /* the last of all is the broadcast address */

    last = (1u << (32 - conf->net4.prefix)) - 2;

    return last < CONF_NUMBER ? last : CONF_NUMBER;
}


void
conf_address(const conf_t *conf, unsigned bytes, uint32_t number, uint8_t *ip)
{
    unsigned           i, bit;
    const conf_net_t  *net;

    net = bytes == 4 ? &conf->net4 : &conf->net6;

    memset(ip, 0, 16);

    for (bit = 0; bit < net->prefix; bit++) {
        ip[bit / 8] |= net->ip[bit / 8] & (0x80 >> bit % 8);
    }

    for (i = bytes; number; number >>= 8) {
        ip[--i] |= (uint8_t) number;
    }
}


uint32_t
conf_number(const conf_t *conf, const uint8_t *ip, unsigned bytes)
{
    uint8_t            same[16];
    uint32_t           number;
    const conf_net_t  *net;

    net = bytes == 4 ? &conf->net4 : &conf->net6;

    if (net->bytes == 0 || !conf_inside(net, ip)) {
        return 0;
    }

    number = (uint32_t) ip[bytes - 2] << 8 | ip[bytes - 1];

    if (bytes == 4) {
        number &= (1u << (32 - net->prefix)) - 1;
    }

    conf_address(conf, bytes, number, same);

    return memcmp(same, ip, bytes) == 0 ? number : 0;
}


uint32_t
conf_peer_has(const conf_t *conf, const uint8_t *ip, unsigned bytes)
{
    uint32_t           i, n;
    const conf_net_t  *net;

    for (i = 0; i < conf->npeers; i++) {
        for (n = 0; n < conf->peers[i].nallowed; n++) {
            net = &conf->peers[i].allowed[n];

            if (net->bytes == bytes && net->prefix == 8 * bytes
                && memcmp(net->ip, ip, bytes) == 0)
            {
                return conf->peers[i].line;
            }
        }
    }

    return 0;
}


int
conf_inside(const conf_net_t *net, const uint8_t *ip)
{
    unsigned  bit;

    for (bit = 0; bit < net->prefix; bit++) {
        if ((ip[bit / 8] ^ net->ip[bit / 8]) & (0x80 >> bit % 8)) {
            return 0;
        }
    }

    return 1;
}


int
conf_own(const conf_net_t *net, const uint8_t *ip)
{
    return memcmp(net->ip, ip, net->bytes) == 0;
}


void
conf_net_print(FILE *out, const conf_net_t *net)
{
    char  text[INET6_ADDRSTRLEN];

    (void) inet_ntop(net->bytes == 4 ? AF_INET : AF_INET6, net->ip, text,
                     sizeof(text));

    fprintf(out, "%s/%u", text, net->prefix);
}
