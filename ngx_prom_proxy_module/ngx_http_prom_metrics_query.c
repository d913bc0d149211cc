/*
 * Metrics of the query proxy: requests to remotes, of all workers, and their
 * credentials, as the worker that writes the page knows them.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_metrics.h"


/* by ngx_prom_token_count_e */

static const char  *ngx_http_prom_metrics_query_reasons[] = {
    NULL,
    "connect",
    "timeout",
    "refused",
    "throttled",
    "server",
    "invalid",
    "file"
};


u_char *
ngx_http_prom_metrics_query_requests(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    ngx_uint_t                       i;
    ngx_http_prom_token_code_t      *code;
    ngx_http_prom_token_counters_t  *counters;

    counters = m->token->counters;

    for (i = 0; i < NGX_HTTP_PROM_TOKEN_CODES; i++) {
        code = &counters->codes[i];

        if (code->status == 0) {
            break;
        }

        p = ngx_sprintf(p, "%V{%V,code=\"%uA\"} %uA\n", &family->name,
                        &m->label, code->status, code->requests);
    }

    if (counters->other) {
        p = ngx_sprintf(p, "%V{%V,code=\"other\"} %uA\n", &family->name,
                        &m->label, counters->other);
    }

    return ngx_sprintf(p, "%V{%V,code=\"aborted\"} %uA\n", &family->name,
                       &m->label, counters->aborted);
}


u_char *
ngx_http_prom_metrics_query_durations(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    u_char                          *last, le[NGX_HTTP_PROM_METRICS_LE];
    uint64_t                         n;
    ngx_uint_t                       i;
    ngx_http_prom_token_counters_t  *counters;

    counters = m->token->counters;

    n = 0;

    for (i = 0; i < NGX_HTTP_PROM_TOKEN_BUCKETS; i++) {
        n += counters->buckets[i];

        last = ngx_http_prom_metrics_le(le, m, ngx_http_prom_token_bounds, i,
                                        NGX_HTTP_PROM_TOKEN_BUCKETS - 1);
        *last = '\0';

        p = ngx_http_prom_metrics_sample(p, m, family, "_bucket",
                                         (char *) le);
        p = ngx_sprintf(p, "%uL\n", n);
    }

    p = ngx_http_prom_metrics_sample(p, m, family, "_sum", "");
    p = ngx_http_prom_metrics_seconds(p, counters->duration);
    p = ngx_sprintf(p, "\n");

    p = ngx_http_prom_metrics_sample(p, m, family, "_count", "");
    return ngx_sprintf(p, "%uL\n", n);
}


/* by the wall clock, as of now: what is left is known by another clock */

u_char *
ngx_http_prom_metrics_query_expiry(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    int64_t                      ms;
    ngx_time_t                  *tp;
    ngx_http_prom_credential_t  *credential;

    credential = ngx_http_prom_token_valid(m->token);

    if (credential && credential->kind == NGX_PROM_TOKEN_PLAIN) {
        return p;
    }

    p = ngx_http_prom_metrics_sample(p, m, family, "", "");

    if (credential == NULL) {
        return ngx_sprintf(p, "0\n");
    }

    if (credential->endless) {
        return ngx_sprintf(p, "+Inf\n");
    }

    tp = ngx_timeofday();
    ms = (int64_t) tp->sec * 1000 + tp->msec
         + (ngx_msec_int_t) (credential->expires - ngx_current_msec);

    return ngx_sprintf(p, "%L\n", (ms + 500) / 1000);
}


u_char *
ngx_http_prom_metrics_query_refreshes(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    p = ngx_http_prom_metrics_sample(p, m, family, "", "");
    return ngx_sprintf(p, "%uL\n", m->token->counts[NGX_PROM_TOKEN_REFRESHES]);
}


u_char *
ngx_http_prom_metrics_query_failures(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    ngx_uint_t  i;

    for (i = NGX_PROM_TOKEN_CONNECT; i < NGX_PROM_TOKEN_COUNTS; i++) {
        p = ngx_sprintf(p, "%V{%V,reason=\"%s\"} %uL\n", &family->name,
                        &m->label, ngx_http_prom_metrics_query_reasons[i],
                        m->token->counts[i]);
    }

    return p;
}


ngx_int_t
ngx_http_prom_metrics_query_walk(ngx_http_prom_metrics_t *m)
{
    ngx_http_prom_token_t  **token;

    if (m->query_next == m->tokens->nelts) {
        m->query_next = 0;
        return NGX_DONE;
    }

    token = m->tokens->elts;
    m->token = token[m->query_next++];

    m->label.data = m->buf;
    m->label.len = ngx_sprintf(m->buf, "remote=\"%V\"", &m->token->name)
                   - m->buf;

    return NGX_OK;
}
