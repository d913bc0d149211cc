/*
 * Pages in slices: see ngx_http_prom_page.h.
 *
 * A slice is written, sent, and only then overwritten by the next one; in
 * between the worker looks after its other events.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_page.h"


#define NGX_HTTP_PROM_PAGE_SIZE  32768


static void ngx_http_prom_page_cleanup(void *data);
static void ngx_http_prom_page_event_handler(ngx_event_t *ev);
static void ngx_http_prom_page_slice(ngx_http_prom_page_t *page);
static ngx_int_t ngx_http_prom_page_output(ngx_http_prom_page_t *page,
    ngx_uint_t last);
static void ngx_http_prom_page_wait(ngx_http_prom_page_t *page);
static void ngx_http_prom_page_write_handler(ngx_http_request_t *r);
static void ngx_http_prom_page_scheme(ngx_http_request_t *r,
    ngx_str_t *scheme);
static ngx_int_t ngx_http_prom_page_host(ngx_http_request_t *r,
    ngx_str_t *host);
static ngx_uint_t ngx_http_prom_page_has_port(const ngx_str_t *host);


static const ngx_str_t  ngx_http_prom_page_proto =
    ngx_string("X-Forwarded-Proto");


ngx_int_t
ngx_http_prom_page_check(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK || r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD)) {
        return rc;
    }

    if (ngx_http_prom_page_header(r, "Allow", "GET, HEAD") == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* answered here, so that the caller need not tell it from NGX_OK */

    r->main->count++;
    ngx_http_finalize_request(r,
                              ngx_http_prom_page_refuse(r,
                                          NGX_HTTP_NOT_ALLOWED,
                                          "only GET and HEAD are allowed"));
    return NGX_DONE;
}


ngx_table_elt_t *
ngx_http_prom_page_header(ngx_http_request_t *r, const char *name,
    const char *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NULL;
    }

    h->hash = 1;
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value.data = (u_char *) value;
    h->value.len = ngx_strlen(value);

    return h;
}


ngx_prom_registry_t *
ngx_http_prom_page_registry(ngx_http_request_t *r)
{
    ngx_http_prom_proxy_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_prom_proxy_module);

    return pmcf->zone ? ngx_http_prom_registry(pmcf->zone) : NULL;
}


ngx_int_t
ngx_http_prom_page_refuse(ngx_http_request_t *r, ngx_uint_t status,
    const char *line)
{
    size_t       len;
    u_char      *p;
    ngx_int_t    rc;
    ngx_buf_t   *b;
    ngx_chain_t  out;

    len = ngx_strlen(line) + 1;

    r->headers_out.status = status;
    r->headers_out.content_length_n = len;
    ngx_str_set(&r->headers_out.content_type, "text/plain");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    b = ngx_create_temp_buf(r->pool, len);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    p = ngx_cpymem(b->last, line, len - 1);
    *p++ = '\n';

    b->last = p;
    b->last_buf = (r == r->main);
    b->last_in_chain = 1;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


ngx_int_t
ngx_http_prom_page_answer(ngx_http_request_t *r, ngx_uint_t status,
    ngx_buf_t *b)
{
    ngx_int_t    rc;
    ngx_chain_t  out;

    b->last_buf = 1;
    b->last_in_chain = 1;

    r->headers_out.status = status;
    r->headers_out.content_length_n = b->last - b->pos;
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    ngx_http_clear_location(r);
    ngx_http_clear_accept_ranges(r);
    ngx_http_clear_last_modified(r);
    ngx_http_clear_etag(r);

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


ngx_int_t
ngx_http_prom_page_send(ngx_http_request_t *r, ngx_http_prom_page_pt write,
    void *data)
{
    ngx_int_t              rc;
    ngx_pool_cleanup_t    *cln;
    ngx_http_prom_page_t  *page;

    if (r->headers_out.status == 0) {
        r->headers_out.status = NGX_HTTP_OK;
    }

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_prom_page_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    page = cln->data;
    ngx_memzero(page, sizeof(ngx_http_prom_page_t));

    cln->handler = ngx_http_prom_page_cleanup;

    page->request = r;
    page->write = write;
    page->data = data;

    page->buf = ngx_calloc_buf(r->pool);
    if (page->buf == NULL) {
        return NGX_ERROR;
    }

    page->start = ngx_palloc(r->pool, NGX_HTTP_PROM_PAGE_SIZE);
    if (page->start == NULL) {
        return NGX_ERROR;
    }

    page->last = page->start;
    page->end = page->start + NGX_HTTP_PROM_PAGE_SIZE;

    page->event.handler = ngx_http_prom_page_event_handler;
    page->event.data = page;
    page->event.log = r->connection->log;

    r->read_event_handler = ngx_http_test_reading;

    r->main->count++;
    ngx_http_prom_page_slice(page);

    return NGX_DONE;
}


u_char *
ngx_http_prom_page_room(ngx_http_prom_page_t *page, size_t size)
{
    if ((size_t) (page->end - page->last) >= size) {
        return page->last;
    }

    if (page->last != page->start) {
        return NULL;
    }

    (void) ngx_pfree(page->request->pool, page->start);

    page->start = ngx_palloc(page->request->pool, size);

    if (page->start == NULL) {
        page->last = NULL;
        page->end = NULL;
        page->failed = 1;
        return NULL;
    }

    page->last = page->start;
    page->end = page->start + size;

    return page->start;
}


void
ngx_http_prom_page_wrote(ngx_http_prom_page_t *page, u_char *last)
{
    page->last = last;
}


static void
ngx_http_prom_page_cleanup(void *data)
{
    ngx_http_prom_page_t *page = data;

    if (page->event.posted) {
        ngx_delete_posted_event(&page->event);
    }
}


static void
ngx_http_prom_page_event_handler(ngx_event_t *ev)
{
    ngx_connection_t      *c;
    ngx_http_prom_page_t  *page;

    page = ev->data;
    c = page->request->connection;

    ngx_http_set_log_request(c->log, page->request);

    ngx_http_prom_page_slice(page);

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_prom_page_slice(ngx_http_prom_page_t *page)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = page->request;

    page->last = page->start;

    rc = page->write(page);

    if (rc == NGX_ERROR || page->failed) {
        ngx_log_debug0(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                       "prom page: broken off");
        r->keepalive = 0;
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    if (page->last != page->start || rc == NGX_OK) {

        if (ngx_http_prom_page_output(page, rc == NGX_OK) == NGX_ERROR) {
            ngx_http_finalize_request(r, NGX_ERROR);
            return;
        }
    }

    if (rc == NGX_OK) {
        ngx_http_finalize_request(r, NGX_OK);
        return;
    }

    ngx_http_prom_page_wait(page);
}


static ngx_int_t
ngx_http_prom_page_output(ngx_http_prom_page_t *page, ngx_uint_t last)
{
    ngx_buf_t    *b;
    ngx_chain_t   out;

    b = page->buf;

    ngx_memzero(b, sizeof(ngx_buf_t));

    b->start = page->start;
    b->pos = page->start;
    b->last = page->last;
    b->end = page->end;

    /* filters may change it */

    b->temporary = (page->last != page->start);

    b->flush = !last;
    b->last_buf = (last && page->request == page->request->main);
    b->last_in_chain = last;

    /* the empty end of a subrequest's page */

    b->sync = (last && !b->last_buf && page->last == page->start);

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(page->request, &out);
}


/* goes on once the slice has left its buffer */

static void
ngx_http_prom_page_wait(ngx_http_prom_page_t *page)
{
    ngx_event_t               *wev;
    ngx_http_request_t        *r;
    ngx_http_core_loc_conf_t  *clcf;

    r = page->request;
    wev = r->connection->write;
    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    /* a worker that is to go ends once there are no timers */

    if (!wev->delayed) {
        ngx_add_timer(wev, clcf->send_timeout);
    }

    if (page->buf->pos == page->buf->last && !r->connection->buffered) {
        r->write_event_handler = ngx_http_request_empty_handler;
        ngx_post_event(&page->event, &ngx_posted_next_events);
        return;
    }

    r->write_event_handler = ngx_http_prom_page_write_handler;

    if (ngx_handle_write_event(wev, clcf->send_lowat) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_ERROR);
    }
}


static void
ngx_http_prom_page_write_handler(ngx_http_request_t *r)
{
    ngx_connection_t      *c;
    ngx_pool_cleanup_t    *cln;
    ngx_http_prom_page_t  *page;

    c = r->connection;

    if (c->write->timedout) {
        ngx_log_error(NGX_LOG_INFO, c->log, NGX_ETIMEDOUT,
                      "client timed out");
        c->timedout = 1;
        ngx_http_finalize_request(r, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }

    /*
     * A context would be in the way of the router's; subrequests share the
     * pool.
     */

    for (cln = r->pool->cleanup; /* void */ ; cln = cln->next) {

        if (cln->handler == ngx_http_prom_page_cleanup) {
            page = cln->data;

            if (page->request == r) {
                break;
            }
        }
    }

    if (ngx_http_output_filter(r, NULL) == NGX_ERROR) {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    ngx_http_prom_page_wait(page);
}


ngx_int_t
ngx_http_prom_page_address(ngx_http_request_t *r,
    ngx_http_complex_value_t *advertise, ngx_str_t *scheme,
    ngx_str_t *address)
{
    u_char     *p;
    ngx_str_t   host;

    ngx_http_prom_page_scheme(r, scheme);
    ngx_str_null(&host);

    if (advertise
        && ngx_http_complex_value(r, advertise, &host) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (host.len >= 7 && ngx_strncasecmp(host.data, (u_char *) "http://", 7)
        == 0)
    {
        ngx_str_set(scheme, "http");
        host.data += 7;
        host.len -= 7;

    } else if (host.len >= 8
               && ngx_strncasecmp(host.data, (u_char *) "https://", 8) == 0)
    {
        ngx_str_set(scheme, "https");
        host.data += 8;
        host.len -= 8;
    }

    if (host.len == 0 && ngx_http_prom_page_host(r, &host) != NGX_OK) {
        return NGX_ERROR;
    }

    if (host.data[host.len - 1] == ':') {
        /* "HOST:", as RFC 3986 allows */
        host.len--;

    } else if (ngx_http_prom_page_has_port(&host)) {
        *address = host;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, host.len + sizeof(":443") - 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    address->data = p;
    address->len = ngx_sprintf(p, "%V:%s", &host,
                               (scheme->len == 5) ? "443" : "80")
                   - p;

    return NGX_OK;
}


/* a TLS proxy in front says what the asker speaks */

static void
ngx_http_prom_page_scheme(ngx_http_request_t *r, ngx_str_t *scheme)
{
    ngx_table_elt_t             *h;
    ngx_http_prom_header_pos_t   pos;

    ngx_str_set(scheme, "http");

#if (NGX_HTTP_SSL)

    if (r->connection->ssl) {
        ngx_str_set(scheme, "https");
        return;
    }

#endif

    ngx_memzero(&pos, sizeof(ngx_http_prom_header_pos_t));

    h = ngx_http_prom_proxy_header(&r->headers_in.headers,
                                   &ngx_http_prom_page_proto, &pos);

    if (h && h->value.len == 5
        && ngx_strncasecmp(h->value.data, (u_char *) "https", 5) == 0)
    {
        ngx_str_set(scheme, "https");
    }
}


/* by its Host header, or by the address that it has connected to */

static ngx_int_t
ngx_http_prom_page_host(ngx_http_request_t *r, ngx_str_t *host)
{
    if (r->headers_in.host && r->headers_in.host->value.len) {
        *host = r->headers_in.host->value;
        return NGX_OK;
    }

    if (r->headers_in.server.len) {
        *host = r->headers_in.server;
        return NGX_OK;
    }

    host->len = NGX_SOCKADDR_STRLEN;
    host->data = ngx_pnalloc(r->pool, NGX_SOCKADDR_STRLEN);
    if (host->data == NULL) {
        return NGX_ERROR;
    }

    return ngx_connection_local_sockaddr(r->connection, host, 1);
}


static ngx_uint_t
ngx_http_prom_page_has_port(const ngx_str_t *host)
{
    size_t  i;

    for (i = host->len; i; i--) {

        switch (host->data[i - 1]) {

        case ':':
            return 1;

        case ']':
            return 0;
        }
    }

    return 0;
}


char *
ngx_http_prom_page_set_address(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_complex_value_t **advertise)
{
    ngx_str_t                          s;
    ngx_http_compile_complex_value_t   ccv;

    if (ngx_strncmp(value->data, "address=", 8) != 0 || value->len == 8) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\", "
                           "\"address=[http://|https://]HOST[:PORT]\" is "
                           "allowed", value);
        return NGX_CONF_ERROR;
    }

    s.data = value->data + 8;
    s.len = value->len - 8;

    *advertise = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (*advertise == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = &s;
    ccv.complex_value = *advertise;

    if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}
