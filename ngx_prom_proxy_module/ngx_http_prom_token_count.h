/*
 * What is counted of requests to a remote Prometheus, in shared memory by its
 * NAME.  Workers add to the numbers without a lock.
 */


#ifndef _NGX_HTTP_PROM_TOKEN_COUNT_H_INCLUDED_
#define _NGX_HTTP_PROM_TOKEN_COUNT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_prom_token_line.h"


#define NGX_HTTP_PROM_TOKEN_CODES    32   /* that are told apart */
#define NGX_HTTP_PROM_TOKEN_BUCKETS  14   /* of durations; the last is +Inf */


/* a place is anyone's until its status is there */

typedef struct {
    ngx_atomic_t                 status;
    ngx_atomic_t                 requests;
} ngx_http_prom_token_code_t;


typedef struct ngx_http_prom_token_counters_s
    ngx_http_prom_token_counters_t;

struct ngx_http_prom_token_counters_s {
    ngx_http_prom_token_counters_t  *next;

    ngx_http_prom_token_code_t   codes[NGX_HTTP_PROM_TOKEN_CODES];
    ngx_atomic_t                 aborted;
    ngx_atomic_t                 other;      /* for which there was no place */

    /* a request is in one bucket: the first whose bound it doesn't exceed */

    ngx_atomic_t                 buckets[NGX_HTTP_PROM_TOKEN_BUCKETS];
    ngx_atomic_t                 duration;   /* sum, milliseconds */

    size_t                       len;
    u_char                       name[NGX_PROM_TOKEN_NAME_MAX];
};


/* the upper bounds of the buckets in milliseconds, without +Inf */

extern const uint32_t
    ngx_http_prom_token_bounds[NGX_HTTP_PROM_TOKEN_BUCKETS - 1];


extern ngx_module_t  ngx_http_prom_token_count_module;


#endif /* _NGX_HTTP_PROM_TOKEN_COUNT_H_INCLUDED_ */
