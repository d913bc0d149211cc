/*
 * The allow-list without an index: a walk over all rules, of which each is
 * parsed again for each question, to compare what the index answers.  A header
 * with code, as it is part of the fuzzer and of rules_dump.
 */


#ifndef _RULES_WALK_H_INCLUDED_
#define _RULES_WALK_H_INCLUDED_


#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ngx_prom_rules.h"


#define WALK_TEXT  65537        /* of a rule, with a zero behind */


/* a rule that is about what is asked for; more is how much of it */

typedef struct {
    int                      deny;
    int                      more;
    int                      first;      /* of the ports with this one in */
} walk_match_t;


/* the first port of what has the port, or 0 */

static inline int
walk_ports(const char *ports, int deny, int port)
{
    int          first, last, best;
    char        *end;

    best = 0;

    if (ports == NULL) {
        ports = deny ? "1-65535" : "80,443,1024-65535";
    }

    for ( ;; ) {
        first = (int) strtol(ports, &end, 10);
        last = (*end == '-') ? (int) strtol(end + 1, &end, 10) : first;

        if (port >= first && port <= last && (best == 0 || first < best)) {
            best = first;
        }

        if (*end == '\0') {
            return best;
        }

        ports = end + 1;
    }
}


/* address as text: 16 bytes, and the length of the prefix, or -1 */

static inline int
walk_network(char *host, uint8_t bytes[16])
{
    int    length, ipv4;
    char  *slash;

    slash = strchr(host, '/');
    length = slash ? atoi(slash + 1) : -1;

    if (slash) {
        *slash = '\0';
    }

    memset(bytes, 0, 16);
    bytes[10] = bytes[11] = 0xff;

    ipv4 = inet_pton(AF_INET, host, bytes + 12) == 1;

    if (!ipv4) {
        if (host[0] != '[') {
            return -1;
        }

        host[strlen(host) - 1] = '\0';

        if (inet_pton(AF_INET6, host + 1, bytes) != 1) {
            return -1;
        }
    }

    if (length == -1) {
        return 128;
    }

    return ipv4 ? 96 + length : length;
}


static inline int
walk_is_ipv4(const uint8_t bytes[16])
{
    static const uint8_t  mapped[12] = { [10] = 0xff, [11] = 0xff };

    return memcmp(bytes, mapped, 12) == 0;
}


/* 1 if the rule is about the name, or about the address if name is NULL */

static inline int
walk_rule(const ngx_prom_rule_t *rule, const char *name,
    const ngx_prom_ip_t *ip, int port, walk_match_t *match)
{
    int       i, length;
    char      text[WALK_TEXT], *host, *ports;
    size_t    len, of;
    uint8_t   bytes[16];

    if (rule->text.len >= sizeof(text)) {
        abort();
    }

    memcpy(text, rule->text.data, rule->text.len);
    text[rule->text.len] = '\0';

    host = text;
    match->deny = (*host == '!');
    host += match->deny;

    ports = strrchr(host, ':');

    if (ports && strchr(ports, ']')) {
        ports = NULL;
    }

    if (ports) {
        *ports++ = '\0';
    }

    match->first = walk_ports(ports, match->deny, port);

    if (match->first == 0) {
        return 0;
    }

    if (strcmp(host, "*") == 0) {
        match->more = -1;
        return 1;
    }

    length = walk_network(host, bytes);

    if (length != -1 || name == NULL) {

        if (length == -1 || name) {
            return 0;
        }

        if (walk_is_ipv4(ip->bytes)
            && !(walk_is_ipv4(bytes) && length >= 96))
        {
            return 0;
        }

        for (i = 0; i < length; i++) {
            if ((bytes[i / 8] ^ ip->bytes[i / 8]) & (0x80 >> i % 8)) {
                return 0;
            }
        }

        match->more = length;
        return 1;
    }

    len = strlen(host);
    of = strlen(name);

    if (len && host[len - 1] == '.') {
        host[--len] = '\0';
    }

    if (host[0] == '*') {
        match->more = (int) len - 1;
        return of >= len - 1
               && strcasecmp(name + of - (len - 1), host + 1) == 0;
    }

    match->more = (int) len + 1;

    return strcasecmp(name, host) == 0;
}


/* allow or deny: the rule that is told, or NULL */

static inline const ngx_prom_rule_t *
walk(const ngx_prom_rules_t *rules, int deny, const char *name,
    const ngx_prom_ip_t *ip, int port)
{
    uint32_t                i;
    walk_match_t            match, best;
    const ngx_prom_rule_t  *told;

    told = NULL;
    memset(&best, 0, sizeof(best));

    for (i = 0; i < rules->count; i++) {
        if (!walk_rule(&rules->rules[i], name, ip, port, &match)
            || match.deny != deny)
        {
            continue;
        }

        if (told == NULL || match.more > best.more
            || (match.more == best.more && match.first < best.first))
        {
            told = &rules->rules[i];
            best = match;
        }
    }

    return told;
}


/* an address of 64:ff9b:1::/48 in each of its forms; see the module's */

static inline int
walk_inner(const ngx_prom_ip_t *ip, ngx_prom_ip_t inner[4])
{
    int              i, k, n;
    const uint8_t   *b = ip->bytes;

    static const uint8_t  local[6] = { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 };
    static const uint8_t  nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
    static const uint8_t  translated[12] = { [8] = 0xff, [9] = 0xff };
    static const uint8_t  compatible[12] = { 0 };
    static const int      places[4][4] = {
        { 6, 7, 9, 10 }, { 7, 9, 10, 11 }, { 9, 10, 11, 12 },
        { 12, 13, 14, 15 }
    };

    memset(inner, 0, 4 * sizeof(ngx_prom_ip_t));

    for (i = 0; i < 4; i++) {
        inner[i].bytes[10] = inner[i].bytes[11] = 0xff;
    }

    if (b[0] == 0x20 && b[1] == 0x02) {
        memcpy(&inner[0].bytes[12], b + 2, 4);
        return 1;
    }

    if (memcmp(b, nat64, 12) == 0 || memcmp(b, translated, 12) == 0
        || memcmp(b, compatible, 12) == 0)
    {
        memcpy(&inner[0].bytes[12], b + 12, 4);
        return 1;
    }

    if (memcmp(b, local, 6) != 0) {
        return 0;
    }

    for (i = 0, n = 0; i < 4; i++) {
        for (k = 0; k < 4; k++) {
            inner[n].bytes[12 + k] = b[places[i][k]];
        }

        n += inner[n].bytes[12] != 0;
    }

    return n;
}


static inline ngx_prom_verdict_e
walk_name(const ngx_prom_rules_t *rules, const char *name, int port,
    const ngx_prom_rule_t **rule)
{
    *rule = walk(rules, 1, name, NULL, port);
    if (*rule) {
        return NGX_PROM_RULES_DENY;
    }

    *rule = walk(rules, 0, name, NULL, port);

    return *rule ? NGX_PROM_RULES_ALLOW : NGX_PROM_RULES_NONE;
}


/* a rule that allows this one address */

static inline const ngx_prom_rule_t *
walk_exact(const ngx_prom_rules_t *rules, const ngx_prom_ip_t *ip, int port)
{
    uint32_t                i;
    walk_match_t            match, best;
    const ngx_prom_rule_t  *told;

    told = NULL;
    memset(&best, 0, sizeof(best));

    for (i = 0; i < rules->count; i++) {
        if (walk_rule(&rules->rules[i], NULL, ip, port, &match)
            && !match.deny && match.more == 128
            && (told == NULL || match.first < best.first))
        {
            told = &rules->rules[i];
            best = match;
        }
    }

    return told;
}


/* what is special is for the tests of ngx_prom_rules_place() */

static inline ngx_prom_verdict_e
walk_address(const ngx_prom_rules_t *rules, const ngx_prom_ip_t *ip, int port,
    int named, const ngx_prom_rule_t **rule)
{
    int            i, n;
    ngx_prom_ip_t  inner[4];

    n = walk_inner(ip, inner);
    *rule = walk(rules, 1, NULL, ip, port);

    for (i = 0; i < n && *rule == NULL; i++) {
        *rule = walk(rules, 1, NULL, &inner[i], port);
    }

    if (*rule) {
        return NGX_PROM_RULES_DENY;
    }

    if (ngx_prom_rules_place(ip)) {
        *rule = walk_exact(rules, ip, port);
        return *rule ? NGX_PROM_RULES_ALLOW : NGX_PROM_RULES_SPECIAL;
    }

    *rule = walk(rules, 0, NULL, ip, port);

    return named || *rule ? NGX_PROM_RULES_ALLOW : NGX_PROM_RULES_NONE;
}


/* true if the index and the walk say the same of a name */

static inline int
walk_agrees_name(const ngx_prom_rules_t *rules, const char *name, int port)
{
    ngx_prom_verdict_e      verdict;
    const ngx_prom_rule_t  *rule, *other;

    verdict = ngx_prom_rules_name(rules, name, strlen(name), (unsigned) port,
                                  &rule);

    return verdict == walk_name(rules, name, port, &other) && rule == other;
}


/* and of an address, in each way to ask for it */

static inline int
walk_agrees_address(const ngx_prom_rules_t *rules, const ngx_prom_ip_t *ip,
    int port)
{
    int                     named, exact;
    ngx_prom_verdict_e      verdict;
    const ngx_prom_rule_t  *rule, *other;

    for (named = 0; named < 2; named++) {
        verdict = ngx_prom_rules_address(rules, ip, (unsigned) port, named,
                                         &rule);

        if (verdict != walk_address(rules, ip, port, named, &other)
            || rule != other)
        {
            return 0;
        }
    }

    exact = ngx_prom_rules_exact(rules, ip, (unsigned) port, &rule);
    other = walk_exact(rules, ip, port);

    return rule == other && exact == (other != NULL);
}


#endif /* _RULES_WALK_H_INCLUDED_ */
