/*
 * The grammar of the allow-list; see the header.
 */


#include <arpa/inet.h>
#include <string.h>

#include "ngx_prom_rules_index.h"
#include "ngx_prom_targets_line.h"


#define NGX_PROM_RULE_LABEL  63         /* bytes between two dots of a name */
#define NGX_PROM_RULE_FORM   "a rule is [!]HOST[/PREFIX][:PORTS]"


/* what is parsed, a rule after the other */

typedef struct {
    ngx_prom_rules_t            *rules;
    ngx_prom_line_t              line;
    ngx_prom_rules_key_t         key;
    unsigned                     deny:1;
} ngx_prom_rules_parse_t;


static void ngx_prom_rules_bound(const ngx_prom_line_t *pl, size_t *nrules,
    size_t *nranges);
static void ngx_prom_rule_parse(ngx_prom_rules_parse_t *parse,
    const ngx_prom_text_t *word);
static char *ngx_prom_rule_host(ngx_prom_rules_parse_t *parse, char *p,
    char *end);
static char *ngx_prom_rule_ipv6(ngx_prom_rules_parse_t *parse, char *p,
    char *end);
static int ngx_prom_rule_network(ngx_prom_rules_parse_t *parse, char *p,
    const uint8_t *ip, unsigned bits, const char *slash, const char *end);
static int ngx_prom_rule_prefix(ngx_prom_rules_parse_t *parse,
    const char *slash, const char *end, unsigned bits);
static void ngx_prom_rule_below(ngx_prom_rules_parse_t *parse, const char *p,
    const char *end, const ngx_prom_rules_bits_t *bits, unsigned length,
    int ipv4);
static int ngx_prom_rule_name(ngx_prom_rules_parse_t *parse, char *p,
    char *end);
static int ngx_prom_rule_chars(ngx_prom_rules_parse_t *parse,
    const ngx_prom_text_t *name, const char *from);
static int ngx_prom_rule_ports(ngx_prom_rules_parse_t *parse, const char *p,
    const char *end);
static int ngx_prom_rule_port(const char **pos, const char *end);
static void ngx_prom_rule_range(ngx_prom_rules_parse_t *parse, int first,
    int last);


int
ngx_prom_rules_parse(ngx_prom_rules_t *rules, char *text, size_t len)
{
    size_t                  nrules, nranges;
    ngx_prom_line_t        *pl;
    ngx_prom_text_t         word;
    ngx_prom_rules_parse_t  parse;

    rules->rules = NULL;
    rules->count = 0;
    rules->errors = 0;
    rules->index = NULL;

    memset(&parse, 0, sizeof(ngx_prom_rules_parse_t));

    parse.rules = rules;

    pl = &parse.line;

    if (!ngx_prom_lines_start(pl, text, len, rules->error, rules->data,
                              &rules->errors))
    {
        return 1;
    }

    ngx_prom_rules_bound(pl, &nrules, &nranges);

    rules->rules = ngx_prom_lines_array(rules->alloc, rules->data, nrules,
                                        sizeof(ngx_prom_rule_t));

    if (nrules) {

        if (rules->rules == NULL) {
            return -1;
        }

        rules->index = ngx_prom_rules_index_new(rules, nrules, nranges);

        if (rules->index == NULL) {
            return -1;
        }
    }

    while (ngx_prom_line_next(pl)) {
        while (ngx_prom_line_token(pl, &word)) {
            ngx_prom_rule_parse(&parse, &word);
        }
    }

    if (rules->index) {
        ngx_prom_rules_index_done(rules->index);
    }

    return rules->errors ? 1 : 0;
}


/* counts the words that are no comment, and the ports that they may have */

static void
ngx_prom_rules_bound(const ngx_prom_line_t *pl, size_t *nrules,
    size_t *nranges)
{
    int          ports, bracket;
    size_t       n;
    const char  *p;

    *nrules = 0;
    *nranges = 0;

    for (p = pl->next; p < pl->last; /* void */ ) {

        if (ngx_prom_blank(*p) || *p == '\n' || *p == '\r') {
            p++;
            continue;
        }

        if (*p == '#') {
            p = memchr(p, '\n', pl->last - p);

            if (p == NULL) {
                return;
            }

            continue;
        }

        n = 1;
        ports = 0;
        bracket = 0;

        for ( /* void */ ;
             p < pl->last && !ngx_prom_blank(*p) && *p != '\n' && *p != '\r';
             p++)
        {
            if (*p == '[' || *p == ']') {
                bracket = (*p == '[');

            } else if (*p == ':' && !bracket) {
                ports = 1;

            } else if (*p == ',') {
                n++;
            }
        }

        (*nrules)++;
        *nranges += ports ? n : 3;
    }
}


static void
ngx_prom_rule_parse(ngx_prom_rules_parse_t *parse, const ngx_prom_text_t *word)
{
    char              *p, *end, *at, *ports;
    uint32_t           start;
    ngx_prom_line_t   *pl;
    ngx_prom_rule_t   *rule;
    ngx_prom_rules_t  *rules;

    pl = &parse->line;
    rules = parse->rules;

    p = word->data;
    end = p + word->len;

    parse->deny = 0;

    if (*p == '!') {
        parse->deny = 1;
        p++;

        if (p == end) {
            ngx_prom_line_error(pl, word->data, "\"!\" without a rule; it is "
                                "written as in !10.0.0.0/8");
            return;
        }
    }

    /* the message doesn't quote what may be a password */

    at = memchr(p, '@', end - p);
    if (at) {
        ngx_prom_line_error(pl, at, "user information before \"@\"; "
                            NGX_PROM_RULE_FORM);
        return;
    }

    ports = ngx_prom_rule_host(parse, p, end);
    if (ports == NULL) {
        return;
    }

    start = rules->index->nranges;

    if (ports < end) {
        if (!ngx_prom_rule_ports(parse, ports + 1, end)) {
            rules->index->nranges = start;
            return;
        }

    } else if (parse->deny) {
        ngx_prom_rule_range(parse, 1, 65535);

    } else {
        ngx_prom_rule_range(parse, 80, 80);
        ngx_prom_rule_range(parse, 443, 443);
        ngx_prom_rule_range(parse, 1024, 65535);
    }

    ngx_prom_rules_index_add(rules->index, &parse->key, start, rules->count,
                             parse->deny);

    rule = &rules->rules[rules->count++];

    rule->text = *word;
    rule->line = pl->number;
    rule->column = (uint32_t) (word->data - pl->start + 1);
}


/* this and the next return where ":PORTS" starts, or NULL after a mistake */

static char *
ngx_prom_rule_host(ngx_prom_rules_parse_t *parse, char *p, char *end)
{
    char                *colon, *last, *slash;
    uint8_t              ip[4];
    ngx_prom_line_t     *pl;
    ngx_prom_text_t      host;
    ngx_prom_excerpt_t   buf;

    pl = &parse->line;

    if (*p == '[') {
        return ngx_prom_rule_ipv6(parse, p, end);
    }

    colon = memchr(p, ':', end - p);
    last = colon ? colon : end;

    if (colon && ngx_prom_starts(colon, end, "://")) {
        ngx_prom_line_error(pl, p, "scheme \"%s\"; " NGX_PROM_RULE_FORM,
                            ngx_prom_excerpt(buf, p, colon - p));
        return NULL;
    }

    if (colon && memchr(colon + 1, ':', end - colon - 1)) {
        ngx_prom_line_error(pl, p, "\"%s\" has several \":\"; rules are "
                            "separated by white space, and an IPv6 address is "
                            "written as in [fd00::]/8:9100",
                            ngx_prom_excerpt(buf, p, end - p));
        return NULL;
    }

    slash = memchr(p, '/', last - p);

    host.data = p;
    host.len = (slash ? slash : last) - p;

    if (host.len == 0) {
        ngx_prom_line_error(pl, p, "no host; " NGX_PROM_RULE_FORM);
        return NULL;
    }

    if (ngx_prom_ipv4_parse(&host, ip)) {
        return ngx_prom_rule_network(parse, p, ip, 32, slash, last)
               ? last : NULL;
    }

    if (!ngx_prom_rule_name(parse, p, p + host.len)) {
        return NULL;
    }

    if (slash) {
        ngx_prom_line_error(pl, slash, "\"%s\" behind a name; only an address "
                            "has a prefix length, and a rule has no path",
                            ngx_prom_excerpt(buf, slash, last - slash));
        return NULL;
    }

    return last;
}


static char *
ngx_prom_rule_ipv6(ngx_prom_rules_parse_t *parse, char *p, char *end)
{
    char                *close, *last;
    char                 text[INET6_ADDRSTRLEN];
    size_t               len;
    uint8_t              ip[16];
    ngx_prom_line_t     *pl;
    ngx_prom_excerpt_t   buf;

    pl = &parse->line;
    close = memchr(p, ']', end - p);

    if (close == NULL) {
        ngx_prom_line_error(pl, p, "\"[\" is not closed; an IPv6 address is "
                            "written as in [fd00::]/8:9100");
        return NULL;
    }

    len = close - p - 1;

    if (memchr(p, '/', close - p)) {
        ngx_prom_line_error(pl, p, "prefix length within \"[\" and \"]\"; it "
                            "stands behind, as in [fd00::]/8:9100");
        return NULL;
    }

    if (len < sizeof(text)) {
        memcpy(text, p + 1, len);
        text[len] = '\0';
    }

    if (len >= sizeof(text) || inet_pton(AF_INET6, text, ip) != 1) {
        ngx_prom_line_error(pl, p, "\"%s\" is not an IPv6 address; it is "
                            "written as in [fd00::]/8:9100",
                            ngx_prom_excerpt(buf, p, close + 1 - p));
        return NULL;
    }

    close++;

    if (close < end && *close != ':' && *close != '/') {
        ngx_prom_line_error(pl, close, "\"%s\" after \"]\"; \"/PREFIX\" and "
                            "\":PORTS\" are allowed",
                            ngx_prom_excerpt(buf, close, end - close));
        return NULL;
    }

    for (last = close; last < end && *last != ':'; last++) { /* void */ }

    return ngx_prom_rule_network(parse, p, ip, NGX_PROM_RULES_BITS,
                                 close < last ? close : NULL, last)
           ? last : NULL;
}


/* ip has as many bits; slash is NULL if it is just one address */

static int
ngx_prom_rule_network(ngx_prom_rules_parse_t *parse, char *p,
    const uint8_t *ip, unsigned bits, const char *slash, const char *end)
{
    int                     length;
    ngx_prom_ip_t           whole;
    ngx_prom_rules_bits_t   network;
    ngx_prom_rules_key_t   *key;

    memset(&whole, 0, sizeof(ngx_prom_ip_t));
    memset(&whole.bytes[10], 0xff, 2);
    memcpy(&whole.bytes[16 - bits / 8], ip, bits / 8);

    key = &parse->key;

    key->kind = NGX_PROM_RULES_NETWORK;
    key->length = NGX_PROM_RULES_BITS;
    ngx_prom_rules_bits(&key->u.network, &whole);

    if (slash == NULL) {
        return 1;
    }

    length = ngx_prom_rule_prefix(parse, slash, end, bits);
    if (length == -1) {
        return 0;
    }

    key->length = (uint8_t) (NGX_PROM_RULES_BITS - bits + length);

    network = key->u.network;
    ngx_prom_rules_cut(&network, key->length);

    if (network.high != key->u.network.high
        || network.low != key->u.network.low)
    {
        ngx_prom_rule_below(parse, p, end, &network, length, bits == 32);
        return 0;
    }

    return 1;
}


static int
ngx_prom_rule_prefix(ngx_prom_rules_parse_t *parse, const char *slash,
    const char *end, unsigned bits)
{
    unsigned             length;
    const char          *p;
    ngx_prom_excerpt_t   buf;

    length = 0;

    for (p = slash + 1; p < end && ngx_prom_digit(*p); p++) {
        length = length * 10 + (*p - '0');

        if (length > bits || (slash[1] == '0' && p > slash + 1)) {
            break;
        }
    }

    if (p == slash + 1 || p != end) {
        ngx_prom_line_error(&parse->line, slash, "prefix length \"%s\" is not "
                            "a number from 0 to %u without leading zeros",
                            ngx_prom_excerpt(buf, slash + 1, end - slash - 1),
                            bits);
        return -1;
    }

    return (int) length;
}


/* tells which network was meant */

static void
ngx_prom_rule_below(ngx_prom_rules_parse_t *parse, const char *p,
    const char *end, const ngx_prom_rules_bits_t *bits, unsigned length,
    int ipv4)
{
    char                 text[INET6_ADDRSTRLEN];
    unsigned             i;
    ngx_prom_ip_t        ip;
    ngx_prom_excerpt_t   buf;

    for (i = 0; i < 8; i++) {
        ip.bytes[i] = (uint8_t) (bits->high >> (56 - 8 * i));
        ip.bytes[8 + i] = (uint8_t) (bits->low >> (56 - 8 * i));
    }

    if (inet_ntop(ipv4 ? AF_INET : AF_INET6, &ip.bytes[ipv4 ? 12 : 0], text,
                  sizeof(text))
        == NULL)
    {
        text[0] = '\0';
    }

    ngx_prom_line_error(&parse->line, p, "\"%s\" has bits below its prefix; "
                        "the network is %s%s%s/%u, an address has no prefix",
                        ngx_prom_excerpt(buf, p, end - p), ipv4 ? "" : "[",
                        text, ipv4 ? "" : "]", length);
}


/* a name, "*" or "*.SUFFIX" */

static int
ngx_prom_rule_name(ngx_prom_rules_parse_t *parse, char *p, char *end)
{
    int                    number;
    char                  *last, *dot, *from;
    ngx_prom_text_t        name;
    ngx_prom_rules_key_t  *key;
    ngx_prom_excerpt_t     buf;

    key = &parse->key;
    key->length = 0;

    if (end - p == 1 && *p == '*') {
        key->kind = NGX_PROM_RULES_ANY;
        return 1;
    }

    name.data = p;
    name.len = end - p;

    key->kind = NGX_PROM_RULES_NAME;
    from = p;

    if (ngx_prom_starts(p, end, "*.")) {
        key->kind = NGX_PROM_RULES_SUFFIX;
        from += 2;
    }

    if (!ngx_prom_rule_chars(parse, &name, from)) {
        return 0;
    }

    /* a dot at the end only says that the name is complete */

    last = end;

    if (last > from && last[-1] == '.') {
        last--;
    }

    if (last - p > NGX_PROM_RULE_NAME) {
        ngx_prom_line_error(&parse->line, p, "name of %zu bytes; %d are "
                            "allowed", (size_t) (last - p),
                            NGX_PROM_RULE_NAME);
        return 0;
    }

    key->u.name.data = from;
    key->u.name.len = last - from;

    number = 1;

    for ( /* void */ ; from <= last; from = dot + 1) {
        dot = memchr(from, '.', last - from);

        if (dot == NULL) {
            dot = last;
        }

        if (dot == from || dot - from > NGX_PROM_RULE_LABEL) {
            ngx_prom_line_error(&parse->line, p, "name \"%s\" has a part of "
                                "%zu bytes between dots; 1 to %d are allowed",
                                ngx_prom_excerpt(buf, p, end - p),
                                (size_t) (dot - from), NGX_PROM_RULE_LABEL);
            return 0;
        }

        number = number && ngx_prom_number(from, dot);
    }

    if (number) {
        ngx_prom_line_error(&parse->line, p, "\"%s\" is not an IPv4 address; "
                            "it is four numbers from 0 to 255 without leading "
                            "zeros, and a network is written as in 10.0.0.0/8",
                            ngx_prom_excerpt(buf, p, end - p));
        return 0;
    }

    return 1;
}


static int
ngx_prom_rule_chars(ngx_prom_rules_parse_t *parse, const ngx_prom_text_t *name,
    const char *from)
{
    const char          *p, *end, *allowed;
    ngx_prom_excerpt_t   buf, byte;

    end = name->data + name->len;

    for (p = from; p < end; p++) {

        if (ngx_prom_char_in(*p, "._-")) {
            continue;
        }

        if ((unsigned char) *p > 0x7f) {
            allowed = "other letters than ASCII's are written in punycode, as "
                      "in xn--bcher-kva.example";

        } else if (*p == '*') {
            allowed = "it is allowed alone, or as the first part of a name as "
                      "in *.db.internal";

        } else if (*p == ',') {
            allowed = "rules are separated by white space, only ports by "
                      "commas";

        } else {
            allowed = "a name is letters, digits and \"._-\"";
        }

        ngx_prom_line_error(&parse->line, p, "name \"%s\" has \"%s\" in it; "
                            "%s",
                            ngx_prom_excerpt(buf, name->data, name->len),
                            ngx_prom_excerpt(byte, p, 1), allowed);
        return 0;
    }

    return 1;
}


static int
ngx_prom_rule_ports(ngx_prom_rules_parse_t *parse, const char *p,
    const char *end)
{
    int                  first, last;
    const char          *start, *comma;
    ngx_prom_excerpt_t   buf;

    for ( ;; ) {
        start = p;
        comma = memchr(p, ',', end - p);

        if (comma == NULL) {
            comma = end;
        }

        if (comma == start) {
            ngx_prom_line_error(&parse->line, start, "a port is missing; "
                                "ports are separated by commas, as in "
                                "9100,9200-9299, and rules by white space");
            return 0;
        }

        first = ngx_prom_rule_port(&p, comma);
        last = first;

        if (first && p < comma && *p == '-') {
            p++;
            last = ngx_prom_rule_port(&p, comma);
        }

        if (first == 0 || last == 0 || p != comma) {
            ngx_prom_line_error(&parse->line, start, "\"%s\" is not a port; "
                                "ports are 1 to 65535 without leading zeros, "
                                "as in 9100,9200-9299",
                                ngx_prom_excerpt(buf, start, comma - start));
            return 0;
        }

        if (first > last) {
            ngx_prom_line_error(&parse->line, start, "ports \"%s\" end before "
                                "they begin; the range is %d-%d",
                                ngx_prom_excerpt(buf, start, comma - start),
                                last, first);
            return 0;
        }

        ngx_prom_rule_range(parse, first, last);

        if (comma == end) {
            return 1;
        }

        p = comma + 1;
    }
}


/* returns 0 if it is none */

static int
ngx_prom_rule_port(const char **pos, const char *end)
{
    int          port;
    const char  *p;

    port = 0;

    for (p = *pos; p < end && ngx_prom_digit(*p); p++) {
        port = port * 10 + (*p - '0');

        if (port == 0 || port > 65535) {
            return 0;
        }
    }

    *pos = p;

    return port;
}


static void
ngx_prom_rule_range(ngx_prom_rules_parse_t *parse, int first, int last)
{
    ngx_prom_rules_index_t  *index;
    ngx_prom_rules_range_t  *range;

    index = parse->rules->index;
    range = &index->ranges[index->nranges++];

    range->first = (uint16_t) first;
    range->last = (uint16_t) last;
}
