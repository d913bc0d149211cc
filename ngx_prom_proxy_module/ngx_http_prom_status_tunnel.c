/*
 * Tunnels, clients that poll and WireGuard nodes on the status page: at its
 * head, in the row of a target, and in what that opens to.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_status.h"


/* seconds that are told apart where rows are sorted by tunnels: 34 years */

#define NGX_HTTP_PROM_STATUS_SECONDS  ((uint64_t) 0x3fffffff)


static void ngx_http_prom_status_failure(ngx_http_prom_status_ctx_t *ctx,
    const char *what, char *reason, size_t len);
static void ngx_http_prom_status_logins(ngx_http_prom_status_ctx_t *ctx);
static void ngx_http_prom_status_node_cell(ngx_http_prom_status_ctx_t *ctx,
    const ngx_http_prom_tunnel_t *tunnel);
static void ngx_http_prom_status_node_facts(ngx_http_prom_status_ctx_t *ctx,
    const ngx_http_prom_tunnel_t *tunnel);
static void ngx_http_prom_status_poll_facts(ngx_http_prom_status_ctx_t *ctx,
    const ngx_http_prom_tunnel_t *tunnel);


/* as ngx_http_prom_tunnel_state_e has them */

static const char  *ngx_http_prom_status_tunnel_words[] = {
    "", "unknown", "never connected", "not connected", "connected"
};


void
ngx_http_prom_status_failures(ngx_http_prom_status_ctx_t *ctx)
{
    if (ctx->head.failed) {
        ngx_http_prom_status_failure(ctx, "hosts", ctx->head.reason,
                                     ctx->head.reason_len);
    }

    if (ctx->nodes.failed) {
        ngx_http_prom_status_failure(ctx, "nodes", ctx->nodes.reason,
                                     ctx->nodes.reason_len);
    }
}


static void
ngx_http_prom_status_failure(ngx_http_prom_status_ctx_t *ctx,
    const char *what, char *reason, size_t len)
{
    ngx_str_t  s;

    s.data = (u_char *) reason;
    s.len = len;

    ngx_http_prom_status_print(&ctx->text,
        "<div class=\"failure\" role=\"alert\"><strong>The %s file was "
        "refused, the %s in use are the old ones:</strong> <code>",
        what, what);
    ngx_http_prom_status_html(&ctx->text, &s);
    ngx_http_prom_status_print(&ctx->text, "</code></div>\n");
}


void
ngx_http_prom_status_tunnels(ngx_http_prom_status_ctx_t *ctx)
{
    ngx_prom_tunnels_head_t      *head;
    ngx_http_prom_status_text_t  *text;

    if (ctx->origins.tunnels == NULL) {
        return;
    }

    text = &ctx->text;
    head = &ctx->head;

    ngx_http_prom_status_print(text, "<div><dt>Tunnels</dt><dd>");
    ngx_http_prom_status_number(text, head->sessions - head->shared);

    if (ctx->hosted) {
        ngx_http_prom_status_print(text, " of ");
        ngx_http_prom_status_number(text, head->hosts);
    }

    ngx_http_prom_status_print(text, " hosts connected");

    if (head->shared) {
        ngx_http_prom_status_print(text, ", ");
        ngx_http_prom_status_number(text, head->shared);
        ngx_http_prom_status_print(text, " by the shared key");
    }

    ngx_http_prom_status_print(text, "</dd></div>\n");

    ngx_http_prom_status_logins(ctx);
}


static void
ngx_http_prom_status_logins(ngx_http_prom_status_ctx_t *ctx)
{
    uint64_t                      n;
    ngx_uint_t                    i;
    const char                   *sign;
    ngx_http_prom_status_text_t  *text;

    text = &ctx->text;
    n = 0;

    for (i = 0; i < NGX_PROM_REFUSED_REASONS; i++) {
        n += ctx->head.refused[i];
    }

    ngx_http_prom_status_print(text, "<div><dt>Logins</dt><dd>");
    ngx_http_prom_status_number(text, ctx->head.logins);
    ngx_http_prom_status_print(text, ", ");
    ngx_http_prom_status_number(text, n);
    ngx_http_prom_status_print(text, " refused");

    sign = ":";

    for (i = 0; i < NGX_PROM_REFUSED_REASONS; i++) {

        if (ctx->head.refused[i] == 0) {
            continue;
        }

        ngx_http_prom_status_print(text, "%s %V ", sign,
                                   &ngx_http_prom_tunnels_refused[i]);
        ngx_http_prom_status_number(text, ctx->head.refused[i]);
        sign = ",";
    }

    ngx_http_prom_status_print(text, "</dd></div>\n");
}


void
ngx_http_prom_status_nodes(ngx_http_prom_status_ctx_t *ctx)
{
    if (ctx->nodes.loaded == 0) {
        return;
    }

    ngx_http_prom_status_print(&ctx->text,
                               "<div><dt>WireGuard nodes</dt><dd>");
    ngx_http_prom_status_number(&ctx->text, ctx->nodes.nodes);
    ngx_http_prom_status_print(&ctx->text, "</dd></div>\n");
}


void
ngx_http_prom_status_polls(ngx_http_prom_status_ctx_t *ctx)
{
    ngx_prom_poll_zone_t         *polls;
    ngx_http_prom_status_text_t  *text;

    polls = ctx->origins.polls;

    if (polls == NULL) {
        return;
    }

    text = &ctx->text;

    ngx_http_prom_status_print(text, "<div><dt>Poll clients</dt><dd>");
    ngx_http_prom_status_number(text, ngx_prom_poll_count(polls));
    ngx_http_prom_status_print(text, " of at most ");
    ngx_http_prom_status_number(text, ngx_prom_poll_limit(polls));
    ngx_http_prom_status_print(text, "</dd></div>\n");
}


void
ngx_http_prom_status_tunnel(ngx_http_prom_status_ctx_t *ctx,
    const ngx_prom_item_t *item, ngx_http_prom_tunnel_t *tunnel)
{
    ngx_http_prom_proxy_tunnel(&ctx->origins, item, tunnel);
}


/* what needs a look is first: closed, never connected, a new login */

uint32_t
ngx_http_prom_status_tunnel_key(ngx_http_prom_status_ctx_t *ctx,
    const ngx_prom_item_t *item, ngx_uint_t *none)
{
    uint64_t                now, then;
    ngx_http_prom_tunnel_t  tunnel;

    ngx_http_prom_status_tunnel(ctx, item, &tunnel);

    *none = 0;
    now = ctx->find.now;

    switch (tunnel.state) {

    case NGX_HTTP_PROM_TUNNEL_CLOSED:
        then = ngx_min(tunnel.ended, now);
        return ngx_min((now - then) / 1000, NGX_HTTP_PROM_STATUS_SECONDS);

    case NGX_HTTP_PROM_TUNNEL_NEVER:
        return 1 << 30;

    case NGX_HTTP_PROM_TUNNEL_CONNECTED:
        then = ngx_min(tunnel.since, now);
        return (2U << 30)
               + ngx_min((now - then) / 1000, NGX_HTTP_PROM_STATUS_SECONDS);

    default:
        *none = 1;
        return 0;
    }
}


void
ngx_http_prom_status_tunnel_cell(ngx_http_prom_status_ctx_t *ctx,
    const ngx_http_prom_tunnel_t *tunnel)
{
    ngx_http_prom_status_text_t  *text;

    if (!ctx->tunneled) {
        return;
    }

    text = &ctx->text;

    ngx_http_prom_status_print(text, "<td class=\"tunnel\">");

    if (tunnel->transport == NGX_HTTP_PROM_TRANSPORT_WIREGUARD) {
        ngx_http_prom_status_node_cell(ctx, tunnel);
        ngx_http_prom_status_print(text, "</td>");
        return;
    }

    if (tunnel->transport == NGX_HTTP_PROM_TRANSPORT_POLL) {
        ngx_http_prom_status_print(text, "poll, ");
    }

    if (tunnel->state != NGX_HTTP_PROM_TUNNEL_NONE) {
        ngx_http_prom_status_print(text, "<span%s>%s</span>",
                       tunnel->state == NGX_HTTP_PROM_TUNNEL_CONNECTED
                       ? " class=\"on\"" : "",
                       ngx_http_prom_status_tunnel_words[tunnel->state]);
    }

    if (tunnel->state == NGX_HTTP_PROM_TUNNEL_CONNECTED) {
        ngx_http_prom_status_print(text, " ");
        ngx_http_prom_status_time(text, ctx->find.now, tunnel->since);
        ngx_http_prom_status_print(text, " <i>");
        ngx_http_prom_status_html(text, &tunnel->address);
        ngx_http_prom_status_print(text, "</i>");

    } else if (tunnel->state == NGX_HTTP_PROM_TUNNEL_CLOSED
               && tunnel->ended)
    {
        ngx_http_prom_status_print(text, ", left ");
        ngx_http_prom_status_time(text, ctx->find.now, tunnel->ended);
    }

    ngx_http_prom_status_print(text, "</td>");
}


static void
ngx_http_prom_status_node_cell(ngx_http_prom_status_ctx_t *ctx,
    const ngx_http_prom_tunnel_t *tunnel)
{
    ngx_http_prom_status_text_t  *text;

    text = &ctx->text;

    ngx_http_prom_status_print(text, "wireguard");

    switch (tunnel->state) {

    case NGX_HTTP_PROM_TUNNEL_NONE:
        return;

    case NGX_HTTP_PROM_TUNNEL_CLOSED:
    case NGX_HTTP_PROM_TUNNEL_CONNECTED:
        ngx_http_prom_status_print(text, ", <span%s>handshake</span> ",
                       tunnel->state == NGX_HTTP_PROM_TUNNEL_CONNECTED
                       ? " class=\"on\"" : "");
        ngx_http_prom_status_time(text, ctx->find.now, tunnel->since);
        ngx_http_prom_status_print(text, " <i>");
        ngx_http_prom_status_html(text, &tunnel->address);
        ngx_http_prom_status_print(text, "</i>");
        return;

    default:
        ngx_http_prom_status_print(text, ", <span>%s</span>",
                        ngx_http_prom_status_tunnel_words[tunnel->state]);
    }
}


void
ngx_http_prom_status_tunnel_facts(ngx_http_prom_status_ctx_t *ctx,
    const ngx_http_prom_tunnel_t *tunnel)
{
    ngx_http_prom_status_text_t  *text;

    if (tunnel->state == NGX_HTTP_PROM_TUNNEL_NONE) {
        return;
    }

    if (tunnel->transport == NGX_HTTP_PROM_TRANSPORT_WIREGUARD) {
        ngx_http_prom_status_node_facts(ctx, tunnel);
        return;
    }

    if (tunnel->transport == NGX_HTTP_PROM_TRANSPORT_POLL) {
        ngx_http_prom_status_poll_facts(ctx, tunnel);
        return;
    }

    text = &ctx->text;

    ngx_http_prom_status_print(text, "<dt>Tunnel</dt><dd>%s",
                        ngx_http_prom_status_tunnel_words[tunnel->state]);

    if (tunnel->state < NGX_HTTP_PROM_TUNNEL_CLOSED) {
        ngx_http_prom_status_print(text, "</dd>\n");
        return;
    }

    if (tunnel->state == NGX_HTTP_PROM_TUNNEL_CLOSED) {

        if (tunnel->ended) {
            ngx_http_prom_status_print(text, ", left ");
            ngx_http_prom_status_time(text, ctx->find.now, tunnel->ended);
        }

        ngx_http_prom_status_print(text, ", had logged in");
    }

    ngx_http_prom_status_print(text, " ");
    ngx_http_prom_status_time(text, ctx->find.now, tunnel->since);
    ngx_http_prom_status_print(text, " from ");
    ngx_http_prom_status_html(text, &tunnel->address);
    ngx_http_prom_status_print(text, "</dd>\n<dt>Key</dt><dd><i>");
    ngx_http_prom_status_html(text, &tunnel->fingerprint);
    ngx_http_prom_status_print(text, "</i>%s</dd>\n<dt>Logins</dt><dd>",
                               tunnel->certificate ? " by certificate" : "");
    ngx_http_prom_status_number(text, tunnel->logins);
    ngx_http_prom_status_print(text, ", ");
    ngx_http_prom_status_number(text, tunnel->logins - 1);
    ngx_http_prom_status_print(text, " reconnect%s</dd>\n",
                               tunnel->logins == 2 ? "" : "s");
}


static void
ngx_http_prom_status_poll_facts(ngx_http_prom_status_ctx_t *ctx,
    const ngx_http_prom_tunnel_t *tunnel)
{
    ngx_http_prom_status_text_t  *text;

    text = &ctx->text;

    ngx_http_prom_status_print(text, "<dt>Poll client</dt><dd>%s",
                        ngx_http_prom_status_tunnel_words[tunnel->state]);

    if (tunnel->state == NGX_HTTP_PROM_TUNNEL_UNKNOWN) {
        ngx_http_prom_status_print(text, "</dd>\n");
        return;
    }

    if (tunnel->state == NGX_HTTP_PROM_TUNNEL_CONNECTED) {
        ngx_http_prom_status_print(text, " ");
        ngx_http_prom_status_time(text, ctx->find.now, tunnel->since);

    } else {
        ngx_http_prom_status_print(text, ", left ");
        ngx_http_prom_status_time(text, ctx->find.now, tunnel->ended);
        ngx_http_prom_status_print(text, ", had polled");
    }

    ngx_http_prom_status_print(text, " from ");
    ngx_http_prom_status_html(text, &tunnel->address);
    ngx_http_prom_status_print(text, "</dd>\n<dt>Polls</dt><dd>");
    ngx_http_prom_status_number(text, tunnel->polls);
    ngx_http_prom_status_print(text, " held, ");
    ngx_http_prom_status_number(text, tunnel->handed);
    ngx_http_prom_status_print(text, " answered by scrapes</dd>\n");
}


static void
ngx_http_prom_status_node_facts(ngx_http_prom_status_ctx_t *ctx,
    const ngx_http_prom_tunnel_t *tunnel)
{
    ngx_http_prom_status_text_t  *text;

    text = &ctx->text;

    ngx_http_prom_status_print(text, "<dt>WireGuard</dt><dd>");

    if (tunnel->state < NGX_HTTP_PROM_TUNNEL_CLOSED) {
        ngx_http_prom_status_print(text, "%s</dd>\n",
                        ngx_http_prom_status_tunnel_words[tunnel->state]);
        return;
    }

    ngx_http_prom_status_print(text, "%s, last handshake ",
                        ngx_http_prom_status_tunnel_words[tunnel->state]);
    ngx_http_prom_status_time(text, ctx->find.now, tunnel->since);
    ngx_http_prom_status_print(text, " with ");
    ngx_http_prom_status_html(text, &tunnel->address);
    ngx_http_prom_status_print(text, "</dd>\n<dt>Traffic</dt><dd>");
    ngx_http_prom_status_size(text, tunnel->received);
    ngx_http_prom_status_print(text, " received, ");
    ngx_http_prom_status_size(text, tunnel->sent);
    ngx_http_prom_status_print(text, " sent</dd>\n");
}
