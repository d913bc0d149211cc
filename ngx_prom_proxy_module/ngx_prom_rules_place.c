/*
 * Addresses that no network and no name may lead to, and IPv4 addresses inside
 * of IPv6 ones.
 *
 * From IANA's registries of special-purpose addresses for IPv4 and IPv6 these
 * are the blocks that mean this machine, its link, many at once, or nobody.
 * Private (RFC 1918), unique local (RFC 4193) and shared (RFC 6598) addresses
 * are where exporters are, so they are as any other; so are blocks for
 * benchmarks and documentation, which lead nowhere but in a laboratory.
 *
 * The metadata services of clouds hand out credentials to whoever asks from
 * the machine; their addresses are what the providers document.  Those that
 * have no address here are in 169.254.0.0/16 or fe80::/10.
 */


#include "ngx_prom_rules_index.h"


typedef struct {
    uint32_t                     network;
    uint32_t                     mask;
    const char                  *name;
} ngx_prom_place_ipv4_t;


typedef struct {
    uint64_t                     high;
    uint64_t                     high_mask;
    uint64_t                     low;
    uint64_t                     low_mask;
    const char                  *name;
} ngx_prom_place_ipv6_t;


static const char *ngx_prom_place_ipv4(uint32_t address);
static void ngx_prom_rules_embed(ngx_prom_rules_bits_t *inner,
    uint64_t address);


#define NGX_PROM_PLACE_METADATA  "metadata service"

#define NGX_PROM_PLACE_ALL       0xffffffffffffffffULL


/* the first one that an address is in has its name */

static const ngx_prom_place_ipv4_t  ngx_prom_places_ipv4[] = {

    /* AWS, Google, Azure, OpenStack and most others */
    { 0xa9fea9fe, 0xffffffff, NGX_PROM_PLACE_METADATA },  /* 169.254.169.254 */
    /* AWS: tasks of ECS, pods of EKS */
    { 0xa9feaa02, 0xffffffff, NGX_PROM_PLACE_METADATA },  /* 169.254.170.2 */
    { 0xa9feaa17, 0xffffffff, NGX_PROM_PLACE_METADATA },  /* 169.254.170.23 */
    /* Tencent, Scaleway */
    { 0xa9fe0017, 0xffffffff, NGX_PROM_PLACE_METADATA },  /* 169.254.0.23 */
    { 0xa9fe2a2a, 0xffffffff, NGX_PROM_PLACE_METADATA },  /* 169.254.42.42 */
    /* Alibaba, Oracle (classic), and Azure's WireServer */
    { 0x646464c8, 0xffffffff, NGX_PROM_PLACE_METADATA },  /* 100.100.100.200 */
    { 0xc00000c0, 0xffffffff, NGX_PROM_PLACE_METADATA },  /* 192.0.0.192 */
    { 0xa83f8110, 0xffffffff, NGX_PROM_PLACE_METADATA },  /* 168.63.129.16 */

    { 0x7f000000, 0xff000000, "loopback" },           /* RFC 1122, 3.2.1.3 */
    { 0xa9fe0000, 0xffff0000, "link-local" },         /* RFC 3927 */
    { 0x00000000, 0xffffffff, "unspecified" },        /* Linux: this machine */
    { 0x00000000, 0xff000000, "this network" },       /* RFC 791, 3.2 */
    { 0xc0000000, 0xffffff00, "protocol assignment" },    /* RFC 6890, 2.1 */
    { 0xc0586300, 0xffffff00, "6to4 relay" },         /* RFC 7526 */
    { 0xe0000000, 0xf0000000, "multicast" },          /* RFC 5771 */
    { 0xffffffff, 0xffffffff, "broadcast" },          /* RFC 8190 */
    { 0xf0000000, 0xf0000000, "reserved" }            /* RFC 1112, 4 */
};


static const ngx_prom_place_ipv6_t  ngx_prom_places_ipv6[] = {

    /* AWS: fd00:ec2::254, ::23 for pods, DNS and time */
    { 0xfd000ec200000000, 0xffffffff00000000, 0, 0, NGX_PROM_PLACE_METADATA },
    /* Google: fd20:ce::254 */
    { 0xfd2000ce00000000, NGX_PROM_PLACE_ALL,
      0x0000000000000254, NGX_PROM_PLACE_ALL, NGX_PROM_PLACE_METADATA },
    /* Oracle: fd00:c1::a9fe:a9fe */
    { 0xfd0000c100000000, NGX_PROM_PLACE_ALL,
      0x00000000a9fea9fe, NGX_PROM_PLACE_ALL, NGX_PROM_PLACE_METADATA },
    /* Scaleway: fd00:42::42 */
    { 0xfd00004200000000, NGX_PROM_PLACE_ALL,
      0x0000000000000042, NGX_PROM_PLACE_ALL, NGX_PROM_PLACE_METADATA },
    /* Akamai: fd00:a9fe:a9fe::1 */
    { 0xfd00a9fea9fe0000, NGX_PROM_PLACE_ALL,
      0x0000000000000001, NGX_PROM_PLACE_ALL, NGX_PROM_PLACE_METADATA },
    /* Alibaba: fd00:100::100:200 */
    { 0xfd00010000000000, NGX_PROM_PLACE_ALL,
      0x0000000001000200, NGX_PROM_PLACE_ALL, NGX_PROM_PLACE_METADATA },
    /* OpenStack: fe80::a9fe:a9fe */
    { 0xfe80000000000000, NGX_PROM_PLACE_ALL,
      0x00000000a9fea9fe, NGX_PROM_PLACE_ALL, NGX_PROM_PLACE_METADATA },

    { 0, NGX_PROM_PLACE_ALL, 0, NGX_PROM_PLACE_ALL, "unspecified" },
    { 0, NGX_PROM_PLACE_ALL, 1, NGX_PROM_PLACE_ALL, "loopback" },
    { 0xfe80000000000000, 0xffc0000000000000, 0, 0, "link-local" },
    { 0xff00000000000000, 0xff00000000000000, 0, 0, "multicast" },
    { 0x0100000000000000, NGX_PROM_PLACE_ALL, 0, 0, "discard-only" }
};


const char *
ngx_prom_rules_place(const ngx_prom_ip_t *ip)
{
    size_t                        i;
    unsigned                      k, n;
    const char                   *name;
    ngx_prom_rules_bits_t         bits, inner[NGX_PROM_RULES_INNER];
    const ngx_prom_place_ipv6_t  *place;

    ngx_prom_rules_bits(&bits, ip);

    if (ngx_prom_rules_ipv4(&bits)) {
        return ngx_prom_place_ipv4((uint32_t) bits.low);
    }

    for (i = 0;
         i < sizeof(ngx_prom_places_ipv6) / sizeof(ngx_prom_places_ipv6[0]);
         i++)
    {
        place = &ngx_prom_places_ipv6[i];

        if ((bits.high & place->high_mask) == place->high
            && (bits.low & place->low_mask) == place->low)
        {
            return place->name;
        }
    }

    n = ngx_prom_rules_inner(ip, inner);

    for (k = 0; k < n; k++) {
        name = ngx_prom_place_ipv4((uint32_t) inner[k].low);

        if (name) {
            return name;
        }
    }

    return NULL;
}


static const char *
ngx_prom_place_ipv4(uint32_t address)
{
    size_t                        i;
    const ngx_prom_place_ipv4_t  *place;

    for (i = 0;
         i < sizeof(ngx_prom_places_ipv4) / sizeof(ngx_prom_places_ipv4[0]);
         i++)
    {
        place = &ngx_prom_places_ipv4[i];

        if ((address & place->mask) == place->network) {
            return place->name;
        }
    }

    return NULL;
}


/*
 * An address of 64:ff9b:1::/48 (RFC 8215) has its IPv4 address where RFC 6052
 * puts it behind a prefix of 48, 56, 64 or 96 bits, and which of them is known
 * to the translator alone: it is each of the four.  But 0.0.0.0/8 isn't taken
 * for one there, as that is what the unused places of the others look like; no
 * translator leads there.
 */

unsigned
ngx_prom_rules_inner(const ngx_prom_ip_t *ip,
    ngx_prom_rules_bits_t inner[NGX_PROM_RULES_INNER])
{
    unsigned               i, n;
    uint64_t               high, low, places[NGX_PROM_RULES_INNER];
    ngx_prom_rules_bits_t  bits;

    ngx_prom_rules_bits(&bits, ip);

    high = bits.high;
    low = bits.low;

    /* 6to4, RFC 3056 */

    if (high >> 48 == 0x2002) {
        ngx_prom_rules_embed(inner, high >> 16);
        return 1;
    }

    /*
     * IPv4-compatible, RFC 4291; IPv4-translated, RFC 2765; NAT64, RFC 6052;
     * IPv4 itself embeds nothing
     */

    if ((high == 0 && (low >> 32 == 0 || low >> 32 == 0xffff0000))
        || (high == 0x0064ff9b00000000 && low >> 32 == 0))
    {
        ngx_prom_rules_embed(inner, low);
        return 1;
    }

    if (high >> 16 != 0x0064ff9b0001) {
        return 0;
    }

    /* bits 64 to 71 are left out wherever they are in between */

    places[0] = high << 16 | (low >> 40 & 0xffff);
    places[1] = high << 24 | (low >> 32 & 0xffffff);
    places[2] = low >> 24;
    places[3] = low;

    n = 0;

    for (i = 0; i < NGX_PROM_RULES_INNER; i++) {
        if (places[i] & 0xff000000) {
            ngx_prom_rules_embed(&inner[n++], places[i]);
        }
    }

    return n;
}


static void
ngx_prom_rules_embed(ngx_prom_rules_bits_t *inner, uint64_t address)
{
    inner->high = 0;
    inner->low = 0xffff00000000 | (address & 0xffffffff);
}
