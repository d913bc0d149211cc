/*
 * The query proxy's own answers: errors as Prometheus' API has them, and
 * whether there are all credentials.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_page.h"
#include "ngx_http_prom_token.h"


static const char *ngx_http_prom_token_type(ngx_uint_t status);
static void ngx_http_prom_token_status_line(ngx_uint_t status,
    ngx_str_t *line);
static ngx_int_t ngx_http_prom_token_send(ngx_http_request_t *r,
    ngx_uint_t status, ngx_buf_t *b);


ngx_int_t
ngx_http_prom_token_answer(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *line)
{
    ngx_int_t   rc;
    ngx_buf_t  *b;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    b = ngx_create_temp_buf(r->pool,
                            sizeof("{\"status\":\"error\",\"errorType\":"
                                   "\"unavailable\",\"error\":\"\"}\n") - 1
                            + 6 * line->len);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->last = ngx_sprintf(b->last, "{\"status\":\"error\",\"errorType\":\"%s\""
                          ",\"error\":\"", ngx_http_prom_token_type(status));
    b->last = ngx_http_prom_escape_json(b->last, line);
    b->last = ngx_cpymem(b->last, "\"}\n", 3);

    ngx_str_set(&r->headers_out.content_type, "application/json");

    return ngx_http_prom_token_send(r, status, b);
}


static const char *
ngx_http_prom_token_type(ngx_uint_t status)
{
    switch (status) {

    case NGX_HTTP_UNAUTHORIZED:
    case NGX_HTTP_FORBIDDEN:
        return "forbidden";

    case NGX_HTTP_INTERNAL_SERVER_ERROR:
        return "internal";

    case NGX_HTTP_NOT_IMPLEMENTED:
    case NGX_HTTP_VERSION_NOT_SUPPORTED:
        return "bad_data";

    case NGX_HTTP_BAD_GATEWAY:
    case NGX_HTTP_SERVICE_UNAVAILABLE:
        return "unavailable";

    case NGX_HTTP_REQUEST_TIME_OUT:
    case NGX_HTTP_GATEWAY_TIME_OUT:
        return "timeout";

    default:
        return (status < NGX_HTTP_INTERNAL_SERVER_ERROR) ? "bad_data"
                                                          : "internal";
    }
}


static ngx_int_t
ngx_http_prom_token_send(ngx_http_request_t *r, ngx_uint_t status,
    ngx_buf_t *b)
{
    r->err_status = 0;
    r->headers_out.status_line.len = 0;

    return ngx_http_prom_page_answer(r, status, b);
}


ngx_int_t
ngx_http_prom_token_error_handler(ngx_http_request_t *r)
{
    ngx_str_t                   line;
    ngx_uint_t                  status;
    ngx_http_prom_token_ctx_t  *ctx;

    ctx = ngx_http_prom_token_ctx(r);
    status = r->err_status ? r->err_status : NGX_HTTP_BAD_GATEWAY;

    if (ctx && ctx->proxy
        && (status == NGX_HTTP_BAD_GATEWAY
            || status == NGX_HTTP_GATEWAY_TIME_OUT)
        && ctx->proxy->fail != NGX_HTTP_PROM_FAIL_NONE)
    {
        if (ngx_http_prom_proxy_error(r, &line) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

    } else {
        ngx_http_prom_token_status_line(status, &line);
    }

    return ngx_http_prom_token_answer(r, status, &line);
}


/* of nginx's own refusals */

static void
ngx_http_prom_token_status_line(ngx_uint_t status, ngx_str_t *line)
{
    switch (status) {

    case NGX_HTTP_BAD_REQUEST:
    case NGX_HTTP_NOT_IMPLEMENTED:
    case NGX_HTTP_VERSION_NOT_SUPPORTED:
        ngx_str_set(line, "this is no request of HTTP that could be read");
        break;

    case NGX_HTTP_UNAUTHORIZED:
    case NGX_HTTP_FORBIDDEN:
    case NGX_HTTP_NOT_ALLOWED:
        ngx_str_set(line, "this is not allowed here");
        break;

    case NGX_HTTP_NOT_FOUND:
        ngx_str_set(line, "there is no remote at this path");
        break;

    case NGX_HTTP_REQUEST_TIME_OUT:
        ngx_str_set(line, "the request did not arrive in time");
        break;

    case NGX_HTTP_REQUEST_ENTITY_TOO_LARGE:
        ngx_str_set(line, "the body of the request is too large");
        break;

    case NGX_HTTP_REQUEST_URI_TOO_LARGE:
        ngx_str_set(line, "the URL is too long, POST takes longer queries");
        break;

    default:
        ngx_str_set(line, "the request failed, see the proxy's log");
    }
}


ngx_int_t
ngx_http_prom_token_ready_handler(ngx_http_request_t *r)
{
    size_t                            len;
    ngx_int_t                         rc;
    ngx_buf_t                        *b;
    ngx_uint_t                        i, missing;
    ngx_http_prom_token_t           **token;
    ngx_http_prom_token_main_conf_t  *tmcf;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    tmcf = ngx_http_get_module_main_conf(r, ngx_http_prom_token_module);

    token = tmcf->tokens.elts;
    missing = 0;

    for (i = 0; i < tmcf->tokens.nelts; i++) {
        missing += (ngx_http_prom_token_valid(token[i]) == NULL);
    }

    len = missing ? missing * (NGX_HTTP_PROM_TOKEN_REASON + 1)
                  : sizeof("ready\n") - 1;

    b = ngx_create_temp_buf(r->pool, len);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    for (i = 0; i < tmcf->tokens.nelts; i++) {

        if (token[i]->credential == NULL) {
            b->last = ngx_http_prom_token_reason(b->last, b->last
                                                 + NGX_HTTP_PROM_TOKEN_REASON,
                                                 tmcf, token[i]);
            *b->last++ = LF;
        }
    }

    if (missing == 0) {
        b->last = ngx_cpymem(b->last, "ready\n", sizeof("ready\n") - 1);
    }

    ngx_str_set(&r->headers_out.content_type, "text/plain; charset=utf-8");

    return ngx_http_prom_token_send(r, missing ? NGX_HTTP_SERVICE_UNAVAILABLE
                                               : NGX_HTTP_OK, b);
}
