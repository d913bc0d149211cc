/*
 * The rules' verdict on an address, and on what it leads to.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_prom_forward.h"
#include "ngx_prom_forward_core.h"


static void ngx_prom_forward_ip(struct sockaddr *sockaddr, ngx_prom_ip_t *ip);
static ngx_prom_verdict_e ngx_prom_forward_judge(
    ngx_prom_forward_query_t *query, ngx_prom_ip_t *ip,
    const ngx_prom_rule_t **rule, ngx_prom_rules_t **of);
static ngx_uint_t ngx_prom_forward_exact(ngx_prom_forward_query_t *query,
    ngx_prom_ip_t *ip, const ngx_prom_rule_t **rule, ngx_prom_rules_t **of);
static void *ngx_prom_forward_parse_rules(ngx_prom_targets_alloc_pt alloc,
    ngx_prom_targets_error_pt error, void *data, char *text, size_t len,
    uint32_t *errors);


const ngx_prom_forward_kind_t  ngx_prom_forward_rules_kind = {
    ngx_prom_forward_parse_rules,
    "allow_file"
};


/*
 * Adds an address that is allowed; NGX_DECLINED after it was refused, which
 * stays the answer unless another one is allowed.
 */

ngx_int_t
ngx_prom_forward_try(ngx_prom_forward_query_t *query,
    struct sockaddr *sockaddr, socklen_t socklen)
{
    u_char                 *p, text[NGX_SOCKADDR_STRLEN];
    size_t                  len;
    ngx_str_t               where;
    ngx_addr_t             *addr;
    const char             *place;
    ngx_prom_ip_t           ip;
    ngx_prom_rules_t       *of;
    struct sockaddr        *copy;
    ngx_prom_verdict_e      verdict;
    const ngx_prom_rule_t  *rule;

    ngx_prom_forward_ip(sockaddr, &ip);

    verdict = ngx_prom_forward_judge(query, &ip, &rule, &of);
    place = NULL;

    copy = ngx_palloc(query->pool, socklen);
    p = ngx_pnalloc(query->pool, NGX_SOCKADDR_STRLEN);

    if (copy == NULL || p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(copy, sockaddr, socklen);
    ngx_inet_set_port(copy, (in_port_t) query->port);

    if (verdict == NGX_PROM_RULES_SPECIAL) {
        place = ngx_prom_rules_place(&ip);

    } else if (verdict == NGX_PROM_RULES_ALLOW
               && ngx_prom_forward_own(query->forward, copy, socklen,
                                       query->connection->log)
               && !ngx_prom_forward_exact(query, &ip, &rule, &of))
    {
        place = "a listener of this proxy's own";
        verdict = NGX_PROM_RULES_SPECIAL;
    }

    if (verdict == NGX_PROM_RULES_ALLOW) {

        len = ngx_sock_ntop(copy, socklen, p, NGX_SOCKADDR_STRLEN, 1);

        addr = &query->addrs[query->naddrs];

        addr->sockaddr = copy;
        addr->socklen = socklen;
        addr->name.data = p;
        addr->name.len = len;

        query->decision = NGX_PROM_FORWARD_ALLOWED;
        query->status = 0;
        ngx_str_null(&query->reason);

        /* not that of another address, which was refused */

        query->rule = query->name_rule;

        if (rule && ngx_prom_forward_set_rule(query, rule, of) != NGX_OK) {
            return NGX_ERROR;
        }

        query->rules[query->naddrs++] = query->rule;

        return NGX_OK;
    }

    if (query->naddrs || query->status) {
        return NGX_DECLINED;
    }

    where.data = text;
    where.len = ngx_sock_ntop(sockaddr, socklen, text, sizeof(text), 0);

    if (verdict == NGX_PROM_RULES_SPECIAL) {
        ngx_prom_forward_refuse(query, NGX_PROM_FORWARD_SPECIAL,
                                "%V is not allowed: %V is %s, which a rule "
                                "has to name exactly",
                                &query->target, &where,
                                place ? place : "special");
        return NGX_DECLINED;
    }

    if (verdict == NGX_PROM_RULES_DENY
        && ngx_prom_forward_set_rule(query, rule, of) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_prom_forward_refuse(query, NGX_PROM_FORWARD_DENIED,
                            (verdict == NGX_PROM_RULES_DENY)
                            ? "%V is denied by a rule for %V"
                            : "%V is not allowed: no rule is for %V",
                            &query->target, &where);

    return NGX_DECLINED;
}


static void
ngx_prom_forward_ip(struct sockaddr *sockaddr, ngx_prom_ip_t *ip)
{
    struct sockaddr_in   *sin;
    struct sockaddr_in6  *sin6;

    if (sockaddr->sa_family == AF_INET6) {
        sin6 = (struct sockaddr_in6 *) sockaddr;
        ngx_memcpy(ip->bytes, &sin6->sin6_addr, 16);
        return;
    }

    sin = (struct sockaddr_in *) sockaddr;

    ngx_memzero(ip->bytes, 10);
    ngx_memset(ip->bytes + 10, 0xff, 2);
    ngx_memcpy(ip->bytes + 12, &sin->sin_addr, 4);
}


/* by both sets of rules: one that denies wins, in whichever it is */

static ngx_prom_verdict_e
ngx_prom_forward_judge(ngx_prom_forward_query_t *query, ngx_prom_ip_t *ip,
    const ngx_prom_rule_t **rule, ngx_prom_rules_t **of)
{
    ngx_uint_t              i;
    ngx_prom_rules_t       *sets[2];
    ngx_prom_verdict_e      verdict, all;
    const ngx_prom_rule_t  *found;

    ngx_prom_forward_sets(query->forward, sets);

    all = NGX_PROM_RULES_NONE;
    *rule = NULL;
    *of = NULL;

    for (i = 0; i < 2; i++) {

        if (sets[i] == NULL) {
            continue;
        }

        verdict = ngx_prom_rules_address(sets[i], ip, query->port,
                                         query->named, &found);

        if (verdict == NGX_PROM_RULES_DENY) {
            *rule = found;
            *of = sets[i];
            return verdict;
        }

        if (verdict == NGX_PROM_RULES_NONE
            || all == NGX_PROM_RULES_ALLOW)
        {
            continue;
        }

        all = verdict;
        *rule = found;
        *of = sets[i];
    }

    return all;
}


static ngx_uint_t
ngx_prom_forward_exact(ngx_prom_forward_query_t *query, ngx_prom_ip_t *ip,
    const ngx_prom_rule_t **rule, ngx_prom_rules_t **of)
{
    ngx_uint_t         i;
    ngx_prom_rules_t  *sets[2];

    ngx_prom_forward_sets(query->forward, sets);

    for (i = 0; i < 2; i++) {

        if (sets[i]
            && ngx_prom_rules_exact(sets[i], ip, query->port, rule))
        {
            *of = sets[i];
            return 1;
        }
    }

    return 0;
}


ngx_int_t
ngx_prom_forward_set_rule(ngx_prom_forward_query_t *query,
    const ngx_prom_rule_t *rule, ngx_prom_rules_t *of)
{
    u_char     *p;
    ngx_str_t  *file;

    file = (of == query->forward->rules)
           ? NULL : ngx_prom_forward_follow_name(query->forward->file);

    p = ngx_pnalloc(query->pool, sizeof("allow :") - 1 + NGX_INT32_LEN
                                 + (file ? file->len : 0) + rule->text.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    query->rule.data = p;

    if (file) {
        p = ngx_sprintf(p, "%V:%uD ", file, rule->line);

    } else {
        p = ngx_cpymem(p, "allow ", sizeof("allow ") - 1);
    }

    p = ngx_cpymem(p, rule->text.data, rule->text.len);

    query->rule.len = p - query->rule.data;

    return NGX_OK;
}


ngx_str_t *
ngx_prom_forward_rule_of(ngx_prom_forward_query_t *query, ngx_str_t *name)
{
    ngx_uint_t  i;

    if (query->naddrs == 0) {
        return &query->rule;
    }

    for (i = 0; i < query->naddrs; i++) {

        if (name == &query->addrs[i].name) {
            return &query->rules[i];
        }
    }

    return &query->rules[0];
}


/* each address that may be dialled has to be plain, or the name */

ngx_uint_t
ngx_prom_forward_plain(ngx_prom_forward_query_t *query)
{
    ngx_uint_t              i;
    ngx_prom_ip_t           ip;
    ngx_prom_verdict_e      name, any, verdict;
    ngx_prom_forward_t     *forward;
    const ngx_prom_rule_t  *rule;

    forward = query->forward;

    if (forward->scheme != NGX_PROM_FORWARD_AUTO) {
        return forward->scheme == NGX_PROM_FORWARD_HTTP;
    }

    name = query->numeric ? NGX_PROM_RULES_NONE
           : ngx_prom_rules_name(forward->plain, (char *) query->host.data,
                                 query->host.len, query->port, &rule);

    /* an address that "*" isn't to allow is one of its ports for all that */

    any = ngx_prom_rules_name(forward->plain, "", 0, query->port, &rule);

    if (name == NGX_PROM_RULES_DENY || any == NGX_PROM_RULES_DENY) {
        return 0;
    }

    for (i = 0; i < query->naddrs; i++) {
        ngx_prom_forward_ip(query->addrs[i].sockaddr, &ip);

        verdict = ngx_prom_rules_address(forward->plain, &ip, query->port,
                                         name == NGX_PROM_RULES_ALLOW, &rule);

        if (verdict == NGX_PROM_RULES_SPECIAL
            && (name == NGX_PROM_RULES_ALLOW || any == NGX_PROM_RULES_ALLOW))
        {
            continue;
        }

        if (verdict != NGX_PROM_RULES_ALLOW) {
            return 0;
        }
    }

    return query->naddrs != 0;
}


void
ngx_prom_forward_sets(ngx_prom_forward_t *forward, ngx_prom_rules_t *sets[2])
{
    sets[0] = forward->rules;
    sets[1] = forward->file ? ngx_prom_forward_follow_current(forward->file)
                            : NULL;
}


static void *
ngx_prom_forward_parse_rules(ngx_prom_targets_alloc_pt alloc,
    ngx_prom_targets_error_pt error, void *data, char *text, size_t len,
    uint32_t *errors)
{
    ngx_prom_rules_t  *rules;

    rules = alloc(data, sizeof(ngx_prom_rules_t));
    if (rules == NULL) {
        return NULL;
    }

    ngx_memzero(rules, sizeof(ngx_prom_rules_t));

    rules->alloc = alloc;
    rules->error = error;
    rules->data = data;

    if (ngx_prom_rules_parse(rules, text, len) == -1) {
        return NULL;
    }

    *errors = rules->errors;

    return rules;
}
