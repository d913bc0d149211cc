/*
 * Own metrics: the page that is being written, and the table of families that
 * stand on it.
 */


#ifndef _NGX_HTTP_PROM_METRICS_H_INCLUDED_
#define _NGX_HTTP_PROM_METRICS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_page.h"
#include "ngx_prom_forward.h"
#include "ngx_http_prom_token.h"


#define NGX_PROM_VERSION  "0.4.0"


/* room for a description, and for a sample, its target aside */

#define NGX_HTTP_PROM_METRICS_DESCRIPTION  512
#define NGX_HTTP_PROM_METRICS_SAMPLE       160

/* what ngx_http_prom_metrics_because() writes for a reason of n bytes */

#define NGX_HTTP_PROM_METRICS_BECAUSE(n)                                      \
    (NGX_HTTP_PROM_METRICS_SAMPLE + 2 * (n))

/* of all forward proxies, one side and decision after the other */

#define NGX_HTTP_PROM_METRICS_FORWARDS(n)                                     \
    (NGX_PROM_FORWARD_MAX * (n)                                               \
     * (NGX_HTTP_PROM_METRICS_SAMPLE + NGX_PROM_FORWARD_NAME))

/* target="NAME" */

#define NGX_HTTP_PROM_METRICS_LABEL                                           \
    (sizeof("target=\"\"") - 1 + 2 * NGX_PROM_NAME_MAX)

#define NGX_HTTP_PROM_METRICS_SAMPLES(n)                                      \
    ((n) * (NGX_HTTP_PROM_METRICS_SAMPLE + NGX_HTTP_PROM_METRICS_LABEL))


typedef struct ngx_http_prom_metrics_s  ngx_http_prom_metrics_t;
typedef struct ngx_http_prom_metrics_family_s
    ngx_http_prom_metrics_family_t;


/* writes the samples of a family: all of it, or those of one target */

typedef u_char *(*ngx_http_prom_metrics_pt)(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);


typedef enum {
    NGX_HTTP_PROM_METRICS_COUNTER = 0,
    NGX_HTTP_PROM_METRICS_GAUGE,
    NGX_HTTP_PROM_METRICS_HISTOGRAM,
    NGX_HTTP_PROM_METRICS_INFO
} ngx_http_prom_metrics_type_e;


/* which targets a family looks at */

typedef enum {
    NGX_HTTP_PROM_METRICS_NONE = 0,
    NGX_HTTP_PROM_METRICS_REGISTRY,           /* none: at all together */
    NGX_HTTP_PROM_METRICS_BOARD,              /* none: at that of tunnels */
    NGX_HTTP_PROM_METRICS_NODES,              /* none: at the nodes file */
    NGX_HTTP_PROM_METRICS_POLLS,              /* none: at poll clients */
    NGX_HTTP_PROM_METRICS_FORWARD,            /* none: at forward proxies */
    NGX_HTTP_PROM_METRICS_ALL,                /* it counts them */
    NGX_HTTP_PROM_METRICS_EACH,               /* each has its own samples */
    NGX_HTTP_PROM_METRICS_TUNNEL,             /* each that is a host's has */
    NGX_HTTP_PROM_METRICS_POLL,               /* each that polls has */
    NGX_HTTP_PROM_METRICS_PEER,               /* each that is a node's has */
    NGX_HTTP_PROM_METRICS_FORWARDED,          /* none: at those of forward
                                                 proxies */
    NGX_HTTP_PROM_METRICS_QUERY,              /* none: at requests to each
                                                 remote */
    NGX_HTTP_PROM_METRICS_TOKEN               /* none: at its credentials */
} ngx_http_prom_metrics_walk_e;


struct ngx_http_prom_metrics_family_s {
    ngx_str_t                    name;
    ngx_http_prom_metrics_type_e type;
    const char                  *unit;        /* "" if it has none */
    const char                  *help;

    ngx_http_prom_metrics_pt     write;
    size_t                       size;        /* at most, of what it writes */
    size_t                       offset;      /* of the number in what the
                                                 writer looks at */
    ngx_http_prom_metrics_walk_e walk;
};


struct ngx_http_prom_metrics_s {
    const ngx_http_prom_metrics_family_t  *family;

    ngx_prom_registry_t         *registry;    /* or NULL: there are none */
    ngx_prom_info_t              info;
    ngx_prom_walk_t              walk;

    /* what families without labels say; times are in milliseconds */

    uint64_t                     targets;
    uint64_t                     up;
    uint64_t                     down;
    uint64_t                     unscraped;
    uint64_t                     successful;
    uint64_t                     loaded;
    uint64_t                     took;
    uint64_t                     size;
    uint64_t                     used;
    uint64_t                     capacity;
    uint64_t                     logins;
    uint64_t                     hosts;
    uint64_t                     hosts_failures;
    uint64_t                     hosts_successful;
    uint64_t                     nodes;
    uint64_t                     nodes_failures;
    uint64_t                     nodes_successful;
    uint64_t                     clients;
    uint64_t                     clients_max;

    ngx_http_prom_origins_t      origins;     /* of targets */
    ngx_prom_tunnels_head_t      head;
    ngx_prom_peers_head_t        peers;

    ngx_prom_poll_zone_t        *polls;       /* or NULL */

    /* forward proxies, or NULL; where the walk of their targets is */

    ngx_array_t                 *forward;
    ngx_uint_t                   per_forwarded;  /* also without targets */
    ngx_uint_t                   forward_block;
    ngx_uint_t                   forward_target;
    const ngx_prom_forward_counter_t  *forward_counter;

    /* remotes, an array of ngx_http_prom_token_t *; where their walk is */

    ngx_array_t                 *tokens;
    ngx_uint_t                   query_next;
    ngx_http_prom_token_t       *token;

    /* whose samples are written next: a target, or with no label all */

    ngx_str_t                    label;
    const ngx_prom_counters_t   *counters;
    ngx_http_prom_tunnel_t       tunnel;
    u_char                       buf[NGX_HTTP_PROM_METRICS_LABEL];

    unsigned                     openmetrics:1;
    unsigned                     per_target:1;
    unsigned                     counted:1;   /* up, down and unscraped are */
    unsigned                     described:1; /* the family is */
    unsigned                     hosted:1;    /* the head knows of hosts */
    unsigned                     nodes_known:1; /* that of peers of nodes */
};


/*
 * ngx_http_prom_metrics_sample.c: "# HELP" and "# TYPE" of a family, in the
 * page's format
 */

u_char *ngx_http_prom_metrics_describe(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family);


/* all of a sample but its value */

u_char *ngx_http_prom_metrics_sample(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family, const char *suffix,
    const char *label);

/* the sample of a number of the page, which is a uint64_t at the offset */

u_char *ngx_http_prom_metrics_number(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family);

/* decimals as far as there are any: 5, 0.05, 1.234 */

u_char *ngx_http_prom_metrics_seconds(u_char *p, uint64_t ms);

/* a bound's label, as "le" has it; at most NGX_HTTP_PROM_METRICS_LE bytes */

#define NGX_HTTP_PROM_METRICS_LE  sizeof("le=\"4294967.295\"")

u_char *ngx_http_prom_metrics_le(u_char *p, ngx_http_prom_metrics_t *m,
    const uint32_t *bounds, ngx_uint_t i, ngx_uint_t n);

/* the sample of an info with a reason */

u_char *ngx_http_prom_metrics_because(u_char *p,
    const ngx_http_prom_metrics_family_t *family, const ngx_str_t *reason);

/* ngx_http_prom_metrics_tunnels.c: reads the head; families of tunnels */

void ngx_http_prom_metrics_board(ngx_http_prom_metrics_t *m);

u_char *ngx_http_prom_metrics_sessions(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
u_char *ngx_http_prom_metrics_refused(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
u_char *ngx_http_prom_metrics_hosts(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
u_char *ngx_http_prom_metrics_hosts_loaded(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
u_char *ngx_http_prom_metrics_hosts_reason(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
u_char *ngx_http_prom_metrics_tunnel_connected(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
u_char *ngx_http_prom_metrics_tunnel_login(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
u_char *ngx_http_prom_metrics_tunnel_number(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
u_char *ngx_http_prom_metrics_tunnel_info(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);

/* ngx_http_prom_metrics_peers.c: reads the head; families of nodes */

void ngx_http_prom_metrics_peers(ngx_http_prom_metrics_t *m);

u_char *ngx_http_prom_metrics_nodes_loaded(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
u_char *ngx_http_prom_metrics_nodes_reason(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
u_char *ngx_http_prom_metrics_peer_handshake(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
u_char *ngx_http_prom_metrics_peer_bytes(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);

/* ngx_http_prom_metrics_poll.c: families of poll clients */

u_char *ngx_http_prom_metrics_poll_requests(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
u_char *ngx_http_prom_metrics_poll_durations(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
u_char *ngx_http_prom_metrics_poll_failures(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
u_char *ngx_http_prom_metrics_poll_counter(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
u_char *ngx_http_prom_metrics_poll_since(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
u_char *ngx_http_prom_metrics_poll_info(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);

/*
 * ngx_http_prom_metrics_forward.c: families of forward proxies.  The last goes
 * to the next target of one: NGX_OK, or NGX_DONE behind the last.
 */

u_char *ngx_http_prom_metrics_forward_requests(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
u_char *ngx_http_prom_metrics_forward_side(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
u_char *ngx_http_prom_metrics_forward_tunnels(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
u_char *ngx_http_prom_metrics_forward_target(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
ngx_int_t ngx_http_prom_metrics_forward_walk(ngx_http_prom_metrics_t *m);

/* ngx_http_prom_metrics_query.c: families of remotes, as those of targets */

u_char *ngx_http_prom_metrics_query_requests(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
u_char *ngx_http_prom_metrics_query_durations(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
u_char *ngx_http_prom_metrics_query_expiry(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
u_char *ngx_http_prom_metrics_query_refreshes(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
u_char *ngx_http_prom_metrics_query_failures(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
ngx_int_t ngx_http_prom_metrics_query_walk(ngx_http_prom_metrics_t *m);

/* ends with an empty name */

extern const ngx_http_prom_metrics_family_t  ngx_http_prom_metrics_families[];


#endif /* _NGX_HTTP_PROM_METRICS_H_INCLUDED_ */
