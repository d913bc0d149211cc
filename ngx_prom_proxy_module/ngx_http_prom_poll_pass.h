/*
 * What the two files share that answer scrapes with pushes.
 *
 * Functions that end one or both of a pair leave nothing of it to be used;
 * whoever calls them runs the posted requests of the other half's connection,
 * since nginx does so only for that of the event.
 */


#ifndef _NGX_HTTP_PROM_POLL_PASS_H_INCLUDED_
#define _NGX_HTTP_PROM_POLL_PASS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_poll.h"


/* ngx_http_prom_poll_pass.c: as much of the response as there is */

void ngx_http_prom_poll_pass(ngx_http_prom_poll_ctx_t *push);

/* all of it has been passed */

void ngx_http_prom_poll_pass_done(ngx_http_prom_poll_ctx_t *push);

/* event handlers, of the push and of the scrape */

void ngx_http_prom_poll_pass_reader(ngx_http_request_t *r);
void ngx_http_prom_poll_pass_writer(ngx_http_request_t *r);


/*
 * ngx_http_prom_poll_pair.c: parts the two, and returns the scrape.  If that
 * is broken off, bufs of the push's are in its chains still.
 */

ngx_http_prom_poll_ctx_t *ngx_http_prom_poll_part(
    ngx_http_prom_poll_ctx_t *push);

/* the push has ended with a status before its response did */

void ngx_http_prom_poll_pair_broken(ngx_http_prom_poll_ctx_t *push,
    ngx_int_t rc);

/* the response has a mistake */

void ngx_http_prom_poll_pair_refused(ngx_http_prom_poll_ctx_t *push);

/* nothing can be sent to the scraper any more */

void ngx_http_prom_poll_pair_gone(ngx_http_prom_poll_ctx_t *push);


#endif /* _NGX_HTTP_PROM_POLL_PASS_H_INCLUDED_ */
