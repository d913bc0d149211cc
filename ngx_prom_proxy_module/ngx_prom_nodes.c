/*
 * The grammar of /etc/monitoring/wireguard/nodes; see the header.
 */


#include <arpa/inet.h>
#include <string.h>

#include "ngx_prom_hosts_key.h"
#include "ngx_prom_nodes_line.h"
#include "ngx_prom_peers.h"


#define NGX_PROM_NODE_KEYS  33        /* decoded at most */

#define NGX_PROM_NODE_FORM                                                    \
    "NAME PUBLICKEY ADDRESS[,ADDRESS] [ports=PORTS] [LABEL=VALUE ...]"


/* what all lines share */

typedef struct {
    ngx_prom_nodes_t    *pn;
    ngx_prom_line_t      line;
    ngx_prom_seen_t      names;
    ngx_prom_seen_t      keys;
    ngx_prom_seen_t      addresses;
} ngx_prom_nodes_ctx_t;


static void ngx_prom_node_parse(ngx_prom_nodes_ctx_t *ctx);
static int ngx_prom_node_name(ngx_prom_nodes_ctx_t *ctx,
    ngx_prom_text_t *name);
static int ngx_prom_node_key(ngx_prom_nodes_ctx_t *ctx, ngx_prom_node_t *node);
static int ngx_prom_node_addresses(ngx_prom_nodes_ctx_t *ctx,
    ngx_prom_node_t *node);
static void ngx_prom_node_address(ngx_prom_line_t *pl, ngx_prom_node_t *node,
    const ngx_prom_text_t *word);
static int ngx_prom_node_ipv6(const ngx_prom_text_t *word, uint8_t *ip);
static const char *ngx_prom_node_ip_check(const uint8_t *ip, size_t len);
static void ngx_prom_node_words(ngx_prom_line_t *pl, ngx_prom_node_t *node);
static int ngx_prom_node_ports(ngx_prom_line_t *pl, ngx_prom_node_t *node,
    const ngx_prom_text_t *word);
static void ngx_prom_node_seen(ngx_prom_nodes_ctx_t *ctx,
    const ngx_prom_node_t *node);
static void ngx_prom_node_ip_find(ngx_prom_nodes_ctx_t *ctx,
    const ngx_prom_text_t *address, const char *ip, size_t len);


int
ngx_prom_nodes_parse(ngx_prom_nodes_t *pn, char *text, size_t len)
{
    size_t                 bound;
    ngx_prom_nodes_ctx_t   ctx;

    pn->nodes = NULL;
    pn->count = 0;
    pn->errors = 0;

    ctx.pn = pn;

    if (!ngx_prom_lines_start(&ctx.line, text, len, pn->error, pn->data,
                              &pn->errors))
    {
        return 1;
    }

    /* names of lines that are too short count, too */

    bound = ngx_prom_lines_bound(&ctx.line, 1);

    pn->nodes = ngx_prom_lines_array(pn->alloc, pn->data, bound,
                                     sizeof(ngx_prom_node_t));

    if ((pn->nodes == NULL && bound)
        || ngx_prom_seen_init(&ctx.names, pn->alloc, pn->data, bound) == -1
        || ngx_prom_seen_init(&ctx.keys, pn->alloc, pn->data, bound) == -1
        || ngx_prom_seen_init(&ctx.addresses, pn->alloc, pn->data, 2 * bound)
           == -1)
    {
        return -1;
    }

    while (ngx_prom_line_next(&ctx.line)) {
        ngx_prom_node_parse(&ctx);
    }

    if (pn->count && ngx_prom_nodes_meet(pn) == -1) {
        return -1;
    }

    return pn->errors ? 1 : 0;
}


static void
ngx_prom_node_parse(ngx_prom_nodes_ctx_t *ctx)
{
    ngx_prom_line_t   *pl;
    ngx_prom_text_t    name;
    ngx_prom_node_t   *node;
    ngx_prom_nodes_t  *pn;

    pl = &ctx->line;
    pn = ctx->pn;

    if (!ngx_prom_line_token(pl, &name)) {
        return;
    }

    node = &pn->nodes[pn->count];
    memset(node, 0, sizeof(ngx_prom_node_t));

    node->line = pl->number;
    node->column = (uint32_t) (name.data - pl->start + 1);

    if (!ngx_prom_node_name(ctx, &name)
        || !ngx_prom_node_key(ctx, node)
        || !ngx_prom_node_addresses(ctx, node))
    {
        return;
    }

    node->name = name;

    ngx_prom_node_words(pl, node);

    if (!pl->wrong) {
        ngx_prom_node_seen(ctx, node);
    }

    if (!pl->wrong) {
        pn->count++;
    }
}


static int
ngx_prom_node_name(ngx_prom_nodes_ctx_t *ctx, ngx_prom_text_t *name)
{
    uint8_t              key[NGX_PROM_NODE_KEY];
    uint32_t             other;
    ngx_prom_line_t     *pl;
    ngx_prom_excerpt_t   buf;

    pl = &ctx->line;

    if (ngx_prom_nodes_key(key, name->data, name->len)) {
        ngx_prom_line_error(pl, name->data, "a key in place of a NAME; a line "
                            "is " NGX_PROM_NODE_FORM);
        return 0;
    }

    if (!ngx_prom_name_parse(pl, name)) {
        return 0;
    }

    other = ngx_prom_seen_add(&ctx->names, name->data, name->len, pl->number);

    if (other) {
        ngx_prom_line_error(pl, name->data, "name \"%s\" is on line %u "
                            "already",
                            ngx_prom_excerpt(buf, name->data, name->len),
                            (unsigned) other);
    }

    return 1;
}


/* what isn't one is not repeated: it may be a private one that was cut */

static int
ngx_prom_node_key(ngx_prom_nodes_ctx_t *ctx, ngx_prom_node_t *node)
{
    uint8_t           key[NGX_PROM_NODE_KEY];
    uint32_t          other;
    ngx_prom_line_t  *pl;

    pl = &ctx->line;

    if (!ngx_prom_line_token(pl, &node->key)) {
        ngx_prom_line_error(pl, pl->start + node->column - 1, "no key behind "
                            "the name; a line is " NGX_PROM_NODE_FORM);
        return 0;
    }

    node->key_column = (uint32_t) (node->key.data - pl->start + 1);

    if (!ngx_prom_nodes_key(key, node->key.data, node->key.len)) {
        ngx_prom_line_error(pl, node->key.data, "not a public key, which is "
                            "44 characters of base64, as wg pubkey prints; a "
                            "line is " NGX_PROM_NODE_FORM);
        return 0;
    }

    other = ngx_prom_seen_add(&ctx->keys, node->key.data, node->key.len,
                              pl->number);

    if (other) {
        ngx_prom_line_error(pl, node->key.data, "key is on line %u already; "
                            "each node has one of its own", (unsigned) other);
    }

    return 1;
}


int
ngx_prom_nodes_key(uint8_t *key, const char *base64, size_t len)
{
    size_t   i;
    uint8_t  bytes[NGX_PROM_NODE_KEYS], any;

    if (len != NGX_PROM_NODE_BASE64
        || ngx_prom_base64_decode(bytes, base64, len) != NGX_PROM_NODE_KEY)
    {
        return 0;
    }

    any = 0;

    for (i = 0; i < NGX_PROM_NODE_KEY; i++) {
        key[i] = bytes[i];
        any |= bytes[i];
    }

    return any != 0;
}


/* returns 0 where the rest can't be told apart any more */

static int
ngx_prom_node_addresses(ngx_prom_nodes_ctx_t *ctx, ngx_prom_node_t *node)
{
    char             *comma, *end;
    ngx_prom_line_t  *pl;
    ngx_prom_text_t   word;

    pl = &ctx->line;

    if (!ngx_prom_line_token(pl, &word)) {
        ngx_prom_line_error(pl, node->key.data, "no address behind the key; a "
                            "line is " NGX_PROM_NODE_FORM);
        return 0;
    }

    node->address_column = (uint32_t) (word.data - pl->start + 1);

    end = word.data + word.len;

    do {
        comma = memchr(word.data, ',', end - word.data);
        word.len = (comma ? comma : end) - word.data;

        ngx_prom_node_address(pl, node, &word);

        word.data += word.len + 1;

    } while (comma && !pl->wrong);

    return 1;
}


static void
ngx_prom_node_address(ngx_prom_line_t *pl, ngx_prom_node_t *node,
    const ngx_prom_text_t *word)
{
    size_t               len;
    uint8_t              ip[16];
    const char          *wrong;
    ngx_prom_text_t     *address;
    ngx_prom_excerpt_t   buf;

    ngx_prom_excerpt(buf, word->data, word->len);

    if (ngx_prom_ipv4_parse(word, ip)) {
        address = &node->address4;
        len = 4;

    } else if (ngx_prom_node_ipv6(word, ip)) {
        address = &node->address6;
        len = 16;

    } else if (memchr(word->data, '/', word->len)) {
        ngx_prom_line_error(pl, word->data, "address \"%s\" has a prefix; a "
                            "node has one address, without it", buf);
        return;

    } else {
        ngx_prom_line_error(pl, word->data, "\"%s\" is not an address, such "
                            "as 10.87.0.2 or fd00::2; a line is "
                            NGX_PROM_NODE_FORM, buf);
        return;
    }

    wrong = ngx_prom_node_ip_check(ip, len);

    if (wrong) {
        ngx_prom_line_error(pl, word->data, "address \"%s\" is %s; it is the "
                            "node's own in the network", buf, wrong);
        return;
    }

    if (address->len) {
        ngx_prom_line_error(pl, word->data, "address \"%s\" is a second one "
                            "of %s; a node has at most one", buf,
                            len == 4 ? "IPv4" : "IPv6");
        return;
    }

    *address = *word;
    memcpy(len == 4 ? node->ip4 : node->ip6, ip, len);
}


static int
ngx_prom_node_ipv6(const ngx_prom_text_t *word, uint8_t *ip)
{
    char  text[INET6_ADDRSTRLEN];

    if (word->len >= sizeof(text)) {
        return 0;
    }

    memcpy(text, word->data, word->len);
    text[word->len] = '\0';

    return inet_pton(AF_INET6, text, ip) == 1;
}


/* says what none can have that is reached, or NULL */

static const char *
ngx_prom_node_ip_check(const uint8_t *ip, size_t len)
{
    static const uint8_t  zero[16];

    if (len == 4) {
        return ip[0] == 0 ? "of no machine"
               : ip[0] == 127 ? "a loopback one"
               : ip[0] >= 224 ? "of no single machine" : NULL;
    }

    if (memcmp(ip, zero, 10) == 0) {
        return ip[10] == 0xff ? "one of IPv4 in disguise"
               : memcmp(ip, zero, 15) == 0 && ip[15] == 1 ? "a loopback one"
               : "of no machine";
    }

    return ip[0] == 0xff ? "of no single machine"
           : ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80 ? "a link-local one"
           : NULL;
}


static void
ngx_prom_node_words(ngx_prom_line_t *pl, ngx_prom_node_t *node)
{
    int                  more;
    ngx_prom_text_t      word;
    ngx_prom_excerpt_t   buf;

    ngx_prom_labels_start(pl);

    do {
        if (!ngx_prom_line_more(pl)) {
            break;
        }

        ngx_prom_line_peek(pl, &word);

        if (ngx_prom_starts(word.data, word.data + word.len, "ports=")) {
            more = ngx_prom_node_ports(pl, node, &word);

        } else if (ngx_prom_starts(word.data, word.data + word.len, "port=")) {
            ngx_prom_line_error(pl, word.data, "\"port=\" is of a hosts file; "
                                "here it is ports=PORT or "
                                "ports=EXPORTER:PORT,...");
            more = 0;

        } else if (memchr(word.data, '=', word.len) == NULL) {
            ngx_prom_line_error(pl, word.data, "\"%s\" has no \"=\"; what "
                                "comes here is ports=PORTS and LABEL=VALUE, "
                                "with spaces LABEL=\"VALUE\"",
                                ngx_prom_excerpt(buf, word.data, word.len));
            more = 0;

        } else {
            more = ngx_prom_label_parse(pl);
        }

    } while (more);

    if (node->port == 0 && node->exporters.len == 0) {
        node->port = NGX_PROM_EXPORTER_PORT;
    }

    node->labels = pl->labels;
}


/* one port alone, or as a host's */

static int
ngx_prom_node_ports(ngx_prom_line_t *pl, ngx_prom_node_t *node,
    const ngx_prom_text_t *word)
{
    char                *p;
    size_t               len;
    uint16_t             ports;
    ngx_prom_excerpt_t   buf;

    p = word->data + sizeof("ports=") - 1;
    len = word->len - (sizeof("ports=") - 1);

    if (len && node->port == 0
        && (memchr(p, ':', len) || memchr(p, ',', len)))
    {
        return ngx_prom_exporters_parse(pl, &node->name, &node->exporters,
                                        &ports);
    }

    pl->pos = p + len;

    if (node->port || node->exporters.len) {
        ngx_prom_line_error(pl, word->data, "\"ports=\" is in the line "
                            "already");
        return 1;
    }

    node->port = (uint16_t) ngx_prom_port_number(p, len);

    if (node->port == 0) {
        ngx_prom_line_error(pl, len ? p : p - 1, "\"%s\" is not PORT, from 1 "
                            "to 65535, or EXPORTER:PORT,..., as in "
                            "ports=node:9100,mysqld:9104",
                            ngx_prom_excerpt(buf, p, len));
    }

    return 1;
}


/* their bytes stay where they are only if the line is right */

static void
ngx_prom_node_seen(ngx_prom_nodes_ctx_t *ctx, const ngx_prom_node_t *node)
{
    const char       *ip4, *ip6;
    ngx_prom_line_t  *pl;

    pl = &ctx->line;

    ip4 = node->address4.len ? (const char *) node->ip4 : NULL;
    ip6 = node->address6.len ? (const char *) node->ip6 : NULL;

    if (ip4) {
        ngx_prom_node_ip_find(ctx, &node->address4, ip4, 4);
    }

    if (ip6) {
        ngx_prom_node_ip_find(ctx, &node->address6, ip6, 16);
    }

    if (ip4 && !pl->wrong) {
        (void) ngx_prom_seen_add(&ctx->addresses, ip4, 4, node->line);
    }

    if (ip6 && !pl->wrong) {
        (void) ngx_prom_seen_add(&ctx->addresses, ip6, 16, node->line);
    }
}


static void
ngx_prom_node_ip_find(ngx_prom_nodes_ctx_t *ctx,
    const ngx_prom_text_t *address, const char *ip, size_t len)
{
    uint32_t             other;
    ngx_prom_excerpt_t   buf;

    other = ngx_prom_seen_find(&ctx->addresses, ip, len);

    if (other) {
        ngx_prom_line_error(&ctx->line, address->data, "address \"%s\" is on "
                            "line %u already",
                            ngx_prom_excerpt(buf, address->data, address->len),
                            (unsigned) other);
    }
}


int
ngx_prom_nodes_exporter(const ngx_prom_node_t *node, size_t *pos,
    ngx_prom_text_t *name, uint16_t *port)
{
    if (node->exporters.len == 0) {
        name->data = node->name.data + node->name.len;
        name->len = 0;
        *port = node->port;

        return (*pos)++ == 0;
    }

    return ngx_prom_exporters_next(&node->exporters, pos, name, port);
}


uint16_t
ngx_prom_nodes_number(const ngx_prom_node_t *node)
{
    return (uint16_t) (node->address4.len
                       ? ngx_prom_peers_number(node->ip4, 4)
                       : ngx_prom_peers_number(node->ip6, 16));
}


const ngx_prom_node_t *
ngx_prom_nodes_find(const ngx_prom_nodes_t *pn, const char *name, size_t len)
{
    uint32_t                i;
    const ngx_prom_node_t  *node;

    for (i = 0; i < pn->count; i++) {
        node = &pn->nodes[i];

        if (node->name.len == len && memcmp(node->name.data, name, len) == 0) {
            return node;
        }
    }

    return NULL;
}
