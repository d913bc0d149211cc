/*
 * WireGuard nodes, for nginx's pages: copies of what is on their board, which
 * others write meanwhile; see ngx_prom_peers.h.
 */


#ifndef _NGX_HTTP_PROM_PEERS_H_INCLUDED_
#define _NGX_HTTP_PROM_PEERS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_tunnels.h"
#include "ngx_prom_registry.h"


/* the board of the configuration, NULL without a "prom_proxy_peers" */

ngx_http_prom_board_t *ngx_http_prom_peers_board(ngx_http_request_t *r);

/*
 * What is known of the node of a target, as of a tunnel; of an item its kind,
 * node and ip are looked at.  board may be NULL.
 */

void ngx_http_prom_peers_read(ngx_http_prom_board_t *board,
    const ngx_prom_item_t *item, ngx_http_prom_tunnel_t *tunnel);

/* copies the head; returns 0, and all of it is zero, if nothing is known */

ngx_uint_t ngx_http_prom_peers_head(ngx_http_prom_board_t *board,
    ngx_prom_peers_head_t *head);


#endif /* _NGX_HTTP_PROM_PEERS_H_INCLUDED_ */
