/*
 * What the files behind ngx_prom_forward.h share among themselves.
 */


#ifndef _NGX_PROM_FORWARD_CORE_H_INCLUDED_
#define _NGX_PROM_FORWARD_CORE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_prom_forward.h"


/* a block while it is read */

typedef struct {
    ngx_prom_forward_t          *forward;
    ngx_uint_t                   seen;       /* bit by setting */
    ngx_str_t                    allow;      /* all rules, a line each */
    ngx_str_t                    plain;
} ngx_prom_forward_block_t;


/* a line of it: cf->handler's */

char *ngx_prom_forward_setting(ngx_conf_t *cf, ngx_command_t *dummy,
    void *conf);

/* rules that are written in a block; NULL after it was told what is wrong */

ngx_prom_rules_t *ngx_prom_forward_parsed(ngx_conf_t *cf, ngx_str_t *text);


/* files that are followed: of rules, a ngx_prom_rules_t; of users */

extern const ngx_prom_forward_kind_t  ngx_prom_forward_rules_kind;
extern const ngx_prom_forward_kind_t  ngx_prom_forward_users_kind;


/*
 * ngx_prom_forward_resolve.c: the addresses of query->host, which is a name.
 * NGX_OK: handler was called already; NGX_AGAIN: it will be; NGX_ERROR.  A
 * failure is remembered for some seconds.
 */

ngx_int_t ngx_prom_forward_resolve_init(ngx_prom_forward_t *forward,
    ngx_cycle_t *cycle);
ngx_int_t ngx_prom_forward_resolve(ngx_prom_forward_query_t *query,
    ngx_prom_forward_resolved_pt handler);


/*
 * ngx_prom_forward_own.c: true if a connection to this address and port would
 * come to a listener of this proxy's own
 */

ngx_uint_t ngx_prom_forward_own(ngx_prom_forward_t *forward,
    struct sockaddr *sockaddr, socklen_t socklen, ngx_log_t *log);


/*
 * ngx_prom_forward_verdict.c: adds an address to query->addrs if it is
 * allowed.  NGX_DECLINED: it was refused, which is the query's answer unless
 * another address is allowed.
 */

ngx_int_t ngx_prom_forward_try(ngx_prom_forward_query_t *query,
    struct sockaddr *sockaddr, socklen_t socklen);

/* the rules of "allow" and those of "allow_file" as they are now, or NULL */

void ngx_prom_forward_sets(ngx_prom_forward_t *forward,
    ngx_prom_rules_t *sets[2]);

/* for the log: the rule, behind the place that it has in the file */

ngx_int_t ngx_prom_forward_set_rule(ngx_prom_forward_query_t *query,
    const ngx_prom_rule_t *rule, ngx_prom_rules_t *of);


/* ngx_prom_forward_decide.c: the answer is no */

void ngx_cdecl ngx_prom_forward_refuse(ngx_prom_forward_query_t *query,
    ngx_prom_forward_decision_e decision, const char *fmt, ...);


#if (NGX_OPENSSL)

/*
 * ngx_prom_forward_certificate.c: for blocks with "client_certificate".
 * NGX_OK: it was refused; NGX_DECLINED: it was not
 */

ngx_int_t ngx_prom_forward_certified(ngx_prom_forward_query_t *query);

#endif


/* ngx_prom_forward_users.c: for blocks with "users" */

ngx_int_t ngx_prom_forward_users_init(ngx_prom_forward_t *forward,
    ngx_cycle_t *cycle);


/* ngx_prom_forward_count.c */

ngx_int_t ngx_prom_forward_count_init(ngx_shm_zone_t *zone, void *data);
void ngx_prom_forward_count_start(ngx_prom_forward_t *forward);


#endif /* _NGX_PROM_FORWARD_CORE_H_INCLUDED_ */
