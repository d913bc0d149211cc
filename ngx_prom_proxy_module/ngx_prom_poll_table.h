/*
 * How clients lie in the zone: cells of one size, so that memory is never in
 * pieces, and what one client leaves is right for any other.
 *
 * Cells are what is true.  All that leads to them (the tree, queues, lists,
 * the free ones) follows from them, and is made anew when whoever held the
 * lock was killed at it: see ngx_prom_poll_lock().
 */


#ifndef _NGX_PROM_POLL_TABLE_H_INCLUDED_
#define _NGX_PROM_POLL_TABLE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_prom_poll_zone.h"


#define NGX_PROM_POLL_CELL  128


/* memory that was never used is zero, and so free */

typedef enum {
    NGX_PROM_POLL_FREE = 0,
    NGX_PROM_POLL_TEXT,
    NGX_PROM_POLL_CLIENT,
    NGX_PROM_POLL_PLACE
} ngx_prom_poll_kind_e;


typedef union ngx_prom_poll_cell_u  ngx_prom_poll_cell_t;
typedef struct ngx_prom_poll_text_s  ngx_prom_poll_text_t;


/* name, address and labels, one behind the other, in as many as it takes */

struct ngx_prom_poll_text_s {
    uint8_t                  kind;
    uint8_t                  lost;          /* while the table is repaired */
    uint8_t                  name_len;      /* these three: in the first */
    uint8_t                  address_len;
    uint16_t                 labels_len;
    ngx_prom_poll_text_t    *next;
    u_char                   data[NGX_PROM_POLL_CELL - 8 - sizeof(void *)];
};


/* why there is no poll of a client's; it counts while that is so */

typedef enum {
    NGX_PROM_POLL_PRESENT = 0,              /* it polls again */
    NGX_PROM_POLL_AWAY,                     /* its last poll broke off */
    NGX_PROM_POLL_LOST                      /* that one's worker was killed */
} ngx_prom_poll_gone_e;

/* what a client does with the connection of a poll that was answered */

typedef enum {
    NGX_PROM_POLL_KEEPS = 0,
    NGX_PROM_POLL_CLOSED,                   /* it did, and is away since */
    NGX_PROM_POLL_CLOSES                    /* each time: this says nothing */
} ngx_prom_poll_habit_e;


typedef struct {
    uint8_t                  kind;
    uint8_t                  gone;          /* ngx_prom_poll_gone_e */
    uint8_t                  habit;         /* ngx_prom_poll_habit_e */
    uint32_t                 handed;
    ngx_msec_t               last;          /* poll's begin or end */
    uint64_t                 since;         /* ms, Unix time */
    uint64_t                 seen;
    uint64_t                 turn;          /* of its last poll */
    ngx_prom_poll_text_t    *text;
    ngx_prom_poll_place_t   *places;
    ngx_rbtree_node_t        node;
    ngx_queue_t              queue;         /* while it has no place */
} ngx_prom_poll_entry_t;


struct ngx_prom_poll_place_s {
    uint8_t                  kind;
    uint32_t                 refs;          /* enters without their exits */
    uint32_t                 polls;
    uint32_t                 waits;
    ngx_prom_poll_at_t       at;
    ngx_prom_poll_entry_t   *client;
    ngx_prom_poll_place_t   *next;          /* of the client's */
};


union ngx_prom_poll_cell_u {
    uint8_t                  kind;
    ngx_prom_poll_text_t     text;
    ngx_prom_poll_entry_t    client;
    ngx_prom_poll_place_t    place;
    u_char                   size[NGX_PROM_POLL_CELL];
};


typedef struct {
    ngx_pid_t                pid;           /* 0: the slot is free */
    uint64_t                 started;       /* as in /proc/PID/stat */
    uint32_t                 tag;
    uint32_t                 room;          /* for others' connections */
} ngx_prom_poll_slot_t;


struct ngx_prom_poll_zone_s {
    ngx_slab_pool_t         *shpool;        /* its mutex guards all below */
    ngx_atomic_t             busy;          /* somebody has the lock */
    u_char                   replica[NGX_PROM_POLL_REPLICA + 1];

    ngx_prom_poll_limits_t   limits;
    ngx_atomic_t             version;
    ngx_atomic_t             moves;         /* of clients, there and away */
    ngx_msec_t               lost;          /* the last one was, by a worker */
    uint64_t                 turn;          /* the last one, of any client */

    ngx_prom_poll_slot_t     slots[NGX_PROM_POLL_SLOTS];
    uint32_t                 tag;           /* the last one given */

    ngx_uint_t               count;         /* of clients */
    ngx_rbtree_node_t       *root;          /* by name */
    ngx_rbtree_node_t        sentinel;
    ngx_queue_t              gone;          /* oldest first, as the next: */
    ngx_queue_t              between;       /* they may poll again */

    ngx_prom_poll_cell_t    *cells;
    ngx_uint_t               ncells;
    ngx_uint_t               fresh;         /* cells from here: never used */
    ngx_prom_poll_text_t    *free;          /* cells, by their next */

    ngx_prom_poll_counters_t counters;
};


#define ngx_prom_poll_entry(n)                                                \
    ((ngx_prom_poll_entry_t *)                                                \
        ((u_char *) (n) - offsetof(ngx_prom_poll_entry_t, node)))


void ngx_prom_poll_lock(ngx_prom_poll_zone_t *zone);
void ngx_prom_poll_unlock(ngx_prom_poll_zone_t *zone);

/* all of the following with the lock held */

/* true while that worker has its slot */

ngx_uint_t ngx_prom_poll_there(ngx_prom_poll_zone_t *zone,
    const ngx_prom_poll_at_t *at);

/* the client with that name, and the first behind it; or NULL */

ngx_prom_poll_entry_t *ngx_prom_poll_lookup(ngx_prom_poll_zone_t *zone,
    const ngx_str_t *name);
ngx_prom_poll_entry_t *ngx_prom_poll_behind(ngx_prom_poll_zone_t *zone,
    const ngx_str_t *name);

/* a new client, or other texts for one; NULL, NGX_ERROR: no cells are left */

ngx_prom_poll_entry_t *ngx_prom_poll_add(ngx_prom_poll_zone_t *zone,
    const ngx_prom_poll_hello_t *hello);
ngx_int_t ngx_prom_poll_retext(ngx_prom_poll_zone_t *zone,
    ngx_prom_poll_entry_t *client, const ngx_prom_poll_hello_t *hello);

/* keeps one without a place from being evicted, and no longer so */

void ngx_prom_poll_pin(ngx_prom_poll_entry_t *client);
void ngx_prom_poll_unpin(ngx_prom_poll_zone_t *zone,
    ngx_prom_poll_entry_t *client);

/* one that has no place */

void ngx_prom_poll_remove(ngx_prom_poll_zone_t *zone,
    ngx_prom_poll_entry_t *client);

/* a client's place at a worker: made, and given up */

ngx_prom_poll_place_t *ngx_prom_poll_add_place(ngx_prom_poll_zone_t *zone,
    ngx_prom_poll_entry_t *client, const ngx_prom_poll_at_t *at);
void ngx_prom_poll_remove_place(ngx_prom_poll_zone_t *zone,
    ngx_prom_poll_place_t *place);

/* copies len bytes of a text from offset */

void ngx_prom_poll_text(const ngx_prom_poll_text_t *text, size_t offset,
    u_char *buf, size_t len);


/* ms, Unix time */

uint64_t ngx_prom_poll_time(void);


#endif /* _NGX_PROM_POLL_TABLE_H_INCLUDED_ */
