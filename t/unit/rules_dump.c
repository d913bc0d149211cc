/*
 * Parses the allow-list on stdin and answers questions, for
 * t/03-forward-rules.t:
 *
 * rules_dump [QUESTION ...]
 *
 * A QUESTION is "ADDRESS PORT", "NAME PORT", or "NAME PORT ADDRESS", what is
 * then known of the name and its address together, as the proxy asks; or
 * "place ADDRESS".  With a number N in front, allocations fail after N of
 * them.
 *
 * rules_dump random SEED SETS makes rules of its own instead, and compares the
 * index with a walk over all rules.
 */


#define _GNU_SOURCE

#include "dump.h"
#include "rules_walk.h"


#define DUMP_RULES      40
#define DUMP_QUESTIONS  400
#define DUMP_BLOCKS     8


static int dump_random(const char *seed, const char *sets);
static char *dump_random_rule(char *p);
static char *dump_random_host(char *p);
static void dump_random_address(ngx_prom_ip_t *ip, int *ipv4);
static char *dump_random_name(char *p);
static void dump_question(const ngx_prom_rules_t *rules, char *question);
static int dump_address(const char *text, ngx_prom_ip_t *ip);
static void dump_verdict(ngx_prom_verdict_e verdict,
    const ngx_prom_rule_t *rule);
static unsigned dump_pick(unsigned n);


int
main(int argc, char **argv)
{
    int                i, rc;
    char              *text;
    size_t             len;
    dump_memory_t      memory;
    ngx_prom_rules_t   rules;

    if (argc == 4 && strcmp(argv[1], "random") == 0) {
        return dump_random(argv[2], argv[3]);
    }

    memset(&memory, 0, sizeof(memory));
    memory.left = DUMP_BLOCKS;
    i = 1;

    if (argc > 1 && argv[1][1] == '\0') {
        memory.left = atoi(argv[i++]);
    }

    text = dump_read(stdin, &len);

    memset(&rules, 0xff, sizeof(rules));
    rules.alloc = dump_alloc;
    rules.error = dump_error;
    rules.data = &memory;

    rc = ngx_prom_rules_parse(&rules, text, len);

    for ( /* void */ ; rc != -1 && i < argc; i++) {
        dump_question(&rules, argv[i]);
    }

    if (rc == -1) {
        printf("rc=-1\n");

    } else {
        printf("rc=%d rules=%u\n", rc, rules.count);
    }

    dump_free(&memory);
    free(text);

    return 0;
}


static int
dump_random(const char *seed, const char *sets)
{
    int                i, k, n, ipv4, port;
    char              *p, text[DUMP_RULES * 256], name[256];
    dump_memory_t      memory;
    ngx_prom_ip_t      ip;
    ngx_prom_rules_t   rules;

    static const int  ports[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 79, 80,
                                  443, 1023, 1024, 65535 };

    srandom((unsigned) atoi(seed));

    for (i = 0; i < atoi(sets); i++) {
        p = text;
        n = 1 + (int) dump_pick(DUMP_RULES);

        for (k = 0; k < n; k++) {
            p = dump_random_rule(p);
            *p++ = " \n"[dump_pick(2)];
        }

        memset(&memory, 0, sizeof(memory));
        memory.left = DUMP_BLOCKS;

        rules.alloc = dump_alloc;
        rules.error = dump_error;
        rules.data = &memory;

        if (ngx_prom_rules_parse(&rules, text, p - text) != 0
            || rules.count != (uint32_t) n)
        {
            printf("set %d isn't right:\n%.*s\n", i, (int) (p - text), text);
            return 1;
        }

        for (k = 0; k < DUMP_QUESTIONS; k++) {
            port = ports[dump_pick(sizeof(ports) / sizeof(ports[0]))];
            dump_random_address(&ip, &ipv4);
            *dump_random_name(name) = '\0';

            if (walk_agrees_name(&rules, name, port)
                && walk_agrees_address(&rules, &ip, port))
            {
                continue;
            }

            printf("set %d differs at %s or ", i, name);

            for (n = 0; n < 16; n++) {
                printf("%02x", ip.bytes[n]);
            }

            printf(", port %d:\n%.*s\n", port, (int) (p - text), text);
            return 1;
        }

        dump_free(&memory);
    }

    printf("%s sets agree\n", sets);

    return 0;
}


/* of a small world, so that rules meet */

static char *
dump_random_rule(char *p)
{
    int  n, first;

    if (dump_pick(3) == 0) {
        *p++ = '!';
    }

    p = dump_random_host(p);

    if (dump_pick(6) == 0) {
        return p;
    }

    *p++ = ':';

    for (n = (int) dump_pick(3); n >= 0; n--) {
        first = 1 + (int) dump_pick(9);
        p += sprintf(p, "%d", first);

        if (dump_pick(3) == 0) {
            p += sprintf(p, "-%d", first + (int) dump_pick(5));
        }

        if (n) {
            *p++ = ',';
        }
    }

    return p;
}


static char *
dump_random_host(char *p)
{
    int            i, ipv4, length;
    char           text[INET6_ADDRSTRLEN];
    ngx_prom_ip_t  ip;

    switch (dump_pick(8)) {

    case 0:
        *p++ = '*';
        return p;

    case 1:
        return dump_random_name(p);

    case 2:
    case 3:
        *p++ = '*';
        *p++ = '.';
        return dump_random_name(p);
    }

    dump_random_address(&ip, &ipv4);

    length = (int) dump_pick(3) ? (int) dump_pick(ipv4 ? 33 : 129) : -1;

    for (i = length == -1 ? 128 : length + (ipv4 ? 96 : 0); i < 128; i++) {
        ip.bytes[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
    }

    inet_ntop(ipv4 ? AF_INET : AF_INET6, &ip.bytes[ipv4 ? 12 : 0], text,
              sizeof(text));

    p += sprintf(p, ipv4 ? "%s" : "[%s]", text);

    return length == -1 ? p : p + sprintf(p, "/%d", length);
}


static void
dump_random_address(ngx_prom_ip_t *ip, int *ipv4)
{
    int  i;

    static const uint8_t   octets[] = { 0, 1, 10, 127, 128, 255 };
    static const char     *prefixes[] = { "::", "64:ff9b::", "64:ff9b:1::",
                                          "2002:a00::", "fd00::", "fe80::",
                                          "fd00:ec2::", "::ffff:0:0:0" };

    *ipv4 = dump_pick(2) ? 1 : 0;

    if (*ipv4) {
        memset(ip->bytes, 0, 10);
        memset(&ip->bytes[10], 0xff, 2);

    } else {
        inet_pton(AF_INET6, prefixes[dump_pick(8)], ip->bytes);

        for (i = (int) dump_pick(3); i > 0; i--) {
            ip->bytes[4 + dump_pick(12)] = octets[dump_pick(sizeof(octets))];
        }
    }

    for (i = 12; i < 16; i++) {
        ip->bytes[i] = octets[dump_pick(sizeof(octets))];
    }
}


static char *
dump_random_name(char *p)
{
    int  n;

    for (n = (int) dump_pick(5); n > 0; n--) {
        *p++ = "ab"[dump_pick(2)];

        if (dump_pick(4) == 0) {
            *p++ = 'a';
        }

        *p++ = '.';
    }

    *p++ = "cd"[dump_pick(2)];

    return p;
}


static void
dump_question(const ngx_prom_rules_t *rules, char *question)
{
    char                    host[512], address[128];
    int                     n, named;
    unsigned                port;
    const char             *place;
    ngx_prom_ip_t           ip;
    ngx_prom_verdict_e      verdict;
    const ngx_prom_rule_t  *rule, *exact;

    if (sscanf(question, "place %127s", address) == 1) {

        if (!dump_address(address, &ip)) {
            exit(2);
        }

        place = ngx_prom_rules_place(&ip);
        printf("%s\n", place ? place : "-");
        return;
    }

    n = sscanf(question, "%511s %u %127s", host, &port, address);

    if (n < 2) {
        exit(2);
    }

    named = 0;

    if (!dump_address(host, &ip)) {
        verdict = ngx_prom_rules_name(rules, host, strlen(host), port, &rule);

        if (n == 2 || verdict == NGX_PROM_RULES_DENY) {
            dump_verdict(verdict, rule);
            return;
        }

        if (!dump_address(address, &ip)) {
            exit(2);
        }

        named = (verdict == NGX_PROM_RULES_ALLOW);
    }

    verdict = ngx_prom_rules_address(rules, &ip, port, named, &rule);

    if (ngx_prom_rules_exact(rules, &ip, port, &exact) != (exact != NULL)) {
        exit(2);
    }

    printf("%s", exact ? "exact " : "");
    dump_verdict(verdict, rule);
}


static int
dump_address(const char *text, ngx_prom_ip_t *ip)
{
    memset(ip->bytes, 0, 10);
    memset(&ip->bytes[10], 0xff, 2);

    return inet_pton(AF_INET, text, &ip->bytes[12]) == 1
           || inet_pton(AF_INET6, text, ip->bytes) == 1;
}


static void
dump_verdict(ngx_prom_verdict_e verdict, const ngx_prom_rule_t *rule)
{
    static const char  *verdicts[] = { "none", "allow", "deny", "special" };

    printf("%s", verdicts[verdict]);

    if (rule) {
        printf(" %u:%u %.*s", rule->line, rule->column,
               (int) rule->text.len, rule->text.data);
    }

    putchar('\n');
}


static unsigned
dump_pick(unsigned n)
{
    return (unsigned) (random() >> 8) % n;
}
