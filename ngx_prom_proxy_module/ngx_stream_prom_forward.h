/*
 * The stream side of the forward proxy: what its files share.  A connection
 * that asks for a tunnel goes from one to the next:
 *
 *     _module.c     the preread phase, which waits for all of them
 *     _connect.c    the head of the request, and what is decided
 *     _dial.c       the target's addresses, one after the other
 *     _answer.c     the answer; a refusal ends there
 *     _peer.c       the connection that was dialled is given to proxy_pass
 *     _buffer.c     what it has instead of its buffers
 */


#ifndef _NGX_STREAM_PROM_FORWARD_H_INCLUDED_
#define _NGX_STREAM_PROM_FORWARD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_stream.h>
#include "ngx_prom_forward.h"


#define NGX_STREAM_PROM_FORWARD_REASON  512     /* bytes of a line */


typedef struct ngx_stream_prom_forward_ctx_s  ngx_stream_prom_forward_ctx_t;

typedef void (*ngx_stream_prom_forward_pt)(
    ngx_stream_prom_forward_ctx_t *ctx);


struct ngx_stream_prom_forward_ctx_s {
    ngx_stream_session_t        *session;
    ngx_prom_forward_query_t     query;

    ngx_peer_connection_t        peer;       /* its connection is ours until
                                                proxy_pass has it */
    ngx_uint_t                   next;       /* of the query's addresses */
    ngx_err_t                    err;        /* why the last wasn't reached */

    ngx_str_t                    answer;     /* what of it isn't sent yet */
    ngx_stream_prom_forward_pt   answered;
    ngx_event_t                  total;      /* ends the tunnel */

    ngx_recv_pt                  recv;       /* the connections' own */
    ngx_recv_pt                  peer_recv;

    ngx_uint_t                   status;     /* of a refusal */

    unsigned                     decided:1;  /* the query has an answer */
    unsigned                     up:1;       /* there is a tunnel */
    unsigned                     ended:1;    /* its target has said all */
    unsigned                     told:1;     /* and the client knows */
};


typedef struct {
    ngx_prom_forward_t          *forward;
} ngx_stream_prom_forward_srv_conf_t;


/* ngx_stream_prom_forward_module.c */

void ngx_stream_prom_forward_finalize(ngx_stream_prom_forward_ctx_t *ctx,
    ngx_uint_t status);


/* ngx_stream_prom_forward_connect.c */

void ngx_stream_prom_forward_read(ngx_event_t *rev);

/* waits for something, and meanwhile for the client to leave; NGX_DONE: it
   has, and there is no session any more */

ngx_int_t ngx_stream_prom_forward_wait(ngx_stream_prom_forward_ctx_t *ctx);

/* for events that say nothing new */

void ngx_stream_prom_forward_ignore(ngx_event_t *ev);


/* ngx_stream_prom_forward_dial.c */

void ngx_stream_prom_forward_dial(ngx_stream_prom_forward_ctx_t *ctx);
void ngx_stream_prom_forward_hang_up(ngx_stream_prom_forward_ctx_t *ctx);


/* ngx_stream_prom_forward_answer.c */

void ngx_stream_prom_forward_accept(ngx_stream_prom_forward_ctx_t *ctx);

/* with the decision, status and reason of the query */

void ngx_stream_prom_forward_refuse(ngx_stream_prom_forward_ctx_t *ctx);

/* sets these first; reason is a text that stays */

void ngx_stream_prom_forward_refuse_with(ngx_stream_prom_forward_ctx_t *ctx,
    ngx_prom_forward_decision_e decision, ngx_uint_t status,
    const char *reason);


/* ngx_stream_prom_forward_peer.c */

void ngx_stream_prom_forward_begin(ngx_stream_prom_forward_ctx_t *ctx);
void ngx_stream_prom_forward_end(ngx_stream_prom_forward_ctx_t *ctx);
ngx_int_t ngx_stream_prom_forward_filter_init(ngx_conf_t *cf);
char *ngx_stream_prom_forward_peer(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


/* ngx_stream_prom_forward_buffer.c */

void ngx_stream_prom_forward_borrow(ngx_stream_prom_forward_ctx_t *ctx,
    ngx_connection_t *pc);

/* whose bytes are all sent, or of no more use */

void ngx_stream_prom_forward_return(ngx_buf_t *b);


/* ngx_stream_prom_forward_variables.c */

ngx_int_t ngx_stream_prom_forward_add_variables(ngx_conf_t *cf);


extern ngx_module_t  ngx_stream_prom_forward_module;


#endif /* _NGX_STREAM_PROM_FORWARD_H_INCLUDED_ */
