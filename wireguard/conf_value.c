/*
 * NAME = VALUE of wg0.conf.  No message has the value of what may be a private
 * key.
 */


#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf_line.h"
#include "ngx_prom_nodes.h"


#define CONF_INTERFACE_FORM  "PrivateKey, ListenPort, Address and MTU"
#define CONF_PEER_FORM       "PublicKey, PresharedKey, AllowedIPs, Endpoint " \
                             "and PersistentKeepalive"

#define CONF_PREFIX4_LEAST   16
#define CONF_PREFIX4_MOST    30
#define CONF_PREFIX6_LEAST   64
#define CONF_PREFIX6_MOST    112

#define CONF_MTU_LEAST       1280     /* that IPv6 needs */
#define CONF_ENDPOINT        255      /* bytes of its host */


typedef void (*conf_value_pt)(conf_parse_t *parse,
    const ngx_prom_text_t *value);

typedef struct {
    const char          *name;
    conf_section_e       section;
    int                  again;       /* it may be there more than once */
    conf_value_pt        take;        /* NULL: not allowed */
} conf_name_t;


static void conf_private_key(conf_parse_t *parse,
    const ngx_prom_text_t *value);
static void conf_port(conf_parse_t *parse, const ngx_prom_text_t *value);
static void conf_mtu(conf_parse_t *parse, const ngx_prom_text_t *value);
static void conf_address_list(conf_parse_t *parse,
    const ngx_prom_text_t *value);
static void conf_own_address(conf_parse_t *parse,
    const ngx_prom_text_t *word);
static int conf_is_private(const uint8_t *ip);
static void conf_public_key(conf_parse_t *parse, const ngx_prom_text_t *value);
static void conf_preshared_key(conf_parse_t *parse,
    const ngx_prom_text_t *value);
static void conf_allowed_ips(conf_parse_t *parse,
    const ngx_prom_text_t *value);
static void conf_allowed_ip(conf_parse_t *parse, const ngx_prom_text_t *word);
static void conf_endpoint(conf_parse_t *parse, const ngx_prom_text_t *value);
static void conf_keepalive(conf_parse_t *parse, const ngx_prom_text_t *value);
static void conf_list(conf_parse_t *parse, const ngx_prom_text_t *value,
    conf_value_pt take);
static int conf_net(conf_net_t *net, const ngx_prom_text_t *word);
static int conf_number_of(const char *p, size_t len, unsigned max);


static const conf_name_t  conf_names[] = {
    { "PrivateKey",          CONF_INTERFACE, 0, conf_private_key },
    { "ListenPort",          CONF_INTERFACE, 0, conf_port },
    { "Address",             CONF_INTERFACE, 1, conf_address_list },
    { "MTU",                 CONF_INTERFACE, 0, conf_mtu },
    { "PreUp",               CONF_INTERFACE, 1, NULL },
    { "PostUp",              CONF_INTERFACE, 1, NULL },
    { "PreDown",             CONF_INTERFACE, 1, NULL },
    { "PostDown",            CONF_INTERFACE, 1, NULL },
    { "DNS",                 CONF_INTERFACE, 1, NULL },
    { "Table",               CONF_INTERFACE, 1, NULL },
    { "SaveConfig",          CONF_INTERFACE, 1, NULL },
    { "FwMark",              CONF_INTERFACE, 1, NULL },
    { "PublicKey",           CONF_PEER,      0, conf_public_key },
    { "PresharedKey",        CONF_PEER,      0, conf_preshared_key },
    { "AllowedIPs",          CONF_PEER,      1, conf_allowed_ips },
    { "Endpoint",            CONF_PEER,      0, conf_endpoint },
    { "PersistentKeepalive", CONF_PEER,      0, conf_keepalive },
    { NULL,                  CONF_OTHER,     0, NULL }
};


void
conf_value(conf_parse_t *parse, const ngx_prom_text_t *name,
    const ngx_prom_text_t *value)
{
    unsigned             bit;
    const conf_name_t   *known;
    ngx_prom_excerpt_t   buf;

    ngx_prom_excerpt(buf, name->data, name->len);

    for (known = conf_names; known->name; known++) {
        if (conf_is(name->data, name->data + name->len, known->name)
            && known->section == parse->section)
        {
            break;
        }
    }

    if (known->name == NULL) {
        ngx_prom_line_error(&parse->line, name->data, "\"%s\" is nothing that "
                            "%s has; %s are allowed", buf,
                            parse->section == CONF_PEER ? "[Peer]"
                                                        : "[Interface]",
                            parse->section == CONF_PEER ? CONF_PEER_FORM
                                                        : CONF_INTERFACE_FORM);
        return;
    }

    if (known->take == NULL) {
        ngx_prom_line_error(&parse->line, name->data, "%s is not allowed: the "
                            "proxy sets the interface up by itself, and "
                            "executes nothing of this file; "
                            CONF_INTERFACE_FORM " are allowed", known->name);
        return;
    }

    bit = 1u << (known - conf_names);

    if (parse->seen & bit && !known->again) {
        ngx_prom_line_error(&parse->line, name->data, "%s is in the section "
                            "already", known->name);
        return;
    }

    parse->seen |= bit;

    if (value->len == 0) {
        ngx_prom_line_error(&parse->line, name->data, "%s has no value",
                            known->name);
        return;
    }

    known->take(parse, value);
}


int
conf_is(const char *p, const char *end, const char *s)
{
    size_t  len;

    len = strlen(s);

    return (size_t) (end - p) == len && strncasecmp(p, s, len) == 0;
}


static void
conf_private_key(conf_parse_t *parse, const ngx_prom_text_t *value)
{
    parse->key = 1;

    if (!ngx_prom_nodes_key(parse->conf->key, value->data, value->len)) {
        ngx_prom_line_error(&parse->line, value->data, "not a private key, "
                            "which is 44 characters of base64, as wg genkey "
                            "prints");
    }
}


static void
conf_port(conf_parse_t *parse, const ngx_prom_text_t *value)
{
    uint32_t             port;
    ngx_prom_excerpt_t   buf;

    port = ngx_prom_port_number(value->data, value->len);

    if (port == 0) {
        ngx_prom_line_error(&parse->line, value->data, "port \"%s\" is not a "
                            "number from 1 to 65535 without leading zeros",
                            ngx_prom_excerpt(buf, value->data, value->len));
        return;
    }

    parse->conf->port = port;
}


static void
conf_mtu(conf_parse_t *parse, const ngx_prom_text_t *value)
{
    int                  mtu;
    ngx_prom_excerpt_t   buf;

    mtu = conf_number_of(value->data, value->len, 65535);

    if (mtu < CONF_MTU_LEAST) {
        ngx_prom_line_error(&parse->line, value->data, "MTU \"%s\" is not a "
                            "number from %d to 65535",
                            ngx_prom_excerpt(buf, value->data, value->len),
                            CONF_MTU_LEAST);
        return;
    }

    parse->conf->mtu = (unsigned) mtu;
}


static void
conf_address_list(conf_parse_t *parse, const ngx_prom_text_t *value)
{
    parse->address = 1;
    conf_list(parse, value, conf_own_address);
}


static void
conf_own_address(conf_parse_t *parse, const ngx_prom_text_t *word)
{
    int                  four;
    uint32_t             host, all;
    unsigned             least, most;
    conf_net_t           net, *own;
    ngx_prom_excerpt_t   buf;

    ngx_prom_excerpt(buf, word->data, word->len);

    if (!conf_net(&net, word) || memchr(word->data, '/', word->len) == NULL) {
        ngx_prom_line_error(&parse->line, word->data, "\"%s\" is not "
                            "ADDRESS/PREFIX, such as 10.87.0.1/16 or "
                            "fd00::1/64", buf);
        return;
    }

    four = net.bytes == 4;
    own = four ? &parse->conf->net4 : &parse->conf->net6;
    least = four ? CONF_PREFIX4_LEAST : CONF_PREFIX6_LEAST;
    most = four ? CONF_PREFIX4_MOST : CONF_PREFIX6_MOST;

    if (own->bytes) {
        ngx_prom_line_error(&parse->line, word->data, "\"%s\" is a second "
                            "address of %s; one is allowed", buf,
                            four ? "IPv4" : "IPv6");
        return;
    }

    if (net.prefix < least || net.prefix > most) {
        ngx_prom_line_error(&parse->line, word->data, "prefix of \"%s\" is "
                            "not from /%u to /%u; nodes get their addresses "
                            "from this network", buf, least, most);
        return;
    }

    if (!four && (net.ip[0] & 0xfe) != 0xfc) {
        ngx_prom_line_error(&parse->line, word->data, "\"%s\" is not in "
                            "fc00::/7, where private networks of IPv6 are",
                            buf);
        return;
    }

    if (four && !conf_is_private(net.ip)) {
        ngx_prom_line_error(&parse->line, word->data, "\"%s\" is in none of "
                            "10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 and "
                            "100.64.0.0/10, where private networks of IPv4 "
                            "are", buf);
        return;
    }

    if (four) {
        all = (1u << (32 - net.prefix)) - 1;
        host = ((uint32_t) net.ip[2] << 8 | net.ip[3]) & all;

        if (host == 0 || host == all) {
            ngx_prom_line_error(&parse->line, word->data, "\"%s\" is the "
                                "address of the network, not that of the "
                                "monitor in it", buf);
            return;
        }
    }

    *own = net;
}


/* nodes take no other: who has the proxy must not get their way elsewhere */

static int
conf_is_private(const uint8_t *ip)
{
    return ip[0] == 10
           || (ip[0] == 172 && (ip[1] & 0xf0) == 16)
           || (ip[0] == 192 && ip[1] == 168)
           || (ip[0] == 100 && (ip[1] & 0xc0) == 64);
}


static void
conf_public_key(conf_parse_t *parse, const ngx_prom_text_t *value)
{
    uint8_t  key[KEY_BYTES];

    if (!ngx_prom_nodes_key(key, value->data, value->len)) {
        ngx_prom_line_error(&parse->line, value->data, "not a public key, "
                            "which is 44 characters of base64, as wg pubkey "
                            "prints");
    }

    /* one that is wrong is there all the same */

    parse->peer->public_key = *value;
}


static void
conf_preshared_key(conf_parse_t *parse, const ngx_prom_text_t *value)
{
    uint8_t  key[KEY_BYTES];

    if (!ngx_prom_nodes_key(key, value->data, value->len)) {
        ngx_prom_line_error(&parse->line, value->data, "not a preshared key, "
                            "which is 44 characters of base64, as wg genpsk "
                            "prints");
        return;
    }

    parse->peer->preshared_key = *value;
}


static void
conf_allowed_ips(conf_parse_t *parse, const ngx_prom_text_t *value)
{
    conf_list(parse, value, conf_allowed_ip);
}


static void
conf_allowed_ip(conf_parse_t *parse, const ngx_prom_text_t *word)
{
    conf_net_t           net, *allowed;
    conf_peer_t         *peer;
    ngx_prom_excerpt_t   buf;

    if (!conf_net(&net, word)) {
        ngx_prom_line_error(&parse->line, word->data, "\"%s\" is not "
                            "ADDRESS/PREFIX",
                            ngx_prom_excerpt(buf, word->data, word->len));
        return;
    }

    peer = parse->peer;

    allowed = realloc(peer->allowed,
                      (peer->nallowed + 1) * sizeof(conf_net_t));
    if (allowed == NULL) {
        parse->failed = 1;
        return;
    }

    allowed[peer->nallowed++] = net;
    peer->allowed = allowed;
}


/* HOST:PORT, or [IPv6]:PORT */

static void
conf_endpoint(conf_parse_t *parse, const ngx_prom_text_t *value)
{
    size_t               i, len;
    const char          *colon, *others;
    ngx_prom_excerpt_t   buf;

    for (colon = value->data + value->len; colon > value->data; colon--) {
        if (colon[-1] == ':') {
            break;
        }
    }

    len = colon > value->data ? (size_t) (colon - value->data) - 1 : 0;
    others = ".-_";

    if (len > 2 && value->data[0] == '[' && value->data[len - 1] == ']') {
        others = "[]:.";
    }

    for (i = 0; i < len && ngx_prom_char_in(value->data[i], others); i++) {
        /* void */
    }

    if (len == 0 || i < len || len > CONF_ENDPOINT
        || ngx_prom_port_number(colon, value->data + value->len - colon) == 0)
    {
        ngx_prom_line_error(&parse->line, value->data, "\"%s\" is not "
                            "HOST:PORT",
                            ngx_prom_excerpt(buf, value->data, value->len));
        return;
    }

    parse->peer->endpoint = *value;
}


static void
conf_keepalive(conf_parse_t *parse, const ngx_prom_text_t *value)
{
    ngx_prom_excerpt_t  buf;

    if (!conf_is(value->data, value->data + value->len, "off")
        && conf_number_of(value->data, value->len, 65535) == -1)
    {
        ngx_prom_line_error(&parse->line, value->data, "\"%s\" is not a "
                            "number of seconds, from 0 to 65535, or off",
                            ngx_prom_excerpt(buf, value->data, value->len));
        return;
    }

    parse->peer->keepalive = *value;
}


/* words between commas, with blanks around them */

static void
conf_list(conf_parse_t *parse, const ngx_prom_text_t *value,
    conf_value_pt take)
{
    char             *p, *end, *comma;
    ngx_prom_text_t   word;

    p = value->data;
    end = p + value->len;

    for ( ;; ) {
        comma = memchr(p, ',', end - p);

        word.data = p;
        word.len = (comma ? comma : end) - p;

        while (word.len && ngx_prom_blank(*word.data)) {
            word.data++;
            word.len--;
        }

        while (word.len && ngx_prom_blank(word.data[word.len - 1])) {
            word.len--;
        }

        take(parse, &word);

        if (comma == NULL) {
            return;
        }

        p = comma + 1;
    }
}


/* without a prefix, it is a single address */

static int
conf_net(conf_net_t *net, const ngx_prom_text_t *word)
{
    int          prefix;
    char         text[INET6_ADDRSTRLEN];
    size_t       len;
    const char  *slash;

    memset(net, 0, sizeof(conf_net_t));

    slash = memchr(word->data, '/', word->len);
    len = slash ? (size_t) (slash - word->data) : word->len;

    if (len >= sizeof(text)) {
        return 0;
    }

    memcpy(text, word->data, len);
    text[len] = '\0';

    if (inet_pton(AF_INET, text, net->ip) == 1) {
        net->bytes = 4;

    } else if (inet_pton(AF_INET6, text, net->ip) == 1) {
        net->bytes = 16;

    } else {
        return 0;
    }

    net->prefix = 8 * net->bytes;

    if (slash) {
        prefix = conf_number_of(slash + 1, word->len - len - 1, net->prefix);

        if (prefix == -1) {
            return 0;
        }

        net->prefix = (unsigned) prefix;
    }

    return 1;
}


/* without leading zeros; -1 if it isn't one */

static int
conf_number_of(const char *p, size_t len, unsigned max)
{
    size_t    i;
    unsigned  n;

    if (len == 0 || (len > 1 && p[0] == '0')) {
        return -1;
    }

    n = 0;

    for (i = 0; i < len; i++) {
        if (!ngx_prom_digit(p[i])) {
            return -1;
        }

        n = n * 10 + (unsigned) (p[i] - '0');

        if (n > max) {
            return -1;
        }
    }

    return (int) n;
}
