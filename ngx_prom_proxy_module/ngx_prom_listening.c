/*
 * Ports that are listened at: see ngx_prom_listening.h.
 *
 * The kernel answers by NETLINK_SOCK_DIAG, for everyone, and within the call:
 * it writes the first part of a dump as it is asked for, and each further one
 * as the one before it is read.  So nothing is ever waited for.  Each socket
 * takes it 0.5 us, so that many are read in several goes.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include "ngx_prom_listening.h"


/* the kernel's dumps come in parts of at most as much */

#define NGX_PROM_LISTENING_BUFFER   32768
#define NGX_PROM_LISTENING_PARTS    8        /* of them in one go */

/* no ports of both kinds of addresses are as many: somebody plays tricks */

#define NGX_PROM_LISTENING_SOCKETS  (4 * NGX_PROM_LISTENING_PORTS)

#define NGX_PROM_LISTENING_LO       1        /* in every network */


typedef struct {
    struct nlmsghdr              header;
    struct inet_diag_req_v2      diag;
} ngx_prom_listening_request_t;


static void ngx_prom_listening_close(void *data);
static ngx_int_t ngx_prom_listening_ask(ngx_prom_listening_t *listening);
static ngx_int_t ngx_prom_listening_next(ngx_prom_listening_t *listening);
static ngx_int_t ngx_prom_listening_part(ngx_prom_listening_t *listening,
    ssize_t len);
static void ngx_prom_listening_fail(ngx_prom_listening_t *listening,
    ngx_err_t err);
static ngx_int_t ngx_prom_listening_add(ngx_prom_listening_t *listening,
    const struct nlmsghdr *header);
static ngx_int_t ngx_prom_listening_add_inet(ngx_prom_listening_t *listening,
    uint32_t ip, in_port_t port);
static ngx_int_t ngx_prom_listening_add_inet6(ngx_prom_listening_t *listening,
    const struct nlmsghdr *header, in_port_t port);
static ngx_uint_t ngx_prom_listening_v6only(const struct nlmsghdr *header);
static int ngx_libc_cdecl ngx_prom_listening_compare(const void *one,
    const void *two);


/* by this process; a reload has others */

static ngx_uint_t  ngx_prom_listening_failed;


#define ngx_prom_listening_set(map, port)                                    \
    (map)[(port) / 8] |= (u_char) (1 << ((port) % 8))

#define ngx_prom_listening_is_set(map, port)                                 \
    (((map)[(port) / 8] >> ((port) % 8)) & 1)


ngx_prom_listening_t *
ngx_prom_listening_create(ngx_pool_t *pool, ngx_log_t *log)
{
    ngx_pool_cleanup_t    *cln;
    ngx_prom_listening_t  *listening;

    listening = ngx_pcalloc(pool, sizeof(ngx_prom_listening_t));
    if (listening == NULL) {
        return NULL;
    }

    listening->buf = ngx_palloc(pool, NGX_PROM_LISTENING_BUFFER);
    if (listening->buf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&listening->others, pool, 16, sizeof(uint64_t))
        != NGX_OK)
    {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_prom_listening_close;
    cln->data = listening;

    listening->socket = (ngx_socket_t) -1;
    listening->log = log;

    return listening;
}


static void
ngx_prom_listening_close(void *data)
{
    ngx_prom_listening_t *listening = data;

    if (listening->socket == (ngx_socket_t) -1) {
        return;
    }

    if (close(listening->socket) == -1) {
        ngx_log_error(NGX_LOG_ALERT, listening->log, ngx_errno,
                      "close() of a netlink socket failed");
    }

    listening->socket = (ngx_socket_t) -1;
}


ngx_int_t
ngx_prom_listening_read(ngx_prom_listening_t *listening)
{
    ngx_int_t   rc;
    ngx_uint_t  n;

    for (n = 0; n < NGX_PROM_LISTENING_PARTS; n++) {

        rc = ngx_prom_listening_next(listening);

        if (rc == NGX_ERROR) {
            ngx_prom_listening_fail(listening, ngx_errno);
            ngx_prom_listening_close(listening);
            return NGX_ERROR;
        }

        if (rc == NGX_OK) {
            ngx_prom_listening_failed = 0;
            ngx_prom_listening_close(listening);

            ngx_qsort(listening->others.elts, listening->others.nelts,
                      sizeof(uint64_t), ngx_prom_listening_compare);
            return NGX_OK;
        }
    }

    return NGX_AGAIN;
}


static void
ngx_prom_listening_fail(ngx_prom_listening_t *listening, ngx_err_t err)
{
    if (ngx_prom_listening_failed) {
        return;
    }

    ngx_prom_listening_failed = 1;

    ngx_log_error(NGX_LOG_ERR, listening->log, err,
                  "the kernel doesn't tell by NETLINK_SOCK_DIAG which ports "
                  "are listened at: no target has the label "
                  "__meta_monitoring_proxy_connected for its tunnel");
}


/* a part of what there is, of one family and then of the other */

static ngx_int_t
ngx_prom_listening_next(ngx_prom_listening_t *listening)
{
    ssize_t    n;
    ngx_int_t  rc;

    if (listening->family == 0) {
        listening->socket = socket(AF_NETLINK,
                                   SOCK_RAW|SOCK_CLOEXEC|SOCK_NONBLOCK,
                                   NETLINK_SOCK_DIAG);

        if (listening->socket == (ngx_socket_t) -1) {
            return NGX_ERROR;
        }

        listening->family = AF_INET;

        if (ngx_prom_listening_ask(listening) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    /* MSG_TRUNC: how long a part is that doesn't fit */

    n = recv(listening->socket, listening->buf, NGX_PROM_LISTENING_BUFFER,
             MSG_TRUNC);

    if (n == -1) {
        return NGX_ERROR;
    }

    if (n == 0 || n > NGX_PROM_LISTENING_BUFFER) {
        ngx_set_errno(NGX_EINVAL);
        return NGX_ERROR;
    }

    rc = ngx_prom_listening_part(listening, n);

    if (rc != NGX_OK || listening->family == AF_INET6) {
        return rc;
    }

    listening->family = AF_INET6;

    return ngx_prom_listening_ask(listening) == NGX_OK ? NGX_AGAIN : NGX_ERROR;
}


/* returns NGX_ERROR with errno, as all of these */

static ngx_int_t
ngx_prom_listening_ask(ngx_prom_listening_t *listening)
{
    ngx_prom_listening_request_t  request;

    ngx_memzero(&request, sizeof(ngx_prom_listening_request_t));

    request.header.nlmsg_len = sizeof(ngx_prom_listening_request_t);
    request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    request.header.nlmsg_flags = NLM_F_REQUEST|NLM_F_DUMP;
    request.diag.sdiag_family = (u_char) listening->family;
    request.diag.sdiag_protocol = IPPROTO_TCP;
    request.diag.idiag_states = 1 << TCP_LISTEN;

    listening->left = NGX_PROM_LISTENING_SOCKETS;

    /* an address that isn't told is the kernel's */

    if (send(listening->socket, &request,
             sizeof(ngx_prom_listening_request_t), 0)
        == -1)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* returns NGX_OK behind the last socket */

static ngx_int_t
ngx_prom_listening_part(ngx_prom_listening_t *listening, ssize_t len)
{
    int                     error;
    struct nlmsghdr        *header;
    const struct nlmsgerr  *failed;

    for (header = (struct nlmsghdr *) listening->buf;
         NLMSG_OK(header, len);
         header = NLMSG_NEXT(header, len))
    {
        switch (header->nlmsg_type) {

        case NLMSG_DONE:
            error = 0;

            if (header->nlmsg_len >= NLMSG_LENGTH(sizeof(int))) {
                ngx_memcpy(&error, NLMSG_DATA(header), sizeof(int));
            }

            ngx_set_errno(-error);
            return (error < 0) ? NGX_ERROR : NGX_OK;

        case NLMSG_ERROR:
            failed = NLMSG_DATA(header);

            ngx_set_errno((header->nlmsg_len >= NLMSG_LENGTH(sizeof(*failed))
                           && failed->error) ? -failed->error : NGX_EINVAL);
            return NGX_ERROR;

        case SOCK_DIAG_BY_FAMILY:

            if (listening->left == 0
                || header->nlmsg_len
                   < NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
            {
                ngx_set_errno(NGX_EINVAL);
                return NGX_ERROR;
            }

            listening->left--;

            if (ngx_prom_listening_add(listening, header) != NGX_OK) {
                ngx_set_errno(NGX_ENOMEM);
                return NGX_ERROR;
            }
        }
    }

    return NGX_AGAIN;
}


static ngx_int_t
ngx_prom_listening_add(ngx_prom_listening_t *listening,
    const struct nlmsghdr *header)
{
    in_port_t                    port;
    const struct inet_diag_msg  *msg;

    msg = NLMSG_DATA(header);
    port = ntohs(msg->id.idiag_sport);

    /* for one that takes no connections but another interface's */

    if (msg->id.idiag_if && msg->id.idiag_if != NGX_PROM_LISTENING_LO) {
        return NGX_OK;
    }

    if (msg->idiag_family == AF_INET) {
        return ngx_prom_listening_add_inet(listening,
                                           ntohl(msg->id.idiag_src[0]), port);
    }

    return ngx_prom_listening_add_inet6(listening, header, port);
}


static ngx_int_t
ngx_prom_listening_add_inet(ngx_prom_listening_t *listening, uint32_t ip,
    in_port_t port)
{
    uint64_t  *other;

    if (ip == INADDR_ANY) {
        ngx_prom_listening_set(listening->any, port);
        return NGX_OK;
    }

    if (ip == INADDR_LOOPBACK) {
        ngx_prom_listening_set(listening->first, port);
        return NGX_OK;
    }

    if (ip >> 24 != IN_LOOPBACKNET) {
        return NGX_OK;
    }

    other = ngx_array_push(&listening->others);
    if (other == NULL) {
        return NGX_ERROR;
    }

    *other = (uint64_t) ip << 16 | port;

    return NGX_OK;
}


/* one of IPv6 may take connections of IPv4, too */

static ngx_int_t
ngx_prom_listening_add_inet6(ngx_prom_listening_t *listening,
    const struct nlmsghdr *header, in_port_t port)
{
    struct in6_addr              ip;
    const struct inet_diag_msg  *msg;

    msg = NLMSG_DATA(header);
    ngx_memcpy(&ip, msg->id.idiag_src, sizeof(struct in6_addr));

    if (IN6_IS_ADDR_V4MAPPED(&ip)) {
        return ngx_prom_listening_add_inet(listening,
                                           ntohl(msg->id.idiag_src[3]), port);
    }

    if (IN6_IS_ADDR_LOOPBACK(&ip)) {
        ngx_prom_listening_set(listening->six, port);
    }

    if (IN6_IS_ADDR_UNSPECIFIED(&ip)) {
        ngx_prom_listening_set(listening->six, port);

        if (!ngx_prom_listening_v6only(header)) {
            ngx_prom_listening_set(listening->any, port);
        }
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_prom_listening_v6only(const struct nlmsghdr *header)
{
    ssize_t               len;
    const struct rtattr  *rta;

    rta = (const struct rtattr *) ((const u_char *) header
              + NLMSG_SPACE(sizeof(struct inet_diag_msg)));
    len = header->nlmsg_len - NLMSG_LENGTH(sizeof(struct inet_diag_msg));

    while (RTA_OK(rta, len)) {

        if (rta->rta_type == INET_DIAG_SKV6ONLY && RTA_PAYLOAD(rta) > 0) {
            return *(const u_char *) RTA_DATA(rta);
        }

        rta = RTA_NEXT(rta, len);
    }

    return 0;
}


ngx_uint_t
ngx_prom_listening_inet(const ngx_prom_listening_t *listening, uint32_t ip,
    in_port_t port)
{
    uint64_t  wanted;

    if (ngx_prom_listening_is_set(listening->any, port)) {
        return 1;
    }

    if (ip == INADDR_LOOPBACK) {
        return ngx_prom_listening_is_set(listening->first, port);
    }

    wanted = (uint64_t) ip << 16 | port;

    return bsearch(&wanted, listening->others.elts, listening->others.nelts,
                   sizeof(uint64_t), ngx_prom_listening_compare)
           != NULL;
}


ngx_uint_t
ngx_prom_listening_inet6(const ngx_prom_listening_t *listening, in_port_t port)
{
    return ngx_prom_listening_is_set(listening->six, port);
}


void
ngx_prom_listening_digest(const ngx_prom_listening_t *listening,
    ngx_md5_t *md5)
{
    ngx_md5_update(md5, listening->any, sizeof(listening->any));
    ngx_md5_update(md5, listening->first, sizeof(listening->first));
    ngx_md5_update(md5, listening->six, sizeof(listening->six));
    ngx_md5_update(md5, listening->others.elts,
                   listening->others.nelts * sizeof(uint64_t));
}


static int ngx_libc_cdecl
ngx_prom_listening_compare(const void *one, const void *two)
{
    uint64_t  a, b;

    a = *(const uint64_t *) one;
    b = *(const uint64_t *) two;

    return (a > b) - (a < b);
}
