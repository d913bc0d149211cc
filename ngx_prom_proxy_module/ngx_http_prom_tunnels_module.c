/*
 * The board of tunnels: who of the hosts is connected, and since when.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_tunnels.h"


static void ngx_http_prom_tunnels_fingerprint(ngx_http_prom_tunnel_t *tunnel,
    const ngx_prom_tunnel_t *record);


const ngx_str_t  ngx_http_prom_tunnels_refused[] = {
    ngx_string("key"),
    ngx_string("user"),
    ngx_string("certificate"),
    ngx_string("protocol"),
    ngx_string("timeout"),
    ngx_string("limit"),
    ngx_string("connected"),
    ngx_string("closed")
};


static ngx_http_prom_board_kind_t  ngx_http_prom_tunnels_kind = {
    "tunnels", NGX_PROM_TUNNELS_MAGIC, sizeof(ngx_prom_tunnel_t),
    sizeof(ngx_prom_tunnels_t)
};


static ngx_command_t  ngx_http_prom_tunnels_commands[] = {

    /* prom_proxy_tunnels FILE; the board of tunnels */

    { ngx_string("prom_proxy_tunnels"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_prom_board,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      &ngx_http_prom_tunnels_kind },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_prom_tunnels_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    ngx_http_prom_board_create_conf,       /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_prom_tunnels_module = {
    NGX_MODULE_V1,
    &ngx_http_prom_tunnels_module_ctx,     /* module context */
    ngx_http_prom_tunnels_commands,        /* module directives */
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
ngx_http_prom_tunnels_board(ngx_http_request_t *r)
{
    ngx_http_prom_board_t  *board;

    board = ngx_http_get_module_main_conf(r, ngx_http_prom_tunnels_module);

    return board->map ? board : NULL;
}


void
ngx_http_prom_tunnels_read(ngx_http_prom_board_t *board, ngx_uint_t port,
    ngx_http_prom_tunnel_t *tunnel)
{
    ngx_prom_tunnel_t          record;
    ngx_prom_tunnels_t        *map;
    const ngx_prom_tunnel_t   *shared;

    ngx_memzero(tunnel, offsetof(ngx_http_prom_tunnel_t, buf));

    if (board == NULL || port == 0 || port >= NGX_PROM_TUNNELS_PORTS) {
        return;
    }

    map = board->map;
    shared = &map->tunnels[port];

    if (!ngx_http_prom_board_copy(board, &record, shared, sizeof(record),
                                  &shared->seq))
    {
        tunnel->state = NGX_HTTP_PROM_TUNNEL_UNKNOWN;
        return;
    }

    tunnel->since = ngx_min(record.since, 1000 * NGX_HTTP_PROM_BOARD_TIME);
    tunnel->ended = ngx_min(record.ended, 1000 * NGX_HTTP_PROM_BOARD_TIME);
    tunnel->logins = record.logins;
    tunnel->certificate = (record.certificate != 0);

    if (record.logins == 0) {
        tunnel->state = NGX_HTTP_PROM_TUNNEL_NEVER;
        return;
    }

    tunnel->state = record.pid ? NGX_HTTP_PROM_TUNNEL_CONNECTED
                               : NGX_HTTP_PROM_TUNNEL_CLOSED;

    tunnel->address = ngx_http_prom_board_text(tunnel->buf, record.address,
                                               NGX_PROM_TUNNELS_ADDRESS);

    ngx_http_prom_tunnels_fingerprint(tunnel, &record);
}


ngx_int_t
ngx_http_prom_tunnels_head(ngx_http_prom_board_t *board,
    ngx_prom_tunnels_head_t *head)
{
    ngx_int_t                       rc;
    ngx_uint_t                      i;
    ngx_prom_tunnels_t             *map;
    const ngx_prom_tunnels_head_t  *shared;

    map = board->map;
    shared = &map->head;
    rc = NGX_OK;

    if (!ngx_http_prom_board_copy(board, head, shared, sizeof(*head),
                                  &shared->seq))
    {
        ngx_memzero(head, sizeof(*head));
        rc = NGX_AGAIN;
    }

    head->reason_len = ngx_min(head->reason_len, NGX_PROM_TUNNELS_REASON);
    head->reason_len = strnlen(head->reason, head->reason_len);

    /* not guarded by seq, each is right by itself */

    for (i = 0; i < NGX_PROM_REFUSED_REASONS; i++) {
        head->refused[i] = __atomic_load_n(&shared->refused[i],
                                           __ATOMIC_RELAXED);
    }

    head->logins = __atomic_load_n(&shared->logins, __ATOMIC_RELAXED);
    head->sessions = __atomic_load_n(&shared->sessions, __ATOMIC_RELAXED);
    head->shared = __atomic_load_n(&shared->shared, __ATOMIC_RELAXED);
    head->shared = ngx_min(head->shared, head->sessions);

    return rc;
}


static void
ngx_http_prom_tunnels_fingerprint(ngx_http_prom_tunnel_t *tunnel,
    const ngx_prom_tunnel_t *record)
{
    u_char     *p;
    ngx_str_t   src, dst;

    p = tunnel->buf + NGX_PROM_TUNNELS_ADDRESS;

    src.data = (u_char *) record->digest;
    src.len = NGX_PROM_TUNNELS_DIGEST;
    dst.data = ngx_cpymem(p, "SHA256:", sizeof("SHA256:") - 1);

    ngx_encode_base64(&dst, &src);

    while (dst.len && dst.data[dst.len - 1] == '=') {
        dst.len--;
    }

    tunnel->fingerprint.data = p;
    tunnel->fingerprint.len = dst.data + dst.len - p;
}
