/*
 * Feeds the allow-list with anything, and compares what its index answers with
 * a walk over all rules, at the edges of what the rules say.  t/01-fuzz.t
 * builds and runs it.
 */


#define _GNU_SOURCE

#include "fuzz.h"
#include "ngx_prom_rules_index.h"
#include "rules_walk.h"


#define FUZZ_RULES   16          /* that are walked over */


typedef struct {
    fuzz_text_t          text;
    ngx_prom_rules_t     rules;
} fuzz_parse_t;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_rule(const fuzz_parse_t *parse, const ngx_prom_rule_t *rule);
static void fuzz_key(const ngx_prom_rules_t *rules,
    const ngx_prom_rules_key_t *key);
static void fuzz_network(const ngx_prom_rules_t *rules,
    const ngx_prom_rules_key_t *key);
static void fuzz_name(const ngx_prom_rules_t *rules,
    const ngx_prom_rules_key_t *key);
static void fuzz_address(const ngx_prom_rules_t *rules, const uint8_t *bytes);
static int fuzz_ports(const ngx_prom_rules_t *rules, int ports[8]);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int            rc;
    uint32_t       i;
    fuzz_parse_t   parse;

    static const ngx_prom_ip_t  zero;

    memset(&parse, 0, sizeof(fuzz_parse_t));
    fuzz_text_init(&parse.text, data, size);

    parse.rules.alloc = fuzz_text_alloc;
    parse.rules.error = fuzz_text_error;
    parse.rules.data = &parse.text;

    rc = ngx_prom_rules_parse(&parse.rules, parse.text.data, size);

    FUZZ_CHECK(rc == (parse.rules.errors ? 1 : 0));
    FUZZ_CHECK(parse.text.told
               == (parse.rules.errors < NGX_PROM_ERRORS_MAX
                   ? parse.rules.errors : NGX_PROM_ERRORS_MAX));
    FUZZ_CHECK(size == 0 || memcmp(parse.text.data, data, size) == 0);

    for (i = 0; i < parse.rules.count; i++) {
        fuzz_rule(&parse, &parse.rules.rules[i]);
    }

    if (parse.rules.count > 0 && parse.rules.count <= FUZZ_RULES) {

        for (i = 0; i < parse.rules.index->nkeys; i++) {
            fuzz_key(&parse.rules, &parse.rules.index->keys[i]);
        }

        fuzz_address(&parse.rules, size >= 16 ? data : zero.bytes);
    }

    fuzz_text_free(&parse.text);

    return 0;
}


static void
fuzz_rule(const fuzz_parse_t *parse, const ngx_prom_rule_t *rule)
{
    size_t       i;
    const char  *p;

    p = rule->text.data;

    FUZZ_CHECK(p >= parse->text.data);
    FUZZ_CHECK(p + rule->text.len <= parse->text.data + parse->text.len);
    FUZZ_CHECK(rule->text.len > 0 && rule->line > 0 && rule->column > 0);

    for (i = 0; i < rule->text.len; i++) {
        FUZZ_CHECK(p[i] > 0x20 && p[i] < 0x7f);
    }
}


/* ports are in order, and what has the key is asked for */

static void
fuzz_key(const ngx_prom_rules_t *rules, const ngx_prom_rules_key_t *key)
{
    uint32_t                       i;
    const ngx_prom_rules_range_t  *range;

    FUZZ_CHECK(key->allow + key->deny > 0);
    FUZZ_CHECK(key->ranges + key->allow + key->deny <= rules->index->nranges);

    for (i = 0; i < key->allow + key->deny; i++) {
        range = &rules->index->ranges[key->ranges + i];

        FUZZ_CHECK(range->key == 2 * (key - rules->index->keys)
                                 + (i >= key->allow));
        FUZZ_CHECK(range->first > 0 && range->first <= range->last);
        FUZZ_CHECK(range->rule < rules->count);
        FUZZ_CHECK(i == 0 || i == key->allow
                   || range->first > range[-1].last);
    }

    switch (key->kind) {

    case NGX_PROM_RULES_NETWORK:
        fuzz_network(rules, key);
        break;

    case NGX_PROM_RULES_NAME:
    case NGX_PROM_RULES_SUFFIX:
        fuzz_name(rules, key);
        break;

    default:
        FUZZ_CHECK(key == rules->index->any);
    }
}


/* its first address and its last, the next ones, and those with it inside */

static void
fuzz_network(const ngx_prom_rules_t *rules, const ngx_prom_rules_key_t *key)
{
    int       i;
    uint8_t   first[16], last[16], beside[16];

    static const uint8_t  nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
    static const uint8_t  local[12] = { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 };

    for (i = 0; i < 8; i++) {
        first[i] = (uint8_t) (key->u.network.high >> (56 - 8 * i));
        first[8 + i] = (uint8_t) (key->u.network.low >> (56 - 8 * i));
    }

    memcpy(last, first, 16);

    for (i = key->length; i < 128; i++) {
        last[i / 8] |= (uint8_t) (0x80 >> i % 8);
    }

    fuzz_address(rules, first);
    fuzz_address(rules, last);

    for (i = 0; i < 128; i += 19) {
        memcpy(beside, first, 16);
        beside[i / 8] ^= (uint8_t) (0x80 >> i % 8);
        fuzz_address(rules, beside);
    }

    if (walk_is_ipv4(first)) {
        memcpy(beside, nat64, 12);
        memcpy(beside + 12, last + 12, 4);
        fuzz_address(rules, beside);

        memcpy(beside, local, 12);
        fuzz_address(rules, beside);

        beside[0] = 0x20;
        beside[1] = 0x02;
        memcpy(beside + 2, last + 12, 4);
        fuzz_address(rules, beside);
    }
}


/* it, what ends so, and what it ends with */

static void
fuzz_name(const ngx_prom_rules_t *rules, const ngx_prom_rules_key_t *key)
{
    int      i, n, ports[8];
    char     name[NGX_PROM_RULE_NAME + sizeof("x.y.")], *dot;
    size_t   k;

    FUZZ_CHECK(key->u.name.len > 0
               && key->u.name.len <= NGX_PROM_RULE_NAME);

    memcpy(name, "x.y.", 4);

    for (k = 0; k < key->u.name.len; k++) {
        name[4 + k] = ngx_prom_rules_lower(key->u.name.data[k]);
    }

    name[4 + k] = '\0';
    dot = strchr(name + 4, '.');
    n = fuzz_ports(rules, ports);

    for (i = 0; i < n; i++) {
        FUZZ_CHECK(walk_agrees_name(rules, name, ports[i]));
        FUZZ_CHECK(walk_agrees_name(rules, name + 1, ports[i]));
        FUZZ_CHECK(walk_agrees_name(rules, name + 2, ports[i]));
        FUZZ_CHECK(walk_agrees_name(rules, name + 4, ports[i]));
        FUZZ_CHECK(dot == NULL || walk_agrees_name(rules, dot + 1, ports[i]));
    }
}


static void
fuzz_address(const ngx_prom_rules_t *rules, const uint8_t *bytes)
{
    int            i, n, ports[8];
    ngx_prom_ip_t  ip;

    memcpy(ip.bytes, bytes, 16);
    n = fuzz_ports(rules, ports);

    for (i = 0; i < n; i++) {
        FUZZ_CHECK(walk_agrees_address(rules, &ip, ports[i]));
    }
}


/* some that there are, and those beside them */

static int
fuzz_ports(const ngx_prom_rules_t *rules, int ports[8])
{
    int                            n;
    const ngx_prom_rules_range_t  *range;

    range = &rules->index->ranges[rules->index->nranges / 2];

    n = 0;
    ports[n++] = 80;
    ports[n++] = rules->index->ranges[0].first;
    ports[n++] = range->first;
    ports[n++] = range->last;

    if (range->first > 1) {
        ports[n++] = range->first - 1;
    }

    if (range->last < 65535) {
        ports[n++] = range->last + 1;
    }

    return n;
}
