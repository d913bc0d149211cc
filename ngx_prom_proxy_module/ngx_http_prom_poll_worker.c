/*
 * Each worker serves http to the others on a private unix socket: what hops
 * here arrives as any request does, in the server of "prom_poll_worker".  On
 * another, of datagrams, it takes connections from them.
 *
 * The socket is none of cycle->listening: it belongs to one process, and goes
 * on accepting while that is shut down, until its last request has ended.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>
#include "ngx_http_prom_poll.h"
#include "ngx_http_prom_poll_socket.h"


#define NGX_HTTP_PROM_POLL_RETRY  1000      /* ms, if it can't join */
#define NGX_HTTP_PROM_POLL_PAUSE  100       /* ms, if it can't accept */


typedef struct {
    ngx_http_prom_poll_worker_t      worker;
    ngx_http_prom_poll_main_conf_t  *pmcf;

    ngx_listening_t                  listening;
    ngx_http_port_t                  port;
    ngx_http_in_addr_t               addr;
    struct sockaddr_un               sockaddr;
    struct sockaddr_un               moves;

    ngx_event_t                      retry;
    ngx_event_t                      pause;
    ngx_event_t                      linger;
    ngx_uint_t                       accepted;
} ngx_http_prom_poll_own_t;


static void ngx_http_prom_poll_own_event(ngx_http_prom_poll_own_t *own,
    ngx_event_t *ev, ngx_event_handler_pt handler);
static void ngx_http_prom_poll_retry(ngx_event_t *ev);
static ngx_int_t ngx_http_prom_poll_join(ngx_http_prom_poll_own_t *own,
    ngx_log_t *log);
static void ngx_http_prom_poll_gone(const ngx_prom_poll_at_t *at, void *data);
static ngx_int_t ngx_http_prom_poll_listen(ngx_http_prom_poll_own_t *own,
    ngx_log_t *log);
static ngx_int_t ngx_http_prom_poll_listen_moves(
    ngx_http_prom_poll_own_t *own, ngx_log_t *log);
static void ngx_http_prom_poll_close_moves(ngx_http_prom_poll_own_t *own);
static void ngx_http_prom_poll_accept(ngx_event_t *ev);
static void ngx_http_prom_poll_init_connection(ngx_connection_t *c);
static void ngx_http_prom_poll_resume(ngx_event_t *ev);
static void ngx_http_prom_poll_shut(ngx_http_prom_poll_own_t *own);
static void ngx_http_prom_poll_spare(ngx_http_prom_poll_own_t *own);
static void ngx_http_prom_poll_linger(ngx_event_t *ev);


static ngx_http_prom_poll_own_t  *ngx_http_prom_poll_own;


ngx_http_prom_poll_worker_t *
ngx_http_prom_poll_worker(void)
{
    if (ngx_http_prom_poll_own == NULL
        || ngx_http_prom_poll_own->worker.connection == NULL)
    {
        return NULL;
    }

    return &ngx_http_prom_poll_own->worker;
}


ngx_uint_t
ngx_http_prom_poll_is_hop(ngx_http_request_t *r)
{
    return ngx_http_prom_poll_own
           && r->connection->listening == &ngx_http_prom_poll_own->listening;
}


ngx_int_t
ngx_http_prom_poll_worker_init(ngx_cycle_t *cycle,
    ngx_http_prom_poll_main_conf_t *pmcf)
{
    ngx_listening_t           *ls;
    ngx_http_core_loc_conf_t  *clcf;
    ngx_http_prom_poll_own_t  *own;

    if (pmcf->zone == NULL
        || pmcf->server == NULL
        || (ngx_process != NGX_PROCESS_WORKER
            && ngx_process != NGX_PROCESS_SINGLE))
    {
        return NGX_OK;
    }

    own = ngx_pcalloc(cycle->pool, sizeof(ngx_http_prom_poll_own_t));
    if (own == NULL) {
        return NGX_ERROR;
    }

    own->pmcf = pmcf;
    own->worker.listening = cycle->listening;
    own->worker.zone = ((ngx_slab_pool_t *) pmcf->zone->shm.addr)->data;

    ngx_rbtree_init(&own->worker.clients, &own->worker.clients_sentinel,
                    ngx_str_rbtree_insert_value);
    ngx_rbtree_init(&own->worker.scrapes, &own->worker.scrapes_sentinel,
                    ngx_str_rbtree_insert_value);

    /* an address without names: its server is that of the hops */

    own->addr.conf.default_server = pmcf->server;
    own->port.addrs = &own->addr;
    own->port.naddrs = 1;

    clcf = pmcf->server->ctx->loc_conf[ngx_http_core_module.ctx_index];
    ls = &own->listening;

    ls->sockaddr = (struct sockaddr *) &own->sockaddr;
    ls->socklen = sizeof(struct sockaddr_un);
    ls->addr_ntop = 1;
    ls->addr_text_max_len = NGX_UNIX_ADDRSTRLEN;
    ls->type = SOCK_STREAM;
    ls->handler = ngx_http_prom_poll_init_connection;
    ls->servers = &own->port;
    ls->pool_size = pmcf->server->connection_pool_size;
    ls->logp = clcf->error_log;
    ls->log = *clcf->error_log;
    ls->log.data = &ls->addr_text;
    ls->log.handler = ngx_accept_log_error;

#if (NGX_HAVE_REUSEPORT)
    /* nobody else accepts here, so none need be given a turn */
    ls->reuseport = 1;
#endif

    ngx_http_prom_poll_own_event(own, &own->retry, ngx_http_prom_poll_retry);
    ngx_http_prom_poll_own_event(own, &own->pause, ngx_http_prom_poll_resume);
    ngx_http_prom_poll_own_event(own, &own->linger, ngx_http_prom_poll_linger);

    own->retry.cancelable = 1;
    own->pause.cancelable = 1;

    ngx_http_prom_poll_own = own;

    ngx_http_prom_poll_retry(&own->retry);

    return NGX_OK;
}


static void
ngx_http_prom_poll_own_event(ngx_http_prom_poll_own_t *own, ngx_event_t *ev,
    ngx_event_handler_pt handler)
{
    ev->handler = handler;
    ev->data = own;
    ev->log = ngx_cycle->log;
}


/*
 * A worker that can't join serves all else, and tries again: there is a slot
 * once another worker has drained.
 */

static void
ngx_http_prom_poll_retry(ngx_event_t *ev)
{
    ngx_http_prom_poll_own_t  *own;

    own = ev->data;

    if (!ngx_exiting && ngx_http_prom_poll_join(own, ev->log) != NGX_OK) {
        ngx_add_timer(ev, NGX_HTTP_PROM_POLL_RETRY);
    }
}


static ngx_int_t
ngx_http_prom_poll_join(ngx_http_prom_poll_own_t *own, ngx_log_t *log)
{
    ngx_http_prom_poll_worker_t  *worker;

    worker = &own->worker;

    if (ngx_prom_poll_zone_join(worker->zone, &worker->at,
                                ngx_http_prom_poll_gone, own)
        != NGX_OK)
    {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "polls are not served by this worker yet: %d workers "
                      "serve them, with those that are shutting down",
                      NGX_PROM_POLL_SLOTS);
        return NGX_ERROR;
    }

    ngx_http_prom_poll_socket_tidy(&own->pmcf->path->name, worker->zone, log);

    if (ngx_http_prom_poll_listen(own, log) != NGX_OK) {
        ngx_prom_poll_zone_leave(worker->zone, &worker->at);
        return NGX_ERROR;
    }

    /* without it, all goes by the first one */

    if (ngx_http_prom_poll_listen_moves(own, log) == NGX_OK) {
        ngx_http_prom_poll_move_room(worker);
    }

    own->pmcf->worker = worker;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, log, 0,
                   "prom poll worker %uD, tag %08xD",
                   worker->at.slot, worker->at.tag);

    return NGX_OK;
}


/* a worker was killed */

static void
ngx_http_prom_poll_gone(const ngx_prom_poll_at_t *at, void *data)
{
    ngx_http_prom_poll_own_t *own = data;

    ngx_str_t           *path;
    struct sockaddr_un   sun;

    path = &own->pmcf->path->name;

    if (ngx_http_prom_poll_socket_address(path, at, SOCK_STREAM, &sun)
        == NGX_OK)
    {
        (void) ngx_delete_file(sun.sun_path);
    }

    if (ngx_http_prom_poll_socket_address(path, at, SOCK_DGRAM, &sun)
        == NGX_OK)
    {
        (void) ngx_delete_file(sun.sun_path);
    }
}


void
ngx_http_prom_poll_lost(ngx_prom_poll_at_t *at)
{
    ngx_http_prom_poll_worker_t  *worker;

    worker = ngx_http_prom_poll_worker();

    if (worker && ngx_prom_poll_zone_lost(worker->zone, at) == NGX_OK) {
        ngx_http_prom_poll_gone(at, ngx_http_prom_poll_own);
    }
}


static ngx_int_t
ngx_http_prom_poll_listen(ngx_http_prom_poll_own_t *own, ngx_log_t *log)
{
    ngx_event_t       *rev;
    ngx_socket_t       s;
    ngx_listening_t   *ls;
    ngx_connection_t  *c;

    s = ngx_http_prom_poll_socket_open(&own->pmcf->path->name, &own->worker.at,
                                       SOCK_STREAM, &own->sockaddr, log);

    if (s == (ngx_socket_t) -1) {
        return NGX_ERROR;
    }

    c = ngx_get_connection(s, log);

    if (c == NULL) {

        if (ngx_close_socket(s) == -1) {
            ngx_log_error(NGX_LOG_ALERT, log, ngx_socket_errno,
                          ngx_close_socket_n " failed");
        }

        goto failed;
    }

    ls = &own->listening;

    ls->fd = s;
    ls->addr_text.data = (u_char *) own->sockaddr.sun_path;
    ls->addr_text.len = ngx_strlen(own->sockaddr.sun_path);
    ls->connection = c;

    c->type = SOCK_STREAM;
    c->log = &ls->log;
    c->listening = ls;

    rev = c->read;
    rev->log = c->log;
    rev->accept = 1;
    rev->handler = ngx_http_prom_poll_accept;

    if (ngx_add_event(rev, NGX_READ_EVENT, 0) == NGX_ERROR) {
        ngx_close_connection(c);
        goto failed;
    }

    /* ngx_close_idle_connections() then tells it of the shutdown */

    c->idle = 1;

    own->worker.connection = c;

    return NGX_OK;

failed:

    (void) ngx_delete_file(own->sockaddr.sun_path);

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_prom_poll_listen_moves(ngx_http_prom_poll_own_t *own, ngx_log_t *log)
{
    ngx_event_t       *rev;
    ngx_socket_t       s;
    ngx_connection_t  *c;

    s = ngx_http_prom_poll_socket_open(&own->pmcf->path->name, &own->worker.at,
                                       SOCK_DGRAM, &own->moves, log);

    if (s == (ngx_socket_t) -1) {
        return NGX_ERROR;
    }

    c = ngx_get_connection(s, log);

    if (c == NULL) {

        if (ngx_close_socket(s) == -1) {
            ngx_log_error(NGX_LOG_ALERT, log, ngx_socket_errno,
                          ngx_close_socket_n " failed");
        }

        (void) ngx_delete_file(own->moves.sun_path);

        return NGX_ERROR;
    }

    c->type = SOCK_DGRAM;
    c->log = &own->listening.log;

    rev = c->read;
    rev->log = c->log;
    rev->handler = ngx_http_prom_poll_moved;

    own->worker.moves = c;

    if (ngx_add_event(rev, NGX_READ_EVENT, 0) == NGX_ERROR) {
        ngx_http_prom_poll_close_moves(own);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_prom_poll_close_moves(ngx_http_prom_poll_own_t *own)
{
    if (own->worker.moves == NULL) {
        return;
    }

    (void) ngx_delete_file(own->moves.sun_path);

    ngx_close_connection(own->worker.moves);

    own->worker.moves = NULL;
}


ngx_int_t
ngx_http_prom_poll_worker_sockaddr(ngx_prom_poll_at_t *at, int type,
    struct sockaddr_un *sun)
{
    ngx_str_t  *path;

    if (ngx_http_prom_poll_own == NULL) {
        return NGX_ERROR;
    }

    path = &ngx_http_prom_poll_own->pmcf->path->name;

    return ngx_http_prom_poll_socket_address(path, at, type, sun);
}


ngx_int_t
ngx_http_prom_poll_address(ngx_prom_poll_at_t *at, ngx_addr_t *addr,
    ngx_pool_t *pool)
{
    struct sockaddr_un  *sun;

    sun = ngx_palloc(pool, sizeof(struct sockaddr_un));
    if (sun == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_prom_poll_worker_sockaddr(at, SOCK_STREAM, sun) != NGX_OK) {
        return NGX_ERROR;
    }

    addr->sockaddr = (struct sockaddr *) sun;
    addr->socklen = sizeof(struct sockaddr_un);
    addr->name.data = (u_char *) sun->sun_path;
    addr->name.len = ngx_strlen(sun->sun_path);

    return NGX_OK;
}


static void
ngx_http_prom_poll_accept(ngx_event_t *ev)
{
    ngx_connection_t          *c;
    ngx_http_prom_poll_own_t  *own;

    c = ev->data;
    own = ngx_http_prom_poll_own;

    if (c->close) {
        c->close = 0;
        c->idle = 0;
        ngx_http_prom_poll_shut(own);
        return;
    }

    own->accepted = 0;

    ngx_event_accept(ev);

    if (own->accepted || !ev->active) {
        return;
    }

    /*
     * There are no more files or connections.  nginx then disables the
     * sockets in its own list; this one would be ready again at once.
     */

    if (ngx_del_event(ev, NGX_READ_EVENT, 0) == NGX_OK
        && !own->pause.timer_set)
    {
        ngx_add_timer(&own->pause, NGX_HTTP_PROM_POLL_PAUSE);
    }
}


static void
ngx_http_prom_poll_init_connection(ngx_connection_t *c)
{
    ngx_http_prom_poll_own->accepted = 1;

    ngx_http_init_connection(c);
}


static void
ngx_http_prom_poll_resume(ngx_event_t *ev)
{
    ngx_event_t               *rev;
    ngx_http_prom_poll_own_t  *own;

    own = ev->data;
    rev = own->worker.connection->read;

    if (!rev->active && ngx_add_event(rev, NGX_READ_EVENT, 0) == NGX_ERROR) {
        ngx_add_timer(ev, NGX_HTTP_PROM_POLL_PAUSE);
    }
}


static void
ngx_http_prom_poll_shut(ngx_http_prom_poll_own_t *own)
{
    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, ngx_cycle->log, 0,
                   "prom poll worker leaves");

    own->worker.leaving = 1;

    if (own->worker.moves) {
        /* nobody finds it from here on; who just has, is waited for */
        ngx_http_prom_poll_move_room(&own->worker);
        (void) ngx_delete_file(own->moves.sun_path);
        ngx_http_prom_poll_moved_rest(own->worker.moves);
    }

    ngx_http_prom_poll_release(&own->worker);
    ngx_http_prom_poll_spare(own);

    /* before 1.25 nginx may end without a look at events that were posted */

    ngx_add_timer(&own->linger, 1);
}


/*
 * nginx is about to close connections that wait for a request.  One to which
 * another worker has written its request just now is spared: such that have
 * a body can't be sent twice.
 */

static void
ngx_http_prom_poll_spare(ngx_http_prom_poll_own_t *own)
{
    char               buf[1];
    ngx_uint_t         i;
    ngx_connection_t  *c;

    c = ngx_cycle->connections;

    for (i = 0; i < ngx_cycle->connection_n; i++) {

        if (c[i].fd != (ngx_socket_t) -1
            && c[i].idle
            && c[i].listening == &own->listening
            && recv(c[i].fd, buf, 1, MSG_PEEK) == 1)
        {
            c[i].idle = 0;
        }
    }
}


static void
ngx_http_prom_poll_linger(ngx_event_t *ev)
{
    ngx_http_prom_poll_own_t  *own;

    own = ev->data;

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, ev->log, 0, "prom poll worker lingers");

    if (own->worker.moves) {
        ngx_http_prom_poll_moved_rest(own->worker.moves);
    }
}


void
ngx_http_prom_poll_worker_exit(ngx_http_prom_poll_main_conf_t *pmcf)
{
    ngx_http_prom_poll_worker_t  *worker;

    worker = ngx_http_prom_poll_worker();

    if (worker == NULL) {
        return;
    }

    (void) ngx_delete_file(ngx_http_prom_poll_own->sockaddr.sun_path);

    ngx_http_prom_poll_close_moves(ngx_http_prom_poll_own);

    ngx_prom_poll_zone_leave(worker->zone, &worker->at);

    ngx_close_connection(worker->connection);

    worker->connection = NULL;
    pmcf->worker = NULL;
}
