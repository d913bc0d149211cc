/*
 * What the files of the http module share: a request's route and what became
 * of it.
 */


#ifndef _NGX_HTTP_PROM_PROXY_H_INCLUDED_
#define _NGX_HTTP_PROM_PROXY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_prom_registry.h"
#include "ngx_http_prom_peers.h"
#include "ngx_http_prom_tunnels.h"
#include "ngx_http_prom_verify.h"


/* how far a scrape came before it failed; the furthest failure is told */

typedef enum {
    NGX_HTTP_PROM_FAIL_NONE = 0,
    NGX_HTTP_PROM_FAIL_TARGET,        /* no such target */
    NGX_HTTP_PROM_FAIL_PATH,          /* out of the base path */
    NGX_HTTP_PROM_FAIL_RESOLVER,      /* no resolver to ask */
    NGX_HTTP_PROM_FAIL_RESOLVE,       /* code is the resolver's */
    NGX_HTTP_PROM_FAIL_POLL,          /* no client polls for it */
    NGX_HTTP_PROM_FAIL_CONNECT,       /* code is an errno, 0 if unknown */
    NGX_HTTP_PROM_FAIL_CONNECT_TIME,
    NGX_HTTP_PROM_FAIL_CROWDED,       /* no connection of our own is left */
    NGX_HTTP_PROM_FAIL_TLS,
    NGX_HTTP_PROM_FAIL_TLS_TIME,
    NGX_HTTP_PROM_FAIL_TLS_VERIFY,    /* code is an X509_V_ERR_* */
    NGX_HTTP_PROM_FAIL_TLS_NAME,
    NGX_HTTP_PROM_FAIL_CLOSED,
    NGX_HTTP_PROM_FAIL_HEADER,
    NGX_HTTP_PROM_FAIL_TIME,
    NGX_HTTP_PROM_FAIL_BODY,          /* not whole */
    NGX_HTTP_PROM_FAIL_DEADLINE,      /* the scraper's own timeout */
    NGX_HTTP_PROM_FAIL_ABORTED        /* by the scraper */
} ngx_http_prom_fail_e;


/* a failure, and what its line says of the target */

typedef struct {
    ngx_http_prom_fail_e         fail;
    ngx_int_t                    code;
    ngx_msec_t                   timeout;   /* the scraper's, 0 if none */
    ngx_uint_t                   kind;      /* ngx_prom_address_e */
    ngx_str_t                    authority;
    ngx_str_t                    host;
    ngx_str_t                    base;
    const ngx_http_prom_tunnel_t    *tunnel;  /* or NULL: is not told */
} ngx_http_prom_reason_t;


typedef struct {
    ngx_http_request_t          *request;
    ngx_prom_route_t             route;

    const ngx_http_prom_verify_t    *verify;    /* is not of the registry,
                                                   but routed by another; or
                                                   NULL */

    ngx_addr_t                  *addrs;
    ngx_uint_t                   naddrs;
    ngx_prom_poll_at_t           poll;      /* the worker that has a client */

    ngx_resolver_ctx_t          *resolving;

    ngx_event_t                  deadline;
    ngx_msec_t                   timeout;   /* the scraper's, 0 if none */

    ngx_http_prom_fail_e         fail;
    ngx_int_t                    code;

    ngx_uint_t                   connects;  /* opened for this request */
    ngx_uint_t                   reuses;

    unsigned                     found:1;   /* there is a route */
    unsigned                     late:1;    /* the deadline has passed */
} ngx_http_prom_proxy_ctx_t;


typedef struct ngx_http_prom_watch_s  ngx_http_prom_watch_t;


typedef struct {
    ngx_shm_zone_t              *zone;
    ngx_prom_source_t            sources[NGX_PROM_SOURCES];
    ngx_msec_t                   polls;     /* of looking at poll clients,
                                               0: they are no targets */
    ngx_shm_zone_t              *poll_zone;

    ngx_prom_targets_t          *targets;   /* parsed, for the zone's init */
    ngx_pool_t                  *pool;      /* theirs */
    ngx_prom_sources_t           read;      /* what was parsed */
    ngx_msec_t                   took;      /* to parse it */
    ngx_prom_registry_t         *acquired;  /* until the targets are in use */
    ngx_uint_t                   prepared;
    ngx_uint_t                   configuration;    /* its number */

    ngx_uint_t                   enabled;   /* some "prom_proxy" is there */
    ngx_uint_t                   loopback6; /* this machine has ::1 */

    ngx_http_prom_watch_t       *watch;     /* this process', if it looks */
} ngx_http_prom_proxy_main_conf_t;


/* the registry of a zone, and the clients of one of "prom_poll_zone" */

#define ngx_http_prom_registry(zone)                                         \
    ((ngx_prom_registry_t *) ((ngx_slab_pool_t *) (zone)->shm.addr)->data)

#define ngx_http_prom_proxy_polls(zone)                                      \
    ((ngx_prom_poll_zone_t *) ((ngx_slab_pool_t *) (zone)->shm.addr)->data)


typedef struct {
    ngx_http_core_loc_conf_t    *router;    /* location of "prom_proxy" */
} ngx_http_prom_proxy_srv_conf_t;


typedef struct {
    ngx_shm_zone_t              *zone;
} ngx_http_prom_proxy_loc_conf_t;


/*
 * The context of a request, also behind a redirect to a named location,
 * which clears the contexts of all modules. NULL if it was never routed.
 */

ngx_http_prom_proxy_ctx_t *ngx_http_prom_proxy_ctx(ngx_http_request_t *r);

/* a new one, or that of before, cleared; NULL if there is no memory */

ngx_http_prom_proxy_ctx_t *ngx_http_prom_proxy_create_ctx(
    ngx_http_request_t *r);

/* the handler of the rewrite phase: finds the target and its location */

ngx_int_t ngx_http_prom_proxy_route_handler(ngx_http_request_t *r);

/* where a walk of a list of headers is; zero before the first */

typedef struct {
    ngx_list_part_t             *part;
    ngx_uint_t                   next;
} ngx_http_prom_header_pos_t;

/* the next header, or NULL */

static ngx_inline ngx_table_elt_t *
ngx_http_prom_proxy_next_header(ngx_list_t *headers,
    ngx_http_prom_header_pos_t *pos)
{
    if (pos->part == NULL) {
        pos->part = &headers->part;
    }

    while (pos->next == pos->part->nelts) {

        if (pos->part->next == NULL) {
            return NULL;
        }

        pos->part = pos->part->next;
        pos->next = 0;
    }

    return (ngx_table_elt_t *) pos->part->elts + pos->next++;
}

/* the next header with that name, in any case of its letters, or NULL */

ngx_table_elt_t *ngx_http_prom_proxy_header(ngx_list_t *headers,
    const ngx_str_t *name, ngx_http_prom_header_pos_t *pos);

/*
 * ngx_http_prom_verify.c: makes the handshake with a server verify its
 * certificate as ctx->verify has it; and tells what of it was wrong, true if
 * it was that.
 */

#if (NGX_HTTP_SSL)
ngx_int_t ngx_http_prom_verify(ngx_connection_t *c,
    ngx_http_prom_proxy_ctx_t *ctx);
ngx_uint_t ngx_http_prom_verify_failed(ngx_connection_t *c,
    ngx_http_prom_proxy_ctx_t *ctx);
#endif

/* takes headers off the request that only concern the hop to us */

void ngx_http_prom_proxy_drop_hop_headers(ngx_http_request_t *r);

/* true if a target may read the URI as leading out of its base path */

ngx_int_t ngx_http_prom_proxy_leaves_base(ngx_http_request_t *r,
    ngx_prom_route_t *route);

/* the handler of the precontent phase: makes the addresses to dial */

ngx_int_t ngx_http_prom_proxy_resolve_handler(ngx_http_request_t *r);

/* starts the deadline that the scraper has named, if it did */

void ngx_http_prom_proxy_deadline(ngx_http_request_t *r,
    ngx_http_prom_proxy_ctx_t *ctx);

/* X-Prometheus-Scrape-Timeout-Seconds in milliseconds, or 0 */

ngx_msec_t ngx_http_prom_proxy_timeout(ngx_http_request_t *r);

/*
 * ngx_http_prom_proxy_answer.c: refuses answers that aren't HTTP/1, of targets
 * that aren't of the registry
 */

void ngx_http_prom_proxy_filter_init(void);

/* keeps a failure for $prom_proxy_error, unless a further one is known */

void ngx_http_prom_proxy_fail(ngx_http_prom_proxy_ctx_t *ctx,
    ngx_http_prom_fail_e fail, ngx_int_t code);

/* the line for people: "NAME: what failed: why" */

ngx_int_t ngx_http_prom_proxy_error(ngx_http_request_t *r, ngx_str_t *line);

/*
 * Writes the reason of a failure, without the target's name, to p and at
 * most to last; returns the place behind it.
 */

u_char *ngx_http_prom_proxy_reason(u_char *p, u_char *last,
    const ngx_http_prom_reason_t *reason);

/*
 * Poll clients as targets, in ngx_http_prom_proxy_poll.c.  Makes the address
 * of the worker that has a client, and the header that it goes by: NGX_OK,
 * NGX_DECLINED if no client has that name, or NGX_ERROR.
 */

ngx_int_t ngx_http_prom_proxy_poll(ngx_http_request_t *r,
    ngx_http_prom_proxy_ctx_t *ctx);

/* that worker could not be dialled */

void ngx_http_prom_proxy_poll_lost(ngx_http_prom_proxy_ctx_t *ctx);

/* their zone, or NULL if they are no targets */

ngx_prom_poll_zone_t *ngx_http_prom_proxy_poll_zone(ngx_http_request_t *r);

/* who knows where targets come from; each may be NULL */

typedef struct {
    ngx_http_prom_board_t       *tunnels;
    ngx_http_prom_board_t       *peers;
    ngx_prom_poll_zone_t        *polls;
} ngx_http_prom_origins_t;

void ngx_http_prom_proxy_origins(ngx_http_request_t *r,
    ngx_http_prom_origins_t *origins);

/*
 * What is known of where a target comes from: the tunnel of a host's port, the
 * client with its name, or its node.  Of an item its name, kind, tunnel, node
 * and ip are looked at.
 */

void ngx_http_prom_proxy_tunnel(const ngx_http_prom_origins_t *origins,
    const ngx_prom_item_t *item, ngx_http_prom_tunnel_t *tunnel);

/* the handler of the log phase: counts the scrape */

ngx_int_t ngx_http_prom_proxy_count_handler(ngx_http_request_t *r);

/* the directives of the sources: cmd->offset is that of the source */

char *ngx_http_prom_source(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_prom_source_poll(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/*
 * Parses the sources into pmcf->targets, in a pool of their own; no targets
 * are made of files that are all missing, and may be.
 */

ngx_int_t ngx_http_prom_source_load(ngx_conf_t *cf,
    ngx_http_prom_proxy_main_conf_t *pmcf);

/* adds the poll clients that there are while nginx is reloaded */

ngx_int_t ngx_http_prom_source_former(
    ngx_http_prom_proxy_main_conf_t *pmcf);
void ngx_http_prom_source_free(ngx_http_prom_proxy_main_conf_t *pmcf);

/*
 * NGX_OK if targets can take the place of those that the registry has in use,
 * NGX_DONE if there are none, or NGX_DECLINED if a file is missing by now that
 * those in use have come from.  Tells of missing files.
 */

ngx_int_t ngx_http_prom_source_ready(ngx_http_prom_proxy_main_conf_t *pmcf,
    ngx_prom_registry_t *registry, ngx_log_t *log);

/* the zone that the running configuration has in the place of this one */

ngx_shm_zone_t *ngx_http_prom_proxy_former(ngx_shm_zone_t *shm_zone);

/* begins and ends looking for changes of the sources, in one worker */

ngx_int_t ngx_http_prom_watch_init(ngx_cycle_t *cycle,
    ngx_http_prom_proxy_main_conf_t *pmcf);
void ngx_http_prom_watch_exit(ngx_http_prom_proxy_main_conf_t *pmcf);

ngx_int_t ngx_http_prom_proxy_add_variables(ngx_conf_t *cf);


extern ngx_module_t  ngx_http_prom_proxy_module;


#endif /* _NGX_HTTP_PROM_PROXY_H_INCLUDED_ */
