/*
 * Tunnels, for nginx's pages: copies of what is on the board, which others
 * write meanwhile; see ngx_prom_tunnels.h.
 */


#ifndef _NGX_HTTP_PROM_TUNNELS_H_INCLUDED_
#define _NGX_HTTP_PROM_TUNNELS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_board.h"
#include "ngx_prom_peers.h"
#include "ngx_prom_tunnels.h"


/* "SHA256:" and the base64 of it without padding, as "ssh-keygen -l" has it */

#define NGX_HTTP_PROM_TUNNEL_FINGERPRINT                                      \
    (sizeof("SHA256:") - 1                                                    \
     + ngx_base64_encoded_length(NGX_PROM_TUNNELS_DIGEST))


typedef enum {
    NGX_HTTP_PROM_TUNNEL_NONE = 0,    /* of no host, or there is no board */
    NGX_HTTP_PROM_TUNNEL_UNKNOWN,     /* its record can't be read now */
    NGX_HTTP_PROM_TUNNEL_NEVER,       /* connected since the board was made */
    NGX_HTTP_PROM_TUNNEL_CLOSED,
    NGX_HTTP_PROM_TUNNEL_CONNECTED
} ngx_http_prom_tunnel_state_e;


typedef enum {
    NGX_HTTP_PROM_TRANSPORT_SSH = 0,  /* its host's tunnel, or none */
    NGX_HTTP_PROM_TRANSPORT_POLL,     /* it is a client that polls */
    NGX_HTTP_PROM_TRANSPORT_WIREGUARD
} ngx_http_prom_transport_e;


/*
 * Texts, in buf, and numbers are those of connected and closed; of the others
 * all is zero.
 */

typedef struct {
    ngx_http_prom_transport_e    transport;
    ngx_http_prom_tunnel_state_e state;
    uint64_t                     since;     /* of the last login: ms */
    uint64_t                     ended;     /* of the last session, or 0; of a
                                               node both are its handshake's */
    uint32_t                     logins;
    ngx_uint_t                   certificate;
    uint32_t                     polls;     /* of a client: held now */
    uint32_t                     handed;    /* and answered by scrapes */
    uint64_t                     received;  /* bytes, of a node */
    uint64_t                     sent;
    ngx_str_t                    address;
    ngx_str_t                    fingerprint;
    u_char                       buf[NGX_PROM_PEERS_ENDPOINT
                                     + NGX_HTTP_PROM_TUNNEL_FINGERPRINT];
} ngx_http_prom_tunnel_t;


/* the board of the configuration, NULL without a "prom_proxy_tunnels" */

ngx_http_prom_board_t *ngx_http_prom_tunnels_board(ngx_http_request_t *r);

/* the tunnel of a host's first port, or 0; board may be NULL */

void ngx_http_prom_tunnels_read(ngx_http_prom_board_t *board,
    ngx_uint_t port, ngx_http_prom_tunnel_t *tunnel);

/*
 * Copies the head. Returns NGX_OK, or NGX_AGAIN if what it says of the hosts
 * file is just being written: all of that is zero then.
 */

ngx_int_t ngx_http_prom_tunnels_head(ngx_http_prom_board_t *board,
    ngx_prom_tunnels_head_t *head);


/* as ngx_prom_refused_e has them */

extern const ngx_str_t  ngx_http_prom_tunnels_refused[];


#endif /* _NGX_HTTP_PROM_TUNNELS_H_INCLUDED_ */
