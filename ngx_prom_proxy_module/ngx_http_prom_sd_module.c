/*
 * The page for Prometheus' HTTP service discovery: every target as a group of
 * its own, in JSON, with the labels that lead a scrape through this proxy.
 *
 * Arguments choose among the targets by their labels, and ask whether each is
 * connected to this proxy.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_md5.h>
#include "ngx_http_prom_sd.h"


#define NGX_HTTP_PROM_SD_SLICE    500     /* targets looked at in one go */

/* what a group has besides texts that vary, and a few bytes more */

#define NGX_HTTP_PROM_SD_GROUP_LEN                                           \
    sizeof("[\n{\"targets\":[\"\"],\"labels\":{\"instance\":\"\","           \
           "\"__metrics_path__\":\"/\",\"__scheme__\":\"\","                 \
           "\"__meta_monitoring_proxy_connected\":\"yes\"}}")


typedef struct {
    ngx_http_complex_value_t    *address;
} ngx_http_prom_sd_loc_conf_t;


static ngx_int_t ngx_http_prom_sd_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_prom_sd_parse_args(ngx_http_request_t *r,
    ngx_http_prom_sd_ctx_t *ctx);
static ngx_int_t ngx_http_prom_sd_parse_filter(ngx_http_prom_sd_ctx_t *ctx,
    ngx_str_t *arg, u_char **dst);
static ngx_int_t ngx_http_prom_sd_decode(ngx_str_t *text, u_char **dst,
    u_char *p, u_char *end);
static ngx_int_t ngx_http_prom_sd_check_name(ngx_str_t *name);
static ngx_int_t ngx_http_prom_sd_address(ngx_http_request_t *r,
    ngx_http_prom_sd_ctx_t *ctx);
static ngx_int_t ngx_http_prom_sd_headers(ngx_http_request_t *r,
    ngx_http_prom_sd_ctx_t *ctx);

static ngx_int_t ngx_http_prom_sd_write(ngx_http_prom_page_t *page);
static ngx_int_t ngx_http_prom_sd_write_end(ngx_http_prom_page_t *page);
static ngx_uint_t ngx_http_prom_sd_matches(ngx_http_prom_sd_ctx_t *ctx,
    const ngx_prom_item_t *item);
static void ngx_http_prom_sd_value(ngx_http_prom_sd_ctx_t *ctx,
    const ngx_prom_item_t *item, const ngx_str_t *name, ngx_str_t *value);
static u_char *ngx_http_prom_sd_group(u_char *p, ngx_http_prom_sd_ctx_t *ctx,
    const ngx_prom_item_t *item);
static ngx_uint_t ngx_http_prom_sd_equal(const ngx_str_t *a,
    const ngx_str_t *b);

static void *ngx_http_prom_sd_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_prom_sd_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_http_prom_sd(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


static const ngx_str_t  ngx_http_prom_sd_instance = ngx_string("instance");
static const ngx_str_t  ngx_http_prom_sd_metrics_path =
    ngx_string("__metrics_path__");
static const ngx_str_t  ngx_http_prom_sd_connected_arg =
    ngx_string("connected");
static const ngx_str_t  ngx_http_prom_sd_connected_label =
    ngx_string("__meta_monitoring_proxy_connected");


static ngx_command_t  ngx_http_prom_sd_commands[] = {

    /* prom_proxy_sd [address=[SCHEME://]HOST[:PORT]]; the page itself */

    { ngx_string("prom_proxy_sd"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_http_prom_sd,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_prom_sd_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_prom_sd_create_loc_conf,      /* create location configuration */
    ngx_http_prom_sd_merge_loc_conf        /* merge location configuration */
};


ngx_module_t  ngx_http_prom_sd_module = {
    NGX_MODULE_V1,
    &ngx_http_prom_sd_module_ctx,          /* module context */
    ngx_http_prom_sd_commands,             /* module directives */
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
ngx_http_prom_sd_handler(ngx_http_request_t *r)
{
    ngx_int_t                rc;
    ngx_prom_registry_t     *registry;
    ngx_http_prom_sd_ctx_t  *ctx;

    rc = ngx_http_prom_page_check(r);

    if (rc != NGX_OK) {
        return rc;
    }

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_prom_sd_ctx_t));
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_prom_sd_parse_args(r, ctx);

    if (rc == NGX_DECLINED) {
        return ngx_http_prom_page_refuse(r, NGX_HTTP_BAD_REQUEST,
                   "arguments choose targets by their labels: up to 16 times "
                   "LABEL=VALUE, percent-encoded and joined by \"&\", such as "
                   "?env=prod&team=data%20base; \"connected\" alone among "
                   "them adds a label that says which ones are");
    }

    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    registry = ngx_http_prom_page_registry(r);

    rc = registry ? ngx_prom_walk_start(&ctx->walk, registry, r->pool)
                  : NGX_DECLINED;

    if (rc == NGX_DECLINED) {

        /* "[]" would make Prometheus forget all targets */

        return ngx_http_prom_page_refuse(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                   "no targets are loaded: there is no targets or hosts file");
    }

    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->request = r;

    return ctx->connected ? ngx_http_prom_sd_look(ctx)
                          : ngx_http_prom_sd_answer(ctx);
}


ngx_int_t
ngx_http_prom_sd_answer(ngx_http_prom_sd_ctx_t *ctx)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    if (ngx_http_prom_sd_address(r, ctx) != NGX_OK
        || ngx_http_prom_sd_headers(r, ctx) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_prom_page_send(r, ngx_http_prom_sd_write, ctx);
}


/* returns NGX_OK, NGX_DECLINED if they can't be understood, or NGX_ERROR */

static ngx_int_t
ngx_http_prom_sd_parse_args(ngx_http_request_t *r, ngx_http_prom_sd_ctx_t *ctx)
{
    u_char     *p, *dst, *end, *last;
    ngx_str_t   arg;

    if (r->args.len == 0) {
        return NGX_OK;
    }

    dst = ngx_pnalloc(r->pool, r->args.len);
    if (dst == NULL) {
        return NGX_ERROR;
    }

    end = r->args.data + r->args.len;

    for (p = r->args.data; /* void */ ; p = last + 1) {

        last = ngx_strlchr(p, end, '&');
        if (last == NULL) {
            last = end;
        }

        arg.data = p;
        arg.len = last - p;

        if (ngx_http_prom_sd_equal(&arg, &ngx_http_prom_sd_connected_arg)) {
            ctx->connected = 1;

        } else if (ngx_http_prom_sd_parse_filter(ctx, &arg, &dst) != NGX_OK) {
            return NGX_DECLINED;
        }

        if (last == end) {
            return NGX_OK;
        }
    }
}


static ngx_int_t
ngx_http_prom_sd_parse_filter(ngx_http_prom_sd_ctx_t *ctx, ngx_str_t *arg,
    u_char **dst)
{
    u_char        *last, *equals;
    ngx_keyval_t  *filter;

    if (ctx->nfilters == NGX_HTTP_PROM_SD_FILTERS) {
        return NGX_DECLINED;
    }

    filter = &ctx->filters[ctx->nfilters++];

    last = arg->data + arg->len;

    equals = ngx_strlchr(arg->data, last, '=');
    if (equals == NULL) {
        return NGX_DECLINED;
    }

    if (ngx_http_prom_sd_decode(&filter->key, dst, arg->data, equals) != NGX_OK
        || ngx_http_prom_sd_check_name(&filter->key) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    return ngx_http_prom_sd_decode(&filter->value, dst, equals + 1, last);
}


/* as forms are encoded, so that a "+" is a space */

static ngx_int_t
ngx_http_prom_sd_decode(ngx_str_t *text, u_char **dst, u_char *p, u_char *end)
{
    u_char     *d;
    ngx_int_t   n;

    d = *dst;
    text->data = d;

    while (p < end) {

        if (*p == '%') {

            if (end - p < 3) {
                return NGX_DECLINED;
            }

            n = ngx_hextoi(p + 1, 2);
            if (n == NGX_ERROR) {
                return NGX_DECLINED;
            }

            *d++ = (u_char) n;
            p += 3;
            continue;
        }

        *d++ = (*p == '+') ? ' ' : *p;
        p++;
    }

    text->len = d - text->data;
    *dst = d;

    return NGX_OK;
}


static ngx_int_t
ngx_http_prom_sd_check_name(ngx_str_t *name)
{
    u_char  ch;
    size_t  i;

    for (i = 0; i < name->len; i++) {
        ch = name->data[i];

        if ((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '_'
            || (ch >= '0' && ch <= '9' && i > 0))
        {
            continue;
        }

        return NGX_DECLINED;
    }

    return name->len ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_http_prom_sd_address(ngx_http_request_t *r, ngx_http_prom_sd_ctx_t *ctx)
{
    u_char                       *p;
    ngx_str_t                     address;
    ngx_http_prom_sd_loc_conf_t  *slcf;

    slcf = ngx_http_get_module_loc_conf(r, ngx_http_prom_sd_module);

    if (ngx_http_prom_page_address(r, slcf->address, &ctx->scheme, &address)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* a Host header has room for bytes that no host name has */

    p = ngx_pnalloc(r->pool, 6 * address.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->address.data = p;
    ctx->address.len = ngx_http_prom_escape_json(p, &address) - p;

    return NGX_OK;
}


/*
 * The ETag covers all that the page is made of, and caches have to ask each
 * time: so none has to know which of a request's headers came into it, as
 * Vary would tell.  Whether a client polls is looked at later than here, but
 * what has changed by then has a further ETag.  nginx itself turns the answer
 * into 304.
 */

static ngx_int_t
ngx_http_prom_sd_headers(ngx_http_request_t *r, ngx_http_prom_sd_ctx_t *ctx)
{
    u_char            *p, *replica, hash[16];
    ngx_md5_t          md5;
    ngx_uint_t         moves;
    ngx_table_elt_t   *h;

    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    h = ngx_http_prom_page_header(r, "Cache-Control", "no-cache");
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_md5_init(&md5);
    ngx_md5_update(&md5, &ctx->walk.digest, sizeof(ctx->walk.digest));
    ngx_md5_update(&md5, ctx->scheme.data, ctx->scheme.len);
    ngx_md5_update(&md5, "/", 1);
    ngx_md5_update(&md5, ctx->address.data, ctx->address.len);
    ngx_md5_update(&md5, "?", 1);
    ngx_md5_update(&md5, r->args.data, r->args.len);

    if (ctx->listening) {
        ngx_prom_listening_digest(ctx->listening, &md5);
    }

    if (ctx->polls) {
        moves = ngx_prom_poll_moves(ctx->polls);
        ngx_md5_update(&md5, &moves, sizeof(moves));

        /* which start at 0 where nginx does */

        replica = ngx_prom_poll_zone_replica(ctx->polls);
        ngx_md5_update(&md5, replica, ngx_strlen(replica));
    }

    ngx_md5_final(hash, &md5);

    p = ngx_pnalloc(r->pool, 2 * sizeof(hash) + 2);
    if (p == NULL) {
        return NGX_ERROR;
    }

    h = ngx_http_prom_page_header(r, "ETag", "");
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->value.data = p;

    *p++ = '"';
    p = ngx_hex_dump(p, hash, sizeof(hash));
    *p++ = '"';

    h->value.len = p - h->value.data;

    r->headers_out.etag = h;

    return NGX_OK;
}


static ngx_int_t
ngx_http_prom_sd_write(ngx_http_prom_page_t *page)
{
    u_char                  *p;
    size_t                   size;
    ngx_int_t                rc;
    ngx_uint_t               n;
    ngx_prom_item_t          item;
    ngx_http_prom_sd_ctx_t  *ctx;

    ctx = page->data;

    for (n = 0; n < NGX_HTTP_PROM_SD_SLICE; n++) {

        rc = ngx_prom_walk_next(&ctx->walk, &item);

        if (rc == NGX_DONE) {
            return ngx_http_prom_sd_write_end(page);
        }

        if (rc != NGX_OK) {

            /* a part of the targets would pass for all of them */

            return NGX_ERROR;
        }

        if (!ngx_http_prom_sd_matches(ctx, &item)) {
            continue;
        }

        /*
         * NAME is there twice; the two zeros of each label have room for
         * what is around it.
         */

        size = NGX_HTTP_PROM_SD_GROUP_LEN + ctx->scheme.len + ctx->address.len
               + 6 * (2 * item.name.len + item.labels.len
                      + sizeof("/metrics"));

        p = ngx_http_prom_page_room(page, size);

        if (p == NULL) {
            ctx->walk.next = item.index;
            return NGX_AGAIN;
        }

        p = ngx_http_prom_sd_group(p, ctx, &item);
        ngx_http_prom_page_wrote(page, p);

        ctx->listed = 1;
    }

    return NGX_AGAIN;
}


static ngx_int_t
ngx_http_prom_sd_write_end(ngx_http_prom_page_t *page)
{
    u_char                  *p;
    ngx_http_prom_sd_ctx_t  *ctx;

    ctx = page->data;

    p = ngx_http_prom_page_room(page, sizeof("\n]\n") - 1);

    if (p == NULL) {
        return NGX_AGAIN;
    }

    *p++ = ctx->listed ? '\n' : '[';
    *p++ = ']';
    *p++ = '\n';

    ngx_http_prom_page_wrote(page, p);

    return NGX_OK;
}


/* as in Prometheus, a label that isn't there is an empty one */

static ngx_uint_t
ngx_http_prom_sd_matches(ngx_http_prom_sd_ctx_t *ctx,
    const ngx_prom_item_t *item)
{
    ngx_str_t      value;
    ngx_uint_t     i;
    ngx_keyval_t  *filter;

    for (i = 0; i < ctx->nfilters; i++) {
        filter = &ctx->filters[i];

        ngx_http_prom_sd_value(ctx, item, &filter->key, &value);

        if (!ngx_http_prom_sd_equal(&value, &filter->value)) {
            return 0;
        }
    }

    return 1;
}


static void
ngx_http_prom_sd_value(ngx_http_prom_sd_ctx_t *ctx,
    const ngx_prom_item_t *item, const ngx_str_t *name, ngx_str_t *value)
{
    size_t     pos;
    ngx_str_t  label;

    if (ngx_http_prom_sd_equal(name, &ngx_http_prom_sd_instance)) {
        *value = item->name;
        return;
    }

    if (ngx_http_prom_sd_equal(name, &ngx_http_prom_sd_connected_label)) {
        ngx_http_prom_sd_connected(ctx, item, value);
        return;
    }

    pos = 0;

    while (ngx_prom_item_label(item, &pos, &label, value)) {

        if (ngx_http_prom_sd_equal(&label, name)) {
            return;
        }
    }

    ngx_str_set(value, "");
}


static u_char *
ngx_http_prom_sd_group(u_char *p, ngx_http_prom_sd_ctx_t *ctx,
    const ngx_prom_item_t *item)
{
    size_t      pos;
    u_char      path[NGX_HTTP_PROM_PAGE_PATH];
    ngx_str_t   name, value;

    p = ngx_sprintf(p, "%c\n{\"targets\":[\"%V\"],\"labels\":{\"instance\":\"",
                    ctx->listed ? ',' : '[', &ctx->address);
    p = ngx_http_prom_escape_json(p, &item->name);

    p = ngx_sprintf(p, "\",\"__metrics_path__\":\"/");
    p = ngx_http_prom_escape_json(p, &item->name);

    value.data = path;
    ngx_http_prom_page_metrics_path(item, &value);

    p = ngx_http_prom_escape_json(p, &value);

    p = ngx_sprintf(p, "\",\"__scheme__\":\"%V\"", &ctx->scheme);

    ngx_http_prom_sd_connected(ctx, item, &value);

    if (value.len) {
        p = ngx_sprintf(p, ",\"%V\":\"%V\"",
                        &ngx_http_prom_sd_connected_label, &value);
    }

    pos = 0;

    while (ngx_prom_item_label(item, &pos, &name, &value)) {

        if (ngx_http_prom_sd_equal(&name, &ngx_http_prom_sd_metrics_path)) {
            continue;
        }

        *p++ = ',';
        *p++ = '"';
        p = ngx_http_prom_escape_json(p, &name);
        *p++ = '"';
        *p++ = ':';
        *p++ = '"';
        p = ngx_http_prom_escape_json(p, &value);
        *p++ = '"';
    }

    *p++ = '}';
    *p++ = '}';

    return p;
}


static ngx_uint_t
ngx_http_prom_sd_equal(const ngx_str_t *a, const ngx_str_t *b)
{
    return a->len == b->len && ngx_memcmp(a->data, b->data, a->len) == 0;
}


static void *
ngx_http_prom_sd_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_prom_sd_loc_conf_t  *slcf;

    slcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_prom_sd_loc_conf_t));
    if (slcf == NULL) {
        return NULL;
    }

    slcf->address = NGX_CONF_UNSET_PTR;

    return slcf;
}


/* an "if" within the location has a configuration of its own */

static char *
ngx_http_prom_sd_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_prom_sd_loc_conf_t *prev = parent;
    ngx_http_prom_sd_loc_conf_t *conf = child;

    ngx_conf_merge_ptr_value(conf->address, prev->address, NULL);

    return NGX_CONF_OK;
}


static char *
ngx_http_prom_sd(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_prom_sd_loc_conf_t *slcf = conf;

    ngx_str_t                 *value;
    ngx_http_core_loc_conf_t  *clcf;

    if (slcf->address != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    slcf->address = NULL;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_prom_sd_handler;

    if (cf->args->nelts == 1) {
        return NGX_CONF_OK;
    }

    value = cf->args->elts;

    return ngx_http_prom_page_set_address(cf, &value[1], &slcf->address);
}
