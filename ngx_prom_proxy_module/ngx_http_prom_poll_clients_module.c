/*
 * The two pages that PushProx's users know: /clients, which lists clients for
 * service discovery, and /metrics with PushProx's names.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_page.h"
#include "ngx_http_prom_poll.h"


#define NGX_HTTP_PROM_POLL_CLIENTS_SLICE  500


typedef struct {
    ngx_uint_t                     page;      /* ngx_prom_poll_path_e */
} ngx_http_prom_poll_clients_loc_conf_t;


typedef struct {
    ngx_prom_poll_zone_t          *zone;
    ngx_str_t                      after;     /* the last one's name */
    u_char                         name[NGX_PROM_POLL_NAME];
    ngx_uint_t                     listed;    /* some client is written */
} ngx_http_prom_poll_clients_ctx_t;


static ngx_int_t ngx_http_prom_poll_clients_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_prom_poll_clients_write(ngx_http_prom_page_t *page);
static ngx_int_t ngx_http_prom_poll_clients_client(ngx_http_prom_page_t *page,
    ngx_http_prom_poll_clients_ctx_t *ctx);
static u_char *ngx_http_prom_poll_clients_labels(u_char *p, u_char *label,
    u_char *last);
static u_char *ngx_http_prom_poll_clients_text(u_char *p, u_char **text,
    u_char *last);

static ngx_int_t ngx_http_prom_poll_clients_log_handler(ngx_http_request_t *r);

static void *ngx_http_prom_poll_clients_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_prom_poll_clients_merge_loc_conf(ngx_conf_t *cf,
    void *parent, void *child);
static ngx_int_t ngx_http_prom_poll_clients_init(ngx_conf_t *cf);
static char *ngx_http_prom_poll_clients(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


static ngx_command_t  ngx_http_prom_poll_clients_commands[] = {

    /* prom_poll_clients; the list of clients, for service discovery */

    { ngx_string("prom_poll_clients"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_prom_poll_clients,
      NGX_HTTP_LOC_CONF_OFFSET,
      NGX_PROM_POLL_PATH_CLIENTS,
      NULL },

    /* prom_poll_metrics; metrics as PushProx names them */

    { ngx_string("prom_poll_metrics"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_prom_poll_clients,
      NGX_HTTP_LOC_CONF_OFFSET,
      NGX_PROM_POLL_PATH_METRICS,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_prom_poll_clients_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_prom_poll_clients_init,       /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_prom_poll_clients_create_loc_conf,  /* create location conf. */
    ngx_http_prom_poll_clients_merge_loc_conf    /* merge location conf. */
};


ngx_module_t  ngx_http_prom_poll_clients_module = {
    NGX_MODULE_V1,
    &ngx_http_prom_poll_clients_module_ctx,  /* module context */
    ngx_http_prom_poll_clients_commands,   /* module directives */
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
ngx_http_prom_poll_clients_handler(ngx_http_request_t *r)
{
    ngx_int_t                          rc;
    ngx_http_prom_poll_main_conf_t    *pmcf;
    ngx_http_prom_poll_clients_ctx_t  *ctx;

    rc = ngx_http_prom_page_check(r);

    if (rc != NGX_OK) {
        return rc;
    }

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_prom_poll_clients_ctx_t));
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_prom_poll_module);

    ctx->zone = ((ngx_slab_pool_t *) pmcf->zone->shm.addr)->data;
    ctx->after.data = ctx->name;

    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    return ngx_http_prom_page_send(r, ngx_http_prom_poll_clients_write, ctx);
}


static ngx_int_t
ngx_http_prom_poll_clients_write(ngx_http_prom_page_t *page)
{
    ngx_http_prom_poll_clients_ctx_t *ctx = page->data;

    u_char      *p;
    ngx_int_t    rc;
    ngx_uint_t   n;

    for (n = 0; n < NGX_HTTP_PROM_POLL_CLIENTS_SLICE; n++) {
        rc = ngx_http_prom_poll_clients_client(page, ctx);

        if (rc == NGX_DONE) {
            p = ngx_http_prom_page_room(page, sizeof("[]\n") - 1);
            if (p == NULL) {
                return NGX_AGAIN;
            }

            p = ngx_sprintf(p, ctx->listed ? "]\n" : "[]\n");
            ngx_http_prom_page_wrote(page, p);

            return NGX_OK;
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_AGAIN;
}


/* returns NGX_DONE behind the last client, otherwise as the page's writer */

static ngx_int_t
ngx_http_prom_poll_clients_client(ngx_http_prom_page_t *page,
    ngx_http_prom_poll_clients_ctx_t *ctx)
{
    u_char                  *p;
    ngx_str_t                name;
    ngx_prom_poll_client_t   client;

    if (ngx_prom_poll_next(ctx->zone, &ctx->after, &client) != NGX_OK) {
        return NGX_DONE;
    }

    /* a label has three bytes at least, and six around its texts */

    p = ngx_http_prom_page_room(page,
                                sizeof("[{\"targets\":[\"\"],\"labels\":{}}")
                                + 6 * client.name_len
                                + 8 * client.labels_len);
    if (p == NULL) {
        return NGX_AGAIN;
    }

    name.data = client.name;
    name.len = client.name_len;

    *p++ = ctx->listed ? ',' : '[';

    p = ngx_sprintf(p, "{\"targets\":[\"");
    p = ngx_http_prom_escape_json(p, &name);
    p = ngx_sprintf(p, "\"],\"labels\":{");
    p = ngx_http_prom_poll_clients_labels(p, client.labels,
                                          client.labels + client.labels_len);
    p = ngx_sprintf(p, "}}");

    ngx_http_prom_page_wrote(page, p);

    ngx_memcpy(ctx->name, client.name, client.name_len);

    ctx->after.len = client.name_len;
    ctx->listed = 1;

    return NGX_OK;
}


static u_char *
ngx_http_prom_poll_clients_labels(u_char *p, u_char *label, u_char *last)
{
    u_char  *start;

    start = label;

    while (label < last) {

        if (label != start) {
            *p++ = ',';
        }

        p = ngx_http_prom_poll_clients_text(p, &label, last);
        *p++ = ':';
        p = ngx_http_prom_poll_clients_text(p, &label, last);
    }

    return p;
}


/* writes a text in quotes, and moves *text behind its zero */

static u_char *
ngx_http_prom_poll_clients_text(u_char *p, u_char **text, u_char *last)
{
    ngx_str_t  s;

    s.data = *text;

    for (s.len = 0; s.data + s.len < last && s.data[s.len]; s.len++) {
        /* void */
    }

    *text = s.data + s.len + 1;

    *p++ = '"';
    p = ngx_http_prom_escape_json(p, &s);
    *p++ = '"';

    return p;
}


static ngx_int_t
ngx_http_prom_poll_clients_log_handler(ngx_http_request_t *r)
{
    ngx_http_prom_poll_clients_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_prom_poll_clients_module);

    if (clcf->page && r == r->main) {
        ngx_http_prom_poll_count(r, clcf->page);
    }

    return NGX_OK;
}


static void *
ngx_http_prom_poll_clients_create_loc_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool,
                       sizeof(ngx_http_prom_poll_clients_loc_conf_t));
}


static char *
ngx_http_prom_poll_clients_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child)
{
    ngx_http_prom_poll_clients_loc_conf_t *prev = parent;
    ngx_http_prom_poll_clients_loc_conf_t *conf = child;

    ngx_http_core_loc_conf_t        *clcf;
    ngx_http_prom_poll_main_conf_t  *pmcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_prom_poll_module);

    if (conf->page && pmcf->zone == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"%s\" in location \"%V\" needs a \"prom_poll_zone\"",
                      conf->page == NGX_PROM_POLL_PATH_CLIENTS
                      ? "prom_poll_clients" : "prom_poll_metrics",
                      &clcf->name);
        return NGX_CONF_ERROR;
    }

    /* "if" and "limit_except" are still their location */

    if (clcf->noname && conf->page == 0) {
        conf->page = prev->page;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_prom_poll_clients_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt             *h;
    ngx_http_core_main_conf_t       *cmcf;
    ngx_http_prom_poll_main_conf_t  *pmcf;

    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_prom_poll_module);

    if (pmcf->zone == NULL) {
        return NGX_OK;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_prom_poll_clients_log_handler;

    return NGX_OK;
}


static char *
ngx_http_prom_poll_clients(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_prom_poll_clients_loc_conf_t *pclcf = conf;

    ngx_http_core_loc_conf_t  *clcf;

    if (pclcf->page) {
        return (pclcf->page == cmd->offset) ? "is duplicate"
                                            : "has another page beside";
    }

    pclcf->page = cmd->offset;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    clcf->handler = (pclcf->page == NGX_PROM_POLL_PATH_CLIENTS)
                    ? ngx_http_prom_poll_clients_handler
                    : ngx_http_prom_poll_metrics_handler;

    return NGX_CONF_OK;
}
