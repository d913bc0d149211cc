/*
 * A worker's connection to the keeper of credentials: it is told all at once
 * when it connects, and of each change then.  Without the keeper it goes on
 * with what it has.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>
#include <ngx_http.h>
#include "ngx_http_prom_token.h"


#define NGX_HTTP_PROM_TOKEN_SOON    100     /* ms until it is dialled again */
#define NGX_HTTP_PROM_TOKEN_LATER   1000
#define NGX_HTTP_PROM_TOKEN_READS   16      /* before others have their turn */


struct ngx_http_prom_token_keeper_s {
    ngx_http_prom_token_main_conf_t  *conf;
    ngx_addr_t                        addr;
    ngx_peer_connection_t             peer;
    ngx_connection_t                 *connection;
    ngx_event_t                       event;    /* of the next dial */
    ngx_log_t                         quiet;
    ngx_msec_t                        since;    /* there is no connection */

    u_char                           *start;
    u_char                           *last;     /* behind what was read */
    u_char                           *end;

    unsigned                          tried:1;  /* since the last line */
    unsigned                          lost:1;   /* and was told */
};


static void ngx_http_prom_token_keeper_dial(ngx_event_t *ev);
static void ngx_http_prom_token_keeper_write(ngx_event_t *ev);
static void ngx_http_prom_token_keeper_read(ngx_event_t *ev);
static const char *ngx_http_prom_token_keeper_lines(
    ngx_http_prom_token_keeper_t *keeper);
static const char *ngx_http_prom_token_keeper_line(
    ngx_http_prom_token_keeper_t *keeper, u_char *text, size_t len);
static void ngx_http_prom_token_keeper_lost(
    ngx_http_prom_token_keeper_t *keeper);
static void ngx_http_prom_token_keeper_close(
    ngx_http_prom_token_keeper_t *keeper);


ngx_http_prom_token_keeper_t *
ngx_http_prom_token_keeper_create(ngx_conf_t *cf, ngx_addr_t *addr,
    ngx_http_prom_token_main_conf_t *tmcf)
{
    ngx_http_prom_token_keeper_t  *keeper;

    keeper = ngx_pcalloc(cf->pool, sizeof(ngx_http_prom_token_keeper_t));
    if (keeper == NULL) {
        return NULL;
    }

    keeper->start = ngx_palloc(cf->pool, NGX_PROM_TOKEN_LINE_MAX);
    if (keeper->start == NULL) {
        return NULL;
    }

    keeper->conf = tmcf;
    keeper->addr = *addr;
    keeper->last = keeper->start;
    keeper->end = keeper->start + NGX_PROM_TOKEN_LINE_MAX;

    return keeper;
}


void
ngx_http_prom_token_keeper_start(ngx_http_prom_token_keeper_t *keeper)
{
    keeper->since = ngx_current_msec;

    keeper->event.handler = ngx_http_prom_token_keeper_dial;
    keeper->event.data = keeper;
    keeper->event.log = ngx_cycle->log;
    keeper->event.cancelable = 1;

    ngx_http_prom_token_keeper_dial(&keeper->event);
}


void
ngx_http_prom_token_keeper_stop(ngx_http_prom_token_keeper_t *keeper)
{
    if (keeper->event.timer_set) {
        ngx_del_timer(&keeper->event);
    }

    ngx_http_prom_token_keeper_close(keeper);
}


ngx_uint_t
ngx_http_prom_token_keeper_connected(ngx_http_prom_token_keeper_t *keeper,
    ngx_msec_t *since)
{
    *since = keeper->since;

    return keeper->connection != NULL;
}


static void
ngx_http_prom_token_keeper_dial(ngx_event_t *ev)
{
    ngx_int_t                      rc;
    ngx_connection_t              *c;
    ngx_peer_connection_t         *peer;
    ngx_http_prom_token_keeper_t  *keeper;

    keeper = ev->data;
    peer = &keeper->peer;

    /* that nobody listens there is told once, not with each dial */

    keeper->quiet = *ngx_cycle->log;

    if (keeper->lost) {
        keeper->quiet.log_level = ngx_min(keeper->quiet.log_level,
                                          NGX_LOG_ALERT);
    }

    ngx_memzero(peer, sizeof(ngx_peer_connection_t));

    peer->sockaddr = keeper->addr.sockaddr;
    peer->socklen = keeper->addr.socklen;
    peer->name = &keeper->addr.name;
    peer->get = ngx_event_get_peer;
    peer->log = &keeper->quiet;
    peer->log_error = NGX_ERROR_ERR;

    rc = ngx_event_connect_peer(peer);

    if (rc != NGX_OK && rc != NGX_AGAIN) {

        if (peer->connection) {
            ngx_close_connection(peer->connection);
        }

        ngx_http_prom_token_keeper_lost(keeper);
        return;
    }

    c = peer->connection;

    c->data = keeper;
    c->log = ngx_cycle->log;
    c->read->log = c->log;
    c->write->log = c->log;
    c->read->handler = ngx_http_prom_token_keeper_read;
    c->write->handler = ngx_http_prom_token_keeper_write;

    keeper->connection = c;

    if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        ngx_http_prom_token_keeper_lost(keeper);
    }
}


static void
ngx_http_prom_token_keeper_write(ngx_event_t *ev)
{
    /* nothing waits to be written */

    (void) ngx_handle_write_event(ev, 0);
}


static void
ngx_http_prom_token_keeper_read(ngx_event_t *ev)
{
    ssize_t                        n;
    ngx_uint_t                     i;
    const char                    *mistake;
    ngx_connection_t              *c;
    ngx_http_prom_token_keeper_t  *keeper;

    c = ev->data;
    keeper = c->data;

    for (i = 0; i < NGX_HTTP_PROM_TOKEN_READS; i++) {

        n = c->recv(c, keeper->last, keeper->end - keeper->last);

        if (n == NGX_AGAIN) {

            if (ngx_handle_read_event(ev, 0) != NGX_OK) {
                ngx_http_prom_token_keeper_lost(keeper);
            }

            return;
        }

        if (n == NGX_ERROR || n == 0) {
            ngx_http_prom_token_keeper_lost(keeper);
            return;
        }

        keeper->last += n;

        mistake = ngx_http_prom_token_keeper_lines(keeper);

        if (mistake) {
            ngx_log_error(NGX_LOG_ERR, c->log, 0,
                          "keeper at %V sent a line that %s",
                          &keeper->addr.name, mistake);

            ngx_http_prom_token_keeper_lost(keeper);
            return;
        }
    }

    ngx_post_event(ev, &ngx_posted_next_events);
}


/* takes the whole lines, and returns NULL, or what is wrong with one */

static const char *
ngx_http_prom_token_keeper_lines(ngx_http_prom_token_keeper_t *keeper)
{
    u_char      *p, *lf;
    size_t       rest;
    const char  *mistake;

    mistake = NULL;

    for (p = keeper->start; p < keeper->last; p = lf + 1) {

        lf = memchr(p, LF, keeper->last - p);
        if (lf == NULL) {
            break;
        }

        mistake = ngx_http_prom_token_keeper_line(keeper, p, lf - p);

        if (mistake) {
            return mistake;
        }
    }

    if (p == keeper->start) {
        return (keeper->last == keeper->end) ? "is too long" : NULL;
    }

    rest = keeper->last - p;

    ngx_memmove(keeper->start, p, rest);
    ngx_explicit_memzero(keeper->start + rest, p - keeper->start);

    keeper->last = keeper->start + rest;

    return NULL;
}


static const char *
ngx_http_prom_token_keeper_line(ngx_http_prom_token_keeper_t *keeper,
    u_char *text, size_t len)
{
    ngx_uint_t               i;
    const char              *mistake;
    ngx_prom_token_line_t    line;
    ngx_http_prom_token_t  **token;

    mistake = ngx_prom_token_line(&line, (char *) text, len);

    if (mistake) {
        return mistake;
    }

    keeper->tried = 0;

    if (keeper->lost) {
        keeper->lost = 0;

        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "keeper at %V is there again", &keeper->addr.name);
    }

    token = keeper->conf->tokens.elts;

    for (i = 0; i < keeper->conf->tokens.nelts; i++) {

        if (token[i]->name.len != line.name.len
            || ngx_memcmp(token[i]->name.data, line.name.data, line.name.len)
               != 0)
        {
            continue;
        }

        ngx_log_debug2(NGX_LOG_DEBUG_HTTP, ngx_cycle->log, 0,
                       "prom token: line of kind %d for \"%V\"",
                       line.kind, &token[i]->name);

        if (ngx_http_prom_token_take(token[i], &line, ngx_cycle->log)
            != NGX_OK)
        {
            return "there is no memory for";
        }

        return NULL;
    }

    /* a remote that no location has */

    return NULL;
}


/* a worker that is kept busy by old requests needs it, too */

static void
ngx_http_prom_token_keeper_lost(ngx_http_prom_token_keeper_t *keeper)
{
    if (keeper->connection) {
        ngx_http_prom_token_keeper_close(keeper);
        keeper->since = ngx_current_msec;

        if (!keeper->lost) {
            ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                          "keeper at %V is gone", &keeper->addr.name);
        }
    }

    keeper->lost = 1;

    ngx_add_timer(&keeper->event, keeper->tried ? NGX_HTTP_PROM_TOKEN_LATER
                                                : NGX_HTTP_PROM_TOKEN_SOON);
    keeper->tried = 1;
}


static void
ngx_http_prom_token_keeper_close(ngx_http_prom_token_keeper_t *keeper)
{
    if (keeper->connection) {
        ngx_close_connection(keeper->connection);
        keeper->connection = NULL;
    }

    ngx_explicit_memzero(keeper->start, keeper->last - keeper->start);

    keeper->last = keeper->start;
}


ngx_int_t
ngx_http_prom_token_keeper_fresh(ngx_http_prom_token_keeper_t *keeper,
    ngx_http_prom_token_t *token, uint64_t version)
{
    u_char             *p;
    ssize_t             n;
    ngx_connection_t   *c;
    u_char              text[sizeof("fresh  \n") + NGX_PROM_TOKEN_NAME_MAX
                             + NGX_INT64_LEN];

    c = keeper->connection;

    if (c == NULL) {
        return NGX_DECLINED;
    }

    p = ngx_sprintf(text, "fresh %V %uL\n", &token->name, version);

    n = c->send(c, text, p - text);

    if (n == p - text) {
        token->asked = ngx_current_msec;
        token->refused = version;
        token->asking = 1;

        return NGX_OK;
    }

    /* a part of a line, or one that nobody reads */

    ngx_log_error(NGX_LOG_ERR, c->log, 0,
                  "keeper at %V doesn't read what it is sent",
                  &keeper->addr.name);

    ngx_http_prom_token_keeper_lost(keeper);

    return NGX_DECLINED;
}
