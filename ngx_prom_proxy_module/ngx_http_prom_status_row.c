/*
 * A target's row on the status page, and what it opens to: its last scrapes
 * as a chart, what is known of it, and its lines for Prometheus.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_status.h"


/* the chart's, in units that the style stretches to the width there is */

#define NGX_HTTP_PROM_STATUS_BAR     8
#define NGX_HTTP_PROM_STATUS_GAP     2
#define NGX_HTTP_PROM_STATUS_HEIGHT  100
#define NGX_HTTP_PROM_STATUS_LOWEST  3
#define NGX_HTTP_PROM_STATUS_SCALE   10     /* ms, the smallest one */

#define NGX_HTTP_PROM_STATUS_REASON  1024   /* bytes, the end is cut */
#define NGX_HTTP_PROM_STATUS_LABELS  200    /* bytes that a row shows */


/* the last scrapes, the oldest first */

typedef struct {
    uint16_t                     scrapes[NGX_PROM_HISTORY];
    ngx_uint_t                   n;
    ngx_uint_t                   failed;
    ngx_uint_t                   min;         /* milliseconds */
    ngx_uint_t                   max;
} ngx_http_prom_status_history_t;


static void ngx_http_prom_status_summary(ngx_http_prom_status_text_t *text,
    const ngx_prom_item_t *item);
static void ngx_http_prom_status_address(ngx_http_prom_status_text_t *text,
    const ngx_prom_item_t *item);
static void ngx_http_prom_status_cells(ngx_http_prom_status_ctx_t *ctx,
    const ngx_prom_item_t *item, const ngx_prom_counters_t *counters,
    const ngx_http_prom_tunnel_t *tunnel);
static void ngx_http_prom_status_error(ngx_http_prom_status_text_t *text,
    const ngx_prom_item_t *item, const ngx_prom_counters_t *counters,
    const ngx_http_prom_tunnel_t *tunnel);
static void ngx_http_prom_status_more(ngx_http_prom_status_ctx_t *ctx,
    const ngx_prom_item_t *item, const ngx_prom_counters_t *counters,
    const ngx_http_prom_tunnel_t *tunnel);
static void ngx_http_prom_status_history(
    ngx_http_prom_status_history_t *history,
    const ngx_prom_counters_t *counters);
static void ngx_http_prom_status_chart(ngx_http_prom_status_text_t *text,
    const ngx_prom_item_t *item, const ngx_prom_counters_t *counters);
static void ngx_http_prom_status_bars(ngx_http_prom_status_text_t *text,
    ngx_http_prom_status_history_t *history, const char *class,
    ngx_uint_t failed, ngx_uint_t full);
static void ngx_http_prom_status_facts(ngx_http_prom_status_ctx_t *ctx,
    const ngx_prom_item_t *item, const ngx_prom_counters_t *counters,
    const ngx_http_prom_tunnel_t *tunnel);
static void ngx_http_prom_status_metrics_link(
    ngx_http_prom_status_text_t *text, const ngx_prom_item_t *item);


static const char  *ngx_http_prom_status_words[] = {
    "down", "unscraped", "up"
};


static const char  *ngx_http_prom_status_badges[] = {
    "down", "not scraped yet", "up"
};


void
ngx_http_prom_status_row(ngx_http_prom_status_ctx_t *ctx,
    const ngx_prom_item_t *item)
{
    ngx_prom_counters_t           counters;
    ngx_http_prom_tunnel_t        tunnel;
    ngx_http_prom_status_text_t  *text;

    text = &ctx->text;

    /* workers go on counting: all of the row is of one moment */

    counters = *item->counters;
    ngx_http_prom_status_tunnel(ctx, item, &tunnel);

    ngx_http_prom_status_print(text, "<tr class=\"%s\" data-name=\"",
                               ngx_http_prom_status_words[
                                   ngx_http_prom_status_state(&counters)]);
    ngx_http_prom_status_html(text, &item->name);
    ngx_http_prom_status_print(text, "\"><th scope=\"row\" class=\"name\">"
                                     "<details><summary>");

    ngx_http_prom_status_summary(text, item);

    ngx_http_prom_status_print(text, "</summary>\n<div class=\"more\">\n");

    ngx_http_prom_status_more(ctx, item, &counters, &tunnel);

    ngx_http_prom_status_print(text, "</div></details></th>");

    ngx_http_prom_status_cells(ctx, item, &counters, &tunnel);

    ngx_http_prom_status_print(text, "</tr>\n");
}


static void
ngx_http_prom_status_summary(ngx_http_prom_status_text_t *text,
    const ngx_prom_item_t *item)
{
    size_t     pos, shown;
    ngx_str_t  name, value;

    ngx_http_prom_status_print(text, "<b>");
    ngx_http_prom_status_html(text, &item->name);
    ngx_http_prom_status_print(text, "</b> <span>");
    ngx_http_prom_status_address(text, item);

    pos = 0;
    shown = 0;

    while (ngx_prom_item_label(item, &pos, &name, &value)) {

        if (name.len + value.len > NGX_HTTP_PROM_STATUS_LABELS - shown) {
            ngx_http_prom_status_print(text, " \xe2\x80\xa6");
            break;
        }

        shown += name.len + value.len;

        ngx_http_prom_status_print(text, " <i>");
        ngx_http_prom_status_html(text, &name);
        ngx_http_prom_status_print(text, "=");
        ngx_http_prom_status_html(text, &value);
        ngx_http_prom_status_print(text, "</i>");
    }

    ngx_http_prom_status_print(text, "</span>");
}


static void
ngx_http_prom_status_address(ngx_http_prom_status_text_t *text,
    const ngx_prom_item_t *item)
{
    if (item->tls) {
        ngx_http_prom_status_print(text, "https://");
    }

    ngx_http_prom_status_html(text, &item->authority);

    if (item->base.len) {

        if (item->kind == NGX_PROM_ADDRESS_UNIX) {
            ngx_http_prom_status_print(text, ":");
        }

        ngx_http_prom_status_html(text, &item->base);
    }
}


static void
ngx_http_prom_status_cells(ngx_http_prom_status_ctx_t *ctx,
    const ngx_prom_item_t *item, const ngx_prom_counters_t *counters,
    const ngx_http_prom_tunnel_t *tunnel)
{
    ngx_http_prom_status_text_t   *text;
    ngx_http_prom_status_state_e   state;

    text = &ctx->text;
    state = ngx_http_prom_status_state(counters);

    ngx_http_prom_status_print(text,
                               "<td class=\"state\"><span>%s</span></td>",
                               ngx_http_prom_status_badges[state]);

    ngx_http_prom_status_tunnel_cell(ctx, tunnel);

    if (state == NGX_HTTP_PROM_STATUS_UNSCRAPED) {
        ngx_http_prom_status_print(text, "<td class=\"last\"></td>"
                                         "<td class=\"latency\"></td>"
                                         "<td class=\"size\"></td>"
                                         "<td class=\"error\"></td>");
        return;
    }

    ngx_http_prom_status_print(text, "<td class=\"last\">");
    ngx_http_prom_status_time(text, ctx->find.now, counters->scraped);
    ngx_http_prom_status_print(text, "</td><td class=\"latency\">");
    ngx_http_prom_status_duration(text, counters->latency);
    ngx_http_prom_status_print(text, "</td><td class=\"size\">");
    ngx_http_prom_status_size(text, counters->size);
    ngx_http_prom_status_print(text, "</td><td class=\"error\">");

    if (state == NGX_HTTP_PROM_STATUS_DOWN) {
        ngx_http_prom_status_print(text, "<span>");
        ngx_http_prom_status_error(text, item, counters, tunnel);
        ngx_http_prom_status_print(text, "</span>");
    }

    ngx_http_prom_status_print(text, "</td>");
}


static void
ngx_http_prom_status_error(ngx_http_prom_status_text_t *text,
    const ngx_prom_item_t *item, const ngx_prom_counters_t *counters,
    const ngx_http_prom_tunnel_t *tunnel)
{
    u_char                  line[NGX_HTTP_PROM_STATUS_REASON];
    ngx_str_t               s;
    ngx_http_prom_reason_t  reason;

    if (counters->fail == NGX_HTTP_PROM_FAIL_NONE) {
        ngx_http_prom_status_print(text, "HTTP %ui",
                                   (ngx_uint_t) counters->status);
        return;
    }

    ngx_memzero(&reason, sizeof(ngx_http_prom_reason_t));

    reason.fail = counters->fail;
    reason.code = counters->code;
    reason.timeout = counters->timeout;
    reason.kind = item->kind;
    reason.authority = item->authority;
    reason.base = item->base;

    /* a host that came since, or left, isn't why that scrape failed */

    if (ngx_max(tunnel->since, tunnel->ended) <= counters->scraped) {
        reason.tunnel = tunnel;
    }

    /* only a name that is resolved is told without its port */

    reason.host = item->authority;

    while (reason.host.len
           && reason.host.data[reason.host.len - 1] != ':')
    {
        reason.host.len--;
    }

    if (reason.host.len) {
        reason.host.len--;
    }

    s.data = line;
    s.len = ngx_http_prom_proxy_reason(line, line + sizeof(line), &reason)
            - line;

    ngx_http_prom_status_html(text, &s);
}


static void
ngx_http_prom_status_more(ngx_http_prom_status_ctx_t *ctx,
    const ngx_prom_item_t *item, const ngx_prom_counters_t *counters,
    const ngx_http_prom_tunnel_t *tunnel)
{
    ngx_http_prom_status_text_t  *text;

    text = &ctx->text;

    ngx_http_prom_status_chart(text, item, counters);
    ngx_http_prom_status_facts(ctx, item, counters, tunnel);

    ngx_http_prom_status_print(text, "<h3>For prometheus.yml</h3>\n"
                                     "<pre><code>");
    ngx_http_prom_status_config(ctx, item);
    ngx_http_prom_status_print(text, "</code></pre>\n");
}


static void
ngx_http_prom_status_history(ngx_http_prom_status_history_t *history,
    const ngx_prom_counters_t *counters)
{
    uint16_t    scrape;
    ngx_uint_t  i, first, ms;

    history->n = ngx_min(counters->scrapes, NGX_PROM_HISTORY);
    history->failed = 0;
    history->min = NGX_PROM_HISTORY_MAX;
    history->max = 0;

    first = counters->scrapes - history->n;

    for (i = 0; i < history->n; i++) {
        scrape = counters->history[(first + i) % NGX_PROM_HISTORY];
        ms = scrape & NGX_PROM_HISTORY_MAX;

        history->scrapes[i] = scrape;
        history->failed += (scrape & NGX_PROM_HISTORY_FAILED) != 0;
        history->min = ngx_min(history->min, ms);
        history->max = ngx_max(history->max, ms);
    }
}


static void
ngx_http_prom_status_chart(ngx_http_prom_status_text_t *text,
    const ngx_prom_item_t *item, const ngx_prom_counters_t *counters)
{
    ngx_http_prom_status_history_t  history;

    ngx_http_prom_status_history(&history, counters);

    if (history.n == 0) {
        ngx_http_prom_status_print(text,
            "<p class=\"chart\">Not scraped yet: its lines for Prometheus "
            "are below.</p>\n");
        return;
    }

    ngx_http_prom_status_print(text,
        "<figure class=\"chart\"><svg viewBox=\"0 0 %d %d\" "
        "preserveAspectRatio=\"none\" role=\"img\" aria-label=\"Latency of "
        "the last %ui scrapes of ",
        NGX_PROM_HISTORY * (NGX_HTTP_PROM_STATUS_BAR
                            + NGX_HTTP_PROM_STATUS_GAP),
        NGX_HTTP_PROM_STATUS_HEIGHT, history.n);
    ngx_http_prom_status_html(text, &item->name);
    ngx_http_prom_status_print(text, ", from ");
    ngx_http_prom_status_duration(text, history.min);
    ngx_http_prom_status_print(text, " to ");
    ngx_http_prom_status_duration(text, history.max);
    ngx_http_prom_status_print(text, ", %ui failed\">", history.failed);

    ngx_http_prom_status_bars(text, &history, "answered", 0, 0);

    /* behind it all of the height, as the quickest failures have low bars */

    ngx_http_prom_status_bars(text, &history, "column",
                              NGX_PROM_HISTORY_FAILED, 1);
    ngx_http_prom_status_bars(text, &history, "failed",
                              NGX_PROM_HISTORY_FAILED, 0);

    ngx_http_prom_status_print(text, "</svg><figcaption>"
                                     "<span>last <b>%ui</b> scrapes</span> "
                                     "<span>min <b>", history.n);
    ngx_http_prom_status_duration(text, history.min);
    ngx_http_prom_status_print(text, "</b></span> <span>max <b>");
    ngx_http_prom_status_duration(text, history.max);
    ngx_http_prom_status_print(text, "</b></span> <span%s><b>%ui</b> failed"
                                     "</span></figcaption></figure>\n",
                               history.failed ? " class=\"bad\"" : "",
                               history.failed);
}


/* the newest scrape is at the right, however many there are */

static void
ngx_http_prom_status_bars(ngx_http_prom_status_text_t *text,
    ngx_http_prom_status_history_t *history, const char *class,
    ngx_uint_t failed, ngx_uint_t full)
{
    uint16_t    scrape;
    ngx_uint_t  i, x, height;

    ngx_http_prom_status_print(text, "<path class=\"%s\" d=\"", class);

    for (i = 0; i < history->n; i++) {
        scrape = history->scrapes[i];

        if ((scrape & NGX_PROM_HISTORY_FAILED) != failed) {
            continue;
        }

        x = (NGX_PROM_HISTORY - history->n + i)
            * (NGX_HTTP_PROM_STATUS_BAR + NGX_HTTP_PROM_STATUS_GAP);

        height = NGX_HTTP_PROM_STATUS_HEIGHT;

        if (!full) {
            height = height * (scrape & NGX_PROM_HISTORY_MAX)
                     / ngx_max(history->max, NGX_HTTP_PROM_STATUS_SCALE);
            height = ngx_max(height, NGX_HTTP_PROM_STATUS_LOWEST);
        }

        ngx_http_prom_status_print(text, "M%ui %dv-%uih%dv%uiz", x,
                                   NGX_HTTP_PROM_STATUS_HEIGHT, height,
                                   NGX_HTTP_PROM_STATUS_BAR, height);
    }

    ngx_http_prom_status_print(text, "\"/>");
}


static void
ngx_http_prom_status_facts(ngx_http_prom_status_ctx_t *ctx,
    const ngx_prom_item_t *item, const ngx_prom_counters_t *counters,
    const ngx_http_prom_tunnel_t *tunnel)
{
    size_t                        pos;
    ngx_str_t                     name, value;
    ngx_http_prom_status_text_t  *text;

    text = &ctx->text;

    ngx_http_prom_status_print(text, "<dl>\n");

    if (counters->scraped && !counters->up) {
        ngx_http_prom_status_print(text, "<dt>Error</dt><dd class=\"bad\">");
        ngx_http_prom_status_error(text, item, counters, tunnel);
        ngx_http_prom_status_print(text, "</dd>\n");
    }

    ngx_http_prom_status_tunnel_facts(ctx, tunnel);

    if (counters->scraped) {
        ngx_http_prom_status_print(text, "<dt>Last success</dt><dd>");

        if (counters->succeeded) {
            ngx_http_prom_status_time(text, ctx->find.now,
                                      counters->succeeded);
        } else {
            ngx_http_prom_status_print(text, "never");
        }

        ngx_http_prom_status_print(text, "</dd>\n"
                                         "<dt>Scrapes</dt><dd>");
        ngx_http_prom_status_number(text, counters->scrapes);
        ngx_http_prom_status_print(text, "</dd>\n"
                                         "<dt>Connections</dt><dd>");
        ngx_http_prom_status_number(text, counters->connects);
        ngx_http_prom_status_print(text, " opened, ");
        ngx_http_prom_status_number(text, counters->reuses);
        ngx_http_prom_status_print(text, " used again</dd>\n");
    }

    ngx_http_prom_status_print(text, "<dt>Address</dt><dd>");
    ngx_http_prom_status_address(text, item);

    if (item->kind == NGX_PROM_ADDRESS_POLL) {
        ngx_http_prom_status_print(text, ", of a client that polls</dd>\n");

    } else {
        ngx_http_prom_status_print(text, ", line ");
        ngx_http_prom_status_number(text, item->line);
        ngx_http_prom_status_print(text, " of the %s file</dd>\n",
                                   item->node ? "nodes"
                                   : item->tunnel ? "hosts" : "targets");
    }

    if (item->labels.len) {
        ngx_http_prom_status_print(text, "<dt>Labels</dt><dd>");

        pos = 0;

        while (ngx_prom_item_label(item, &pos, &name, &value)) {
            ngx_http_prom_status_print(text, "<i>");
            ngx_http_prom_status_html(text, &name);
            ngx_http_prom_status_print(text, "=");
            ngx_http_prom_status_html(text, &value);
            ngx_http_prom_status_print(text, "</i> ");
        }

        ngx_http_prom_status_print(text, "</dd>\n");
    }

    ngx_http_prom_status_metrics_link(text, item);
    ngx_http_prom_status_print(text, "</dl>\n");
}


/* the path is escaped as Prometheus does it */

static void
ngx_http_prom_status_metrics_link(ngx_http_prom_status_text_t *text,
    const ngx_prom_item_t *item)
{
    u_char     buf[NGX_HTTP_PROM_PAGE_PATH];
    u_char     escaped[3 * NGX_HTTP_PROM_PAGE_PATH];
    ngx_str_t  path, link;

    path.data = buf;
    ngx_http_prom_page_metrics_path(item, &path);

    link.data = escaped;
    link.len = (u_char *) ngx_escape_uri(escaped, path.data, path.len,
                                         NGX_ESCAPE_URI)
               - escaped;

    ngx_http_prom_status_print(text, "<dt>Metrics</dt><dd><a href=\"/");
    ngx_http_prom_status_html(text, &item->name);
    ngx_http_prom_status_html(text, &link);
    ngx_http_prom_status_print(text, "\">/");
    ngx_http_prom_status_html(text, &item->name);
    ngx_http_prom_status_html(text, &path);
    ngx_http_prom_status_print(text, "</a></dd>\n");
}
