/*
 * The forward proxy: what its http and its stream side share.  One block of
 * the main level has all settings,
 *
 *     prom_forward NAME { ... }
 *
 * and a query is how both sides ask whether a client may have a target, and at
 * which addresses.
 */


#ifndef _NGX_PROM_FORWARD_H_INCLUDED_
#define _NGX_PROM_FORWARD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_prom_rules.h"
#include "ngx_prom_users.h"


#define NGX_PROM_FORWARD_MAX     8      /* blocks */
#define NGX_PROM_FORWARD_NAME    64     /* bytes of a block's name */
#define NGX_PROM_FORWARD_ADDRS   8      /* of a name, at most dialled */
#define NGX_PROM_FORWARD_REASON  256    /* bytes of a line */


/* what became of a request; also the label "decision" of the metrics */

typedef enum {
    NGX_PROM_FORWARD_ALLOWED = 0,
    NGX_PROM_FORWARD_BAD,               /* 400: no target that could be */
    NGX_PROM_FORWARD_SOURCE,            /* 403: not from there */
    NGX_PROM_FORWARD_CERTIFICATE,       /* 403: no client certificate */
    NGX_PROM_FORWARD_CREDENTIALS,       /* 407 */
    NGX_PROM_FORWARD_DENIED,            /* 403: by a rule, or by none */
    NGX_PROM_FORWARD_SPECIAL,           /* 403: loopback and such, and our own
                                           listeners */
    NGX_PROM_FORWARD_UNRESOLVED,        /* 502: the name has no address */
    NGX_PROM_FORWARD_BUSY,              /* 503: too much at once */
    NGX_PROM_FORWARD_UNREACHABLE,       /* 502: allowed, but not connected */
    NGX_PROM_FORWARD_LATE,              /* 504: allowed, but too late */
    NGX_PROM_FORWARD_DECISIONS
} ngx_prom_forward_decision_e;


typedef enum {
    NGX_PROM_FORWARD_HTTPS = 0,         /* http:// is upgraded */
    NGX_PROM_FORWARD_HTTP,
    NGX_PROM_FORWARD_AUTO               /* http for what is in "plain" */
} ngx_prom_forward_scheme_e;


typedef struct ngx_prom_forward_s         ngx_prom_forward_t;
typedef struct ngx_prom_forward_query_s   ngx_prom_forward_query_t;
typedef struct ngx_prom_forward_follow_s  ngx_prom_forward_follow_t;
typedef struct ngx_prom_forward_counts_s  ngx_prom_forward_counts_t;

typedef void (*ngx_prom_forward_pt)(ngx_prom_forward_query_t *query);

/* of ngx_resolver_strerror()'s codes, or 0 with addresses */

typedef void (*ngx_prom_forward_resolved_pt)(ngx_prom_forward_query_t *query,
    ngx_int_t rc, ngx_resolver_addr_t *addrs, ngx_uint_t naddrs);


/* a block */

struct ngx_prom_forward_s {
    ngx_str_t                    name;

    ngx_prom_rules_t            *rules;      /* "allow", written here */
    ngx_prom_forward_follow_t   *file;       /* "allow_file", or NULL */
    ngx_prom_rules_t            *plain;      /* "plain", or NULL */
    ngx_array_t                 *from;       /* of ngx_cidr_t, or NULL: any */
    ngx_prom_forward_follow_t   *users;      /* "users", or NULL: anyone */
    ngx_uint_t                   certificate;    /* "client_certificate on" */
    ngx_prom_forward_scheme_e    scheme;

    ngx_uint_t                   verify;     /* exporters' certificates */
    ngx_uint_t                   trusting;   /* "verify off" */
    ngx_str_t                    ca;         /* "verify FILE" */
    void                        *store;      /* X509_STORE of ca, or NULL */

    ngx_array_t                 *own;        /* of in_port_t: listeners that
                                                nginx doesn't know of */
    ngx_str_t                    checkme;    /* key of the header, or empty */

    ngx_resolver_t              *resolver;   /* or NULL: addresses alone */
    ngx_msec_t                   resolver_timeout;
    ngx_msec_t                   connect_timeout;
    ngx_msec_t                   total;      /* of a tunnel, 0: no limit */

    ngx_shm_zone_t              *zone;       /* counters, or NULL */
    ngx_prom_forward_counts_t   *counts;     /* in there */

    void                        *server;     /* of http: takes connections
                                                over; or NULL */
    ngx_array_t                 *doubles;    /* http's, of listening sockets */

    void                        *failures;   /* this process': of names */
    void                        *credentials;    /* that it has checked */
};


/*
 * A query.  The caller makes it in a pool, zeroed, and sets the first part;
 * ngx_prom_forward_decide() answers with the second part, at once or later by
 * handler.  A query that isn't answered yet must be cancelled before its pool
 * is destroyed; cancelling any other does nothing.
 */

struct ngx_prom_forward_query_s {
    ngx_prom_forward_t          *forward;
    ngx_connection_t            *connection;     /* the client's */
    ngx_pool_t                  *pool;
    ngx_str_t                    host;       /* no brackets, any case */
    ngx_uint_t                   port;       /* 1 .. 65535, or else BAD */
    ngx_str_t                    credentials;    /* of Proxy-Authorization;
                                                    null if there is none */
    ngx_prom_forward_pt          handler;
    void                        *data;

    ngx_prom_forward_decision_e  decision;
    ngx_uint_t                   status;     /* of HTTP; 0 if ALLOWED */
    ngx_str_t                    reason;     /* a line without its end, also
                                                fit for a reason phrase */
    ngx_str_t                    rule;       /* "allow 10.0.0.0/8:9100", or
                                                "FILE:3 !10.0.0.0/8"; "-" */
    ngx_str_t                    target;     /* host:port, lower case, with
                                                brackets where needed */
    ngx_str_t                    user;       /* who was let in, or empty */
    ngx_addr_t                  *addrs;      /* those allowed, in order */
    ngx_str_t                   *rules;      /* and by which rule, each */
    ngx_uint_t                   naddrs;
    ngx_uint_t                   numeric;    /* host is an address */

    ngx_msec_t                   start;      /* ngx_current_msec */

    /* while it is being decided */

    void                        *checking;   /* credentials, by a thread */
    ngx_resolver_ctx_t          *resolving;
    ngx_prom_forward_resolved_pt resolved;
    ngx_uint_t                   named;      /* a rule allows the name */
    ngx_str_t                    name_rule;  /* that one, or "-" */
    ngx_uint_t                   later;      /* handler is awaited */
};


/*
 * Decides: source, certificate, credentials, name, resolving, addresses; in
 * this order, so that nobody learns of names who may not ask.  NGX_OK: it is
 * decided; NGX_AGAIN: handler will be called, never before this returns;
 * NGX_ERROR: no memory.
 */

ngx_int_t ngx_prom_forward_decide(ngx_prom_forward_query_t *query);
void ngx_prom_forward_cancel(ngx_prom_forward_query_t *query);

/*
 * The rule that decided; of several addresses, that of the one whose name this
 * is, or of the first if it is NULL.
 */

ngx_str_t *ngx_prom_forward_rule_of(ngx_prom_forward_query_t *query,
    ngx_str_t *name);

/* a decision's name, for logs and metrics */

void ngx_prom_forward_decision(ngx_prom_forward_decision_e decision,
    ngx_str_t *name);

/* true if an "http://" target is to be asked by plain http */

ngx_uint_t ngx_prom_forward_plain(ngx_prom_forward_query_t *query);

/*
 * The block with that name, for "prom_forward NAME" of http and stream: the
 * block stands before these.  NULL if there is none.
 */

ngx_prom_forward_t *ngx_prom_forward_find(ngx_conf_t *cf, ngx_str_t *name);

/* all blocks, an array of ngx_prom_forward_t *; NULL if there are none */

ngx_array_t *ngx_prom_forward_all(ngx_cycle_t *cycle);


/*
 * ngx_prom_forward_users.c: credentials, checked by a thread, since one look
 * takes bcrypt a tenth of a second; what came of it is remembered for a while.
 * NGX_OK: right, and *user is who it is; NGX_DECLINED: wrong; NGX_BUSY: too
 * many at once; NGX_ERROR; NGX_AGAIN: handler(data, rc) will be called with
 * one of these, unless *checking is cancelled.
 */

typedef void (*ngx_prom_forward_users_pt)(void *data, ngx_int_t rc);

ngx_int_t ngx_prom_forward_users_check(ngx_prom_forward_t *forward,
    ngx_str_t *credentials, ngx_pool_t *pool, ngx_log_t *log,
    ngx_str_t *user, ngx_prom_forward_users_pt handler, void *data,
    void **checking);
void ngx_prom_forward_users_cancel(void *checking);


#if (NGX_OPENSSL)

/*
 * ngx_prom_forward_certificate.c: a client's certificate that isn't verified
 * doesn't end the connection, as it is to have an answer.  For a server whose
 * block has "client_certificate", and "optional_no_ca" itself.
 */

ngx_int_t ngx_prom_forward_certificate_init(SSL_CTX *ssl_ctx);

#endif


/*
 * ngx_prom_forward_follow.c: a file that each worker follows: parsed at the
 * configuration, where a mistake is fatal; read again by a thread when it has
 * changed and settled, where a mistake is logged and changes nothing.
 */

typedef struct {
    /* parses text into what current() is to return; NULL: out of memory; an
       error count other than 0 refuses it.  Called in a thread. */
    void  *(*parse)(ngx_prom_targets_alloc_pt alloc,
                    ngx_prom_targets_error_pt error, void *data,
                    char *text, size_t len, uint32_t *errors);
    const char  *what;                  /* "allow_file", for the log */
} ngx_prom_forward_kind_t;

ngx_prom_forward_follow_t *ngx_prom_forward_follow(ngx_conf_t *cf,
    ngx_str_t *file, const ngx_prom_forward_kind_t *kind);
ngx_int_t ngx_prom_forward_follow_init(ngx_prom_forward_follow_t *follow,
    ngx_cycle_t *cycle);

/* what was parsed; valid until the event loop is next entered, unless held */

void *ngx_prom_forward_follow_current(ngx_prom_forward_follow_t *follow);
ngx_str_t *ngx_prom_forward_follow_name(ngx_prom_forward_follow_t *follow);
ngx_uint_t ngx_prom_forward_follow_generation(
    ngx_prom_forward_follow_t *follow);


/*
 * ngx_prom_forward_count.c: counters in the zone: by side and decision, and by
 * target for as many as have room, the rest together.
 */

#define NGX_PROM_FORWARD_TARGET  150    /* bytes of a target that is told */
#define NGX_PROM_FORWARD_TARGETS 1024   /* that are told, at most */
#define NGX_PROM_FORWARD_PROBES  16

typedef enum {
    NGX_PROM_FORWARD_SIDE_HTTP = 0,
    NGX_PROM_FORWARD_SIDE_CONNECT,
    NGX_PROM_FORWARD_SIDES
} ngx_prom_forward_side_e;


typedef struct {
    ngx_atomic_t                 decisions[NGX_PROM_FORWARD_DECISIONS];
    ngx_atomic_t                 received;   /* bytes, from clients */
    ngx_atomic_t                 sent;
} ngx_prom_forward_side_t;


typedef struct {
    ngx_atomic_t                 requests;   /* that were allowed */
    ngx_atomic_t                 failures;   /* of these */
    ngx_atomic_t                 sent;
    uint16_t                     len;        /* 0: nobody's yet */
    u_char                       target[NGX_PROM_FORWARD_TARGET];
} ngx_prom_forward_counter_t;


struct ngx_prom_forward_counts_s {
    ngx_prom_forward_side_t      sides[NGX_PROM_FORWARD_SIDES];
    ngx_prom_forward_counter_t   other;
    ngx_prom_forward_counter_t  *targets;    /* mask + 1 */
    ngx_uint_t                   mask;
    ngx_atomic_t                 tunnels[NGX_MAX_PROCESSES];   /* open, by the
                                                   slot of their process */
};


/* at the end of a request or tunnel; bytes to and from the client */

void ngx_prom_forward_count(ngx_prom_forward_query_t *query,
    ngx_prom_forward_side_e side, off_t received, off_t sent);

/* tunnels that are open: 1 when one begins, -1 at its end */

void ngx_prom_forward_count_tunnel(ngx_prom_forward_t *forward,
    ngx_int_t n);


extern ngx_module_t  ngx_prom_forward_module;


#endif /* _NGX_PROM_FORWARD_H_INCLUDED_ */
