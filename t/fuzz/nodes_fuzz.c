/*
 * Feeds the grammar of nodes with anything, and checks what must hold of
 * whatever comes out.  t/01-fuzz.t builds and runs it.
 */


#define _POSIX_C_SOURCE  200809L

#include <arpa/inet.h>

#include "ngx_prom_nodes.h"
#include "fuzz.h"


#define FUZZ_UNIQUE    64


typedef struct {
    ngx_prom_nodes_t     pn;
    fuzz_text_t          text;
} fuzz_parse_t;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int fuzz_parse(fuzz_parse_t *parse, const char *data, size_t len);
static void fuzz_node(const fuzz_parse_t *parse, const ngx_prom_node_t *node);
static void fuzz_address(const fuzz_parse_t *parse, int family,
    const ngx_prom_text_t *address, const uint8_t *ip);
static void fuzz_twice(const fuzz_parse_t *parse, uint32_t i);
static void fuzz_merge(fuzz_parse_t *parse);
static void fuzz_target(const ngx_prom_target_t *target);
static void fuzz_again(const fuzz_parse_t *parse);
static void fuzz_write_node(FILE *out, const ngx_prom_node_t *node);
static void fuzz_inside(const fuzz_parse_t *parse,
    const ngx_prom_text_t *text);
static int fuzz_equal(const ngx_prom_text_t *a, const ngx_prom_text_t *b);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int           rc;
    uint32_t      i;
    fuzz_parse_t  parse;

    rc = fuzz_parse(&parse, (const char *) data, size);

    FUZZ_CHECK(rc == (parse.pn.errors ? 1 : 0));
    FUZZ_CHECK(parse.text.told == (parse.pn.errors < NGX_PROM_ERRORS_MAX
                                   ? parse.pn.errors : NGX_PROM_ERRORS_MAX));

    for (i = 0; i < parse.pn.count; i++) {
        fuzz_node(&parse, &parse.pn.nodes[i]);
        fuzz_twice(&parse, i);

        FUZZ_CHECK(i == 0 || parse.pn.nodes[i].line
                             > parse.pn.nodes[i - 1].line);
    }

    if (rc == 0) {
        fuzz_merge(&parse);
        fuzz_again(&parse);
    }

    fuzz_text_free(&parse.text);

    return 0;
}


static int
fuzz_parse(fuzz_parse_t *parse, const char *data, size_t len)
{
    memset(parse, 0, sizeof(fuzz_parse_t));

    fuzz_text_init(&parse->text, data, len);

    parse->pn.alloc = fuzz_text_alloc;
    parse->pn.error = fuzz_text_error;
    parse->pn.data = &parse->text;

    return ngx_prom_nodes_parse(&parse->pn, parse->text.data, len);
}


static void
fuzz_node(const fuzz_parse_t *parse, const ngx_prom_node_t *node)
{
    size_t           pos;
    uint8_t          key[NGX_PROM_NODE_KEY];
    unsigned         n;
    uint16_t         port;
    ngx_prom_text_t  name;

    fuzz_inside(parse, &node->name);
    fuzz_inside(parse, &node->key);
    fuzz_inside(parse, &node->labels);

    FUZZ_CHECK(node->name.len > 0 && node->name.len <= NGX_PROM_NAME_MAX);
    FUZZ_CHECK(node->key.len == NGX_PROM_NODE_BASE64);
    FUZZ_CHECK(ngx_prom_nodes_key(key, node->key.data, node->key.len));

    FUZZ_CHECK(node->column >= 1 && node->key_column > node->column);
    FUZZ_CHECK(node->address_column > node->key_column);

    FUZZ_CHECK(node->address4.len || node->address6.len);
    fuzz_address(parse, AF_INET, &node->address4, node->ip4);
    fuzz_address(parse, AF_INET6, &node->address6, node->ip6);

    pos = 0;

    for (n = 0; ngx_prom_nodes_exporter(node, &pos, &name, &port); n++) {
        FUZZ_CHECK(port > 0);
        FUZZ_CHECK((name.len == 0) == (node->exporters.len == 0));
        FUZZ_CHECK((name.len == 0) == (node->port != 0));

        if (name.len) {
            fuzz_inside(parse, &name);
            FUZZ_CHECK(memchr(name.data, '/', name.len) == NULL);
        }
    }

    FUZZ_CHECK(n >= 1);
}


static void
fuzz_address(const fuzz_parse_t *parse, int family,
    const ngx_prom_text_t *address, const uint8_t *ip)
{
    char     text[INET6_ADDRSTRLEN];
    uint8_t  bytes[16];

    if (address->len == 0) {
        return;
    }

    fuzz_inside(parse, address);

    FUZZ_CHECK(address->len < sizeof(text));
    memcpy(text, address->data, address->len);
    text[address->len] = '\0';

    FUZZ_CHECK(inet_pton(family, text, bytes) == 1);
    FUZZ_CHECK(memcmp(bytes, ip, family == AF_INET ? 4 : 16) == 0);
}


static void
fuzz_twice(const fuzz_parse_t *parse, uint32_t i)
{
    uint32_t                j;
    const ngx_prom_node_t  *node, *other;

    node = &parse->pn.nodes[i];

    for (j = 0; j < i && j < FUZZ_UNIQUE; j++) {
        other = &parse->pn.nodes[j];

        FUZZ_CHECK(!fuzz_equal(&node->name, &other->name));
        FUZZ_CHECK(!fuzz_equal(&node->key, &other->key));
        FUZZ_CHECK(node->address4.len == 0 || other->address4.len == 0
                   || memcmp(node->ip4, other->ip4, 4) != 0);
        FUZZ_CHECK(node->address6.len == 0 || other->address6.len == 0
                   || memcmp(node->ip6, other->ip6, 16) != 0);
    }
}


/* each exporter makes one target, whose name no other has */

static void
fuzz_merge(fuzz_parse_t *parse)
{
    size_t               pos;
    uint16_t             port;
    uint32_t             i, j, count;
    ngx_prom_text_t      name;
    ngx_prom_targets_t   pt;

    memset(&pt, 0, sizeof(pt));
    pt.alloc = fuzz_text_alloc;
    pt.error = fuzz_text_error;
    pt.data = &parse->text;

    FUZZ_CHECK(ngx_prom_nodes_merge(&parse->pn, &pt) == 0);

    count = 0;

    for (i = 0; i < parse->pn.count; i++) {
        pos = 0;

        while (ngx_prom_nodes_exporter(&parse->pn.nodes[i], &pos, &name,
                                       &port))
        {
            count++;
        }
    }

    FUZZ_CHECK(pt.count == count);

    for (i = 0; i < pt.count; i++) {
        fuzz_target(&pt.targets[i]);

        for (j = 0; j < i && j < FUZZ_UNIQUE; j++) {
            FUZZ_CHECK(!fuzz_equal(&pt.targets[i].name, &pt.targets[j].name));
        }
    }
}


/* what it dials is what the grammar of targets makes of its address */

static void
fuzz_target(const ngx_prom_target_t *target)
{
    char                 line[128];
    size_t               pos;
    fuzz_text_t          text;
    const char          *name, *value;
    ngx_prom_target_t   *same;
    ngx_prom_targets_t   pt;

    FUZZ_CHECK(target->name.len > 0 && target->name.len <= NGX_PROM_NAME_MAX);
    FUZZ_CHECK(target->port && target->tunnel == 0 && target->node);

    snprintf(line, sizeof(line), "%.*s a", (int) target->address.len,
             target->address.data);
    fuzz_text_init(&text, line, strlen(line));

    memset(&pt, 0, sizeof(pt));
    pt.alloc = fuzz_text_alloc;
    pt.error = fuzz_text_error;
    pt.data = &text;

    FUZZ_CHECK(ngx_prom_targets_parse(&pt, text.data, text.len) == 0);
    FUZZ_CHECK(pt.count == 1);

    same = &pt.targets[0];

    FUZZ_CHECK(fuzz_equal(&target->authority, &same->authority));
    FUZZ_CHECK(fuzz_equal(&target->host, &same->host));
    FUZZ_CHECK(target->kind == same->kind && target->port == same->port);
    FUZZ_CHECK(memcmp(target->ip, same->ip, 16) == 0);
    FUZZ_CHECK(target->base.len == 0 && same->base.len == 0);

    fuzz_text_free(&text);

    pos = 0;

    while (ngx_prom_targets_label(target, &pos, &name, &value)) {
        FUZZ_CHECK(pos <= target->labels.len && *name != '\0');
        FUZZ_CHECK(strlen(value) <= NGX_PROM_VALUE_MAX);
    }

    FUZZ_CHECK(pos == target->labels.len);
}


/* what was right, written anew, is right and the same */

static void
fuzz_again(const fuzz_parse_t *parse)
{
    char             *text;
    FILE             *out;
    size_t            len;
    uint32_t          i;
    fuzz_parse_t      again;
    ngx_prom_node_t  *node, *same;

    out = open_memstream(&text, &len);
    FUZZ_CHECK(out != NULL);

    for (i = 0; i < parse->pn.count; i++) {
        fuzz_write_node(out, &parse->pn.nodes[i]);
    }

    FUZZ_CHECK(fclose(out) == 0);
    FUZZ_CHECK(fuzz_parse(&again, text, len) == 0);
    FUZZ_CHECK(again.pn.count == parse->pn.count);

    for (i = 0; i < parse->pn.count; i++) {
        node = &parse->pn.nodes[i];
        same = &again.pn.nodes[i];

        FUZZ_CHECK(fuzz_equal(&node->name, &same->name));
        FUZZ_CHECK(fuzz_equal(&node->key, &same->key));
        FUZZ_CHECK(fuzz_equal(&node->exporters, &same->exporters));
        FUZZ_CHECK(memcmp(node->ip4, same->ip4, 4) == 0);
        FUZZ_CHECK(memcmp(node->ip6, same->ip6, 16) == 0);
        FUZZ_CHECK(node->port == same->port);
    }

    fuzz_text_free(&again.text);
    free(text);
}


static void
fuzz_write_node(FILE *out, const ngx_prom_node_t *node)
{
    const ngx_prom_text_t  *text;

    fprintf(out, "%.*s %.*s ", (int) node->name.len, node->name.data,
            (int) node->key.len, node->key.data);

    text = &node->address4;

    if (text->len) {
        fprintf(out, "%.*s", (int) text->len, text->data);
    }

    text = &node->address6;

    if (text->len) {
        fprintf(out, "%s%.*s", node->address4.len ? "," : "", (int) text->len,
                text->data);
    }

    text = &node->exporters;

    if (text->len) {
        fprintf(out, " ports=%.*s", (int) text->len, text->data);

    } else {
        fprintf(out, " ports=%u", (unsigned) node->port);
    }

    putc('\n', out);
}


static void
fuzz_inside(const fuzz_parse_t *parse, const ngx_prom_text_t *text)
{
    FUZZ_CHECK(text->data >= parse->text.data);
    FUZZ_CHECK(text->data + text->len
               <= parse->text.data + parse->text.len + 1);
}


static int
fuzz_equal(const ngx_prom_text_t *a, const ngx_prom_text_t *b)
{
    return a->len == b->len
           && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}
