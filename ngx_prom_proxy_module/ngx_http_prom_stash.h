/*
 * Bytes that were read off a connection before http has it: http receives them
 * first.
 */


#ifndef _NGX_HTTP_PROM_STASH_H_INCLUDED_
#define _NGX_HTTP_PROM_STASH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


/*
 * The bytes stay where they are, which must last as long as c->pool; nothing
 * is done if there are none.
 */

ngx_int_t ngx_http_prom_stash(ngx_connection_t *c, u_char *data, size_t len);

/* those of them that http has not received yet */

void ngx_http_prom_stash_left(ngx_connection_t *c, ngx_str_t *left);


#endif /* _NGX_HTTP_PROM_STASH_H_INCLUDED_ */
