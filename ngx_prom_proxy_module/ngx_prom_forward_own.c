/*
 * The proxy's own listeners: whoever may use it must not reach, say, its pages
 * or its sshd by it only because a rule has the network that it is in.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_prom_forward.h"
#include "ngx_prom_forward_core.h"


static ngx_uint_t ngx_prom_forward_own_port(ngx_prom_forward_t *forward,
    in_port_t port);
static ngx_uint_t ngx_prom_forward_local(struct sockaddr *sockaddr,
    socklen_t socklen, ngx_log_t *log);


ngx_uint_t
ngx_prom_forward_own(ngx_prom_forward_t *forward, struct sockaddr *sockaddr,
    socklen_t socklen, ngx_log_t *log)
{
    return ngx_prom_forward_own_port(forward, ngx_inet_get_port(sockaddr))
           && ngx_prom_forward_local(sockaddr, socklen, log);
}


static ngx_uint_t
ngx_prom_forward_own_port(ngx_prom_forward_t *forward, in_port_t port)
{
    in_port_t        *own;
    ngx_uint_t        i;
    ngx_listening_t  *ls;

    ls = ngx_cycle->listening.elts;

    for (i = 0; i < ngx_cycle->listening.nelts; i++) {

        if (ls[i].type == SOCK_STREAM
            && ls[i].sockaddr->sa_family != AF_UNIX
            && ngx_inet_get_port(ls[i].sockaddr) == port)
        {
            return 1;
        }
    }

    if (forward->own) {
        own = forward->own->elts;

        for (i = 0; i < forward->own->nelts; i++) {

            if (own[i] == port) {
                return 1;
            }
        }
    }

    return 0;
}


/*
 * An address is this machine's if it can be bound; the kernel knows, whatever
 * interfaces come and go.  If it can't be asked, it is taken to be.
 */

static ngx_uint_t
ngx_prom_forward_local(struct sockaddr *sockaddr, socklen_t socklen,
    ngx_log_t *log)
{
    ngx_uint_t               local;
    ngx_socket_t             s;
    struct sockaddr_storage  ss;

    ngx_memcpy(&ss, sockaddr, socklen);
    ngx_inet_set_port((struct sockaddr *) &ss, 0);

    s = ngx_socket(ss.ss_family, SOCK_DGRAM, 0);

    if (s == (ngx_socket_t) -1) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_socket_errno,
                      ngx_socket_n " failed");
        return 1;
    }

    local = (bind(s, (struct sockaddr *) &ss, socklen) == 0
             || ngx_socket_errno != EADDRNOTAVAIL);

    if (ngx_close_socket(s) == -1) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_socket_errno,
                      ngx_close_socket_n " failed");
    }

    return local;
}
