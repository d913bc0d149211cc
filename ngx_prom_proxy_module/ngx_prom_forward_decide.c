/*
 * Whether a client may have a target, and at which addresses: the same for a
 * request and for a tunnel.
 *
 * Who asks is looked at first, so that nobody learns what names there are who
 * may not ask.  What is allowed at last is an address, which is dialled.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_prom_forward.h"
#include "ngx_prom_forward_core.h"


static ngx_int_t ngx_prom_forward_client(ngx_prom_forward_query_t *query);
static void ngx_prom_forward_checked(void *data, ngx_int_t rc);
static ngx_int_t ngx_prom_forward_known(ngx_prom_forward_query_t *query,
    ngx_int_t rc);
static ngx_int_t ngx_prom_forward_target(ngx_prom_forward_query_t *query);
static ngx_uint_t ngx_prom_forward_address(ngx_str_t *host,
    struct sockaddr_storage *ss, socklen_t *socklen);
static ngx_int_t ngx_prom_forward_name(ngx_prom_forward_query_t *query);
static ngx_int_t ngx_prom_forward_judge_name(ngx_prom_forward_query_t *query);
static void ngx_prom_forward_resolved(ngx_prom_forward_query_t *query,
    ngx_int_t rc, ngx_resolver_addr_t *addrs, ngx_uint_t naddrs);
static ngx_int_t ngx_prom_forward_addresses(ngx_prom_forward_query_t *query,
    ngx_int_t rc, ngx_resolver_addr_t *addrs, ngx_uint_t naddrs);
static ngx_int_t ngx_prom_forward_set_target(ngx_prom_forward_query_t *query);


static ngx_str_t  ngx_prom_forward_decisions[] = {
    ngx_string("allowed"),
    ngx_string("bad"),
    ngx_string("source"),
    ngx_string("certificate"),
    ngx_string("credentials"),
    ngx_string("denied"),
    ngx_string("special"),
    ngx_string("unresolved"),
    ngx_string("busy"),
    ngx_string("unreachable"),
    ngx_string("late")
};

/* of HTTP, by decision */

static ngx_uint_t  ngx_prom_forward_statuses[] = {
    0,                                 /* ALLOWED */
    400,                               /* BAD */
    403,                               /* SOURCE */
    403,                               /* CERTIFICATE */
    407,                               /* CREDENTIALS */
    403,                               /* DENIED */
    403,                               /* SPECIAL */
    502,                               /* UNRESOLVED */
    503,                               /* BUSY */
    502,                               /* UNREACHABLE */
    504                                /* LATE */
};


ngx_int_t
ngx_prom_forward_decide(ngx_prom_forward_query_t *query)
{
    ngx_int_t            rc;
    ngx_prom_forward_t  *forward;

    forward = query->forward;
    query->start = ngx_current_msec;

    ngx_str_set(&query->rule, "-");

    if (ngx_prom_forward_set_target(query) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_prom_forward_client(query);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (forward->users) {
        rc = ngx_prom_forward_users_check(forward, &query->credentials,
                                          query->pool, query->connection->log,
                                          &query->user,
                                          ngx_prom_forward_checked, query,
                                          &query->checking);

        return ngx_prom_forward_known(query, rc);
    }

    return ngx_prom_forward_target(query);
}


void
ngx_prom_forward_cancel(ngx_prom_forward_query_t *query)
{
    if (query->checking) {
        ngx_prom_forward_users_cancel(query->checking);
        query->checking = NULL;
    }

    if (query->resolving) {
        ngx_resolve_name_done(query->resolving);
        query->resolving = NULL;
    }
}


/* by where it comes from, and its certificate; NGX_DECLINED: not refused */

static ngx_int_t
ngx_prom_forward_client(ngx_prom_forward_query_t *query)
{
    ngx_connection_t    *c;
    ngx_prom_forward_t  *forward;

    c = query->connection;
    forward = query->forward;

    if (forward->from
        && ngx_cidr_match(c->sockaddr, forward->from) != NGX_OK)
    {
        ngx_prom_forward_refuse(query, NGX_PROM_FORWARD_SOURCE,
                                "this proxy is not for %V",
                                &c->addr_text);
        return NGX_OK;
    }

#if (NGX_OPENSSL)

    if (forward->certificate) {
        return ngx_prom_forward_certified(query);
    }

#endif

    return NGX_DECLINED;
}


static void
ngx_prom_forward_checked(void *data, ngx_int_t rc)
{
    ngx_prom_forward_query_t *query = data;

    query->checking = NULL;

    rc = ngx_prom_forward_known(query, rc);

    if (rc == NGX_AGAIN) {
        return;
    }

    if (rc == NGX_ERROR) {
        ngx_prom_forward_refuse(query, NGX_PROM_FORWARD_BUSY,
                                "this proxy is out of memory");
    }

    query->handler(query);
}


/* what is known of the credentials */

static ngx_int_t
ngx_prom_forward_known(ngx_prom_forward_query_t *query, ngx_int_t rc)
{
    switch (rc) {

    case NGX_OK:
        return ngx_prom_forward_target(query);

    case NGX_DECLINED:
        ngx_prom_forward_refuse(query, NGX_PROM_FORWARD_CREDENTIALS,
                                query->credentials.len
                                ? "this proxy knows no such user and "
                                  "password"
                                : "this proxy wants a user and a "
                                  "password, by Proxy-Authorization: "
                                  "Basic");
        return NGX_OK;

    case NGX_BUSY:
        ngx_prom_forward_refuse(query, NGX_PROM_FORWARD_BUSY,
                                "too many passwords to check at once");
        return NGX_OK;

    default: /* NGX_AGAIN, NGX_ERROR */
        return rc;
    }
}


/* who asks is let in: now for the target */

static ngx_int_t
ngx_prom_forward_target(ngx_prom_forward_query_t *query)
{
    ngx_int_t                rc;
    socklen_t                socklen;
    struct sockaddr_storage  ss;

    if (query->port == 0 || query->port > 65535) {
        ngx_prom_forward_refuse(query, NGX_PROM_FORWARD_BAD,
                                "a target has a port of 1 to 65535");
        return NGX_OK;
    }

    query->addrs = ngx_pcalloc(query->pool,
                               NGX_PROM_FORWARD_ADDRS * sizeof(ngx_addr_t));
    query->rules = ngx_pcalloc(query->pool,
                               NGX_PROM_FORWARD_ADDRS * sizeof(ngx_str_t));

    if (query->addrs == NULL || query->rules == NULL) {
        return NGX_ERROR;
    }

    if (!ngx_prom_forward_address(&query->host, &ss, &socklen)) {
        return ngx_prom_forward_name(query);
    }

    query->numeric = 1;

    rc = ngx_prom_forward_try(query, (struct sockaddr *) &ss, socklen);

    return (rc == NGX_DECLINED) ? NGX_OK : rc;
}


/* false if it is a name; IPv4 is four decimal numbers, as inet_pton has it */

static ngx_uint_t
ngx_prom_forward_address(ngx_str_t *host, struct sockaddr_storage *ss,
    socklen_t *socklen)
{
    u_char                text[NGX_INET6_ADDRSTRLEN + 1];
    struct sockaddr_in   *sin;
    struct sockaddr_in6  *sin6;

    if (host->len == 0 || host->len >= sizeof(text)) {
        return 0;
    }

    (void) ngx_cpystrn(text, host->data, host->len + 1);
    ngx_memzero(ss, sizeof(struct sockaddr_storage));

    if (ngx_strlen(text) != host->len) {
        return 0;
    }

    sin = (struct sockaddr_in *) ss;

    if (inet_pton(AF_INET, (char *) text, &sin->sin_addr) == 1) {
        sin->sin_family = AF_INET;
        *socklen = sizeof(struct sockaddr_in);
        return 1;
    }

    sin6 = (struct sockaddr_in6 *) ss;

    if (inet_pton(AF_INET6, (char *) text, &sin6->sin6_addr) == 1) {
        sin6->sin6_family = AF_INET6;
        *socklen = sizeof(struct sockaddr_in6);
        return 1;
    }

    return 0;
}


static ngx_int_t
ngx_prom_forward_name(ngx_prom_forward_query_t *query)
{
    u_char       ch;
    size_t       i, label;
    ngx_int_t    rc;
    ngx_str_t   *host;
    ngx_uint_t   letter;

    host = &query->host;
    label = 0;
    letter = 0;

    /* the last label has a letter, and isn't a number of another notation */

    for (i = 0; i < host->len; i++) {
        ch = host->data[i];

        if (ch == '.') {

            if (i == label) {
                goto bad;
            }

            label = i + 1;
            letter = 0;
            continue;
        }

        if ((ch >= 'a' && ch <= 'z') || ch == '_') {
            letter = 1;

        } else if ((ch < '0' || ch > '9') && ch != '-') {
            goto bad;
        }

        if (i - label >= 63) {
            goto bad;
        }
    }

    if (host->len == 0 || host->len > NGX_PROM_RULE_NAME || i == label
        || !letter
        || (host->len - label > 1 && host->data[label] == '0'
            && host->data[label + 1] == 'x'))
    {
        goto bad;
    }

    rc = ngx_prom_forward_judge_name(query);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    return ngx_prom_forward_resolve(query, ngx_prom_forward_resolved);

bad:

    ngx_prom_forward_refuse(query, NGX_PROM_FORWARD_BAD,
                            "a target is a name, an IPv4 address of "
                            "four decimal numbers, or an IPv6 address "
                            "in brackets");
    return NGX_OK;
}


/* NGX_DECLINED: it isn't denied; query->named is whether it is allowed */

static ngx_int_t
ngx_prom_forward_judge_name(ngx_prom_forward_query_t *query)
{
    ngx_uint_t              i;
    ngx_prom_rules_t       *sets[2];
    ngx_prom_verdict_e      verdict;
    const ngx_prom_rule_t  *rule;

    ngx_prom_forward_sets(query->forward, sets);

    query->named = 0;
    ngx_str_set(&query->rule, "-");

    for (i = 0; i < 2; i++) {

        if (sets[i] == NULL) {
            continue;
        }

        verdict = ngx_prom_rules_name(sets[i], (char *) query->host.data,
                                      query->host.len, query->port, &rule);

        if (verdict == NGX_PROM_RULES_DENY) {

            if (ngx_prom_forward_set_rule(query, rule, sets[i]) != NGX_OK) {
                return NGX_ERROR;
            }

            ngx_prom_forward_refuse(query, NGX_PROM_FORWARD_DENIED,
                                    "%V is denied by rule",
                                    &query->target);
            return NGX_OK;
        }

        if (verdict == NGX_PROM_RULES_ALLOW && !query->named) {
            query->named = 1;

            if (ngx_prom_forward_set_rule(query, rule, sets[i]) != NGX_OK) {
                return NGX_ERROR;
            }
        }
    }

    query->name_rule = query->rule;

    return NGX_DECLINED;
}


/* before ngx_prom_forward_resolve() has returned, if the name was known */

static void
ngx_prom_forward_resolved(ngx_prom_forward_query_t *query, ngx_int_t rc,
    ngx_resolver_addr_t *addrs, ngx_uint_t naddrs)
{
    if (ngx_prom_forward_addresses(query, rc, addrs, naddrs) != NGX_OK) {
        query->naddrs = 0;
        ngx_prom_forward_refuse(query, NGX_PROM_FORWARD_BUSY,
                                "this proxy is out of memory");
    }

    if (query->resolving) {
        ngx_resolve_name_done(query->resolving);
        query->resolving = NULL;
    }

    if (query->later) {
        query->handler(query);
    }
}


static ngx_int_t
ngx_prom_forward_addresses(ngx_prom_forward_query_t *query, ngx_int_t rc,
    ngx_resolver_addr_t *addrs, ngx_uint_t naddrs)
{
    ngx_int_t   judged;
    ngx_uint_t  i;

    /* the file of rules may have changed meanwhile */

    if (query->later) {
        judged = ngx_prom_forward_judge_name(query);

        if (judged != NGX_DECLINED) {
            return judged;
        }
    }

    if (rc) {
        ngx_prom_forward_refuse(query, NGX_PROM_FORWARD_UNRESOLVED,
                                "%V: %s", &query->target,
                                ngx_resolver_strerror(rc));
        return NGX_OK;
    }

    /* the reason that is told is the first one's */

    for (i = 0; i < naddrs && query->naddrs < NGX_PROM_FORWARD_ADDRS; i++) {

        if (ngx_prom_forward_try(query, addrs[i].sockaddr, addrs[i].socklen)
            == NGX_ERROR)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/*
 * host:port as logs and metrics have it; from here on the host is in lower
 * case, and without the dot that a name may end with.
 */

static ngx_int_t
ngx_prom_forward_set_target(ngx_prom_forward_query_t *query)
{
    size_t      i;
    u_char     *p, *host;
    ngx_uint_t  brackets;

    host = ngx_pnalloc(query->pool, query->host.len + 1);
    p = ngx_pnalloc(query->pool, query->host.len + sizeof("[]:") - 1
                                 + NGX_INT_T_LEN);

    if (host == NULL || p == NULL) {
        return NGX_ERROR;
    }

    ngx_strlow(host, query->host.data, query->host.len);

    query->host.data = host;

    if (query->host.len && host[query->host.len - 1] == '.') {
        query->host.len--;
    }

    brackets = (ngx_strlchr(host, host + query->host.len, ':') != NULL);

    query->target.data = p;

    if (brackets) {
        *p++ = '[';
    }

    for (i = 0; i < query->host.len; i++) {
        *p++ = (host[i] > 0x20 && host[i] < 0x7f && host[i] != '"')
               ? host[i] : '?';
    }

    if (brackets) {
        *p++ = ']';
    }

    p = ngx_sprintf(p, ":%ui", query->port);

    query->target.len = p - query->target.data;

    return NGX_OK;
}


void ngx_cdecl
ngx_prom_forward_refuse(ngx_prom_forward_query_t *query,
    ngx_prom_forward_decision_e decision, const char *fmt, ...)
{
    u_char   *p, *last;
    va_list   args;

    query->decision = decision;
    query->status = ngx_prom_forward_statuses[decision];

    p = ngx_pnalloc(query->pool, NGX_PROM_FORWARD_REASON);

    if (p == NULL) {
        ngx_str_set(&query->reason, "this proxy is out of memory");
        return;
    }

    va_start(args, fmt);
    last = ngx_vslprintf(p, p + NGX_PROM_FORWARD_REASON, fmt, args);
    va_end(args);

    query->reason.data = p;
    query->reason.len = last - p;

    ngx_log_debug2(NGX_LOG_DEBUG_CORE, query->connection->log, 0,
                   "prom forward: %ui: %V", query->status, &query->reason);
}


void
ngx_prom_forward_decision(ngx_prom_forward_decision_e decision,
    ngx_str_t *name)
{
    *name = ngx_prom_forward_decisions[decision];
}
