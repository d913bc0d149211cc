/*
 * The board of peers: when there was a handshake with a WireGuard node, and
 * how many bytes it has sent and was sent.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_peers.h"


/* WireGuard uses the keys of a handshake for so many seconds */

#define NGX_HTTP_PROM_PEERS_ALIVE  180


static ngx_http_prom_board_kind_t  ngx_http_prom_peers_kind = {
    "peers", NGX_PROM_PEERS_MAGIC, sizeof(ngx_prom_peer_t),
    sizeof(ngx_prom_peers_t)
};


static ngx_command_t  ngx_http_prom_peers_commands[] = {

    /* prom_proxy_peers FILE; the board of WireGuard nodes */

    { ngx_string("prom_proxy_peers"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_prom_board,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      &ngx_http_prom_peers_kind },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_prom_peers_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    ngx_http_prom_board_create_conf,       /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_prom_peers_module = {
    NGX_MODULE_V1,
    &ngx_http_prom_peers_module_ctx,       /* module context */
    ngx_http_prom_peers_commands,          /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


ngx_http_prom_board_t *
ngx_http_prom_peers_board(ngx_http_request_t *r)
{
    ngx_http_prom_board_t  *board;

    board = ngx_http_get_module_main_conf(r, ngx_http_prom_peers_module);

    return board->map ? board : NULL;
}


void
ngx_http_prom_peers_read(ngx_http_prom_board_t *board,
    const ngx_prom_item_t *item, ngx_http_prom_tunnel_t *tunnel)
{
    uint32_t                number;
    uint64_t                handshake;
    ngx_prom_peer_t         record;
    ngx_prom_peers_t       *map;
    const ngx_prom_peer_t  *shared;

    ngx_memzero(tunnel, offsetof(ngx_http_prom_tunnel_t, buf));

    tunnel->transport = NGX_HTTP_PROM_TRANSPORT_WIREGUARD;

    if (board == NULL) {
        return;
    }

    number = ngx_prom_peers_number(item->ip,
                                   item->kind == NGX_PROM_ADDRESS_IPV4 ? 4
                                                                       : 16);
    map = board->map;
    shared = &map->peers[number];

    if (!ngx_http_prom_board_copy(board, &record, shared, sizeof(record),
                                  &shared->seq))
    {
        tunnel->state = NGX_HTTP_PROM_TUNNEL_UNKNOWN;
        return;
    }

    tunnel->state = NGX_HTTP_PROM_TUNNEL_NEVER;

    /* of one that had the number before, or nobody's */

    if (ngx_prom_peers_mark(record.key) != item->node) {
        return;
    }

    tunnel->received = record.received;
    tunnel->sent = record.sent;

    if (record.handshake == 0) {
        return;
    }

    handshake = ngx_min(record.handshake, NGX_HTTP_PROM_BOARD_TIME);

    /* a clock that was set back makes nothing younger than now */

    tunnel->state = handshake + NGX_HTTP_PROM_PEERS_ALIVE
                    > (uint64_t) ngx_time() ? NGX_HTTP_PROM_TUNNEL_CONNECTED
                                            : NGX_HTTP_PROM_TUNNEL_CLOSED;
    tunnel->since = 1000 * handshake;
    tunnel->ended = tunnel->since;

    tunnel->address = ngx_http_prom_board_text(tunnel->buf, record.endpoint,
                                               NGX_PROM_PEERS_ENDPOINT);
}


ngx_uint_t
ngx_http_prom_peers_head(ngx_http_prom_board_t *board,
    ngx_prom_peers_head_t *head)
{
    ngx_prom_peers_t             *map;
    const ngx_prom_peers_head_t  *shared;

    map = board->map;
    shared = &map->head;

    if (!ngx_http_prom_board_copy(board, head, shared, sizeof(*head),
                                  &shared->seq)
        || (head->loaded == 0 && !head->failed))
    {
        ngx_memzero(head, sizeof(*head));
        return 0;
    }

    head->loaded = ngx_min(head->loaded, 1000 * NGX_HTTP_PROM_BOARD_TIME);
    head->reason_len = ngx_min(head->reason_len, NGX_PROM_PEERS_REASON);
    head->reason_len = strnlen(head->reason, head->reason_len);

    return 1;
}
