/*
 * Look-ups in the allow-list; see the header.
 */


#include <stddef.h>

#include "ngx_prom_rules_index.h"


#define ngx_prom_rules_port(port)  ((port) > 0 && (port) <= 65535)


/* the rules that allow and deny, or NULL */

typedef struct {
    const ngx_prom_rules_range_t  *allow;
    const ngx_prom_rules_range_t  *deny;
} ngx_prom_rules_match_t;


static void ngx_prom_rules_match(const ngx_prom_rules_index_t *index,
    const ngx_prom_rules_key_t *key, unsigned port,
    ngx_prom_rules_match_t *match);
static void ngx_prom_rules_match_address(const ngx_prom_rules_index_t *index,
    const ngx_prom_rules_bits_t *bits, unsigned port,
    ngx_prom_rules_match_t *match);
static ngx_prom_verdict_e ngx_prom_rules_verdict(
    const ngx_prom_rules_t *rules, const ngx_prom_rules_match_t *match,
    const ngx_prom_rule_t **rule);


/*
 * The walk begins at the end of the name, so what is found later is more of
 * it, and stays.
 */

ngx_prom_verdict_e
ngx_prom_rules_name(const ngx_prom_rules_t *rules, const char *host,
    size_t len, unsigned port, const ngx_prom_rule_t **rule)
{
    size_t                         i;
    uint64_t                       hash;
    ngx_prom_rules_kind_e                kind;
    ngx_prom_rules_match_t         more, match;
    const ngx_prom_rules_index_t  *index;

    index = rules->index;
    *rule = NULL;

    if (index == NULL || !ngx_prom_rules_port(port)) {
        return NGX_PROM_RULES_NONE;
    }

    match.allow = NULL;
    match.deny = NULL;

    ngx_prom_rules_match(index, index->any, port, &match);

    hash = NGX_PROM_RULES_HASH;

    for (i = len; i > 0; i--) {
        hash = ngx_prom_rules_hash(hash, host[i - 1]);

        if (i > 1 && host[i - 2] != '.') {
            continue;
        }

        kind = (i == 1) ? NGX_PROM_RULES_NAME : NGX_PROM_RULES_SUFFIX;

        more.allow = NULL;
        more.deny = NULL;

        ngx_prom_rules_match(index,
                             ngx_prom_rules_named(index, kind, &host[i - 1],
                                                  len - (i - 1), hash),
                             port, &more);

        if (more.allow) {
            match.allow = more.allow;
        }

        if (more.deny) {
            match.deny = more.deny;
        }
    }

    return ngx_prom_rules_verdict(rules, &match, rule);
}


ngx_prom_verdict_e
ngx_prom_rules_address(const ngx_prom_rules_t *rules, const ngx_prom_ip_t *ip,
    unsigned port, int named, const ngx_prom_rule_t **rule)
{
    unsigned                       i, n;
    ngx_prom_verdict_e             verdict;
    ngx_prom_rules_bits_t          bits, inner[NGX_PROM_RULES_INNER];
    ngx_prom_rules_match_t         match, other;
    const ngx_prom_rules_index_t  *index;

    index = rules->index;
    *rule = NULL;

    if (index == NULL || !ngx_prom_rules_port(port)) {
        return NGX_PROM_RULES_NONE;
    }

    match.allow = NULL;
    match.deny = NULL;

    ngx_prom_rules_bits(&bits, ip);
    ngx_prom_rules_match_address(index, &bits, port, &match);

    n = match.deny ? 0 : ngx_prom_rules_inner(ip, inner);

    for (i = 0; i < n && match.deny == NULL; i++) {
        other.allow = match.allow;
        other.deny = NULL;

        ngx_prom_rules_match_address(index, &inner[i], port, &other);

        match.deny = other.deny;
    }

    verdict = ngx_prom_rules_verdict(rules, &match, rule);

    if (verdict == NGX_PROM_RULES_DENY) {
        return verdict;
    }

    if (ngx_prom_rules_place(ip)) {
        return ngx_prom_rules_exact(rules, ip, port, rule)
               ? NGX_PROM_RULES_ALLOW : NGX_PROM_RULES_SPECIAL;
    }

    return named ? NGX_PROM_RULES_ALLOW : verdict;
}


int
ngx_prom_rules_exact(const ngx_prom_rules_t *rules, const ngx_prom_ip_t *ip,
    unsigned port, const ngx_prom_rule_t **rule)
{
    ngx_prom_rules_bits_t          bits;
    const ngx_prom_rules_range_t  *range;

    *rule = NULL;

    if (rules->index == NULL || !ngx_prom_rules_port(port)) {
        return 0;
    }

    ngx_prom_rules_bits(&bits, ip);

    range = ngx_prom_rules_range(rules->index,
                                 ngx_prom_rules_network(rules->index, &bits,
                                                        NGX_PROM_RULES_BITS),
                                 0, port);
    if (range == NULL) {
        return 0;
    }

    *rule = &rules->rules[range->rule];

    return 1;
}


/* fills in what isn't there yet */

static void
ngx_prom_rules_match(const ngx_prom_rules_index_t *index,
    const ngx_prom_rules_key_t *key, unsigned port,
    ngx_prom_rules_match_t *match)
{
    if (match->allow == NULL) {
        match->allow = ngx_prom_rules_range(index, key, 0, port);
    }

    if (match->deny == NULL) {
        match->deny = ngx_prom_rules_range(index, key, 1, port);
    }
}


/* from the longest prefix to "*"; nothing wins over a rule that denies */

static void
ngx_prom_rules_match_address(const ngx_prom_rules_index_t *index,
    const ngx_prom_rules_bits_t *bits, unsigned port,
    ngx_prom_rules_match_t *match)
{
    int                          ipv4;
    unsigned                     i;
    const ngx_prom_rules_key_t  *key;

    ipv4 = ngx_prom_rules_ipv4(bits);

    for (i = 0; i < index->nlengths[ipv4] && match->deny == NULL; i++) {
        key = ngx_prom_rules_network(index, bits, index->lengths[ipv4][i]);
        ngx_prom_rules_match(index, key, port, match);
    }

    ngx_prom_rules_match(index, index->any, port, match);
}


static ngx_prom_verdict_e
ngx_prom_rules_verdict(const ngx_prom_rules_t *rules,
    const ngx_prom_rules_match_t *match, const ngx_prom_rule_t **rule)
{
    if (match->deny) {
        *rule = &rules->rules[match->deny->rule];
        return NGX_PROM_RULES_DENY;
    }

    if (match->allow) {
        *rule = &rules->rules[match->allow->rule];
        return NGX_PROM_RULES_ALLOW;
    }

    return NGX_PROM_RULES_NONE;
}
