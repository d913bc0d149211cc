/*
 * Pages about all targets: made and sent in slices, so that neither memory
 * nor the time between two events grows with their number.
 */


#ifndef _NGX_HTTP_PROM_PAGE_H_INCLUDED_
#define _NGX_HTTP_PROM_PAGE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_proxy.h"


typedef struct ngx_http_prom_page_s  ngx_http_prom_page_t;

/*
 * Writes more of the page.  Returns NGX_OK once all of it is written;
 * NGX_AGAIN if there is more, to be called again, also after it has worked
 * for a while (some 500 targets) without writing; or NGX_ERROR, which breaks
 * the answer off so that its reader can tell.
 */

typedef ngx_int_t (*ngx_http_prom_page_pt)(ngx_http_prom_page_t *page);


struct ngx_http_prom_page_s {
    ngx_http_request_t          *request;
    ngx_http_prom_page_pt        write;
    void                        *data;        /* the writer's own */

    u_char                      *start;       /* private from here on */
    u_char                      *last;
    u_char                      *end;
    ngx_buf_t                   *buf;
    ngx_event_t                  event;
    ngx_uint_t                   failed;      /* there is no memory */
};


/*
 * Room for size bytes: at the returned place, up to which *last is moved
 * by the writer with ngx_http_prom_page_wrote().  NULL: none now, the writer
 * returns NGX_AGAIN and writes the same piece when it is called again.
 */

u_char *ngx_http_prom_page_room(ngx_http_prom_page_t *page, size_t size);
void ngx_http_prom_page_wrote(ngx_http_prom_page_t *page, u_char *last);

/*
 * Answers with what is in b, instead of what the answer would have been.  The
 * caller has set the type, and the status line if it is one of its own.  What
 * this returns is a content handler's, or for ngx_http_finalize_request().
 */

ngx_int_t ngx_http_prom_page_answer(ngx_http_request_t *r, ngx_uint_t status,
    ngx_buf_t *b);

/*
 * Sends the header and then the page, as a content handler's last call: its
 * value is the handler's.  The caller has set the type and other headers of
 * r->headers_out; the status is 200 unless it is set.
 */

ngx_int_t ngx_http_prom_page_send(ngx_http_request_t *r,
    ngx_http_prom_page_pt write, void *data);

/* one line of plain text with a status, for what can't be answered */

ngx_int_t ngx_http_prom_page_refuse(ngx_http_request_t *r, ngx_uint_t status,
    const char *line);

/*
 * Refuses all but GET and HEAD, discards the body.  NGX_OK, or the value
 * that the handler must return.
 */

ngx_int_t ngx_http_prom_page_check(ngx_http_request_t *r);

/* adds a header to the answer; NULL without memory */

ngx_table_elt_t *ngx_http_prom_page_header(ngx_http_request_t *r,
    const char *name, const char *value);

/*
 * The registry of the configuration; NULL without a "prom_proxy_zone".
 */

ngx_prom_registry_t *ngx_http_prom_page_registry(ngx_http_request_t *r);

/*
 * How the asker reached this proxy, so that Prometheus can too: scheme is
 * "http" or "https", address is "HOST:PORT".  advertise is the value of an
 * "address=" parameter, "[http://|https://]HOST[:PORT]", or NULL.
 */

ngx_int_t ngx_http_prom_page_address(ngx_http_request_t *r,
    ngx_http_complex_value_t *advertise, ngx_str_t *scheme,
    ngx_str_t *address);

/* the directive's only parameter, "address=VALUE", into a complex value */

char *ngx_http_prom_page_set_address(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_complex_value_t **advertise);

/*
 * Where a target's metrics are, behind "/NAME": "/metrics", or what its
 * label says.  path->data has room for NGX_HTTP_PROM_PAGE_PATH bytes.
 */

#define NGX_HTTP_PROM_PAGE_PATH  (NGX_PROM_VALUE_MAX + 2)

void ngx_http_prom_page_metrics_path(const ngx_prom_item_t *item,
    ngx_str_t *path);

/* returns dst behind the escaped text; at most 6 bytes for each of text */

u_char *ngx_http_prom_escape_json(u_char *dst, const ngx_str_t *text);
u_char *ngx_http_prom_escape_html(u_char *dst, const ngx_str_t *text);

/* of a label's value in a metrics page; at most 2 bytes for each of text */

u_char *ngx_http_prom_escape_label(u_char *dst, const ngx_str_t *text);

/* the length of the well-formed sequence of several bytes at p, or 0 */

size_t ngx_http_prom_utf8(const u_char *p, const u_char *last);


#endif /* _NGX_HTTP_PROM_PAGE_H_INCLUDED_ */
