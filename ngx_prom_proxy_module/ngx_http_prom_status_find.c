/*
 * Finds and sorts targets for the status page, in steps that take a few
 * milliseconds at most however many there are.
 *
 * What a target is sorted by is put into one number, with its place in the
 * order of names below that, so that no two are equal; the numbers are then
 * sorted digit by digit, which takes the same time whatever their order.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_status.h"


/* what one step may do */

#define NGX_HTTP_PROM_STATUS_TARGETS  500
#define NGX_HTTP_PROM_STATUS_BYTES    (256 * 1024)   /* that are searched */
#define NGX_HTTP_PROM_STATUS_RECORDS  50000


static ngx_int_t ngx_http_prom_status_collect_start(
    ngx_http_prom_status_ctx_t *ctx);
static void ngx_http_prom_status_borders(ngx_http_prom_status_ctx_t *ctx);
static ngx_uint_t ngx_http_prom_status_matches(
    ngx_http_prom_status_ctx_t *ctx, const ngx_prom_item_t *item);
static ngx_uint_t ngx_http_prom_status_matches_tunnel(
    ngx_http_prom_status_ctx_t *ctx, const ngx_prom_item_t *item);
static ngx_uint_t ngx_http_prom_status_contains(
    ngx_http_prom_status_ctx_t *ctx, const ngx_str_t *text, size_t *matched);
static void ngx_http_prom_status_record(ngx_http_prom_status_ctx_t *ctx,
    const ngx_prom_item_t *item, ngx_http_prom_status_state_e state);
static ngx_int_t ngx_http_prom_status_pass(ngx_http_prom_status_ctx_t *ctx);
static void ngx_http_prom_status_rows(ngx_http_prom_status_ctx_t *ctx);


ngx_int_t
ngx_http_prom_status_collect(ngx_http_prom_status_ctx_t *ctx)
{
    size_t                         bytes;
    ngx_int_t                      rc;
    ngx_uint_t                     n;
    ngx_prom_item_t                item;
    ngx_http_prom_status_find_t   *find;
    ngx_http_prom_status_state_e   state;

    find = &ctx->find;

    if (find->records == NULL) {
        rc = ngx_http_prom_status_collect_start(ctx);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    bytes = 0;

    for (n = 0; n < NGX_HTTP_PROM_STATUS_TARGETS; n++) {

        if (bytes > NGX_HTTP_PROM_STATUS_BYTES) {
            break;
        }

        rc = ngx_prom_walk_next(&find->walk, &item);

        if (rc == NGX_DONE) {
            ctx->info.targets = find->walk.count;
            return NGX_OK;
        }

        if (rc == NGX_ABORT) {

            /* replaced under us, twice: these targets are of no use now */

            ngx_pfree(ctx->request->pool, find->records);
            find->records = NULL;

            return NGX_AGAIN;
        }

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }

        state = ngx_http_prom_status_state(item.counters);
        find->states[state]++;

        if (ctx->args.query.len) {
            bytes += item.name.len + item.authority.len + item.labels.len;

            if (!ngx_http_prom_status_matches(ctx, &item)) {
                continue;
            }
        }

        ngx_http_prom_status_record(ctx, &item, state);
    }

    return NGX_AGAIN;
}


static ngx_int_t
ngx_http_prom_status_collect_start(ngx_http_prom_status_ctx_t *ctx)
{
    size_t                        n;
    ngx_int_t                     rc;
    ngx_http_prom_status_find_t  *find;

    find = &ctx->find;

    rc = ngx_prom_walk_start(&find->walk, ctx->registry, ctx->request->pool);

    if (rc != NGX_OK) {
        return rc;
    }

    /* one more, so that none at all are an array too */

    n = (size_t) find->walk.count + 1;

    if (n > NGX_MAX_SIZE_T_VALUE / sizeof(ngx_http_prom_status_record_t)) {
        return NGX_ERROR;
    }

    find->records = ngx_palloc(ctx->request->pool,
                               n * sizeof(ngx_http_prom_status_record_t));
    if (find->records == NULL) {
        return NGX_ERROR;
    }

    find->matched = 0;
    ngx_memzero(find->states, sizeof(find->states));
    ngx_memzero(find->digits, sizeof(find->digits));

    ngx_http_prom_status_borders(ctx);

    return NGX_OK;
}


/*
 * For each length of the query's beginning, how much of the beginning is
 * its end too: a search that goes back by that never reads a byte twice.
 */

static void
ngx_http_prom_status_borders(ngx_http_prom_status_ctx_t *ctx)
{
    size_t     i, n;
    u_char    *query;
    uint16_t  *border;

    query = ctx->args.query.data;
    border = ctx->find.border;
    border[0] = 0;
    n = 0;

    for (i = 1; i < ctx->args.query.len; i++) {

        while (n && query[i] != query[n]) {
            n = border[n - 1];
        }

        if (query[i] == query[n]) {
            n++;
        }

        border[i] = (uint16_t) n;
    }
}


static ngx_uint_t
ngx_http_prom_status_matches(ngx_http_prom_status_ctx_t *ctx,
    const ngx_prom_item_t *item)
{
    size_t            pos, matched;
    ngx_str_t         name, value;
    static ngx_str_t  equals = ngx_string("=");

    matched = 0;

    if (ngx_http_prom_status_contains(ctx, &item->name, &matched)) {
        return 1;
    }

    /* the address as it is shown */

    matched = 0;

    if (item->tls) {
        ngx_str_set(&value, "https://");

        if (ngx_http_prom_status_contains(ctx, &value, &matched)) {
            return 1;
        }
    }

    if (ngx_http_prom_status_contains(ctx, &item->authority, &matched)
        || ngx_http_prom_status_contains(ctx, &item->base, &matched))
    {
        return 1;
    }

    pos = 0;

    while (ngx_prom_item_label(item, &pos, &name, &value)) {
        matched = 0;

        if (ngx_http_prom_status_contains(ctx, &name, &matched)
            || ngx_http_prom_status_contains(ctx, &equals, &matched)
            || ngx_http_prom_status_contains(ctx, &value, &matched))
        {
            return 1;
        }
    }

    return ngx_http_prom_status_matches_tunnel(ctx, item);
}


static ngx_uint_t
ngx_http_prom_status_matches_tunnel(ngx_http_prom_status_ctx_t *ctx,
    const ngx_prom_item_t *item)
{
    size_t                  matched;
    ngx_http_prom_tunnel_t  tunnel;

    ngx_http_prom_status_tunnel(ctx, item, &tunnel);

    if (tunnel.state < NGX_HTTP_PROM_TUNNEL_CLOSED) {
        return 0;
    }

    matched = 0;

    if (ngx_http_prom_status_contains(ctx, &tunnel.address, &matched)) {
        return 1;
    }

    matched = 0;

    return ngx_http_prom_status_contains(ctx, &tunnel.fingerprint, &matched);
}


/* goes on from a text before it, of which so much was matched at its end */

static ngx_uint_t
ngx_http_prom_status_contains(ngx_http_prom_status_ctx_t *ctx,
    const ngx_str_t *text, size_t *matched)
{
    size_t      i, n;
    u_char      c;
    uint16_t   *border;
    ngx_str_t  *query;

    query = &ctx->args.query;
    border = ctx->find.border;
    n = *matched;

    for (i = 0; i < text->len; i++) {
        c = ngx_tolower(text->data[i]);

        while (n && c != query->data[n]) {
            n = border[n - 1];
        }

        if (c == query->data[n] && ++n == query->len) {
            return 1;
        }
    }

    *matched = n;

    return 0;
}


static void
ngx_http_prom_status_record(ngx_http_prom_status_ctx_t *ctx,
    const ngx_prom_item_t *item, ngx_http_prom_status_state_e state)
{
    uint64_t                        key, scraped;
    ngx_uint_t                      i, none;
    ngx_http_prom_status_find_t    *find;
    ngx_http_prom_status_record_t  *record;

    find = &ctx->find;

    /* what has no such thing to sort by is at the end in either order */

    none = (state == NGX_HTTP_PROM_STATUS_UNSCRAPED
            && ctx->args.sort > NGX_HTTP_PROM_STATUS_LAST);

    switch (ctx->args.sort) {

    case NGX_HTTP_PROM_STATUS_STATE:
        key = state;
        break;

    case NGX_HTTP_PROM_STATUS_TUNNEL:
        key = ngx_http_prom_status_tunnel_key(ctx, item, &none);
        break;

    case NGX_HTTP_PROM_STATUS_LAST:
        scraped = item->counters->scraped;
        key = (find->now > scraped) ? find->now - scraped : 0;
        break;

    case NGX_HTTP_PROM_STATUS_LATENCY:
        key = item->counters->latency;
        break;

    case NGX_HTTP_PROM_STATUS_SIZE:
        key = item->counters->size;
        break;

    default: /* NGX_HTTP_PROM_STATUS_NAME */
        key = item->rank;
        break;
    }

    key = ngx_min(key, 0xfffffffe);

    if (ctx->args.descending) {
        key = 0xfffffffe - key;
    }

    if (none) {
        key = 0xffffffff;
    }

    key = key << 32 | item->rank;

    for (i = 0; i < sizeof(uint64_t); i++) {
        find->digits[i][(key >> (8 * i)) & 0xff]++;
    }

    record = &find->records[find->matched++];
    record->key = key;
    record->index = item->index;
}


ngx_http_prom_status_state_e
ngx_http_prom_status_state(const ngx_prom_counters_t *counters)
{
    if (counters->scraped == 0) {
        return NGX_HTTP_PROM_STATUS_UNSCRAPED;
    }

    return counters->up ? NGX_HTTP_PROM_STATUS_UP : NGX_HTTP_PROM_STATUS_DOWN;
}


ngx_int_t
ngx_http_prom_status_order(ngx_http_prom_status_ctx_t *ctx)
{
    ngx_http_prom_status_find_t  *find;

    find = &ctx->find;

    if (find->sorted == NULL) {
        find->sorted = ngx_palloc(ctx->request->pool,
                                  ((size_t) find->matched + 1)
                                  * sizeof(ngx_http_prom_status_record_t));
        if (find->sorted == NULL) {
            return NGX_ERROR;
        }
    }

    if (ngx_http_prom_status_pass(ctx) == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    ngx_http_prom_status_rows(ctx);

    /* they would otherwise wait for the slowest reader */

    ngx_pfree(ctx->request->pool, find->records);
    ngx_pfree(ctx->request->pool, find->sorted);

    return NGX_OK;
}


/*
 * Sorts by the lowest digit that isn't done, from records to sorted, which
 * then change places.  The table of the digit has how often each value is
 * there, and becomes the place of the next record with it.
 */

static ngx_int_t
ngx_http_prom_status_pass(ngx_http_prom_status_ctx_t *ctx)
{
    uint32_t                        i, n, end, place, *digit;
    ngx_uint_t                      shift;
    ngx_http_prom_status_find_t    *find;
    ngx_http_prom_status_record_t  *record;

    find = &ctx->find;

    for ( /* void */ ; find->pass < sizeof(uint64_t); find->pass++) {
        digit = find->digits[find->pass];
        shift = 8 * find->pass;

        if (find->done == 0) {

            /* nothing to do where all records have the same */

            if (find->matched == 0
                || digit[(find->records[0].key >> shift) & 0xff]
                   == find->matched)
            {
                continue;
            }

            place = 0;

            for (i = 0; i < 256; i++) {
                n = digit[i];
                digit[i] = place;
                place += n;
            }
        }

        end = find->done + ngx_min(find->matched - find->done,
                                   NGX_HTTP_PROM_STATUS_RECORDS);

        for ( /* void */ ; find->done < end; find->done++) {
            record = &find->records[find->done];
            find->sorted[digit[(record->key >> shift) & 0xff]++] = *record;
        }

        if (find->done == find->matched) {
            record = find->records;
            find->records = find->sorted;
            find->sorted = record;
            find->done = 0;
            find->pass++;
        }

        return NGX_AGAIN;
    }

    return NGX_OK;
}


/* the page that was asked for, or the last one there is */

static void
ngx_http_prom_status_rows(ngx_http_prom_status_ctx_t *ctx)
{
    uint32_t                      first;
    ngx_uint_t                    i;
    ngx_http_prom_status_find_t  *find;
    ngx_http_prom_status_args_t  *args;

    find = &ctx->find;
    args = &ctx->args;

    find->pages = find->matched / args->per + (find->matched % args->per != 0);
    find->pages = ngx_max(find->pages, 1);
    args->page = ngx_min(args->page, find->pages);

    first = (uint32_t) ((args->page - 1) * args->per);
    find->nrows = ngx_min(args->per, find->matched - first);

    for (i = 0; i < find->nrows; i++) {
        find->rows[i] = find->records[first + i].index;
    }
}
