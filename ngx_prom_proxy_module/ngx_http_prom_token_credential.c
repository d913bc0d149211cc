/*
 * A worker's own copies of credentials.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_token.h"


static ngx_http_prom_credential_t *ngx_http_prom_token_copy(
    const ngx_prom_token_line_t *line, ngx_log_t *log);
static u_char *ngx_http_prom_token_text(u_char *p, ngx_str_t *text,
    const ngx_prom_token_text_t *from);


ngx_int_t
ngx_http_prom_token_take(ngx_http_prom_token_t *token,
    const ngx_prom_token_line_t *line, ngx_log_t *log)
{
    ngx_http_prom_credential_t  *credential;

    switch (line->kind) {

    case NGX_PROM_TOKEN_STATS:
        ngx_memcpy(token->counts, line->counts, sizeof(token->counts));
        return NGX_OK;

    case NGX_PROM_TOKEN_NOTHING:

        /* one that is still valid goes on being used */

        token->nothing = 1;
        token->failed = line->failed;
        token->since = ngx_current_msec - (ngx_msec_t) line->since;

        token->reason.data = token->text;
        token->reason.len = line->value.len;
        ngx_memcpy(token->text, line->value.data, line->value.len);

        break;

    default:
        credential = ngx_http_prom_token_copy(line, log);
        if (credential == NULL) {
            return NGX_ERROR;
        }

        if (token->credential) {
            ngx_http_prom_token_release(token->credential);
        }

        token->credential = credential;
        token->nothing = 0;
        token->failed = 0;
        token->expired = 0;
    }

    ngx_http_prom_token_wake(token);

    return NGX_OK;
}


static ngx_http_prom_credential_t *
ngx_http_prom_token_copy(const ngx_prom_token_line_t *line, ngx_log_t *log)
{
    size_t                       size;
    u_char                      *p;
    ngx_pool_t                  *pool;
    ngx_http_prom_credential_t  *credential;

    size = sizeof(ngx_http_prom_credential_t) + line->value.len
           + line->region.len + line->access_key.len + line->secret_key.len
           + line->session.len;

    pool = ngx_create_pool(sizeof(ngx_pool_t) + NGX_POOL_ALIGNMENT + size,
                           log);
    if (pool == NULL) {
        return NULL;
    }

    credential = ngx_pcalloc(pool, size);
    if (credential == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    credential->pool = pool;
    credential->refs = 1;
    credential->size = size;
    credential->kind = line->kind;
    credential->version = line->version;
    credential->expires = ngx_current_msec + (ngx_msec_t) line->left;
    credential->endless = (line->left == 0);

    p = (u_char *) credential + sizeof(ngx_http_prom_credential_t);

    p = ngx_http_prom_token_text(p, &credential->value, &line->value);
    p = ngx_http_prom_token_text(p, &credential->region, &line->region);
    p = ngx_http_prom_token_text(p, &credential->access_key,
                                 &line->access_key);
    p = ngx_http_prom_token_text(p, &credential->secret_key,
                                 &line->secret_key);
    (void) ngx_http_prom_token_text(p, &credential->session, &line->session);

    return credential;
}


static u_char *
ngx_http_prom_token_text(u_char *p, ngx_str_t *text,
    const ngx_prom_token_text_t *from)
{
    if (from->len == 0) {
        return p;
    }

    text->data = p;
    text->len = from->len;

    return ngx_cpymem(p, from->data, from->len);
}


ngx_http_prom_credential_t *
ngx_http_prom_token_valid(ngx_http_prom_token_t *token)
{
    ngx_http_prom_credential_t  *credential;

    credential = token->credential;

    if (credential == NULL || credential->endless
        || (ngx_msec_int_t) (credential->expires - ngx_current_msec) > 0)
    {
        return credential;
    }

    ngx_http_prom_token_release(credential);

    token->credential = NULL;
    token->expired = 1;

    return NULL;
}


void
ngx_http_prom_token_release(ngx_http_prom_credential_t *credential)
{
    ngx_pool_t  *pool;

    if (--credential->refs) {
        return;
    }

    pool = credential->pool;

    ngx_explicit_memzero(credential, credential->size);
    ngx_destroy_pool(pool);
}
