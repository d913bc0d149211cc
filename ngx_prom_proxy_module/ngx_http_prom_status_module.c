/*
 * The status page: every target with its state, its last scrape and what
 * went wrong, made on the server.  This file has the directive and the order
 * of the steps; each step is in a file of its own.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <sys/random.h>
#include "ngx_http_prom_status.h"


#define NGX_HTTP_PROM_STATUS_NONCE  16    /* random bytes */
#define NGX_HTTP_PROM_STATUS_PIECE  4096  /* bytes handed over at once */


typedef enum {
    NGX_HTTP_PROM_STATUS_HEAD = 0,
    NGX_HTTP_PROM_STATUS_COLLECT,
    NGX_HTTP_PROM_STATUS_ORDER,
    NGX_HTTP_PROM_STATUS_ROW,
    NGX_HTTP_PROM_STATUS_BOTTOM,
    NGX_HTTP_PROM_STATUS_END
} ngx_http_prom_status_step_e;


typedef struct {
    ngx_http_complex_value_t    *address;
} ngx_http_prom_status_loc_conf_t;


static ngx_int_t ngx_http_prom_status_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_prom_status_nonce(ngx_http_request_t *r,
    u_char *nonce);
static ngx_int_t ngx_http_prom_status_headers(ngx_http_request_t *r,
    u_char *nonce);
static ngx_int_t ngx_http_prom_status_write(ngx_http_prom_page_t *page);
static ngx_int_t ngx_http_prom_status_step(ngx_http_prom_status_ctx_t *ctx);
static ngx_int_t ngx_http_prom_status_next_row(
    ngx_http_prom_status_ctx_t *ctx);

static void *ngx_http_prom_status_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_prom_status_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_http_prom_status(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


static ngx_command_t  ngx_http_prom_status_commands[] = {

    /* prom_proxy_status [address=HOST:PORT]; the page for people */

    { ngx_string("prom_proxy_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_http_prom_status,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_prom_status_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_prom_status_create_loc_conf,  /* create location configuration */
    ngx_http_prom_status_merge_loc_conf    /* merge location configuration */
};


ngx_module_t  ngx_http_prom_status_module = {
    NGX_MODULE_V1,
    &ngx_http_prom_status_module_ctx,      /* module context */
    ngx_http_prom_status_commands,         /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_prom_status_handler(ngx_http_request_t *r)
{
    ngx_int_t                         rc;
    ngx_time_t                       *tp;
    ngx_http_prom_origins_t          *origins;
    ngx_http_prom_status_ctx_t       *ctx;
    ngx_http_prom_status_loc_conf_t  *slcf;

    rc = ngx_http_prom_page_check(r);

    if (rc != NGX_OK) {
        return rc;
    }

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_prom_status_ctx_t));
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->request = r;
    ctx->text.pool = r->pool;
    ctx->scratch.pool = r->pool;

    tp = ngx_timeofday();
    ctx->find.now = (uint64_t) tp->sec * 1000 + tp->msec;

    ctx->registry = ngx_http_prom_page_registry(r);

    if (ctx->registry == NULL) {
        return ngx_http_prom_page_refuse(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         "no \"prom_proxy_zone\" is "
                                         "configured");
    }

    ngx_prom_registry_info(ctx->registry, &ctx->info);

    origins = &ctx->origins;
    ngx_http_prom_proxy_origins(r, origins);
    ctx->tunneled = (origins->tunnels || origins->peers || origins->polls);

    if (origins->tunnels) {
        ctx->hosted = (ngx_http_prom_tunnels_head(origins->tunnels, &ctx->head)
                       == NGX_OK);
    }

    if (origins->peers) {
        (void) ngx_http_prom_peers_head(origins->peers, &ctx->nodes);
    }

    slcf = ngx_http_get_module_loc_conf(r, ngx_http_prom_status_module);

    if (ngx_http_prom_page_address(r, slcf->address, &ctx->scheme,
                                   &ctx->address)
        != NGX_OK
        || ngx_http_prom_status_args(r, &ctx->args) != NGX_OK
        || ngx_http_prom_status_nonce(r, ctx->nonce) != NGX_OK
        || ngx_http_prom_status_headers(r, ctx->nonce) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_prom_page_send(r, ngx_http_prom_status_write, ctx);
}


/* what the page's own style and script are known by, new for each answer */

static ngx_int_t
ngx_http_prom_status_nonce(ngx_http_request_t *r, u_char *nonce)
{
    u_char     bytes[NGX_HTTP_PROM_STATUS_NONCE];
    ngx_str_t  src, dst;

    if (getrandom(bytes, sizeof(bytes), GRND_NONBLOCK)
        != (ssize_t) sizeof(bytes))
    {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, ngx_errno,
                      "getrandom() failed");
        return NGX_ERROR;
    }

    src.len = sizeof(bytes);
    src.data = bytes;
    dst.data = nonce;

    ngx_encode_base64(&dst, &src);
    nonce[dst.len] = '\0';

    return NGX_OK;
}


/* the texts of targets are escaped; should one not be, it still can't act */

static ngx_int_t
ngx_http_prom_status_headers(ngx_http_request_t *r, u_char *nonce)
{
    u_char  *policy, *p;
    size_t   size;

    size = 512;

    policy = ngx_pnalloc(r->pool, size);
    if (policy == NULL) {
        return NGX_ERROR;
    }

    p = ngx_slprintf(policy, policy + size - 1,
                     "default-src 'none'; style-src 'nonce-%s'; "
                     "script-src 'nonce-%s'; img-src data:; "
                     "connect-src 'self'; base-uri 'none'; "
                     "form-action 'self'; frame-ancestors 'none'",
                     nonce, nonce);
    *p = '\0';

    if (ngx_http_prom_page_header(r, "Content-Security-Policy",
                                  (char *) policy)
        == NULL
        || ngx_http_prom_page_header(r, "X-Content-Type-Options", "nosniff")
           == NULL
        || ngx_http_prom_page_header(r, "Cache-Control", "no-store") == NULL
        || ngx_http_prom_page_header(r, "Referrer-Policy", "no-referrer")
           == NULL)
    {
        return NGX_ERROR;
    }

    ngx_str_set(&r->headers_out.content_type, "text/html");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    ngx_str_set(&r->headers_out.charset, "utf-8");

    return NGX_OK;
}


/* hands over the text that is there, then makes more */

static ngx_int_t
ngx_http_prom_status_write(ngx_http_prom_page_t *page)
{
    ngx_http_prom_status_ctx_t *ctx = page->data;

    u_char     *p;
    size_t      size;
    ngx_int_t   rc;

    for ( ;; ) {

        while (ctx->sent < ctx->text.last) {
            size = ngx_min((size_t) (ctx->text.last - ctx->sent),
                           NGX_HTTP_PROM_STATUS_PIECE);

            p = ngx_http_prom_page_room(page, size);
            if (p == NULL) {
                return NGX_AGAIN;
            }

            ngx_http_prom_page_wrote(page, ngx_cpymem(p, ctx->sent, size));
            ctx->sent += size;
        }

        if (ctx->step == NGX_HTTP_PROM_STATUS_END) {
            return NGX_OK;
        }

        ctx->text.last = ctx->text.start;

        rc = ngx_http_prom_status_step(ctx);

        if (ctx->text.failed) {
            return NGX_ERROR;
        }

        ctx->sent = ctx->text.start;

        if (rc != NGX_OK) {
            return rc;
        }
    }
}


static ngx_int_t
ngx_http_prom_status_step(ngx_http_prom_status_ctx_t *ctx)
{
    ngx_int_t  rc;

    switch (ctx->step) {

    case NGX_HTTP_PROM_STATUS_HEAD:
        ngx_http_prom_status_head(ctx);
        ctx->step = NGX_HTTP_PROM_STATUS_COLLECT;
        return NGX_OK;

    case NGX_HTTP_PROM_STATUS_COLLECT:
        rc = ngx_http_prom_status_collect(ctx);

        if (rc == NGX_OK) {
            ctx->loaded = 1;
            ctx->step = NGX_HTTP_PROM_STATUS_ORDER;
            return NGX_OK;
        }

        if (rc == NGX_DECLINED) {
            ngx_http_prom_status_top(ctx);
            ctx->step = NGX_HTTP_PROM_STATUS_BOTTOM;
            return NGX_OK;
        }

        return rc;

    case NGX_HTTP_PROM_STATUS_ORDER:
        rc = ngx_http_prom_status_order(ctx);

        if (rc == NGX_OK) {
            ngx_http_prom_status_top(ctx);
            ctx->step = NGX_HTTP_PROM_STATUS_ROW;
        }

        return rc;

    case NGX_HTTP_PROM_STATUS_ROW:
        return ngx_http_prom_status_next_row(ctx);

    default: /* NGX_HTTP_PROM_STATUS_BOTTOM */
        ngx_http_prom_status_bottom(ctx);
        ctx->step = NGX_HTTP_PROM_STATUS_END;
        return NGX_OK;
    }
}


static ngx_int_t
ngx_http_prom_status_next_row(ngx_http_prom_status_ctx_t *ctx)
{
    ngx_int_t                     rc;
    ngx_prom_item_t               item;
    ngx_http_prom_status_find_t  *find;

    find = &ctx->find;

    if (ctx->row == find->nrows) {
        ctx->step = NGX_HTTP_PROM_STATUS_BOTTOM;
        return NGX_OK;
    }

    find->walk.next = find->rows[ctx->row++];

    rc = ngx_prom_walk_next(&find->walk, &item);

    switch (rc) {

    case NGX_OK:
        ngx_http_prom_status_row(ctx, &item);
        return NGX_OK;

    case NGX_ABORT:

        /* a slow reader: the targets were replaced under the page */

        ngx_http_prom_status_print(&ctx->text,
                                   "<tr><td colspan=\"%d\">The targets have "
                                   "changed meanwhile, refresh the page."
                                   "</td></tr>\n",
                                   ctx->tunneled ? 7 : 6);
        ctx->row = find->nrows;
        return NGX_OK;

    default:
        return NGX_ERROR;
    }
}


static void *
ngx_http_prom_status_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_prom_status_loc_conf_t  *slcf;

    slcf = ngx_palloc(cf->pool, sizeof(ngx_http_prom_status_loc_conf_t));
    if (slcf == NULL) {
        return NULL;
    }

    slcf->address = NGX_CONF_UNSET_PTR;

    return slcf;
}


static char *
ngx_http_prom_status_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_prom_status_loc_conf_t *prev = parent;
    ngx_http_prom_status_loc_conf_t *conf = child;

    /* "if" and "limit_except" inherit the handler too */

    ngx_conf_merge_ptr_value(conf->address, prev->address, NULL);

    return NGX_CONF_OK;
}


static char *
ngx_http_prom_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_prom_status_loc_conf_t *slcf = conf;

    ngx_str_t                 *value;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler == ngx_http_prom_status_handler) {
        return "is duplicate";
    }

    clcf->handler = ngx_http_prom_status_handler;

    if (cf->args->nelts == 1) {
        return NGX_CONF_OK;
    }

    value = cf->args->elts;

    return ngx_http_prom_page_set_address(cf, &value[1], &slcf->address);
}
