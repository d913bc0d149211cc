/*
 * The value of the header CheckMe: $prom_forward_checkme.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_forward.h"
#include "ngx_prom_checkme.h"


ngx_int_t
ngx_http_prom_forward_checkme(ngx_http_request_t *r,
    ngx_http_prom_forward_ctx_t *ctx, ngx_str_t *value)
{
    ngx_str_t  *key, *target;

    key = &ctx->query.forward->checkme;
    target = &ctx->query.target;

    if (key->len == 0) {
        return NGX_OK;
    }

    value->data = ngx_pnalloc(r->pool, ngx_prom_checkme_len(target->len) + 1);
    if (value->data == NULL) {
        return NGX_ERROR;
    }

    value->len = ngx_prom_checkme_make((char *) value->data,
                                       (char *) key->data, key->len,
                                       (char *) target->data, target->len,
                                       (uint64_t) ngx_time());

    return value->len ? NGX_OK : NGX_ERROR;
}
