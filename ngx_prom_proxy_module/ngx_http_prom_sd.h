/*
 * The page for service discovery, and what it asks of who is connected.
 */


#ifndef _NGX_HTTP_PROM_SD_H_INCLUDED_
#define _NGX_HTTP_PROM_SD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_page.h"
#include "ngx_prom_listening.h"


#define NGX_HTTP_PROM_SD_FILTERS  16


typedef struct {
    ngx_http_request_t          *request;
    ngx_event_t                  event;       /* to ask the kernel for more */
    ngx_prom_walk_t              walk;
    ngx_str_t                    scheme;
    ngx_str_t                    address;     /* escaped */
    ngx_keyval_t                 filters[NGX_HTTP_PROM_SD_FILTERS];
    ngx_uint_t                   nfilters;
    ngx_uint_t                   connected;   /* it is asked which are */
    ngx_prom_listening_t        *listening;   /* known by this; may be NULL, */
    ngx_prom_poll_zone_t        *polls;       /* as may this */
    ngx_uint_t                   listed;      /* some group is written */
} ngx_http_prom_sd_ctx_t;


/*
 * Asks the kernel which tunnels there are, and then answers.  The value is a
 * content handler's, as that of the answer.
 */

ngx_int_t ngx_http_prom_sd_look(ngx_http_prom_sd_ctx_t *ctx);
ngx_int_t ngx_http_prom_sd_answer(ngx_http_prom_sd_ctx_t *ctx);

/* "yes", "no", or "" where that isn't asked, or nobody here can know */

void ngx_http_prom_sd_connected(ngx_http_prom_sd_ctx_t *ctx,
    const ngx_prom_item_t *item, ngx_str_t *value);


#endif /* _NGX_HTTP_PROM_SD_H_INCLUDED_ */
