/*
 * The allow-list of the forward proxy, in plain C without nginx: its grammar,
 * and the look-up of a target in it.
 *
 *     10.20.0.0/16:9100,9182   every address of a network, at two ports
 *     [fd00::]/8:9100          the same of IPv6; also [fd00::1]:9100
 *     db-1.internal:9104       a name
 *     *.db.internal:9100-9199  every name that ends so, at any depth
 *     *:9100                   every name and address
 *     !10.20.9.0/24            never, whatever else allows it
 *
 * Rules are separated by white space; in a file, # at the beginning of a rule
 * starts a comment that lasts until the end of its line.  Lines end with LF or
 * CRLF, and a UTF-8 byte order mark may start the text.  PORTS are numbers and
 * ranges with commas between; a rule that allows without them is for 80, 443
 * and 1024 to 65535, one that denies is for all.  Names have letters, digits
 * and "._-"; case and a trailing dot are no matter; *.db.internal isn't
 * db.internal itself.  An IPv4 address is four decimal numbers, and no other
 * notation is.  [::ffff:10.0.0.1] is 10.0.0.1, and else networks of IPv6,
 * [::]/0 too, have no IPv4 address in them.
 *
 * The order of rules is no matter: one with "!" wins over any that allows, be
 * it more or less exact.  Rules with names are about what is asked for, those
 * with addresses about what is dialled, and a target has to pass both: a name
 * that is denied is refused whatever its address is, and an address that is
 * denied is refused whatever name led to it.  To deny a name says nothing of
 * those who ask for its address.
 */


#ifndef _NGX_PROM_RULES_H_INCLUDED_
#define _NGX_PROM_RULES_H_INCLUDED_


#include "ngx_prom_targets.h"


#define NGX_PROM_RULE_NAME  253       /* bytes of a name */


/*
 * An address as it is dialled, always of 16 bytes: IPv4 is ::ffff:a.b.c.d.
 */

typedef struct {
    uint8_t                      bytes[16];
} ngx_prom_ip_t;


/* what a rule set says of a target */

typedef enum {
    NGX_PROM_RULES_NONE = 0,          /* no rule is about it: denied */
    NGX_PROM_RULES_ALLOW,
    NGX_PROM_RULES_DENY,              /* by a rule with "!" */
    NGX_PROM_RULES_SPECIAL            /* an address that has to be named
                                         exactly: ngx_prom_rules_place() */
} ngx_prom_verdict_e;


/* a rule as it was written, and where: line and column begin at 1 */

typedef struct {
    ngx_prom_text_t              text;
    uint32_t                     line;
    uint32_t                     column;
} ngx_prom_rule_t;


typedef struct ngx_prom_rules_index_s  ngx_prom_rules_index_t;


typedef struct {
    ngx_prom_targets_alloc_pt    alloc;      /* set by the caller */
    ngx_prom_targets_error_pt    error;      /* set by the caller */
    void                        *data;       /* handed to both */

    ngx_prom_rule_t             *rules;      /* in the order written */
    uint32_t                     count;
    uint32_t                     errors;     /* all, also untold ones */

    ngx_prom_rules_index_t      *index;
} ngx_prom_rules_t;


/*
 * Parses text[0 .. len - 1]; text[len] must be writable too, and text stays
 * in use as long as rules does.  Returns as ngx_prom_targets_parse() does: 0,
 * 1 with errors, or -1 if alloc failed.  Look-ups cost a walk over the bits of
 * an address or the labels of a name, not over the rules.
 */

int ngx_prom_rules_parse(ngx_prom_rules_t *rules, char *text, size_t len);

/*
 * What is known of a target before its address is: host is a name in lower
 * case without a trailing dot.  NGX_PROM_RULES_DENY by a rule with that name;
 * ALLOW if its name is allowed at the port, and only its address may still
 * refuse it; NONE if its address has to be allowed.  *rule is the rule, or
 * NULL: of several, that with the longest name, and among those the one whose
 * ports begin first.
 */

ngx_prom_verdict_e ngx_prom_rules_name(const ngx_prom_rules_t *rules,
    const char *host, size_t len, unsigned port,
    const ngx_prom_rule_t **rule);

/*
 * The verdict of an address.  named is true if ngx_prom_rules_name() has
 * allowed the name that it is of: then it need not be allowed itself, but
 * must not be denied, nor special unless a rule is exactly this address.
 * An address with an IPv4 address inside (::/96, ::ffff:0:0:0/96,
 * 64:ff9b::/96, 64:ff9b:1::/48, 2002::/16) is also what that is: it is allowed
 * only if neither of both is denied or special.  But a rule that allows the
 * IPv4 address doesn't allow it, while one that is exactly it allows it though
 * what is inside is special.  *rule is the rule, or NULL: the longest prefix
 * first, and then as with names; NULL too if only the name has allowed it, and
 * of SPECIAL.
 */

ngx_prom_verdict_e ngx_prom_rules_address(const ngx_prom_rules_t *rules,
    const ngx_prom_ip_t *ip, unsigned port, int named,
    const ngx_prom_rule_t **rule);

/*
 * What an address is if it is none that a network or a name may lead to:
 * "loopback", "link-local", "metadata service", "unspecified", "multicast",
 * "broadcast", ...; or NULL.
 */

const char *ngx_prom_rules_place(const ngx_prom_ip_t *ip);

/*
 * True if a rule that allows is this one address at this port, as 127.0.0.1 or
 * 127.0.0.1/32, and no network.  One that denies it is no matter here.
 */

int ngx_prom_rules_exact(const ngx_prom_rules_t *rules,
    const ngx_prom_ip_t *ip, unsigned port, const ngx_prom_rule_t **rule);


#endif /* _NGX_PROM_RULES_H_INCLUDED_ */
