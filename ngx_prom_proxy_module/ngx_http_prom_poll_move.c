/*
 * Connections that move to another worker.  A scrape takes its connection
 * along to the worker that holds its client's poll; the connection of a push
 * that had to hop moves once it is idle.  So what belongs together gathers at
 * one worker, and bodies need not hop.
 *
 * What can't move hops: it is TLS, say, or HTTP/2, whose state is here.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>
#include "ngx_http_prom_proxy.h"
#include "ngx_http_prom_poll.h"
#include "ngx_http_prom_poll_move.h"
#include "ngx_http_prom_stash.h"
#include "ngx_http_prom_poll_socket.h"


static ngx_uint_t ngx_http_prom_poll_move_can(ngx_connection_t *c,
    ngx_http_connection_t *hc, ngx_prom_poll_at_t *to);
static ngx_uint_t ngx_http_prom_poll_move_can_now(ngx_http_request_t *r);
static ngx_int_t ngx_http_prom_poll_move_text(ngx_http_request_t *r,
    ngx_str_t *text);
static ngx_int_t ngx_http_prom_poll_move_send(ngx_connection_t *c,
    ngx_prom_poll_at_t *to, ngx_uint_t requests, ngx_str_t *text);
static void ngx_http_prom_poll_move_sent(ngx_connection_t *c);
static void ngx_http_prom_poll_move_post(void *data);
static void ngx_http_prom_poll_move_idle(ngx_event_t *ev);
static void ngx_http_prom_poll_move_cleanup(void *data);


ngx_int_t
ngx_http_prom_poll_move(ngx_http_request_t *r, ngx_prom_poll_at_t *to)
{
    ngx_str_t          text;
    ngx_connection_t  *c;

    c = r->connection;

    if (!ngx_http_prom_poll_move_can_now(r)
        || !ngx_http_prom_poll_move_can(c, r->http_connection, to)
        || ngx_http_prom_poll_move_text(r, &text) != NGX_OK
        || ngx_http_prom_poll_move_send(c, to, c->requests - 1, &text)
           != NGX_OK)
    {
        return NGX_DECLINED;
    }

    ngx_http_prom_poll_move_sent(c);

#if (NGX_STAT_STUB)
    /* it is counted where it is answered */
    (void) ngx_atomic_fetch_add(ngx_stat_requests, -1);
#endif

    r->logged = 1;

    ngx_http_finalize_request(r, NGX_ERROR);

    return NGX_OK;
}


static ngx_uint_t
ngx_http_prom_poll_move_can(ngx_connection_t *c, ngx_http_connection_t *hc,
    ngx_prom_poll_at_t *to)
{
    ngx_http_prom_poll_worker_t  *worker;

    worker = ngx_http_prom_poll_worker();

    if (worker == NULL
        || worker->moves == NULL
        || worker->leaving
        || ngx_exiting
        || ngx_del_conn == NULL
        || c->type != SOCK_STREAM
        || c->shared
        || c->error
        || c->buffered
        || hc->addr_conf->proxy_protocol
        || c->tcp_nopush == NGX_TCP_NOPUSH_SET
        || c->listening == NULL
        || c->listening->handler != ngx_http_init_connection
        || c->listening->socklen > (socklen_t) sizeof(ngx_sockaddr_t))
    {
        return 0;
    }

#if (NGX_SSL)
    if (c->ssl) {
        return 0;
    }
#endif

    return ngx_prom_poll_zone_room(worker->zone, to);
}


/* in a handler of a phase: nothing but the phases has to do with it yet */

static ngx_uint_t
ngx_http_prom_poll_move_can_now(ngx_http_request_t *r)
{
    ngx_connection_t             *c;
    ngx_http_core_loc_conf_t     *clcf;
    ngx_http_prom_poll_moving_t  *moving;

    c = r->connection;

    if (r != r->main
        || r != c->data
        || r->count != 1
        || r->blocked
        || r->postponed
        || r->upstream
        || r->header_sent
        || r->request_body
        || r->headers_in.content_length_n > 0
        || r->headers_in.chunked
        || r->http_version >= NGX_HTTP_VERSION_20)
    {
        return 0;
    }

    /* both would count it once more there, and refuse it as one too many */

    if (r->limit_req_status || r->limit_conn_status) {
        return 0;
    }

#if (NGX_HTTP_V2)
    if (r->stream) {
        return 0;
    }
#endif

    /* which would run here, as well */

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (clcf->post_action.data) {
        return 0;
    }

    /* what it came here for has gone: it could be sent round and round */

    moving = ngx_http_prom_poll_moving(c, 0);

    return (moving == NULL || moving->moved != c->requests);
}


/*
 * What was read has lost its line ends to nginx's parser, so it is written
 * once more; with it goes what was read behind it.  No line may get longer, as
 * nginx has a limit for each, so there is no space behind a colon.
 */

static ngx_int_t
ngx_http_prom_poll_move_text(ngx_http_request_t *r, ngx_str_t *text)
{
    size_t                       len, behind;
    u_char                      *p;
    ngx_buf_t                   *b;
    ngx_str_t                    left;
    ngx_table_elt_t             *header;
    ngx_http_prom_header_pos_t   pos;

    b = r->header_in;
    behind = b->last - b->pos;

    ngx_http_prom_stash_left(r->connection, &left);

    len = r->request_line.len + 2 * (sizeof(CRLF) - 1) + behind + left.len;

    ngx_memzero(&pos, sizeof(ngx_http_prom_header_pos_t));

    for ( ;; ) {
        header = ngx_http_prom_proxy_next_header(&r->headers_in.headers, &pos);
        if (header == NULL) {
            break;
        }

        /* one that was taken off */

        if (header->value.data == NULL) {
            continue;
        }

        len += header->key.len + sizeof(":" CRLF) - 1 + header->value.len;
    }

    if (len > NGX_HTTP_PROM_POLL_MOVE_TEXT) {
        return NGX_DECLINED;
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;
    text->len = len;

    p = ngx_cpymem(p, r->request_line.data, r->request_line.len);
    *p++ = CR; *p++ = LF;

    ngx_memzero(&pos, sizeof(ngx_http_prom_header_pos_t));

    for ( ;; ) {
        header = ngx_http_prom_proxy_next_header(&r->headers_in.headers, &pos);
        if (header == NULL) {
            break;
        }

        if (header->value.data == NULL) {
            continue;
        }

        p = ngx_cpymem(p, header->key.data, header->key.len);
        *p++ = ':';
        p = ngx_cpymem(p, header->value.data, header->value.len);
        *p++ = CR; *p++ = LF;
    }

    *p++ = CR; *p++ = LF;
    p = ngx_cpymem(p, b->pos, behind);

    if (left.len) {
        ngx_memcpy(p, left.data, left.len);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_prom_poll_move_send(ngx_connection_t *c, ngx_prom_poll_at_t *to,
    ngx_uint_t requests, ngx_str_t *text)
{
    int                              fd;
    ngx_err_t                        err;
    struct iovec                     iov[2];
    struct msghdr                    msg;
    struct cmsghdr                  *cmsg;
    struct sockaddr_un               sun;
    ngx_http_prom_poll_worker_t     *worker;
    ngx_http_prom_poll_move_head_t   head;

    union {
        struct cmsghdr               header;
        char                         space[CMSG_SPACE(sizeof(int))];
    } control;

    worker = ngx_http_prom_poll_worker();

    if (ngx_http_prom_poll_worker_sockaddr(to, SOCK_DGRAM, &sun) != NGX_OK) {
        return NGX_DECLINED;
    }

    ngx_memzero(&head, sizeof(ngx_http_prom_poll_move_head_t));

    head.magic = NGX_HTTP_PROM_POLL_MOVE_MAGIC;
    head.text = (uint32_t) text->len;
    head.requests = (uint32_t) requests;
    head.age = ngx_current_msec - c->start_time;
    head.socklen = c->listening->socklen;
    ngx_memcpy(&head.sockaddr, c->listening->sockaddr, head.socklen);

    iov[0].iov_base = &head;
    iov[0].iov_len = sizeof(ngx_http_prom_poll_move_head_t);
    iov[1].iov_base = text->data;
    iov[1].iov_len = text->len;

    ngx_memzero(&control, sizeof(control));
    ngx_memzero(&msg, sizeof(struct msghdr));

    msg.msg_name = &sun;
    msg.msg_namelen = sizeof(struct sockaddr_un);
    msg.msg_iov = iov;
    msg.msg_iovlen = text->len ? 2 : 1;
    msg.msg_control = &control;
    msg.msg_controllen = sizeof(control);

    fd = c->fd;

    cmsg = CMSG_FIRSTHDR(&msg);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(sizeof(int));
    ngx_memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));

    if (sendmsg(worker->moves->fd, &msg, MSG_DONTWAIT|MSG_NOSIGNAL) == -1) {
        err = ngx_socket_errno;

        ngx_log_debug2(NGX_LOG_DEBUG_HTTP, c->log, err,
                       "prom poll: connection is not moved to %uD-%08xD",
                       to->slot, to->tag);

        return NGX_DECLINED;
    }

    (void) ngx_atomic_fetch_add(
                   &ngx_prom_poll_zone_counters(worker->zone)->moves, 1);

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, c->log, 0,
                   "prom poll: connection moves to %uD-%08xD, text: %uz",
                   to->slot, to->tag, text->len);

    return NGX_OK;
}


/*
 * The file stays open elsewhere, and would go on to have its events here: that
 * it is closed here doesn't take it off.
 */

static void
ngx_http_prom_poll_move_sent(ngx_connection_t *c)
{
    if (c->read->active || c->write->active) {
        (void) ngx_del_conn(c, 0);
    }
}


void
ngx_http_prom_poll_move_later(ngx_http_request_t *r, ngx_prom_poll_at_t *to)
{
    ngx_http_cleanup_t           *cln;
    ngx_http_prom_poll_moving_t  *moving;

    if (!r->keepalive || r->http_version >= NGX_HTTP_VERSION_20) {
        return;
    }

    moving = ngx_http_prom_poll_moving(r->connection, 1);

    if (moving == NULL) {
        return;
    }

    cln = ngx_http_cleanup_add(r, 0);

    if (cln == NULL) {
        return;
    }

    cln->handler = ngx_http_prom_poll_move_post;
    cln->data = moving;

    moving->to = *to;
}


/* the request is freed: the connection is idle in a moment, or closed */

static void
ngx_http_prom_poll_move_post(void *data)
{
    ngx_http_prom_poll_moving_t *moving = data;

    ngx_post_event(&moving->event, &ngx_posted_events);
}


static void
ngx_http_prom_poll_move_idle(ngx_event_t *ev)
{
    ngx_str_t                     text, left;
    ngx_connection_t             *c;
    ngx_http_prom_poll_moving_t  *moving;

    moving = ev->data;
    c = moving->connection;

    ngx_http_prom_stash_left(c, &left);

    if (!c->idle
        || c->close
        || left.len
        || !ngx_http_prom_poll_move_can(c, c->data, &moving->to))
    {
        return;
    }

    ngx_str_null(&text);

    /* what the client has sent since then is in the socket, and goes along */

    if (ngx_http_prom_poll_move_send(c, &moving->to, c->requests, &text)
        != NGX_OK)
    {
        return;
    }

    ngx_http_prom_poll_move_sent(c);
    ngx_http_close_connection(c);
}


/* clients' polls fill a worker, and it has to accept some besides these */

void
ngx_http_prom_poll_move_room(ngx_http_prom_poll_worker_t *worker)
{
    ngx_prom_poll_zone_set_room(worker->zone, &worker->at,
                                worker->moves
                                && !worker->leaving
                                && ngx_cycle->free_connection_n
                                   > ngx_cycle->connection_n / 8);
}


ngx_http_prom_poll_moving_t *
ngx_http_prom_poll_moving(ngx_connection_t *c, ngx_uint_t make)
{
    ngx_pool_cleanup_t           *cln;
    ngx_http_prom_poll_moving_t  *moving;

    for (cln = c->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler == ngx_http_prom_poll_move_cleanup) {
            return cln->data;
        }
    }

    if (!make) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(c->pool, sizeof(ngx_http_prom_poll_moving_t));

    if (cln == NULL) {
        return NULL;
    }

    moving = cln->data;

    ngx_memzero(moving, sizeof(ngx_http_prom_poll_moving_t));

    moving->connection = c;
    moving->event.handler = ngx_http_prom_poll_move_idle;
    moving->event.data = moving;
    moving->event.log = c->log;

    cln->handler = ngx_http_prom_poll_move_cleanup;

    return moving;
}


static void
ngx_http_prom_poll_move_cleanup(void *data)
{
    ngx_http_prom_poll_moving_t *moving = data;

    if (moving->event.posted) {
        ngx_delete_posted_event(&moving->event);
    }
}
