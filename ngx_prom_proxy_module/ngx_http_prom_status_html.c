/*
 * The status page around its rows: the head, the counts and the state of the
 * targets file, the search, the table's columns, and the way to other pages.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_status.h"


static void ngx_http_prom_status_counts(ngx_http_prom_status_ctx_t *ctx);
static void ngx_http_prom_status_count(ngx_http_prom_status_ctx_t *ctx,
    const char *class, const char *what, const char *href, uint64_t n);
static void ngx_http_prom_status_file(ngx_http_prom_status_ctx_t *ctx);
static void ngx_http_prom_status_zone(ngx_http_prom_status_ctx_t *ctx);
static void ngx_http_prom_status_search(ngx_http_prom_status_ctx_t *ctx);
static void ngx_http_prom_status_hidden(ngx_http_prom_status_ctx_t *ctx);
static void ngx_http_prom_status_found(ngx_http_prom_status_ctx_t *ctx);
static void ngx_http_prom_status_columns(ngx_http_prom_status_ctx_t *ctx);
static void ngx_http_prom_status_empty(ngx_http_prom_status_ctx_t *ctx);
static void ngx_http_prom_status_pages(ngx_http_prom_status_ctx_t *ctx);
static void ngx_http_prom_status_page(ngx_http_prom_status_ctx_t *ctx,
    ngx_uint_t page, ngx_uint_t per, const char *attributes);
static void ngx_http_prom_status_link(ngx_http_prom_status_ctx_t *ctx,
    ngx_http_prom_status_sort_e sort, ngx_uint_t descending, ngx_uint_t page,
    ngx_uint_t per);


/* as ngx_http_prom_status_sort_e has them */

static const char  *ngx_http_prom_status_titles[] = {
    "Target", "State", "Tunnel", "Last scrape", "Latency", "Size"
};


/* what a file has a line of, as ngx_prom_source_e has them */

static const struct {
    const char  *what;
    const char  *example;
} ngx_http_prom_status_lines[] = {
    { "an address and a name",
      "localhost:20001 external-host-1\n"
      "[fd00::2]:9100  site-b/db-1  env=prod team=\"data base\"\n" },
    { "a name and a public key",
      "external-host-1 ssh-ed25519 AAAA\xe2\x80\xa6 env=prod\n" },
    { "a name, a public key of WireGuard and an address",
      "external-host-1 hNmq\xe2\x80\xa6= 10.87.0.2 env=prod\n" }
};


void
ngx_http_prom_status_head(ngx_http_prom_status_ctx_t *ctx)
{
    ngx_http_prom_status_text_t  *text;

    text = &ctx->text;

    ngx_http_prom_status_print(text,
        "<!DOCTYPE html>\n"
        "<html lang=\"en\">\n"
        "<head>\n"
        "<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" "
            "content=\"width=device-width, initial-scale=1\">\n"
        "<meta name=\"color-scheme\" content=\"light dark\">\n"
        "<title>Monitoring Proxy</title>\n"
        "<link rel=\"icon\" href=\"");
    ngx_http_prom_status_html(text, &ngx_http_prom_status_icon);
    ngx_http_prom_status_print(text, "\">\n<style nonce=\"%s\">\n",
                               ctx->nonce);
    ngx_http_prom_status_add(text, &ngx_http_prom_status_css);
    ngx_http_prom_status_print(text,
        "</style>\n"
        "</head>\n"
        "<body>\n"
        "<header>\n"
        "<h1>");
    ngx_http_prom_status_add(text, &ngx_http_prom_status_logo);
    ngx_http_prom_status_print(text,
        "Monitoring Proxy</h1>\n"
        "<nav aria-label=\"Other pages\">"
            "<a href=\"/targets\">Targets as JSON</a> "
            "<a href=\"/metrics\">Metrics</a></nav>\n"
        "<p id=\"live\"><a href=\"\">Refresh</a></p>\n"
        "</header>\n"
        "<main>\n");
}


void
ngx_http_prom_status_top(ngx_http_prom_status_ctx_t *ctx)
{
    ngx_str_t                     reason;
    ngx_uint_t                    some;
    ngx_http_prom_status_text_t  *text;

    text = &ctx->text;
    some = (ctx->loaded && ctx->info.targets);

    if (ctx->info.failed) {
        reason.data = ctx->info.reason;
        reason.len = ngx_min(ctx->info.reason_len,
                             sizeof(ctx->info.reason));

        ngx_http_prom_status_print(text,
            "<div class=\"failure\" role=\"alert\"><strong>A change of the "
            "targets was refused%s</strong> <code>",
            some ? ", those below are the old ones:" : ":");
        ngx_http_prom_status_html(text, &reason);
        ngx_http_prom_status_print(text, "</code></div>\n");
    }

    ngx_http_prom_status_failures(ctx);

    if (!some) {
        ngx_http_prom_status_empty(ctx);
        return;
    }

    ngx_http_prom_status_counts(ctx);
    ngx_http_prom_status_search(ctx);
    ngx_http_prom_status_found(ctx);
    ngx_http_prom_status_columns(ctx);
}


static void
ngx_http_prom_status_counts(ngx_http_prom_status_ctx_t *ctx)
{
    uint32_t  *states;

    states = ctx->find.states;

    ngx_http_prom_status_print(&ctx->text,
        "<section id=\"counts\" aria-label=\"Counts\">\n<ul>\n");

    ngx_http_prom_status_count(ctx, "all", "targets", "?",
                               ctx->info.targets);
    ngx_http_prom_status_count(ctx, "up", "up",
                               "?sort=state&amp;order=desc",
                               states[NGX_HTTP_PROM_STATUS_UP]);
    ngx_http_prom_status_count(ctx, "down", "down", "?sort=state",
                               states[NGX_HTTP_PROM_STATUS_DOWN]);
    ngx_http_prom_status_count(ctx, "unscraped", "not scraped yet",
                               "?sort=last&amp;order=desc",
                               states[NGX_HTTP_PROM_STATUS_UNSCRAPED]);

    ngx_http_prom_status_print(&ctx->text, "</ul>\n<dl>\n");

    ngx_http_prom_status_file(ctx);
    ngx_http_prom_status_zone(ctx);
    ngx_http_prom_status_tunnels(ctx);
    ngx_http_prom_status_nodes(ctx);
    ngx_http_prom_status_polls(ctx);

    ngx_http_prom_status_print(&ctx->text, "</dl>\n</section>\n");
}


static void
ngx_http_prom_status_count(ngx_http_prom_status_ctx_t *ctx,
    const char *class, const char *what, const char *href, uint64_t n)
{
    ngx_http_prom_status_print(&ctx->text,
                               "<li class=\"%s%s\"><a href=\"%s\"><b>",
                               class, n ? "" : " none", href);
    ngx_http_prom_status_number(&ctx->text, n);
    ngx_http_prom_status_print(&ctx->text, "</b> %s</a></li>\n", what);
}


static void
ngx_http_prom_status_file(ngx_http_prom_status_ctx_t *ctx)
{
    ngx_prom_info_t              *info;
    ngx_http_prom_status_text_t  *text;

    text = &ctx->text;
    info = &ctx->info;

    ngx_http_prom_status_print(text, "<div><dt>Last reload</dt><dd>");
    ngx_http_prom_status_time(text, ctx->find.now, info->loaded);
    ngx_http_prom_status_print(text, ", took ");
    ngx_http_prom_status_duration(text, info->took);

    if (info->failed) {
        ngx_http_prom_status_print(text, ", <span class=\"bad\">refused "
                                         "since</span>");
    }

    ngx_http_prom_status_print(text, "</dd></div>\n"
                                     "<div><dt>While running</dt><dd>");
    ngx_http_prom_status_number(text, info->successes);
    ngx_http_prom_status_print(text, " reload%s, ",
                               info->successes == 1 ? "" : "s");
    ngx_http_prom_status_number(text, info->failures);
    ngx_http_prom_status_print(text, " refused</dd></div>\n");
}


static void
ngx_http_prom_status_zone(ngx_http_prom_status_ctx_t *ctx)
{
    ngx_prom_info_t              *info;
    ngx_http_prom_status_text_t  *text;

    text = &ctx->text;
    info = &ctx->info;

    ngx_http_prom_status_print(text,
        "<div><dt>Zone</dt><dd><meter min=\"0\" max=\"%uz\" high=\"%uz\" "
        "value=\"%uz\" aria-label=\"Zone in use\"></meter> ",
        info->zone, info->zone / 10 * 9, info->used);
    ngx_http_prom_status_size(text, info->used);
    ngx_http_prom_status_print(text, " of ");
    ngx_http_prom_status_size(text, info->zone);
    ngx_http_prom_status_print(text, ", room for ");
    ngx_http_prom_status_number(text, info->capacity);
    ngx_http_prom_status_print(text, " targets</dd></div>\n");
}


static void
ngx_http_prom_status_search(ngx_http_prom_status_ctx_t *ctx)
{
    ngx_http_prom_status_text_t  *text;

    text = &ctx->text;

    ngx_http_prom_status_print(text,
        "<form id=\"search\" role=\"search\" method=\"get\">\n"
        "<label for=\"q\">Search</label>\n"
        "<input id=\"q\" name=\"q\" type=\"search\" maxlength=\"%d\" "
            "autocomplete=\"off\" autocapitalize=\"off\" "
            "spellcheck=\"false\" "
            "placeholder=\"name, address or label=value\" value=\"",
        NGX_HTTP_PROM_STATUS_QUERY);
    ngx_http_prom_status_html(text, &ctx->args.shown);
    ngx_http_prom_status_print(text, "\">\n");

    ngx_http_prom_status_hidden(ctx);

    ngx_http_prom_status_print(text,
        "<button type=\"submit\">Search</button>\n</form>\n");
}


/* the order stays while people search */

static void
ngx_http_prom_status_hidden(ngx_http_prom_status_ctx_t *ctx)
{
    ngx_http_prom_status_args_t  *args;
    ngx_http_prom_status_text_t  *text;

    args = &ctx->args;
    text = &ctx->text;

    if (args->sort != NGX_HTTP_PROM_STATUS_NAME) {
        ngx_http_prom_status_print(text,
            "<input type=\"hidden\" name=\"sort\" value=\"%V\">\n",
            &ngx_http_prom_status_sorts[args->sort]);
    }

    if (args->descending != ngx_http_prom_status_descends(args->sort)) {
        ngx_http_prom_status_print(text,
            "<input type=\"hidden\" name=\"order\" value=\"%s\">\n",
            args->descending ? "desc" : "asc");
    }

    if (args->per != NGX_HTTP_PROM_STATUS_PER) {
        ngx_http_prom_status_print(text,
            "<input type=\"hidden\" name=\"per\" value=\"%ui\">\n",
            args->per);
    }
}


static void
ngx_http_prom_status_found(ngx_http_prom_status_ctx_t *ctx)
{
    ngx_uint_t                    first;
    ngx_http_prom_status_args_t  *args;
    ngx_http_prom_status_find_t  *find;
    ngx_http_prom_status_text_t  *text;

    args = &ctx->args;
    find = &ctx->find;
    text = &ctx->text;

    ngx_http_prom_status_print(text, "<p id=\"found\" role=\"status\">");

    if (find->matched == 0) {
        ngx_http_prom_status_print(text, "No target matches \xe2\x80\x9c");
        ngx_http_prom_status_html(text, &args->shown);
        ngx_http_prom_status_print(text, "\xe2\x80\x9d.");

    } else {

        if (find->pages > 1) {
            first = (args->page - 1) * args->per + 1;

            ngx_http_prom_status_number(text, first);
            ngx_http_prom_status_print(text, " to ");
            ngx_http_prom_status_number(text, first + find->nrows - 1);
            ngx_http_prom_status_print(text, " of ");
        }

        ngx_http_prom_status_number(text, find->matched);
        ngx_http_prom_status_print(text, " target%s%s",
                                   find->matched == 1 ? "" : "s",
                                   args->query.len == 0 ? ""
                                   : find->matched == 1 ? " matches"
                                                        : " match");
    }

    ngx_http_prom_status_print(text, "</p>\n");
}


static void
ngx_http_prom_status_columns(ngx_http_prom_status_ctx_t *ctx)
{
    const char                   *sorted;
    ngx_uint_t                    i, descending;
    ngx_http_prom_status_args_t  *args;
    ngx_http_prom_status_text_t  *text;

    args = &ctx->args;
    text = &ctx->text;

    ngx_http_prom_status_print(text,
        "<div class=\"table\">\n<table id=\"targets\">\n"
        "<caption>Targets and their last scrapes</caption>\n"
        "<thead><tr>");

    for (i = 0; i < NGX_HTTP_PROM_STATUS_SORTS; i++) {

        if (i == NGX_HTTP_PROM_STATUS_TUNNEL && !ctx->tunneled) {
            continue;
        }

        descending = ngx_http_prom_status_descends(i);
        sorted = "";

        if (i == args->sort) {
            descending = !args->descending;
            sorted = args->descending ? " aria-sort=\"descending\""
                                      : " aria-sort=\"ascending\"";
        }

        ngx_http_prom_status_print(text,
            "<th scope=\"col\" class=\"%V\"%s><a href=\"",
            &ngx_http_prom_status_sorts[i], sorted);
        ngx_http_prom_status_link(ctx, i, descending, 1, args->per);
        ngx_http_prom_status_print(text, "\">%s</a></th>",
                                   ngx_http_prom_status_titles[i]);
    }

    ngx_http_prom_status_print(text,
        "<th scope=\"col\" class=\"error\"><span>Error</span></th>"
        "</tr></thead>\n<tbody>\n");
}


static void
ngx_http_prom_status_empty(ngx_http_prom_status_ctx_t *ctx)
{
    ngx_uint_t                        i;
    ngx_prom_source_t                *source;
    ngx_http_prom_status_text_t      *text;
    ngx_http_prom_proxy_main_conf_t  *pmcf;

    text = &ctx->text;
    pmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_prom_proxy_module);

    i = 0;

    while (pmcf->sources[i].file.len == 0 && i < NGX_PROM_SOURCES - 1) {
        i++;
    }

    source = &pmcf->sources[i];

    ngx_http_prom_status_print(text,
        "<section id=\"empty\">\n<h2>%s</h2>\n",
        ctx->loaded ? "There are no targets" : "No targets are loaded yet");

    if (source->file.len == 0) {
        ngx_http_prom_status_print(text,
            "<p>The configuration names no file of targets: add "
            "<code>prom_proxy_targets FILE;</code> to nginx\xe2\x80\x99s "
            "<code>http</code> block.</p>\n</section>\n");
        return;
    }

    ngx_http_prom_status_print(text,
        "<p>Write one a line, %s, to <code>",
        ngx_http_prom_status_lines[i].what);
    ngx_http_prom_status_html(text, &source->file);
    ngx_http_prom_status_print(text,
        "</code>:</p>\n"
        "<pre><code>%s"
        "</code></pre>\n"
        "<p>The file is read when %s; then Prometheus scrapes <code>",
        ngx_http_prom_status_lines[i].example,
        source->interval ? "it is saved" : "nginx is reloaded");
    ngx_http_prom_status_html(text, &ctx->scheme);
    ngx_http_prom_status_print(text, "://");
    ngx_http_prom_status_html(text, &ctx->address);
    ngx_http_prom_status_print(text, "/external-host-1/metrics</code>.</p>\n"
                                     "</section>\n");
}


void
ngx_http_prom_status_bottom(ngx_http_prom_status_ctx_t *ctx)
{
    ngx_http_prom_status_text_t  *text;

    text = &ctx->text;

    if (ctx->loaded && ctx->info.targets) {
        ngx_http_prom_status_print(text, "</tbody>\n</table>\n</div>\n");
        ngx_http_prom_status_pages(ctx);
    }

    ngx_http_prom_status_print(text,
        "</main>\n<script nonce=\"%s\">\n", ctx->nonce);
    ngx_http_prom_status_add(text, &ngx_http_prom_status_js);
    ngx_http_prom_status_print(text, "</script>\n</body>\n</html>\n");
}


/* the first and the last page, and two on each side of this one */

static void
ngx_http_prom_status_pages(ngx_http_prom_status_ctx_t *ctx)
{
    ngx_uint_t                    i, page, pages, previous;
    ngx_http_prom_status_args_t  *args;
    ngx_http_prom_status_text_t  *text;
    static const ngx_uint_t       pers[] = { 50, 100, 200 };

    args = &ctx->args;
    text = &ctx->text;
    page = args->page;
    pages = ctx->find.pages;

    ngx_http_prom_status_print(text,
                               "<nav id=\"pages\" aria-label=\"Pages\">\n");

    if (pages > 1) {
        ngx_http_prom_status_print(text, "<p>");

        if (page > 1) {
            ngx_http_prom_status_page(ctx, page - 1, args->per,
                                      " rel=\"prev\"");
            ngx_http_prom_status_print(text, "Previous</a>");
        }

        previous = 0;

        for (i = 1; i <= pages; i++) {

            if (i != 1 && i != pages && (i + 2 < page || i > page + 2)) {

                /* skips to what is shown next */

                i = (i < page) ? page - 3 : pages - 1;
                continue;
            }

            if (previous + 1 < i) {
                ngx_http_prom_status_print(text, "<span>\xe2\x80\xa6</span>");
            }

            ngx_http_prom_status_page(ctx, i, args->per,
                                      (i == page) ? " aria-current=\"page\""
                                                  : "");
            ngx_http_prom_status_number(text, i);
            ngx_http_prom_status_print(text, "</a>");
            previous = i;
        }

        if (page < pages) {
            ngx_http_prom_status_page(ctx, page + 1, args->per,
                                      " rel=\"next\"");
            ngx_http_prom_status_print(text, "Next</a>");
        }

        ngx_http_prom_status_print(text, "</p>\n");
    }

    if (ctx->find.matched > NGX_HTTP_PROM_STATUS_PER) {
        ngx_http_prom_status_print(text, "<p>Rows ");

        for (i = 0; i < sizeof(pers) / sizeof(pers[0]); i++) {
            ngx_http_prom_status_page(ctx, 1, pers[i],
                                      (pers[i] == args->per)
                                      ? " aria-current=\"true\"" : "");
            ngx_http_prom_status_print(text, "%ui</a>", pers[i]);
        }

        ngx_http_prom_status_print(text, "</p>\n");
    }

    ngx_http_prom_status_print(text, "</nav>\n");
}


/* opens a link */

static void
ngx_http_prom_status_page(ngx_http_prom_status_ctx_t *ctx, ngx_uint_t page,
    ngx_uint_t per, const char *attributes)
{
    ngx_http_prom_status_print(&ctx->text, "<a href=\"");
    ngx_http_prom_status_link(ctx, ctx->args.sort, ctx->args.descending, page,
                              per);
    ngx_http_prom_status_print(&ctx->text, "\"%s>", attributes);
}


/* what is as it would be anyhow is left out, so that links are short */

static void
ngx_http_prom_status_link(ngx_http_prom_status_ctx_t *ctx,
    ngx_http_prom_status_sort_e sort, ngx_uint_t descending, ngx_uint_t page,
    ngx_uint_t per)
{
    const char                   *and;
    ngx_http_prom_status_args_t  *args;
    ngx_http_prom_status_text_t  *text;

    args = &ctx->args;
    text = &ctx->text;
    and = "";

    ngx_http_prom_status_print(text, "?");

    if (args->escaped.len) {
        ngx_http_prom_status_print(text, "q=");
        ngx_http_prom_status_add(text, &args->escaped);
        and = "&amp;";
    }

    if (sort != NGX_HTTP_PROM_STATUS_NAME) {
        ngx_http_prom_status_print(text, "%ssort=%V", and,
                                   &ngx_http_prom_status_sorts[sort]);
        and = "&amp;";
    }

    if (descending != ngx_http_prom_status_descends(sort)) {
        ngx_http_prom_status_print(text, "%sorder=%s", and,
                                   descending ? "desc" : "asc");
        and = "&amp;";
    }

    if (page > 1) {
        ngx_http_prom_status_print(text, "%spage=%ui", and, page);
        and = "&amp;";
    }

    if (per != NGX_HTTP_PROM_STATUS_PER) {
        ngx_http_prom_status_print(text, "%sper=%ui", and, per);
    }
}
