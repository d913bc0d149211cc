/*
 * Metrics of WireGuard nodes: what is on their board.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_metrics.h"


void
ngx_http_prom_metrics_peers(ngx_http_prom_metrics_t *m)
{
    m->nodes_known = ngx_http_prom_peers_head(m->origins.peers, &m->peers);

    m->nodes = m->peers.nodes;
    m->nodes_failures = m->peers.failures;
    m->nodes_successful = !m->peers.failed;
}


u_char *
ngx_http_prom_metrics_nodes_loaded(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    if (m->peers.loaded == 0) {
        return p;
    }

    p = ngx_http_prom_metrics_sample(p, m, family, "", "");
    p = ngx_http_prom_metrics_seconds(p, m->peers.loaded);
    return ngx_sprintf(p, "\n");
}


u_char *
ngx_http_prom_metrics_nodes_reason(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    ngx_str_t  reason;

    if (!m->peers.failed) {
        return p;
    }

    reason.data = (u_char *) m->peers.reason;
    reason.len = m->peers.reason_len;

    return ngx_http_prom_metrics_because(p, family, &reason);
}


u_char *
ngx_http_prom_metrics_peer_handshake(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    if (m->tunnel.state == NGX_HTTP_PROM_TUNNEL_NEVER) {
        return p;
    }

    p = ngx_http_prom_metrics_sample(p, m, family, "", "");
    p = ngx_http_prom_metrics_seconds(p, m->tunnel.since);
    return ngx_sprintf(p, "\n");
}


u_char *
ngx_http_prom_metrics_peer_bytes(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    uint64_t  *n;

    n = (uint64_t *) ((u_char *) &m->tunnel + family->offset);

    p = ngx_http_prom_metrics_sample(p, m, family, "", "");
    return ngx_sprintf(p, "%uL\n", *n);
}
