/*
 * Connections that move to the worker that they concern: what is sent from
 * worker to worker, and what is known of a connection that moves.
 *
 * A message is a datagram with this head, the text of a request, perhaps, and
 * the connection's file descriptor.
 */


#ifndef _NGX_HTTP_PROM_POLL_MOVE_H_INCLUDED_
#define _NGX_HTTP_PROM_POLL_MOVE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>
#include "ngx_http_prom_poll.h"


#define NGX_HTTP_PROM_POLL_MOVE_MAGIC  0x70706d31    /* "ppm1" */
#define NGX_HTTP_PROM_POLL_MOVE_TEXT   16384         /* bytes, at most */


typedef struct {
    uint32_t                  magic;
    uint32_t                  text;       /* that follows, bytes; 0: idle */
    uint32_t                  requests;   /* of the connection, before this */
    uint32_t                  socklen;    /* of where it was accepted */
    uint64_t                  age;        /* ms */
    ngx_sockaddr_t            sockaddr;
} ngx_http_prom_poll_move_head_t;


/* in the pool of a connection, from when it has moved or is to do so */

typedef struct {
    ngx_connection_t         *connection;
    ngx_uint_t                moved;      /* with that request, by number */
    ngx_prom_poll_at_t        to;
    ngx_event_t               event;      /* it moves if it is idle by then */
} ngx_http_prom_poll_moving_t;


/* the connection's, or NULL; made if there is none yet */

ngx_http_prom_poll_moving_t *ngx_http_prom_poll_moving(ngx_connection_t *c,
    ngx_uint_t make);


#endif /* _NGX_HTTP_PROM_POLL_MOVE_H_INCLUDED_ */
