/*
 * A target as a job of Prometheus' configuration, for people who list their
 * targets there.  What comes from the file is quoted as in JSON, which YAML
 * reads too.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_status.h"


static void ngx_http_prom_status_setting(ngx_http_prom_status_ctx_t *ctx,
    const ngx_prom_item_t *item, const char *setting, const ngx_str_t *label);
static void ngx_http_prom_status_params(ngx_http_prom_status_ctx_t *ctx,
    const ngx_prom_item_t *item);
static void ngx_http_prom_status_labels(ngx_http_prom_status_ctx_t *ctx,
    const ngx_prom_item_t *item);
static void ngx_http_prom_status_quote(ngx_http_prom_status_ctx_t *ctx,
    const ngx_str_t *value);
static void ngx_http_prom_status_json(ngx_http_prom_status_ctx_t *ctx,
    const ngx_str_t *value);
static ngx_uint_t ngx_http_prom_status_starts(const ngx_str_t *s,
    const ngx_str_t *start);


static const ngx_str_t  ngx_http_prom_status_internal = ngx_string("__");
static const ngx_str_t  ngx_http_prom_status_param = ngx_string("__param_");
static const ngx_str_t  ngx_http_prom_status_interval =
    ngx_string("__scrape_interval__");
static const ngx_str_t  ngx_http_prom_status_timeout =
    ngx_string("__scrape_timeout__");


void
ngx_http_prom_status_config(ngx_http_prom_status_ctx_t *ctx,
    const ngx_prom_item_t *item)
{
    u_char                        buf[NGX_HTTP_PROM_PAGE_PATH];
    ngx_str_t                     path;
    ngx_http_prom_status_text_t  *text;

    text = &ctx->text;

    ngx_http_prom_status_print(text, "- job_name: ");
    ngx_http_prom_status_quote(ctx, &item->name);

    if (ctx->scheme.len == sizeof("https") - 1) {
        ngx_http_prom_status_print(text, "\n  scheme: https");
    }

    path.data = buf;
    ngx_http_prom_page_metrics_path(item, &path);

    ngx_http_prom_status_print(text, "\n  metrics_path: &quot;/");
    ngx_http_prom_status_json(ctx, &item->name);
    ngx_http_prom_status_json(ctx, &path);
    ngx_http_prom_status_print(text, "&quot;\n");

    ngx_http_prom_status_setting(ctx, item, "scrape_interval",
                                 &ngx_http_prom_status_interval);
    ngx_http_prom_status_setting(ctx, item, "scrape_timeout",
                                 &ngx_http_prom_status_timeout);
    ngx_http_prom_status_params(ctx, item);

    ngx_http_prom_status_print(text, "  static_configs:\n"
                                     "    - targets: [");
    ngx_http_prom_status_quote(ctx, &ctx->address);
    ngx_http_prom_status_print(text, "]\n"
                                     "      labels:\n"
                                     "        instance: ");
    ngx_http_prom_status_quote(ctx, &item->name);
    ngx_http_prom_status_print(text, "\n");

    ngx_http_prom_status_labels(ctx, item);
}


static void
ngx_http_prom_status_setting(ngx_http_prom_status_ctx_t *ctx,
    const ngx_prom_item_t *item, const char *setting, const ngx_str_t *label)
{
    size_t     pos;
    ngx_str_t  name, value;

    pos = 0;

    while (ngx_prom_item_label(item, &pos, &name, &value)) {

        if (name.len != label->len
            || !ngx_http_prom_status_starts(&name, label))
        {
            continue;
        }

        ngx_http_prom_status_print(&ctx->text, "  %s: ", setting);
        ngx_http_prom_status_html(&ctx->text, &value);
        ngx_http_prom_status_print(&ctx->text, "\n");
    }
}


static void
ngx_http_prom_status_params(ngx_http_prom_status_ctx_t *ctx,
    const ngx_prom_item_t *item)
{
    size_t      pos;
    ngx_str_t   name, value;
    ngx_uint_t  any;

    pos = 0;
    any = 0;

    while (ngx_prom_item_label(item, &pos, &name, &value)) {

        if (!ngx_http_prom_status_starts(&name, &ngx_http_prom_status_param))
        {
            continue;
        }

        if (!any) {
            ngx_http_prom_status_print(&ctx->text, "  params:\n");
            any = 1;
        }

        name.data += ngx_http_prom_status_param.len;
        name.len -= ngx_http_prom_status_param.len;

        ngx_http_prom_status_print(&ctx->text, "    ");
        ngx_http_prom_status_quote(ctx, &name);
        ngx_http_prom_status_print(&ctx->text, ": [");
        ngx_http_prom_status_quote(ctx, &value);
        ngx_http_prom_status_print(&ctx->text, "]\n");
    }
}


static void
ngx_http_prom_status_labels(ngx_http_prom_status_ctx_t *ctx,
    const ngx_prom_item_t *item)
{
    size_t     pos;
    ngx_str_t  name, value;

    pos = 0;

    while (ngx_prom_item_label(item, &pos, &name, &value)) {

        if (ngx_http_prom_status_starts(&name,
                                        &ngx_http_prom_status_internal))
        {
            continue;
        }

        ngx_http_prom_status_print(&ctx->text, "        ");
        ngx_http_prom_status_quote(ctx, &name);
        ngx_http_prom_status_print(&ctx->text, ": ");
        ngx_http_prom_status_quote(ctx, &value);
        ngx_http_prom_status_print(&ctx->text, "\n");
    }
}


static void
ngx_http_prom_status_quote(ngx_http_prom_status_ctx_t *ctx,
    const ngx_str_t *value)
{
    ngx_http_prom_status_print(&ctx->text, "&quot;");
    ngx_http_prom_status_json(ctx, value);
    ngx_http_prom_status_print(&ctx->text, "&quot;");
}


static void
ngx_http_prom_status_json(ngx_http_prom_status_ctx_t *ctx,
    const ngx_str_t *value)
{
    u_char     *p;
    ngx_str_t   quoted;

    if (value->len > NGX_MAX_SIZE_T_VALUE / 6) {
        ctx->text.failed = 1;
        return;
    }

    p = ngx_http_prom_status_room(&ctx->scratch, 6 * value->len);

    if (p == NULL) {
        ctx->text.failed = 1;
        return;
    }

    quoted.data = p;
    quoted.len = ngx_http_prom_escape_json(p, value) - p;

    ngx_http_prom_status_html(&ctx->text, &quoted);
}


static ngx_uint_t
ngx_http_prom_status_starts(const ngx_str_t *s, const ngx_str_t *start)
{
    return s->len >= start->len
           && ngx_strncmp(s->data, start->data, start->len) == 0;
}
