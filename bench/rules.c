/*
 * The cost of a look-up in the forward proxy's allow-list, by the number of
 * rules: rules
 *
 * A request for a name asks for the name and then for its address; one for an
 * address asks for that alone.  Rules are networks of several prefixes, names
 * and ends of names, some of them with "!".
 *
 * rules prints "RULES ADDRESS DENIED NAME UNKNOWN WALK" in nanoseconds for one
 * request: the medians of an address that is allowed, one that isn't, a name
 * that is allowed and its address, a name of which nothing is known and its
 * address, which is not allowed either; at last, what an address costs if all
 * rules are compared.
 *
 * rules RULES COUNT KIND does just COUNT requests of a kind, for callgrind to
 * count their instructions: 0 makes the questions only, 1 to 4 are those
 * above.
 */


#define _GNU_SOURCE

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ngx_prom_rules.h"


#define RULES_SIZES   4
#define RULES_ROUNDS  41
#define RULES_COUNT   50000
#define RULES_STEP    7919
#define RULES_RULE    64         /* bytes of a rule, at most */
#define RULES_PORT    9100


typedef enum {
    RULES_NONE = 0,              /* makes the question only */
    RULES_ADDRESS,
    RULES_DENIED,
    RULES_NAME,
    RULES_UNKNOWN,
    RULES_WALK,
    RULES_KINDS
} rules_e;


typedef struct {
    ngx_prom_rules_t     rules;
    unsigned             count;
    uint32_t            *networks;      /* and masks, to walk over */
} rules_set_t;


static void load(rules_set_t *set, unsigned count);
static double round_of(const rules_set_t *set, rules_e what);
static void ask(const rules_set_t *set, rules_e what, unsigned count);
static void ask_one(const rules_set_t *set, rules_e what, const char *name,
    size_t len, const ngx_prom_ip_t *ip);
static unsigned walk(const rules_set_t *set, const ngx_prom_ip_t *ip);
static void *allocate(void *data, size_t size);
static void complain(void *data, uint32_t line, uint32_t column,
    const char *reason);
static double now(void);
static int compare(const void *one, const void *two);


int
main(int argc, char **argv)
{
    int            what;
    double         none;
    unsigned       n, i;
    rules_set_t    set[RULES_SIZES];

    static double          took[RULES_SIZES][RULES_KINDS][RULES_ROUNDS];
    static const unsigned  counts[RULES_SIZES] = { 10, 1000, 10000, 100000 };

    if (argc == 4) {
        load(&set[0], (unsigned) atoi(argv[1]));
        ask(&set[0], (rules_e) atoi(argv[3]), (unsigned) atoi(argv[2]));
        return 0;
    }

    for (n = 0; n < RULES_SIZES; n++) {
        load(&set[n], counts[n]);
    }

    /* in turns: whatever else the machine does meets all of them */

    for (i = 0; i < RULES_ROUNDS; i++) {
        for (n = 0; n < RULES_SIZES; n++) {
            for (what = 0; what < RULES_KINDS; what++) {
                took[n][what][i] = round_of(&set[n], (rules_e) what);
            }
        }
    }

    for (n = 0; n < RULES_SIZES; n++) {
        for (what = 0; what < RULES_KINDS; what++) {
            qsort(took[n][what], RULES_ROUNDS, sizeof(double), compare);
        }

        none = took[n][RULES_NONE][RULES_ROUNDS / 2];
        printf("%u", counts[n]);

        for (what = RULES_ADDRESS; what < RULES_KINDS; what++) {
            printf(" %.1f", took[n][what][RULES_ROUNDS / 2] - none);
        }

        putchar('\n');
    }

    return 0;
}


/* four of ten rules are networks, of /24 to /27, five are names, one denies */

static void
load(rules_set_t *set, unsigned count)
{
    int        length;
    char      *text, *p;
    unsigned   i;

    text = malloc((size_t) count * RULES_RULE + 1);
    set->networks = malloc(2 * count * sizeof(uint32_t));
    set->count = 0;

    if (text == NULL || set->networks == NULL) {
        exit(1);
    }

    for (p = text, i = 0; i < count; i++) {

        switch (i % 10) {

        case 0:
        case 2:
        case 4:
        case 6:
            length = 24 + (int) (i / 10 % 4);
            p += sprintf(p, "%u.%u.%u.0/%d:9100,9182\n", 10 + (i >> 16),
                         i >> 8 & 255, i & 255, length);

            set->networks[2 * set->count] = (10u << 24) + (i << 8);
            set->networks[2 * set->count++ + 1] = ~0u << (32 - length);
            break;

        case 9:
            p += sprintf(p, "!%u.%u.%u.0/24\n", 10 + (i >> 16), i >> 8 & 255,
                         i & 255);
            break;

        case 3:
            p += sprintf(p, "*.group-%06u.db.internal:9100-9199\n", i);
            break;

        default:
            p += sprintf(p, "host-%06u.db.internal:9100\n", i);
        }
    }

    memset(&set->rules, 0, sizeof(ngx_prom_rules_t));

    set->rules.alloc = allocate;
    set->rules.error = complain;

    if (ngx_prom_rules_parse(&set->rules, text, p - text) != 0
        || set->rules.count != count)
    {
        fprintf(stderr, "rules: loading failed\n");
        exit(1);
    }

    /* the walk compares as many as there are rules */

    for (i = set->count; i < count; i++) {
        set->networks[2 * i] = 1;
        set->networks[2 * i + 1] = ~0u;
    }

    set->count = count;
}


/* nanoseconds for each of the requests */

static double
round_of(const rules_set_t *set, rules_e what)
{
    double    start;
    unsigned  count;

    /* a walk takes its time */

    count = (what == RULES_WALK) ? 1 + 5000000 / set->count : RULES_COUNT;

    if (count > RULES_COUNT) {
        count = RULES_COUNT;
    }

    start = now();
    ask(set, what, count);

    return (now() - start) / count;
}


static void
ask(const rules_set_t *set, rules_e what, unsigned count)
{
    unsigned       i, n, number, digits;
    ngx_prom_ip_t  ip;

    char  name[] = "host-000000.db.internal";

    if (what == RULES_UNKNOWN) {
        memcpy(name, "none", 4);
    }

    memset(&ip, 0, sizeof(ngx_prom_ip_t));
    memset(&ip.bytes[10], 0xff, 2);

    /* an order that no cache likes, of those with the kind of rule */

    for (i = 0; i < count; i++) {
        number = (unsigned) ((uint64_t) i * RULES_STEP % (set->count / 10));
        number = 10 * number + (what == RULES_NAME ? 1 : 0);

        if (what == RULES_DENIED) {
            number += 9;
        }

        digits = number;

        for (n = 10; n > 4; n--) {
            name[n] = (char) ('0' + digits % 10);
            digits /= 10;
        }

        ip.bytes[12] = (uint8_t) (10 + (number >> 16)
                                  + (what == RULES_UNKNOWN ? 100 : 0));
        ip.bytes[13] = (uint8_t) (number >> 8);
        ip.bytes[14] = (uint8_t) number;
        ip.bytes[15] = 7;

        if (what == RULES_NONE) {
            __asm__ volatile ("" : : "r" (&ip), "r" (name) : "memory");
            continue;
        }

        ask_one(set, what, name, sizeof(name) - 1, &ip);
    }
}


static void
ask_one(const rules_set_t *set, rules_e what, const char *name, size_t len,
    const ngx_prom_ip_t *ip)
{
    int                     named;
    ngx_prom_verdict_e      verdict;
    const ngx_prom_rule_t  *rule;

    static const ngx_prom_verdict_e  right[] = {
        [RULES_ADDRESS] = NGX_PROM_RULES_ALLOW,
        [RULES_DENIED] = NGX_PROM_RULES_DENY,
        [RULES_NAME] = NGX_PROM_RULES_ALLOW,
        [RULES_UNKNOWN] = NGX_PROM_RULES_NONE
    };

    if (what == RULES_WALK) {

        if (walk(set, ip) == 0) {
            fprintf(stderr, "rules: wrong answer\n");
            exit(1);
        }

        return;
    }

    named = (what == RULES_NAME || what == RULES_UNKNOWN)
            && ngx_prom_rules_name(&set->rules, name, len, RULES_PORT, &rule)
               == NGX_PROM_RULES_ALLOW;

    verdict = ngx_prom_rules_address(&set->rules, ip, RULES_PORT, named,
                                     &rule);

    if (verdict != right[what]) {
        fprintf(stderr, "rules: wrong answer\n");
        exit(1);
    }
}


/* as simple as can be: all of them, since one that denies may come last */

static unsigned
walk(const rules_set_t *set, const ngx_prom_ip_t *ip)
{
    uint32_t  address;
    unsigned  i, n;

    address = (uint32_t) ip->bytes[12] << 24 | (uint32_t) ip->bytes[13] << 16
              | (uint32_t) ip->bytes[14] << 8 | ip->bytes[15];

    for (n = 0, i = 0; i < set->count; i++) {
        n += (address & set->networks[2 * i + 1]) == set->networks[2 * i];
        __asm__ volatile ("" : "+r" (n));
    }

    return n;
}


static void *
allocate(void *data, size_t size)
{
    (void) data;

    return malloc(size);
}


static void
complain(void *data, uint32_t line, uint32_t column, const char *reason)
{
    (void) data;

    fprintf(stderr, "rules: %u:%u: %s\n", line, column, reason);
}


static double
now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return ts.tv_sec * 1e9 + ts.tv_nsec;
}


static int
compare(const void *one, const void *two)
{
    double  a, b;

    a = *(const double *) one;
    b = *(const double *) two;

    return (a > b) - (a < b);
}
