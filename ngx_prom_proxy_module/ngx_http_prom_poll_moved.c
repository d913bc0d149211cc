/*
 * Connections that have moved to this worker: each becomes one as if it had
 * been accepted here, and what its last worker has read of it is read first.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>
#include "ngx_http_prom_poll.h"
#include "ngx_http_prom_poll_move.h"
#include "ngx_http_prom_stash.h"


#define NGX_HTTP_PROM_POLL_MOVED  32    /* at a time */


static ngx_int_t ngx_http_prom_poll_moved_receive(ngx_connection_t *moves);
static int ngx_http_prom_poll_moved_fd(struct msghdr *msg);
static void ngx_http_prom_poll_moved_close(int fd, ngx_log_t *log);
static void ngx_http_prom_poll_moved_take(int fd,
    ngx_http_prom_poll_move_head_t *head, u_char *text, ngx_log_t *log);
static ngx_listening_t *ngx_http_prom_poll_moved_listening(
    ngx_http_prom_poll_move_head_t *head);
static ngx_connection_t *ngx_http_prom_poll_moved_connection(int fd,
    ngx_listening_t *ls, ngx_log_t *log);
static ngx_int_t ngx_http_prom_poll_moved_fill(ngx_connection_t *c,
    ngx_listening_t *ls);
static void ngx_http_prom_poll_moved_idle(ngx_connection_t *c);
static ssize_t ngx_http_prom_poll_moved_recv_idle(ngx_connection_t *c,
    u_char *buf, size_t size);


void
ngx_http_prom_poll_moved(ngx_event_t *ev)
{
    ngx_uint_t         n;
    ngx_connection_t  *c;

    c = ev->data;

    for (n = 0; n < NGX_HTTP_PROM_POLL_MOVED; n++) {

        if (ngx_http_prom_poll_moved_receive(c) != NGX_OK) {
            break;
        }
    }
}


void
ngx_http_prom_poll_moved_rest(ngx_connection_t *c)
{
    while (ngx_http_prom_poll_moved_receive(c) == NGX_OK) { /* void */ }
}


/* one message, of whatever kind; NGX_AGAIN: there is none */

static ngx_int_t
ngx_http_prom_poll_moved_receive(ngx_connection_t *moves)
{
    int                              fd;
    size_t                           len;
    ssize_t                          n;
    ngx_err_t                        err;
    struct iovec                     iov[2];
    struct msghdr                    msg;
    ngx_http_prom_poll_move_head_t   head;
    u_char                           text[NGX_HTTP_PROM_POLL_MOVE_TEXT];

    union {
        struct cmsghdr               header;
        char                         space[CMSG_SPACE(sizeof(int))];
    } control;

    iov[0].iov_base = &head;
    iov[0].iov_len = sizeof(ngx_http_prom_poll_move_head_t);
    iov[1].iov_base = text;
    iov[1].iov_len = NGX_HTTP_PROM_POLL_MOVE_TEXT;

    ngx_memzero(&control, sizeof(control));
    ngx_memzero(&msg, sizeof(struct msghdr));

    msg.msg_iov = iov;
    msg.msg_iovlen = 2;
    msg.msg_control = &control;
    msg.msg_controllen = sizeof(control);

    do {
        n = recvmsg(moves->fd, &msg, MSG_DONTWAIT|MSG_CMSG_CLOEXEC);
        err = (n == -1) ? ngx_socket_errno : 0;

    } while (err == NGX_EINTR);

    if (n == -1) {

        if (err != NGX_EAGAIN) {
            ngx_log_error(NGX_LOG_ALERT, moves->log, err,
                          "recvmsg() of a connection that moves failed");
        }

        return NGX_AGAIN;
    }

    fd = ngx_http_prom_poll_moved_fd(&msg);
    len = n;

    if (fd == -1
        || (msg.msg_flags & (MSG_TRUNC|MSG_CTRUNC))
        || len < sizeof(ngx_http_prom_poll_move_head_t)
        || head.magic != NGX_HTTP_PROM_POLL_MOVE_MAGIC
        || head.text != len - sizeof(ngx_http_prom_poll_move_head_t)
        || head.socklen > sizeof(ngx_sockaddr_t))
    {
        /* without a descriptor there were too many open files, most likely */

        ngx_log_error(NGX_LOG_CRIT, moves->log, 0,
                      "a connection that moves to this worker is lost: "
                      "%uz bytes, flags %xd, %s descriptor", len,
                      msg.msg_flags, (fd == -1) ? "no" : "one");

        if (fd != -1) {
            ngx_http_prom_poll_moved_close(fd, moves->log);
        }

        return NGX_OK;
    }

    ngx_http_prom_poll_moved_take(fd, &head, text, moves->log);

    return NGX_OK;
}


/* the descriptor that came; -1 if there was none, or more than one */

static int
ngx_http_prom_poll_moved_fd(struct msghdr *msg)
{
    int              fd, found;
    size_t           i, n, all;
    struct cmsghdr  *cmsg;

    found = -1;
    all = 0;

    for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {

        if (cmsg->cmsg_level != SOL_SOCKET
            || cmsg->cmsg_type != SCM_RIGHTS
            || cmsg->cmsg_len < CMSG_LEN(0))
        {
            continue;
        }

        n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        for (i = 0; i < n; i++) {
            ngx_memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));

            if (all++) {
                (void) close(fd);
                continue;
            }

            found = fd;
        }
    }

    if (all > 1) {
        (void) close(found);
        found = -1;
    }

    return found;
}


static void
ngx_http_prom_poll_moved_close(int fd, ngx_log_t *log)
{
    if (ngx_close_socket(fd) == -1) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_socket_errno,
                      ngx_close_socket_n " failed");
    }
}


static void
ngx_http_prom_poll_moved_take(int fd, ngx_http_prom_poll_move_head_t *head,
    u_char *text, ngx_log_t *log)
{
    char                          peek[1];
    u_char                       *copy;
    ngx_event_t                  *rev;
    ngx_listening_t              *ls;
    ngx_connection_t             *c;
    ngx_http_connection_t        *hc;
    ngx_http_prom_poll_moving_t  *moving;

    ls = ngx_http_prom_poll_moved_listening(head);

    if (ls == NULL) {
        ngx_log_error(NGX_LOG_WARN, log, 0,
                      "a connection that moves to this worker is closed: its "
                      "address is not listened on any more");

        ngx_http_prom_poll_moved_close(fd, log);
        return;
    }

    /* one that is idle is closed as all are that this worker has then */

    if (ngx_http_prom_poll_worker()->leaving
        && head->text == 0
        && recv(fd, peek, 1, MSG_PEEK|MSG_DONTWAIT) != 1)
    {
        ngx_http_prom_poll_moved_close(fd, log);
        return;
    }

    c = ngx_http_prom_poll_moved_connection(fd, ls, log);

    if (c == NULL) {
        return;
    }

    ngx_http_prom_poll_move_room(ngx_http_prom_poll_worker());

    c->requests = head->requests;
    c->start_time = ngx_current_msec - (ngx_msec_t) head->age;

    moving = ngx_http_prom_poll_moving(c, 1);

    if (moving == NULL) {
        ngx_http_close_connection(c);
        return;
    }

    copy = NULL;

    if (head->text) {
        moving->moved = c->requests + 1;

        copy = ngx_pnalloc(c->pool, head->text);
        if (copy == NULL) {
            ngx_http_close_connection(c);
            return;
        }

        ngx_memcpy(copy, text, head->text);
    }

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, c->log, 0,
                   "prom poll: *%uA has moved here, fd:%d, text: %uD",
                   c->number, fd, head->text);

    ls->handler(c);

    if (c->fd == (ngx_socket_t) -1) {
        return;
    }

    /* a configuration that has changed speaks another protocol there now */

    hc = c->data;

    if (hc->ssl || hc->proxy_protocol) {
        ngx_http_close_connection(c);
        return;
    }

    if (head->text == 0) {
        ngx_http_prom_poll_moved_idle(c);
        return;
    }

    if (ngx_http_prom_stash(c, copy, head->text) != NGX_OK) {
        ngx_http_close_connection(c);
        return;
    }

    rev = c->read;
    rev->ready = 1;
    rev->handler(rev);
}


static ngx_listening_t *
ngx_http_prom_poll_moved_listening(ngx_http_prom_poll_move_head_t *head)
{
    ngx_uint_t        i;
    ngx_array_t      *listening;
    ngx_listening_t  *ls, *found;

    /* a worker that ends has none in its cycle any more */

    listening = &ngx_http_prom_poll_worker()->listening;

    found = NULL;
    ls = listening->elts;

    for (i = 0; i < listening->nelts; i++) {

        if (ls[i].type != SOCK_STREAM
            || ls[i].handler != ngx_http_init_connection
            || ngx_cmp_sockaddr(ls[i].sockaddr, ls[i].socklen,
                                &head->sockaddr.sockaddr, head->socklen, 1)
               != NGX_OK)
        {
            continue;
        }

        found = &ls[i];

#if (NGX_HAVE_REUSEPORT)
        if (ls[i].reuseport && ls[i].worker != ngx_worker) {
            continue;
        }
#endif

        break;
    }

    return found;
}


static ngx_connection_t *
ngx_http_prom_poll_moved_connection(int fd, ngx_listening_t *ls,
    ngx_log_t *log)
{
    ngx_connection_t  *c;

    c = ngx_get_connection(fd, log);

    if (c == NULL) {
        ngx_http_prom_poll_moved_close(fd, log);
        return NULL;
    }

    c->log = log;

    c->pool = ngx_create_pool(ls->pool_size, log);

    if (c->pool == NULL) {
        ngx_close_connection(c);
        return NULL;
    }

#if (NGX_STAT_STUB)
    /* as accepted it was counted once */
    (void) ngx_atomic_fetch_add(ngx_stat_active, 1);
#endif

    if (ngx_http_prom_poll_moved_fill(c, ls) != NGX_OK) {
        ngx_http_close_connection(c);
        return NULL;
    }

    return c;
}


static ngx_int_t
ngx_http_prom_poll_moved_fill(ngx_connection_t *c, ngx_listening_t *ls)
{
    socklen_t        socklen;
    ngx_log_t       *log;
    ngx_sockaddr_t   sa;

    socklen = sizeof(ngx_sockaddr_t);

    /* it has been closed on the way */

    if (getpeername(c->fd, &sa.sockaddr, &socklen) == -1) {
        return NGX_ERROR;
    }

    socklen = ngx_min(socklen, (socklen_t) sizeof(ngx_sockaddr_t));

    c->sockaddr = ngx_palloc(c->pool, socklen);
    if (c->sockaddr == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(c->sockaddr, &sa, socklen);
    c->socklen = socklen;

    log = ngx_palloc(c->pool, sizeof(ngx_log_t));
    if (log == NULL) {
        return NGX_ERROR;
    }

    *log = ls->log;
    log->data = NULL;
    log->handler = NULL;

    c->log = log;
    c->pool->log = log;
    c->read->log = log;
    c->write->log = log;

    c->type = SOCK_STREAM;
    c->recv = ngx_recv;
    c->send = ngx_send;
    c->recv_chain = ngx_recv_chain;
    c->send_chain = ngx_send_chain;

    c->listening = ls;
    c->local_sockaddr = ls->sockaddr;
    c->local_socklen = ls->socklen;

#if (NGX_HAVE_UNIX_DOMAIN)
    if (c->sockaddr->sa_family == AF_UNIX) {
        c->tcp_nopush = NGX_TCP_NOPUSH_DISABLED;
        c->tcp_nodelay = NGX_TCP_NODELAY_DISABLED;
    }
#endif

    c->write->ready = 1;

#if (NGX_HAVE_KQUEUE || NGX_HAVE_EPOLLRDHUP)
    /* it isn't known how much there is to be read */
    c->read->available = -1;
#endif

    c->number = ngx_atomic_fetch_add(ngx_connection_counter, 1);

    if (ls->addr_ntop) {
        c->addr_text.data = ngx_pnalloc(c->pool, ls->addr_text_max_len);
        if (c->addr_text.data == NULL) {
            return NGX_ERROR;
        }

        c->addr_text.len = ngx_sock_ntop(c->sockaddr, c->socklen,
                                         c->addr_text.data,
                                         ls->addr_text_max_len, 0);
        if (c->addr_text.len == 0) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/*
 * To nginx it is one that has sent nothing yet, which it would neither close
 * at its end nor keep as long as one that has been answered.
 */

static void
ngx_http_prom_poll_moved_idle(ngx_connection_t *c)
{
    ngx_http_connection_t     *hc;
    ngx_http_core_loc_conf_t  *clcf;

    hc = c->data;
    clcf = ngx_http_get_module_loc_conf(hc->conf_ctx, ngx_http_core_module);

    ngx_add_timer(c->read, clcf->keepalive_timeout);

    /* while this worker leaves: a request is there, so it isn't closed */

    c->idle = !ngx_http_prom_poll_worker()->leaving;
    c->recv = ngx_http_prom_poll_moved_recv_idle;
    c->log->action = "keepalive";
}


static ssize_t
ngx_http_prom_poll_moved_recv_idle(ngx_connection_t *c, u_char *buf,
    size_t size)
{
    ssize_t                    n;
    ngx_http_connection_t     *hc;
    ngx_http_core_srv_conf_t  *cscf;

    n = ngx_recv(c, buf, size);

    if (n == NGX_AGAIN) {
        return n;
    }

    c->recv = ngx_recv;
    c->idle = 0;

    if (n > 0) {
        hc = c->data;
        cscf = ngx_http_get_module_srv_conf(hc->conf_ctx,
                                            ngx_http_core_module);

        ngx_add_timer(c->read, cscf->client_header_timeout);
    }

    return n;
}
