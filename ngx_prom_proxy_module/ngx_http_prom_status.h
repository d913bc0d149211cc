/*
 * What the files of the status page share: what was asked, what was found,
 * and the text that is to be sent next.
 */


#ifndef _NGX_HTTP_PROM_STATUS_H_INCLUDED_
#define _NGX_HTTP_PROM_STATUS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_page.h"


#define NGX_HTTP_PROM_STATUS_QUERY  256   /* bytes that are searched for */
#define NGX_HTTP_PROM_STATUS_PER    50    /* rows of a page, unless asked */
#define NGX_HTTP_PROM_STATUS_ROWS   200   /* at most */


typedef enum {
    NGX_HTTP_PROM_STATUS_NAME = 0,
    NGX_HTTP_PROM_STATUS_STATE,
    NGX_HTTP_PROM_STATUS_TUNNEL,
    NGX_HTTP_PROM_STATUS_LAST,
    NGX_HTTP_PROM_STATUS_LATENCY,
    NGX_HTTP_PROM_STATUS_SIZE,
    NGX_HTTP_PROM_STATUS_SORTS
} ngx_http_prom_status_sort_e;


/* in the order of the column "state": what needs a look comes first */

typedef enum {
    NGX_HTTP_PROM_STATUS_DOWN = 0,
    NGX_HTTP_PROM_STATUS_UNSCRAPED,
    NGX_HTTP_PROM_STATUS_UP,
    NGX_HTTP_PROM_STATUS_STATES
} ngx_http_prom_status_state_e;


/* the arguments, whatever was sent made sane */

typedef struct {
    ngx_str_t                    query;       /* lower case */
    ngx_str_t                    shown;       /* as it was typed */
    ngx_str_t                    escaped;     /* for a link */
    ngx_http_prom_status_sort_e  sort;
    ngx_uint_t                   descending;
    ngx_uint_t                   page;        /* from 1 */
    ngx_uint_t                   per;
} ngx_http_prom_status_args_t;


typedef struct {
    uint64_t                     key;
    uint32_t                     index;       /* of the target */
} ngx_http_prom_status_record_t;


/* the targets that match, and their order */

typedef struct {
    ngx_prom_walk_t              walk;
    uint64_t                     now;         /* ms, Unix time */

    uint32_t                     states[NGX_HTTP_PROM_STATUS_STATES];
    uint32_t                     matched;

    uint16_t                     border[NGX_HTTP_PROM_STATUS_QUERY];
    ngx_http_prom_status_record_t   *records;
    ngx_http_prom_status_record_t   *sorted;  /* where a pass writes to */

    uint32_t                     digits[sizeof(uint64_t)][256];
    ngx_uint_t                   pass;        /* the digit that is sorted */
    uint32_t                     done;        /* records of the pass */

    ngx_uint_t                   pages;
    ngx_uint_t                   nrows;
    uint32_t                     rows[NGX_HTTP_PROM_STATUS_ROWS];
} ngx_http_prom_status_find_t;


/*
 * Text that grows.  An allocation that fails is remembered, and all that is
 * added later is dropped, so that it is enough to look once a piece.
 */

typedef struct {
    ngx_pool_t                  *pool;
    u_char                      *start;
    u_char                      *last;
    u_char                      *end;
    ngx_uint_t                   failed;
} ngx_http_prom_status_text_t;


typedef struct {
    ngx_http_request_t          *request;
    ngx_prom_registry_t         *registry;
    ngx_prom_info_t              info;
    ngx_uint_t                   loaded;      /* there was ever a file */

    ngx_http_prom_origins_t      origins;     /* NULL: there are none such */
    ngx_uint_t                   tunneled;    /* there are some */
    ngx_prom_tunnels_head_t      head;
    ngx_uint_t                   hosted;      /* the head knows of hosts */
    ngx_prom_peers_head_t        nodes;       /* zero if nothing is known */

    ngx_http_prom_status_args_t  args;
    ngx_http_prom_status_find_t  find;

    ngx_str_t                    scheme;      /* as Prometheus reaches us */
    ngx_str_t                    address;
    u_char                       nonce[32];   /* terminated by zero */

    ngx_uint_t                   step;
    ngx_uint_t                   row;         /* the next one */

    ngx_http_prom_status_text_t  text;        /* to be sent */
    u_char                      *sent;
    ngx_http_prom_status_text_t  scratch;
} ngx_http_prom_status_ctx_t;


/* ngx_http_prom_status_args.c */

ngx_int_t ngx_http_prom_status_args(ngx_http_request_t *r,
    ngx_http_prom_status_args_t *args);
extern const ngx_str_t  ngx_http_prom_status_sorts[];

/* the order that a column is sorted in when it is first asked for */

ngx_uint_t ngx_http_prom_status_descends(ngx_http_prom_status_sort_e sort);

/*
 * ngx_http_prom_status_find.c: each is called again while it returns
 * NGX_AGAIN, which it does after some milliseconds' work at most.  Collect
 * returns NGX_DECLINED if no targets were ever loaded.
 */

ngx_int_t ngx_http_prom_status_collect(ngx_http_prom_status_ctx_t *ctx);
ngx_int_t ngx_http_prom_status_order(ngx_http_prom_status_ctx_t *ctx);
ngx_http_prom_status_state_e ngx_http_prom_status_state(
    const ngx_prom_counters_t *counters);

/* ngx_http_prom_status_text.c */

u_char *ngx_http_prom_status_room(ngx_http_prom_status_text_t *text,
    size_t size);
void ngx_http_prom_status_add(ngx_http_prom_status_text_t *text,
    const ngx_str_t *piece);
void ngx_http_prom_status_html(ngx_http_prom_status_text_t *text,
    const ngx_str_t *piece);

/* fmt is nginx's; what it makes has at most 1023 bytes */

void ngx_http_prom_status_print(ngx_http_prom_status_text_t *text,
    const char *fmt, ...);

/* for people: "50,000", "1.24 s", "18.3 kB", "5 min ago" as an element */

void ngx_http_prom_status_number(ngx_http_prom_status_text_t *text,
    uint64_t n);
void ngx_http_prom_status_duration(ngx_http_prom_status_text_t *text,
    uint64_t ms);
void ngx_http_prom_status_size(ngx_http_prom_status_text_t *text,
    uint64_t bytes);
void ngx_http_prom_status_time(ngx_http_prom_status_text_t *text,
    uint64_t now, uint64_t then);

/* ngx_http_prom_status_html.c: the page around the rows */

void ngx_http_prom_status_head(ngx_http_prom_status_ctx_t *ctx);
void ngx_http_prom_status_top(ngx_http_prom_status_ctx_t *ctx);
void ngx_http_prom_status_bottom(ngx_http_prom_status_ctx_t *ctx);

/* ngx_http_prom_status_row.c: a row, and what it opens to */

void ngx_http_prom_status_row(ngx_http_prom_status_ctx_t *ctx,
    const ngx_prom_item_t *item);

/*
 * ngx_http_prom_status_tunnel.c; nothing is written without a board and
 * without poll clients, which stand where tunnels do, as nodes do.
 */

void ngx_http_prom_status_failures(ngx_http_prom_status_ctx_t *ctx);
void ngx_http_prom_status_tunnels(ngx_http_prom_status_ctx_t *ctx);
void ngx_http_prom_status_nodes(ngx_http_prom_status_ctx_t *ctx);
void ngx_http_prom_status_polls(ngx_http_prom_status_ctx_t *ctx);
void ngx_http_prom_status_tunnel_cell(ngx_http_prom_status_ctx_t *ctx,
    const ngx_http_prom_tunnel_t *tunnel);
void ngx_http_prom_status_tunnel_facts(ngx_http_prom_status_ctx_t *ctx,
    const ngx_http_prom_tunnel_t *tunnel);

/* of a target */

void ngx_http_prom_status_tunnel(ngx_http_prom_status_ctx_t *ctx,
    const ngx_prom_item_t *item, ngx_http_prom_tunnel_t *tunnel);

/* what a target is sorted by; *none is 1 for one that has no tunnel */

uint32_t ngx_http_prom_status_tunnel_key(ngx_http_prom_status_ctx_t *ctx,
    const ngx_prom_item_t *item, ngx_uint_t *none);

/* ngx_http_prom_status_config.c: the lines to paste into Prometheus */

void ngx_http_prom_status_config(ngx_http_prom_status_ctx_t *ctx,
    const ngx_prom_item_t *item);

/* ngx_http_prom_status_assets.c */

extern const ngx_str_t  ngx_http_prom_status_css;
extern const ngx_str_t  ngx_http_prom_status_js;
extern const ngx_str_t  ngx_http_prom_status_icon;   /* a data: URI */
extern const ngx_str_t  ngx_http_prom_status_logo;   /* an element */


#endif /* _NGX_HTTP_PROM_STATUS_H_INCLUDED_ */
