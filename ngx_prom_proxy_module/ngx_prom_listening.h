/*
 * The TCP ports of this machine's loopback addresses that somebody listens at,
 * as the kernel has them: where a target is behind a tunnel, whether that is
 * open, without a connection to it.
 */


#ifndef _NGX_PROM_LISTENING_H_INCLUDED_
#define _NGX_PROM_LISTENING_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_md5.h>


#define NGX_PROM_LISTENING_PORTS  65536


typedef struct {
    u_char               any[NGX_PROM_LISTENING_PORTS / 8];    /* of IPv4's */
    u_char               first[NGX_PROM_LISTENING_PORTS / 8];  /* 127.0.0.1 */
    u_char               six[NGX_PROM_LISTENING_PORTS / 8];    /* [::1] */
    ngx_array_t          others;      /* of uint64_t, sorted: the addresses of
                                         127.0.0.0/8 but that, and a port */

    u_char              *buf;         /* while it is read, as the next ones */
    ngx_socket_t         socket;
    ngx_uint_t           family;      /* that is asked for; 0: none was yet */
    ngx_uint_t           left;        /* sockets that there may be more */
    ngx_log_t           *log;
} ngx_prom_listening_t;


/* all memory is pool's; NULL without */

ngx_prom_listening_t *ngx_prom_listening_create(ngx_pool_t *pool,
    ngx_log_t *log);

/*
 * Asks for some of them, some 2000, without waiting for anything.  Returns
 * NGX_OK once all are there; NGX_AGAIN, to be called again; or NGX_ERROR if
 * the kernel doesn't tell, which is logged the first time.
 */

ngx_int_t ngx_prom_listening_read(ngx_prom_listening_t *listening);

/*
 * True if a connection to that port would be taken.  The addresses are
 * 127.x.y.z, in host order, and [::1].
 */

ngx_uint_t ngx_prom_listening_inet(const ngx_prom_listening_t *listening,
    uint32_t ip, in_port_t port);
ngx_uint_t ngx_prom_listening_inet6(const ngx_prom_listening_t *listening,
    in_port_t port);

/* adds all of it to a digest */

void ngx_prom_listening_digest(const ngx_prom_listening_t *listening,
    ngx_md5_t *md5);


#endif /* _NGX_PROM_LISTENING_H_INCLUDED_ */
