/*
 * Metrics of tunnels: what is on the board of hosts, sessions and logins.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_metrics.h"


void
ngx_http_prom_metrics_board(ngx_http_prom_metrics_t *m)
{
    m->hosted = (ngx_http_prom_tunnels_head(m->origins.tunnels, &m->head)
                 == NGX_OK);

    m->logins = m->head.logins;
    m->hosts = m->head.hosts;
    m->hosts_failures = m->head.failures;
    m->hosts_successful = !m->head.failed;
}


u_char *
ngx_http_prom_metrics_sessions(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    p = ngx_http_prom_metrics_sample(p, m, family, "", "key=\"host\"");
    p = ngx_sprintf(p, "%uD\n", m->head.sessions - m->head.shared);

    p = ngx_http_prom_metrics_sample(p, m, family, "", "key=\"shared\"");
    return ngx_sprintf(p, "%uD\n", m->head.shared);
}


u_char *
ngx_http_prom_metrics_refused(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_PROM_REFUSED_REASONS; i++) {
        p = ngx_sprintf(p, "%V{reason=\"%V\"} %uL\n", &family->name,
                        &ngx_http_prom_tunnels_refused[i],
                        m->head.refused[i]);
    }

    return p;
}


u_char *
ngx_http_prom_metrics_hosts(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    return m->hosted ? ngx_http_prom_metrics_number(p, m, family) : p;
}


u_char *
ngx_http_prom_metrics_hosts_loaded(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    if (m->head.loaded == 0) {
        return p;
    }

    p = ngx_http_prom_metrics_sample(p, m, family, "", "");
    p = ngx_http_prom_metrics_seconds(p, m->head.loaded);
    return ngx_sprintf(p, "\n");
}


u_char *
ngx_http_prom_metrics_hosts_reason(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    ngx_str_t  reason;

    if (!m->head.failed) {
        return p;
    }

    reason.data = (u_char *) m->head.reason;
    reason.len = m->head.reason_len;

    return ngx_http_prom_metrics_because(p, family, &reason);
}


u_char *
ngx_http_prom_metrics_tunnel_connected(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    p = ngx_http_prom_metrics_sample(p, m, family, "", "");
    return ngx_sprintf(p, "%d\n",
                       m->tunnel.state == NGX_HTTP_PROM_TUNNEL_CONNECTED);
}


u_char *
ngx_http_prom_metrics_tunnel_login(u_char *p, ngx_http_prom_metrics_t *m,
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
ngx_http_prom_metrics_tunnel_number(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    uint32_t  *n;

    n = (uint32_t *) ((u_char *) &m->tunnel + family->offset);

    p = ngx_http_prom_metrics_sample(p, m, family, "", "");
    return ngx_sprintf(p, "%uD\n", *n);
}


u_char *
ngx_http_prom_metrics_tunnel_info(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    if (m->tunnel.state != NGX_HTTP_PROM_TUNNEL_CONNECTED) {
        return p;
    }

    p = ngx_sprintf(p, "%V{%V,address=\"", &family->name, &m->label);
    p = ngx_http_prom_escape_label(p, &m->tunnel.address);
    return ngx_sprintf(p, "\",fingerprint=\"%V\"} 1\n",
                       &m->tunnel.fingerprint);
}
