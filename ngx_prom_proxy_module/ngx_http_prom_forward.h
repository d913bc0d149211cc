/*
 * What the files of the forward proxy's http side share.
 */


#ifndef _NGX_HTTP_PROM_FORWARD_H_INCLUDED_
#define _NGX_HTTP_PROM_FORWARD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_proxy.h"
#include "ngx_http_prom_verify.h"
#include "ngx_prom_forward.h"


typedef struct {
    ngx_prom_forward_query_t     query;
    ngx_http_prom_verify_t       verify;
    ngx_http_request_t          *request;
    ngx_http_prom_proxy_ctx_t   *proxy;      /* the route, once allowed */
    ngx_str_t                    uri;        /* path and arguments, as they
                                                came */
    unsigned                     tls:1;      /* by the URI */
    unsigned                     decided:1;
    unsigned                     told:1;     /* outcome is known */
} ngx_http_prom_forward_ctx_t;


typedef struct {
    ngx_prom_forward_t          *forward;    /* or NULL */
} ngx_http_prom_forward_loc_conf_t;


/* the context, also behind an internal redirect; NULL if there is none */

ngx_http_prom_forward_ctx_t *ngx_http_prom_forward_ctx(ngx_http_request_t *r);

/*
 * ngx_http_prom_forward_uri.c: reads the target of a request in absolute form
 * into the query and ctx.  NGX_DECLINED: it is in no such form, or has no host
 * or port that could be; NGX_ERROR: no memory.
 */

ngx_int_t ngx_http_prom_forward_uri(ngx_http_request_t *r,
    ngx_http_prom_forward_ctx_t *ctx);

/*
 * ngx_http_prom_forward_answer.c: answers with a line of text, which is also
 * the reason phrase of the status line: a scraper shows that.  What it returns
 * is a content handler's, or for ngx_http_finalize_request().
 */

ngx_int_t ngx_http_prom_forward_answer(ngx_http_request_t *r,
    ngx_uint_t status, ngx_str_t *line);

/* the content handler of "prom_forward_error" */

ngx_int_t ngx_http_prom_forward_error_handler(ngx_http_request_t *r);

/* ngx_http_prom_forward_variables.c */

ngx_int_t ngx_http_prom_forward_add_variables(ngx_conf_t *cf);

/* what became of an allowed request; called as often as one likes */

void ngx_http_prom_forward_outcome(ngx_http_request_t *r,
    ngx_http_prom_forward_ctx_t *ctx);

/*
 * ngx_http_prom_forward_take.c: makes a connection one of http.  It was
 * another protocol's in this process, which has taken its own things off it;
 * data are len bytes that were read already, in c->pool.  NGX_DECLINED: no
 * server has "prom_forward_server" with that name, nothing was done;
 * NGX_ERROR.
 */

ngx_int_t ngx_http_prom_forward_take(ngx_connection_t *c,
    ngx_prom_forward_t *forward, u_char *data, size_t len);

/* ngx_http_prom_forward_checkme.c: the value of the header, or empty */

ngx_int_t ngx_http_prom_forward_checkme(ngx_http_request_t *r,
    ngx_http_prom_forward_ctx_t *ctx, ngx_str_t *value);


extern ngx_module_t  ngx_http_prom_forward_module;


#endif /* _NGX_HTTP_PROM_FORWARD_H_INCLUDED_ */
