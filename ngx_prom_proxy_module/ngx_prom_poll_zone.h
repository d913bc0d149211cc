/*
 * Poll clients in shared memory: who there is, and at which worker a poll of
 * theirs is held or a scrape waits for one.  These are counts alone: requests
 * never leave the worker that has them.
 *
 * Every function takes the zone's lock for a moment.  What a worker that was
 * killed has counted is taken back when the next one takes a slot.
 */


#ifndef _NGX_PROM_POLL_ZONE_H_INCLUDED_
#define _NGX_PROM_POLL_ZONE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_PROM_POLL_SLOTS      256   /* workers, those that drain too */
#define NGX_PROM_POLL_NAME       255   /* bytes of a client's name */
#define NGX_PROM_POLL_LABELS     2048  /* bytes of its labels */
#define NGX_PROM_POLL_ADDRESS    46    /* bytes of its address as text */
#define NGX_PROM_POLL_REPLICA    16    /* letters that tell a zone apart */


typedef struct ngx_prom_poll_zone_s    ngx_prom_poll_zone_t;

/* a client as one worker has it; it stays while that worker needs it */

typedef struct ngx_prom_poll_place_s   ngx_prom_poll_place_t;


/* a worker: tag, of 16 bits, tells it from those that had its slot before */

typedef struct {
    uint32_t             slot;
    uint32_t             tag;
} ngx_prom_poll_at_t;


typedef enum {
    NGX_PROM_POLL_ABSENT = 0,         /* unknown, or its last poll broke off */
    NGX_PROM_POLL_BETWEEN,            /* was answered, and polls again soon */
    NGX_PROM_POLL_HERE,               /* this worker holds a poll */
    NGX_PROM_POLL_THERE               /* another one does */
} ngx_prom_poll_state_e;


/* why a poll is not held any more */

typedef enum {
    NGX_PROM_POLL_ANSWERED = 0,       /* by a scrape */
    NGX_PROM_POLL_RELEASED,           /* without one: to poll again */
    NGX_PROM_POLL_GONE                /* its client closed the connection */
} ngx_prom_poll_end_e;


/* what a poll says of its client */

typedef struct {
    ngx_str_t            name;        /* lower case */
    ngx_str_t            address;     /* that it polls from, as text */
    ngx_str_t            labels;      /* "name\0value\0"... */
    ngx_uint_t           kept;        /* the connection has had another one
                                         that was answered */
} ngx_prom_poll_hello_t;


/* the last poll of a client, for a look whether there was one since */

typedef struct {
    void                *client;
    uint64_t             turn;
} ngx_prom_poll_turn_t;


typedef struct {
    ngx_uint_t           clients;     /* that are listed, at most */
    ngx_msec_t           timeout;     /* after its last poll one is listed */
} ngx_prom_poll_limits_t;


/*
 * Counters of the zone, of all workers.  PushProx has the first three groups
 * under names of its own.
 */

#define NGX_PROM_POLL_CODES      6    /* 1xx ... 5xx, and no answer at all */
#define NGX_PROM_POLL_BUCKETS    12   /* of durations; the last is +Inf */

typedef enum {
    NGX_PROM_POLL_PATH_POLL = 0,
    NGX_PROM_POLL_PATH_PUSH,
    NGX_PROM_POLL_PATH_CLIENTS,
    NGX_PROM_POLL_PATH_METRICS,
    NGX_PROM_POLL_PATH_PROXY,         /* scrapes in absolute form */
    NGX_PROM_POLL_PATHS
} ngx_prom_poll_path_e;

/* why a scrape had no answer of its client's */

typedef enum {
    NGX_PROM_POLL_FAIL_ABSENT = 0,    /* no client: 503 */
    NGX_PROM_POLL_FAIL_LATE,          /* the deadline passed: 504 */
    NGX_PROM_POLL_FAIL_ANSWER,        /* the push was no HTTP response: 502 */
    NGX_PROM_POLL_FAIL_BROKEN,        /* the push broke off */
    NGX_PROM_POLL_FAIL_SCRAPER,       /* the scraper went away */
    NGX_PROM_POLL_FAILS
} ngx_prom_poll_fail_e;

typedef struct {
    ngx_atomic_t         requests[NGX_PROM_POLL_PATHS][600];  /* by code */
    ngx_atomic_t         buckets[NGX_PROM_POLL_PATHS][NGX_PROM_POLL_BUCKETS];
    ngx_atomic_t         duration[NGX_PROM_POLL_PATHS];       /* sum, ms */
    ngx_atomic_t         fails[NGX_PROM_POLL_FAILS];
    ngx_atomic_t         hops;        /* requests passed between workers */
    ngx_atomic_t         moves;       /* connections, likewise */
    ngx_atomic_t         bytes;       /* of bodies that scrapers got */
    ngx_atomic_t         refused;     /* polls: limits and identity */
} ngx_prom_poll_counters_t;

/* the upper bounds of the buckets in milliseconds, without +Inf */

extern const uint32_t  ngx_prom_poll_bounds[NGX_PROM_POLL_BUCKETS - 1];


/*
 * Makes an empty zone of all of shpool, which becomes shpool->data.
 * Returns NGX_OK, or NGX_ERROR if it is too small.
 */

ngx_int_t ngx_prom_poll_zone_init(ngx_slab_pool_t *shpool,
    const ngx_prom_poll_limits_t *limits);

/* a configuration's limits, which may differ from those before it */

void ngx_prom_poll_zone_limit(ngx_prom_poll_zone_t *zone,
    const ngx_prom_poll_limits_t *limits);

ngx_prom_poll_counters_t *ngx_prom_poll_zone_counters(
    ngx_prom_poll_zone_t *zone);

/* where its replica's ID stands, a C string; empty in a new zone */

u_char *ngx_prom_poll_zone_replica(ngx_prom_poll_zone_t *zone);

/*
 * Gives this process a slot, and frees those of processes that are gone: each
 * of these is told to gone() for its files to be removed.  Returns NGX_OK, or
 * NGX_ERROR if all slots are taken.
 */

typedef void (*ngx_prom_poll_gone_pt)(const ngx_prom_poll_at_t *at,
    void *data);

ngx_int_t ngx_prom_poll_zone_join(ngx_prom_poll_zone_t *zone,
    ngx_prom_poll_at_t *at, ngx_prom_poll_gone_pt gone, void *data);
void ngx_prom_poll_zone_leave(ngx_prom_poll_zone_t *zone,
    const ngx_prom_poll_at_t *at);

/*
 * Frees the slot of another worker if its process is gone.  Returns NGX_OK if
 * so, for its files to be removed, or NGX_DECLINED.
 */

ngx_int_t ngx_prom_poll_zone_lost(ngx_prom_poll_zone_t *zone,
    const ngx_prom_poll_at_t *at);

/* true while the worker is there */

ngx_uint_t ngx_prom_poll_zone_has(ngx_prom_poll_zone_t *zone,
    const ngx_prom_poll_at_t *at);

/*
 * Whether a worker takes connections that others have accepted: it says so
 * itself, and is asked without the lock.
 */

void ngx_prom_poll_zone_set_room(ngx_prom_poll_zone_t *zone,
    const ngx_prom_poll_at_t *own, ngx_uint_t room);
ngx_uint_t ngx_prom_poll_zone_room(ngx_prom_poll_zone_t *zone,
    const ngx_prom_poll_at_t *at);

/*
 * Where a poll of the client is, if one is held: at this worker (own) rather
 * than elsewhere.  *at is the worker of NGX_PROM_POLL_THERE.
 */

ngx_prom_poll_state_e ngx_prom_poll_find(ngx_prom_poll_zone_t *zone,
    const ngx_str_t *name, const ngx_prom_poll_at_t *own,
    ngx_prom_poll_at_t *at);

/*
 * Where a scrape of the client waits for a poll: as above, but
 * NGX_PROM_POLL_ABSENT if none does, and never NGX_PROM_POLL_BETWEEN.
 */

ngx_prom_poll_state_e ngx_prom_poll_find_wait(ngx_prom_poll_zone_t *zone,
    const ngx_str_t *name, const ngx_prom_poll_at_t *own,
    ngx_prom_poll_at_t *at);

/*
 * The place of a client at a worker, made on first use, the client too: a
 * pair of enter and exit may be nested.  hello may have a name alone: the
 * rest then stays as it is.  NULL, with a reason in *rc: NGX_DECLINED if
 * there are as many clients as there may be, none of which is gone, or
 * NGX_ERROR if the zone has no room.
 */

ngx_prom_poll_place_t *ngx_prom_poll_enter(ngx_prom_poll_zone_t *zone,
    const ngx_prom_poll_at_t *own, const ngx_prom_poll_hello_t *hello,
    ngx_int_t *rc);
void ngx_prom_poll_exit(ngx_prom_poll_zone_t *zone,
    ngx_prom_poll_place_t *place);

/* a poll is held at a place, or isn't any more; a scrape waits, or doesn't */

void ngx_prom_poll_hold(ngx_prom_poll_zone_t *zone,
    ngx_prom_poll_place_t *place);

/*
 * The same, unless what it is for is at other workers alone: NGX_DECLINED
 * then, and *at is one of these.  Of a poll and a scrape that arrive at two
 * workers at once, one goes to the other.
 */

ngx_int_t ngx_prom_poll_offer(ngx_prom_poll_zone_t *zone,
    ngx_prom_poll_place_t *place, ngx_prom_poll_at_t *at);
ngx_int_t ngx_prom_poll_await(ngx_prom_poll_zone_t *zone,
    ngx_prom_poll_place_t *place, ngx_prom_poll_at_t *at);

void ngx_prom_poll_unhold(ngx_prom_poll_zone_t *zone,
    ngx_prom_poll_place_t *place, ngx_prom_poll_end_e end);
void ngx_prom_poll_wait(ngx_prom_poll_zone_t *zone,
    ngx_prom_poll_place_t *place);
void ngx_prom_poll_unwait(ngx_prom_poll_zone_t *zone,
    ngx_prom_poll_place_t *place);

/* the last poll of a client; turn->client is NULL if there was none */

void ngx_prom_poll_turn(ngx_prom_poll_zone_t *zone, const ngx_str_t *name,
    ngx_prom_poll_turn_t *turn);

/*
 * The client is gone unless it has polled since: it has closed the connection
 * of that poll, which was answered, or has not pushed in time.  One that polls
 * by a new connection each time closes all of them.
 */

void ngx_prom_poll_closed(ngx_prom_poll_zone_t *zone,
    const ngx_prom_poll_turn_t *turn);
void ngx_prom_poll_late(ngx_prom_poll_zone_t *zone,
    const ngx_prom_poll_turn_t *turn);


/* a copy of a client, for pages */

typedef struct {
    size_t               name_len;
    size_t               address_len;
    size_t               labels_len;
    u_char               name[NGX_PROM_POLL_NAME];
    u_char               address[NGX_PROM_POLL_ADDRESS];
    u_char               labels[NGX_PROM_POLL_LABELS];
    uint64_t             since;       /* ms, Unix time: it is there without a
                                         break since then */
    uint64_t             seen;        /* the last poll's begin or end */
    uint32_t             polls;       /* that are held now */
    uint32_t             handed;      /* polls that were answered by scrapes */
    ngx_uint_t           gone;        /* its last poll broke off */
} ngx_prom_poll_client_t;


/*
 * Copies the first client whose name sorts behind *after ("" is before all);
 * so a walk needs no lock between two calls and tells nobody twice.  Returns
 * NGX_OK, or NGX_DONE behind the last.  Such that are past the timeout are
 * taken out on the way.
 */

ngx_int_t ngx_prom_poll_next(ngx_prom_poll_zone_t *zone,
    const ngx_str_t *after, ngx_prom_poll_client_t *client);

/* copies the client with that name, or returns NGX_DECLINED */

ngx_int_t ngx_prom_poll_get(ngx_prom_poll_zone_t *zone,
    const ngx_str_t *name, ngx_prom_poll_client_t *client);

/* clients that are listed; and a number that changes with their names or
   labels, so that who has a list knows that it is old */

ngx_uint_t ngx_prom_poll_count(ngx_prom_poll_zone_t *zone);
ngx_uint_t ngx_prom_poll_limit(ngx_prom_poll_zone_t *zone);
ngx_uint_t ngx_prom_poll_version(ngx_prom_poll_zone_t *zone);

/* a number that changes, and never back, when a client is gone or isn't */

ngx_uint_t ngx_prom_poll_moves(ngx_prom_poll_zone_t *zone);

/* takes out clients that are past the timeout, a few at a time */

void ngx_prom_poll_expire(ngx_prom_poll_zone_t *zone);


#endif /* _NGX_PROM_POLL_ZONE_H_INCLUDED_ */
