/*
 * Metrics of forward proxies: what became of requests, and the targets that
 * they were for.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_metrics.h"


static ngx_prom_forward_t *ngx_http_prom_metrics_forward_next(
    ngx_http_prom_metrics_t *m, ngx_uint_t *n);


/* by ngx_prom_forward_side_e */

static const char  *ngx_http_prom_metrics_forward_sides[] = {
    "http", "connect"
};


u_char *
ngx_http_prom_metrics_forward_requests(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    ngx_str_t                 name;
    ngx_uint_t                n, side, decision;
    ngx_prom_forward_t       *forward;
    ngx_prom_forward_side_t  *counts;

    n = 0;

    for ( ;; ) {
        forward = ngx_http_prom_metrics_forward_next(m, &n);

        if (forward == NULL) {
            return p;
        }

        for (side = 0; side < NGX_PROM_FORWARD_SIDES; side++) {
            counts = &forward->counts->sides[side];

            for (decision = 0;
                 decision < NGX_PROM_FORWARD_DECISIONS;
                 decision++)
            {
                ngx_prom_forward_decision(decision, &name);

                p = ngx_sprintf(p, "%V{proxy=\"%V\",side=\"%s\","
                                "decision=\"%V\"} %uA\n",
                                &family->name, &forward->name,
                                ngx_http_prom_metrics_forward_sides[side],
                                &name, counts->decisions[decision]);
            }
        }
    }
}


u_char *
ngx_http_prom_metrics_forward_side(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    ngx_uint_t           n, side;
    ngx_atomic_t        *value;
    ngx_prom_forward_t  *forward;

    n = 0;

    for ( ;; ) {
        forward = ngx_http_prom_metrics_forward_next(m, &n);

        if (forward == NULL) {
            return p;
        }

        for (side = 0; side < NGX_PROM_FORWARD_SIDES; side++) {
            value = (ngx_atomic_t *) ((u_char *) &forward->counts->sides[side]
                                      + family->offset);

            p = ngx_sprintf(p, "%V{proxy=\"%V\",side=\"%s\"} %uA\n",
                            &family->name, &forward->name,
                            ngx_http_prom_metrics_forward_sides[side], *value);
        }
    }
}


u_char *
ngx_http_prom_metrics_forward_tunnels(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    ngx_uint_t           i, n;
    ngx_atomic_uint_t    open;
    ngx_prom_forward_t  *forward;

    n = 0;

    for ( ;; ) {
        forward = ngx_http_prom_metrics_forward_next(m, &n);

        if (forward == NULL) {
            return p;
        }

        open = 0;

        for (i = 0; i < NGX_MAX_PROCESSES; i++) {
            open += forward->counts->tunnels[i];
        }

        p = ngx_sprintf(p, "%V{proxy=\"%V\"} %uA\n", &family->name,
                        &forward->name, open);
    }
}


u_char *
ngx_http_prom_metrics_forward_target(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    ngx_atomic_t  *value;

    value = (ngx_atomic_t *) ((u_char *) m->forward_counter + family->offset);

    p = ngx_sprintf(p, "%V{%V} ", &family->name, &m->label);

    return ngx_sprintf(p, "%uA\n", *value);
}


ngx_int_t
ngx_http_prom_metrics_forward_walk(ngx_http_prom_metrics_t *m)
{
    u_char                      *last;
    ngx_str_t                    name;
    ngx_uint_t                   n;
    ngx_prom_forward_t          *forward;
    ngx_prom_forward_counts_t   *counts;
    ngx_prom_forward_counter_t  *counter;

    for ( ;; ) {
        n = m->forward_block;
        forward = ngx_http_prom_metrics_forward_next(m, &n);

        if (forward == NULL) {
            m->forward_block = 0;
            m->forward_target = 0;
            return NGX_DONE;
        }

        counts = forward->counts;

        if (m->forward_target > counts->mask + 1) {
            m->forward_block = n;
            m->forward_target = 0;
            continue;
        }

        /* behind all that have a name, the rest of them */

        if (m->forward_target == counts->mask + 1) {
            m->forward_target++;
            counter = &counts->other;
            ngx_str_set(&name, "other");

        } else {
            counter = &counts->targets[m->forward_target++];
            name.data = counter->target;
            name.len = counter->len;
        }

        if (name.len == 0 || counter->requests == 0) {
            continue;
        }

        last = ngx_sprintf(m->buf, "proxy=\"%V\",target=\"", &forward->name);
        last = ngx_http_prom_escape_label(last, &name);
        *last++ = '"';

        m->label.data = m->buf;
        m->label.len = last - m->buf;
        m->forward_counter = counter;

        return NGX_OK;
    }
}


/* the block n, or the next one that counts; *n is behind it then */

static ngx_prom_forward_t *
ngx_http_prom_metrics_forward_next(ngx_http_prom_metrics_t *m, ngx_uint_t *n)
{
    ngx_prom_forward_t  **forward;

    forward = m->forward->elts;

    while (*n < m->forward->nelts) {

        if (forward[(*n)++]->counts) {
            return forward[*n - 1];
        }
    }

    return NULL;
}
