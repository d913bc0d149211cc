/*
 * Own metrics: the page that is being written, and the table of families that
 * stand on it.
 */


#ifndef _NGX_HTTP_PROM_METRICS_H_INCLUDED_
#define _NGX_HTTP_PROM_METRICS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_page.h"


#define NGX_PROM_VERSION  "0.4.0"


/* room for a description, and for a sample, its target aside */

#define NGX_HTTP_PROM_METRICS_DESCRIPTION  512
#define NGX_HTTP_PROM_METRICS_SAMPLE       160

/* target="NAME" */

#define NGX_HTTP_PROM_METRICS_LABEL                                           \
    (sizeof("target=\"\"") - 1 + 2 * NGX_PROM_NAME_MAX)

#define NGX_HTTP_PROM_METRICS_SAMPLES(n)                                      \
    ((n) * (NGX_HTTP_PROM_METRICS_SAMPLE + NGX_HTTP_PROM_METRICS_LABEL))


typedef struct ngx_http_prom_metrics_s  ngx_http_prom_metrics_t;
typedef struct ngx_http_prom_metrics_family_s
    ngx_http_prom_metrics_family_t;


/* writes the samples of a family: all of it, or those of one target */

typedef u_char *(*ngx_http_prom_metrics_pt)(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);


typedef enum {
    NGX_HTTP_PROM_METRICS_COUNTER = 0,
    NGX_HTTP_PROM_METRICS_GAUGE,
    NGX_HTTP_PROM_METRICS_HISTOGRAM,
    NGX_HTTP_PROM_METRICS_INFO
} ngx_http_prom_metrics_type_e;


/* which targets a family looks at */

typedef enum {
    NGX_HTTP_PROM_METRICS_NONE = 0,
    NGX_HTTP_PROM_METRICS_ALL,                /* it counts them */
    NGX_HTTP_PROM_METRICS_EACH                /* each has its own samples */
} ngx_http_prom_metrics_walk_e;


struct ngx_http_prom_metrics_family_s {
    ngx_str_t                    name;
    ngx_http_prom_metrics_type_e type;
    const char                  *unit;        /* "" if it has none */
    const char                  *help;

    ngx_http_prom_metrics_pt     write;
    size_t                       size;        /* at most, of what it writes */
    size_t                       offset;      /* of a number in the page */
    ngx_http_prom_metrics_walk_e walk;
};


struct ngx_http_prom_metrics_s {
    const ngx_http_prom_metrics_family_t  *family;

    ngx_prom_info_t              info;
    ngx_prom_walk_t              walk;

    /* what families without labels say; times are in milliseconds */

    uint64_t                     targets;
    uint64_t                     up;
    uint64_t                     down;
    uint64_t                     unscraped;
    uint64_t                     successful;
    uint64_t                     loaded;
    uint64_t                     took;
    uint64_t                     size;
    uint64_t                     used;
    uint64_t                     capacity;

    /* whose samples are written next: a target, or with no label all */

    ngx_str_t                    label;
    const ngx_prom_counters_t   *counters;
    u_char                       buf[NGX_HTTP_PROM_METRICS_LABEL];

    unsigned                     openmetrics:1;
    unsigned                     per_target:1;
    unsigned                     counted:1;   /* up, down and unscraped are */
    unsigned                     described:1; /* the family is */
};


/* "# HELP" and "# TYPE" of a family, in the page's format */

u_char *ngx_http_prom_metrics_describe(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family);


/* ends with an empty name */

extern const ngx_http_prom_metrics_family_t  ngx_http_prom_metrics_families[];


#endif /* _NGX_HTTP_PROM_METRICS_H_INCLUDED_ */
