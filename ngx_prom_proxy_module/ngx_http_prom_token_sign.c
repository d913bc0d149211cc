/*
 * Signing of requests to AWS.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_token.h"


ngx_int_t
ngx_http_prom_token_sign(ngx_http_request_t *r,
    ngx_http_prom_token_ctx_t *ctx)
{
    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "requests can't be signed yet");

    return NGX_ERROR;
}
