/*
 * What the files of the allow-list share: rules by what they are about.
 *
 * A key is a network, a name, the end of names, or "*"; all rules with the
 * same one share it.  It has two lists of ports, one of the rules that allow
 * and one of those that deny, in order and without overlaps, so that a look-up
 * costs a few probes of a hash and a binary search, whatever the rules are.
 */


#ifndef _NGX_PROM_RULES_INDEX_H_INCLUDED_
#define _NGX_PROM_RULES_INDEX_H_INCLUDED_


#include "ngx_prom_rules.h"


#define NGX_PROM_RULES_BITS   128    /* of an address */
#define NGX_PROM_RULES_INNER  4      /* IPv4 addresses that one may embed */


typedef enum {
    NGX_PROM_RULES_ANY = 0,
    NGX_PROM_RULES_NETWORK,
    NGX_PROM_RULES_NAME,
    NGX_PROM_RULES_SUFFIX             /* name: what is behind "*." */
} ngx_prom_rules_kind_e;


/* an address as numbers */

typedef struct {
    uint64_t                     high;
    uint64_t                     low;
} ngx_prom_rules_bits_t;


typedef struct {
    union {
        ngx_prom_rules_bits_t    network;
        ngx_prom_text_t          name;       /* in any case, no dot at last */
    } u;
    uint32_t                     ranges;     /* first of those that allow */
    uint32_t                     allow;      /* number of them */
    uint32_t                     deny;       /* and of those that follow */
    uint8_t                      kind;       /* ngx_prom_rules_kind_e */
    uint8_t                      length;     /* of the prefix */
} ngx_prom_rules_key_t;


typedef struct {
    uint32_t                     key;        /* 2 * key, + 1 if it denies */
    uint32_t                     rule;
    uint16_t                     first;      /* port */
    uint16_t                     last;
} ngx_prom_rules_range_t;


/* empty if number is 0 */

typedef struct {
    uint32_t                     hash;
    uint32_t                     number;     /* of the key, from 1 */
} ngx_prom_rules_slot_t;


struct ngx_prom_rules_index_s {
    ngx_prom_rules_key_t        *keys;
    ngx_prom_rules_slot_t       *slots;
    ngx_prom_rules_range_t      *ranges;
    ngx_prom_rules_key_t        *any;        /* "*", or NULL */
    uint32_t                     nkeys;
    uint32_t                     nranges;
    uint32_t                     mask;

    /* prefixes that there are, the longest first: of IPv6, of IPv4 */

    uint8_t                      lengths[2][NGX_PROM_RULES_BITS + 1];
    unsigned                     nlengths[2];
};


/*
 * Room for as many rules and ranges; returns NULL if there is no memory.
 * Then ranges are put behind the others, without a key at first;
 * ngx_prom_rules_index_add() gives those from "start" on the key that its
 * argument is like, and the next rule; ngx_prom_rules_index_done() is called
 * after the last rule.
 */

ngx_prom_rules_index_t *ngx_prom_rules_index_new(const ngx_prom_rules_t *rules,
    size_t nrules, size_t nranges);
void ngx_prom_rules_index_add(ngx_prom_rules_index_t *index,
    const ngx_prom_rules_key_t *like, uint32_t start, uint32_t rule, int deny);
void ngx_prom_rules_index_done(ngx_prom_rules_index_t *index);

/* the range of a key with the port, or NULL; so is key if there is none */

const ngx_prom_rules_range_t *ngx_prom_rules_range(
    const ngx_prom_rules_index_t *index, const ngx_prom_rules_key_t *key,
    int deny, unsigned port);

/* the key of a network, or NULL; bits below the prefix are no matter */

const ngx_prom_rules_key_t *ngx_prom_rules_network(
    const ngx_prom_rules_index_t *index, const ngx_prom_rules_bits_t *bits,
    unsigned length);

/*
 * The key of a name or suffix in lower case, or NULL.  hash is that of all of
 * its bytes, of the last one first: thus a walk over a name has the hashes of
 * all its ends.
 */

const ngx_prom_rules_key_t *ngx_prom_rules_named(
    const ngx_prom_rules_index_t *index, ngx_prom_rules_kind_e kind,
    const char *name, size_t len, uint64_t hash);

#define NGX_PROM_RULES_HASH           14695981039346656037ULL
#define ngx_prom_rules_hash(hash, ch)                                         \
    (((hash) ^ (unsigned char) (ch)) * 1099511628211ULL)

#define ngx_prom_rules_lower(ch)                                              \
    ((char) ((ch) >= 'A' && (ch) <= 'Z' ? (ch) | 0x20 : (ch)))

void ngx_prom_rules_bits(ngx_prom_rules_bits_t *bits,
    const ngx_prom_ip_t *ip);

/* takes off what is below the prefix */

void ngx_prom_rules_cut(ngx_prom_rules_bits_t *bits, unsigned length);

/* true if it is an IPv4 address, or a network of them */

int ngx_prom_rules_ipv4(const ngx_prom_rules_bits_t *bits);

/* fills in what it embeds, as addresses; returns how many */

unsigned ngx_prom_rules_inner(const ngx_prom_ip_t *ip,
    ngx_prom_rules_bits_t inner[NGX_PROM_RULES_INNER]);


#endif /* _NGX_PROM_RULES_INDEX_H_INCLUDED_ */
