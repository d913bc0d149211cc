/*
 * What the files of the poll transport share.
 *
 * A client's POST /poll is held in the worker that accepted it; a scrape is
 * its answer, with an Id of which the worker is a part; the client's POST
 * /push with that Id is the scrape's answer.  Whatever arrives at another
 * worker than it concerns is proxied to that worker's private unix socket, by
 * proxy_pass and the balancer "prom_poll_peer": a hop.
 *
 * The Id is a header of the response that is pushed, so it is in the body of
 * the push: PushProx's clients send none with the push itself.  Which worker
 * a push concerns is thus known once the first bytes of its body are there.
 * nginx goes on streaming a body by proxy_pass only if nobody has begun to
 * read it by ngx_http_read_client_request_body(); bytes that were read into
 * r->header_in, behind the header, are taken from there.
 */


#ifndef _NGX_HTTP_PROM_POLL_H_INCLUDED_
#define _NGX_HTTP_PROM_POLL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_prom_poll_zone.h"
#include "ngx_prom_poll_answer.h"


#define NGX_HTTP_PROM_POLL_ID    36    /* an Id's length: as a UUID's */
#define NGX_HTTP_PROM_POLL_HOPS  3     /* a request's way, at most */

#define NGX_HTTP_PROM_POLL_IDENTITY  2047   /* bytes: of all of its names */


/* what a request is; of a hop it is told by its header "Prom-Poll" */

typedef enum {
    NGX_HTTP_PROM_POLL_NONE = 0,
    NGX_HTTP_PROM_POLL_POLL,
    NGX_HTTP_PROM_POLL_PUSH,
    NGX_HTTP_PROM_POLL_SCRAPE,
    NGX_HTTP_PROM_POLL_BROKEN    /* a push is: of a hop alone */
} ngx_http_prom_poll_kind_e;


typedef struct ngx_http_prom_poll_ctx_s     ngx_http_prom_poll_ctx_t;
typedef struct ngx_http_prom_poll_client_s  ngx_http_prom_poll_client_t;
typedef struct ngx_http_prom_poll_worker_s  ngx_http_prom_poll_worker_t;


/* a client as this worker has it: while it holds a poll, or a scrape waits */

struct ngx_http_prom_poll_client_s {
    ngx_str_node_t                sn;        /* by name, lower case */
    ngx_queue_t                   polls;     /* ctx->queue, oldest first */
    ngx_uint_t                    npolls;
    ngx_queue_t                   waits;     /* scrapes without a poll yet */
    ngx_prom_poll_place_t        *place;
};


/*
 * A poll, a push or a scrape.  A scrape is in turn: waiting in a client's
 * waits; handed, and in the worker's tree by its Id; paired with its push.
 */

struct ngx_http_prom_poll_ctx_s {
    ngx_http_request_t           *request;
    ngx_http_prom_poll_kind_e     kind;
    ngx_uint_t                    hops;      /* that it has behind it */
    ngx_str_t                     name;      /* of the client, lower case */
    ngx_prom_poll_at_t            to;        /* the worker of its next hop */
    ngx_msec_t                    start;     /* ngx_current_msec */
    ngx_prom_poll_path_e          path;

    ngx_queue_t                   queue;
    ngx_http_prom_poll_client_t  *client;    /* while it is in a queue */

    /* of a poll and a scrape: when its time is up */

    ngx_event_t                   timer;

    unsigned                      public:1;  /* came from outside: no hop */
    unsigned                      hop:1;     /* goes to another worker */
    unsigned                      handed:1;
    unsigned                      paired:1;
    unsigned                      answered:1;   /* the header was sent; of a
                                                   push: all of its body is */
    unsigned                      sent:1;    /* what the bufs of a push have */
    unsigned                      late:1;
    unsigned                      folded:1;

    ngx_str_t                     uri;       /* of a scrape, absolute; of
                                                what broke off, the Id */

    /* the context of a poll ends here, since there are so many of these */

    /* of a scrape */

    ngx_msec_t                    timeout;
    ngx_str_node_t                id;        /* while it is handed */
    u_char                        id_buf[NGX_HTTP_PROM_POLL_ID];
    ngx_prom_poll_turn_t          turn;      /* the poll that it was given */

    /* of a push: the identity that it has, empty if there is none; the answer
       as far as it was read */

    ngx_str_t                     identity;
    ngx_prom_poll_answer_t        answer;
    ngx_chain_t                  *free;
    ngx_chain_t                  *busy;

    off_t                         rest;      /* read behind the response */

    ngx_http_prom_poll_ctx_t     *peer;      /* scrape and push of a pair */
    ngx_event_t                  *ended;     /* of a pair: the other has */
};


typedef struct {
    ngx_shm_zone_t               *zone;      /* NULL: nothing of this is on */
    ngx_prom_poll_limits_t        limits;
    ngx_path_t                   *path;      /* of the workers' sockets */
    ngx_array_t                   locations; /* with a kind, for a check */
    ngx_http_core_loc_conf_t     *hops;      /* has "prom_poll_worker" */
    ngx_http_core_srv_conf_t     *server;    /* its server */
    ngx_http_prom_poll_worker_t  *worker;    /* this process', or NULL */
} ngx_http_prom_poll_main_conf_t;


typedef struct {
    ngx_http_core_loc_conf_t     *scrapes;   /* has "prom_poll_scrape" */
} ngx_http_prom_poll_srv_conf_t;


typedef struct {
    ngx_http_prom_poll_kind_e     kind;      /* what is served here */
    ngx_uint_t                    worker;    /* here it is hops */
    ngx_http_complex_value_t     *identity;  /* prom_poll_identity, or NULL */
    ngx_msec_t                    hold;      /* prom_poll_hold */
    ngx_msec_t                    max_timeout;
    ngx_msec_t                    default_timeout;
    size_t                        header_size;  /* of a pushed header */
} ngx_http_prom_poll_loc_conf_t;


/* the page with PushProx's names: ngx_http_prom_poll_metrics.c */

ngx_int_t ngx_http_prom_poll_metrics_handler(ngx_http_request_t *r);

/* counts a request that has ended: ngx_http_prom_poll_count.c */

void ngx_http_prom_poll_count(ngx_http_request_t *r,
    ngx_prom_poll_path_e path);


/* this worker: ngx_http_prom_poll_worker.c */

struct ngx_http_prom_poll_worker_s {
    ngx_prom_poll_zone_t         *zone;
    ngx_prom_poll_at_t            at;
    ngx_connection_t             *connection;   /* its private socket */
    ngx_connection_t             *moves;        /* for connections, or NULL */
    ngx_array_t                   listening;    /* as it was at the start */
    ngx_rbtree_t                  clients;      /* by name */
    ngx_rbtree_node_t             clients_sentinel;
    ngx_rbtree_t                  scrapes;      /* that are handed, by Id */
    ngx_rbtree_node_t             scrapes_sentinel;
    ngx_uint_t                    leaving;      /* it is shut down */
};


/* NULL without a "prom_poll_zone", or in a process that serves no requests */

ngx_http_prom_poll_worker_t *ngx_http_prom_poll_worker(void);

ngx_int_t ngx_http_prom_poll_worker_init(ngx_cycle_t *cycle,
    ngx_http_prom_poll_main_conf_t *pmcf);
void ngx_http_prom_poll_worker_exit(ngx_http_prom_poll_main_conf_t *pmcf);

/* the address of a worker's private socket of that type */

ngx_int_t ngx_http_prom_poll_worker_sockaddr(ngx_prom_poll_at_t *at, int type,
    struct sockaddr_un *sun);

/* true if the request came by the private socket */

ngx_uint_t ngx_http_prom_poll_is_hop(ngx_http_request_t *r);

/*
 * The address of a worker's private socket, in pool; the balancer's and
 * "prom_proxy"'s.  name is what logs show.
 */

ngx_int_t ngx_http_prom_poll_address(ngx_prom_poll_at_t *at,
    ngx_addr_t *addr, ngx_pool_t *pool);

/* nobody listens there any more: it is told so if that worker is gone */

void ngx_http_prom_poll_lost(ngx_prom_poll_at_t *at);

/*
 * Makes the request ready for its hop to ctx->to: adds the header that says
 * what it is, and counts it.  What is next is proxy_pass.
 *
 *     Prom-Poll: poll HOPS NAME
 *     Prom-Poll: push HOPS IDENTITY        (- if there is none)
 *     Prom-Poll: scrape HOPS NAME START URI
 *     Prom-Poll: broken HOPS IDENTITY ID
 *
 * START is ngx_current_msec when the scrape came, which is the same clock in
 * all workers: its deadline goes on.
 */

ngx_int_t ngx_http_prom_poll_hop(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx);

/* that header's value, in pool */

ngx_int_t ngx_http_prom_poll_hop_value(ngx_http_prom_poll_ctx_t *ctx,
    ngx_pool_t *pool, ngx_str_t *value);

/* reads that header of a hop's request into ctx, and takes it off */

ngx_int_t ngx_http_prom_poll_hopped(ngx_http_request_t *r,
    ngx_http_prom_poll_ctx_t *ctx);

/*
 * ngx_http_prom_poll_move.c: moves the request's connection to another worker,
 * where the request begins anew; it must be as it came.  NGX_DECLINED: that
 * can't be, and nothing has changed; NGX_OK: the request is over here.
 */

ngx_int_t ngx_http_prom_poll_move(ngx_http_request_t *r,
    ngx_prom_poll_at_t *to);

/* moves the connection once the request is over and it is kept alive */

void ngx_http_prom_poll_move_later(ngx_http_request_t *r,
    ngx_prom_poll_at_t *to);

/* tells others whether this worker has room for more connections */

void ngx_http_prom_poll_move_room(ngx_http_prom_poll_worker_t *worker);

/*
 * ngx_http_prom_poll_moved.c: the event of the socket that connections come
 * by; and takes all that are there
 */

void ngx_http_prom_poll_moved(ngx_event_t *ev);
void ngx_http_prom_poll_moved_rest(ngx_connection_t *c);


/* takes off headers with that name, which are none of a client's business */

void ngx_http_prom_poll_drop(ngx_http_request_t *r, const ngx_str_t *name);


/*
 * ngx_http_prom_poll_phase.c: handlers of the phases of server rewrites, of
 * precontent and of the log
 */

ngx_int_t ngx_http_prom_poll_route_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_prom_poll_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_prom_poll_log_handler(ngx_http_request_t *r);

/* the context, made on first use, or NULL */

ngx_http_prom_poll_ctx_t *ngx_http_prom_poll_ctx(ngx_http_request_t *r,
    ngx_http_prom_poll_kind_e kind);

/* true on a page for a scrape that nginx has refused, by error_page */

ngx_uint_t ngx_http_prom_poll_was_scrape(ngx_http_request_t *r);

/*
 * One line of plain text as the answer, with a status: fmt is nginx's, and
 * its text has at most 1023 bytes.  What it returns is the handler's, or for
 * ngx_http_finalize_request().
 */

ngx_int_t ngx_http_prom_poll_refuse(ngx_http_request_t *r, ngx_uint_t status,
    const char *fmt, ...);


/*
 * Handlers of the precontent phase, by kind: what concerns this worker gets
 * its content handler set; what doesn't, goes on to proxy_pass as a hop.
 */

ngx_int_t ngx_http_prom_poll_poll_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_prom_poll_push_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_prom_poll_scrape_handler(ngx_http_request_t *r);


/* ngx_http_prom_poll_hold.c */

/*
 * A held poll of a client here, taken out of its queue to be given at once;
 * or NULL.  It is the newest: of an older one, its client may have lost the
 * connection without having been able to tell.
 */

ngx_http_prom_poll_ctx_t *ngx_http_prom_poll_take(ngx_str_t *name);

/* answers a poll that was taken with a scrape; NGX_ERROR: it is gone */

ngx_int_t ngx_http_prom_poll_give(ngx_http_prom_poll_ctx_t *poll,
    ngx_http_prom_poll_ctx_t *scrape);

/* answers all held polls with 204: this worker takes no more */

void ngx_http_prom_poll_release(ngx_http_prom_poll_worker_t *worker);

/*
 * ngx_http_prom_poll_client.c: the client as this worker has it, made or told
 * what is new if hello is given; or NULL, with *rc as ngx_prom_poll_enter()'s
 */

ngx_http_prom_poll_client_t *ngx_http_prom_poll_client(ngx_str_t *name,
    const ngx_prom_poll_hello_t *hello, ngx_int_t *rc);

/* lets go of it once nothing is in its queues */

void ngx_http_prom_poll_client_done(ngx_http_prom_poll_client_t *client);


/*
 * ngx_http_prom_poll_fold.c: frees what a request doesn't need while it is
 * held, and makes it ready again to be answered
 */

void ngx_http_prom_poll_fold(ngx_http_prom_poll_ctx_t *ctx);
ngx_int_t ngx_http_prom_poll_unfold(ngx_http_prom_poll_ctx_t *ctx);


/*
 * ngx_http_prom_poll_watch.c: when a poll was answered, its client may close
 * the connection, which is then known to be gone.  watched() is true if that
 * connection has had such a poll.
 */

void ngx_http_prom_poll_watch(ngx_http_request_t *r, ngx_str_t *name);
ngx_uint_t ngx_http_prom_poll_watched(ngx_connection_t *c);


/* ngx_http_prom_poll_hello.c: what a poll says of its client */

ngx_int_t ngx_http_prom_poll_hello_name(ngx_http_request_t *r,
    ngx_str_t *name);
ngx_uint_t ngx_http_prom_poll_hello_is(ngx_str_t *name, ngx_str_t *identity);
const char *ngx_http_prom_poll_hello_labels(ngx_http_request_t *r,
    ngx_str_t *labels);
ngx_msec_int_t ngx_http_prom_poll_hello_wait(ngx_http_request_t *r);


/* ngx_http_prom_poll_scrape.c */

/*
 * The oldest scrape here that waits for a poll, and is handed now; or NULL.
 * If it couldn't be, again() lets it look for another.
 */

ngx_http_prom_poll_ctx_t *ngx_http_prom_poll_waiting(ngx_str_t *name);
void ngx_http_prom_poll_again(ngx_http_prom_poll_ctx_t *scrape);

/* the scrape that was handed out with an Id, and isn't paired yet; or NULL */

ngx_http_prom_poll_ctx_t *ngx_http_prom_poll_handed(ngx_str_t *id);

/* ends a scrape that can't be answered: with a line, or broken off */

void ngx_http_prom_poll_fail(ngx_http_prom_poll_ctx_t *scrape,
    ngx_prom_poll_fail_e fail, const char *reason);


/* ngx_http_prom_poll_deadline.c: sets the timer of a scrape that waits */

void ngx_http_prom_poll_deadline(ngx_http_prom_poll_ctx_t *scrape);


/* ngx_http_prom_poll_id.c: makes and reads an Id; its worker is in *at */

ngx_int_t ngx_http_prom_poll_id(ngx_prom_poll_at_t *at, u_char *id);
ngx_int_t ngx_http_prom_poll_id_at(ngx_str_t *id, ngx_prom_poll_at_t *at);


/*
 * ngx_http_prom_poll_replica.c: gives a new zone its ID; true if a poll is
 * for another zone than this one; says in a poll's answer which this is
 */

ngx_int_t ngx_http_prom_poll_replica_init(ngx_prom_poll_zone_t *zone,
    ngx_log_t *log);
ngx_uint_t ngx_http_prom_poll_replica_is_other(ngx_http_request_t *r);
ngx_int_t ngx_http_prom_poll_replica_tell(ngx_http_request_t *r);


/* ngx_http_prom_poll_request.c: the scrape as its client is to read it */

ngx_int_t ngx_http_prom_poll_request(ngx_http_prom_poll_ctx_t *scrape,
    ngx_pool_t *pool, ngx_str_t *text);


/* ngx_http_prom_poll_push.c */

/* the balancer's, for a push that isn't read yet */

ngx_int_t ngx_http_prom_poll_push_stream(ngx_http_request_t *r);

/* true unless the scrape was handed to another identity than the push has */

ngx_uint_t ngx_http_prom_poll_push_allowed(ngx_http_prom_poll_ctx_t *push,
    ngx_http_prom_poll_ctx_t *scrape);


/*
 * ngx_http_prom_poll_broken.c: a push broke off before it could hop to its
 * scrape, with that Id, at push->to; and the handler of what tells that
 */

void ngx_http_prom_poll_broken(ngx_http_prom_poll_ctx_t *push, ngx_str_t *id);
ngx_int_t ngx_http_prom_poll_broken_handler(ngx_http_request_t *r);


/*
 * ngx_http_prom_poll_pair.c: the push answers the scrape from here on.  In
 * the push's event; both may be gone afterwards.
 */

void ngx_http_prom_poll_pair(ngx_http_prom_poll_ctx_t *push,
    ngx_http_prom_poll_ctx_t *scrape);

/* the scrape's end is also its push's */

void ngx_http_prom_poll_unpair(ngx_http_prom_poll_ctx_t *scrape);

/* lets a scraper notice that its answer is broken off; another worker's was */

void ngx_http_prom_poll_reset(ngx_http_request_t *r);
ngx_uint_t ngx_http_prom_poll_cut(ngx_http_request_t *r);

/* what a scraper is told of a push that ended with a status */

const char *ngx_http_prom_poll_push_reason(ngx_int_t rc);


/* ngx_http_prom_poll_header.c: a pushed header becomes the scrape's */

ngx_int_t ngx_http_prom_poll_pass_header(ngx_http_request_t *r,
    ngx_prom_poll_answer_t *a);


extern ngx_module_t  ngx_http_prom_poll_module;


#endif /* _NGX_HTTP_PROM_POLL_H_INCLUDED_ */
