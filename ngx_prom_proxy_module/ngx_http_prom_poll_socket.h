/*
 * The files of the workers' private sockets, in one directory: "SLOT-TAG" of
 * those that requests hop to, "SLOT=TAG" of those that connections are moved
 * to, which are of the types SOCK_STREAM and SOCK_DGRAM.
 */


#ifndef _NGX_HTTP_PROM_POLL_SOCKET_H_INCLUDED_
#define _NGX_HTTP_PROM_POLL_SOCKET_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_prom_poll_zone.h"


/* the address of a worker's; NGX_ERROR if the path is too long for one */

ngx_int_t ngx_http_prom_poll_socket_address(ngx_str_t *path,
    const ngx_prom_poll_at_t *at, int type, struct sockaddr_un *sun);

/*
 * Makes a worker's, nonblocking; its address is in *sun.  Returns -1 with
 * the reason in the log.
 */

ngx_socket_t ngx_http_prom_poll_socket_open(ngx_str_t *path,
    const ngx_prom_poll_at_t *at, int type, struct sockaddr_un *sun,
    ngx_log_t *log);

/*
 * Removes files that nobody listens on: those of an nginx that was killed
 * with all its workers.  Others may belong to one that is being upgraded.
 */

void ngx_http_prom_poll_socket_tidy(ngx_str_t *path,
    ngx_prom_poll_zone_t *zone, ngx_log_t *log);


#endif /* _NGX_HTTP_PROM_POLL_SOCKET_H_INCLUDED_ */
