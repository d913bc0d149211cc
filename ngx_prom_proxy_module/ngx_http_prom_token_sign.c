/*
 * Signs requests for AWS: what goes to the remote as Authorization,
 * X-Amz-Date and X-Amz-Security-Token.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_token.h"
#include "ngx_prom_sigv4.h"

#include <openssl/evp.h>


/* Amazon Managed Service for Prometheus */

#define NGX_HTTP_PROM_TOKEN_SERVICE  "aps"

/* host, x-amz-date, x-amz-security-token */

#define NGX_HTTP_PROM_TOKEN_HEADERS  3


static ngx_int_t ngx_http_prom_token_payload(ngx_http_request_t *r,
    char *payload);
static ngx_int_t ngx_http_prom_token_date(ngx_http_request_t *r,
    ngx_str_t *date);
static ngx_int_t ngx_http_prom_token_query(ngx_http_request_t *r,
    ngx_str_t *uri, ngx_prom_sigv4_t *request);
static ngx_int_t ngx_http_prom_token_key(
    ngx_http_prom_credential_t *credential, ngx_prom_sigv4_t *request);
static ngx_int_t ngx_http_prom_token_signature(ngx_http_request_t *r,
    ngx_prom_sigv4_t *request, u_char *key, ngx_str_t *authorization);
static void ngx_http_prom_token_header(ngx_prom_sigv4_pair_t *header,
    const char *name, ngx_str_t *value);
static void ngx_http_prom_token_slice(ngx_prom_sigv4_text_t *to,
    ngx_str_t *from);


ngx_int_t
ngx_http_prom_token_sign(ngx_http_request_t *r,
    ngx_http_prom_token_ctx_t *ctx)
{
    char                             payload[NGX_PROM_SIGV4_HEX];
    ngx_int_t                        rc;
    ngx_prom_sigv4_t                 request;
    ngx_prom_sigv4_pair_t            headers[NGX_HTTP_PROM_TOKEN_HEADERS];
    ngx_http_prom_credential_t      *credential;
    ngx_http_prom_token_loc_conf_t  *tlcf;

    tlcf = ngx_http_get_module_loc_conf(r, ngx_http_prom_token_module);
    credential = ctx->credential;

    if (tlcf->remote == NULL) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "requests are signed for the host of a "
                      "\"prom_token_remote\", which the location of "
                      "\"prom_token %V\" hasn't", &ctx->token->name);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_prom_token_payload(r, payload);

    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_prom_token_date(r, &ctx->date) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memzero(&request, sizeof(ngx_prom_sigv4_t));

    if (ngx_http_prom_token_query(r, &ctx->uri, &request) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->session = credential->session;

    /* in the order of their names */

    ngx_http_prom_token_header(&headers[0], "host", &tlcf->remote->host);
    ngx_http_prom_token_header(&headers[1], "x-amz-date", &ctx->date);
    ngx_http_prom_token_header(&headers[2], "x-amz-security-token",
                               &ctx->session);

    request.headers = headers;
    request.nheaders = ctx->session.len ? 3 : 2;
    request.payload = payload;
    request.date = (char *) ctx->date.data;
    request.service.data = NGX_HTTP_PROM_TOKEN_SERVICE;
    request.service.len = sizeof(NGX_HTTP_PROM_TOKEN_SERVICE) - 1;

    ngx_http_prom_token_slice(&request.method, &r->method_name);
    ngx_http_prom_token_slice(&request.region, &credential->region);
    ngx_http_prom_token_slice(&request.access_key, &credential->access_key);

    if (ngx_http_prom_token_key(credential, &request) != NGX_OK
        || ngx_http_prom_token_signature(r, &request, credential->key,
                                         &ctx->authorization)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "prom token: signed for \"%V\" at %V",
                   &credential->region, &ctx->date);

    return NGX_OK;
}


/* the hash of the body, which is in memory, or else too large */

static ngx_int_t
ngx_http_prom_token_payload(ngx_http_request_t *r, char *payload)
{
    unsigned       n;
    ngx_int_t      rc;
    EVP_MD_CTX    *md;
    ngx_chain_t   *cl;
    unsigned char  hash[EVP_MAX_MD_SIZE];

    md = EVP_MD_CTX_new();
    if (md == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = NGX_HTTP_INTERNAL_SERVER_ERROR;

    if (EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1) {
        goto done;
    }

    cl = r->request_body ? r->request_body->bufs : NULL;

    for ( /* void */ ; cl; cl = cl->next) {

        if (cl->buf->in_file) {
            rc = NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
            goto done;
        }

        if (EVP_DigestUpdate(md, cl->buf->pos, cl->buf->last - cl->buf->pos)
            != 1)
        {
            goto done;
        }
    }

    if (EVP_DigestFinal_ex(md, hash, &n) == 1) {
        ngx_prom_sigv4_hex(payload, hash, n);
        rc = NGX_OK;
    }

done:

    EVP_MD_CTX_free(md);

    return rc;
}


static ngx_int_t
ngx_http_prom_token_date(ngx_http_request_t *r, ngx_str_t *date)
{
    u_char    *p;
    ngx_tm_t   tm;

    p = ngx_pnalloc(r->pool, NGX_PROM_SIGV4_DATE);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_gmtime(ngx_time(), &tm);

    date->data = p;

    p = ngx_sprintf(p, "%4d%02d%02dT%02d%02d%02dZ", tm.ngx_tm_year,
                    tm.ngx_tm_mon, tm.ngx_tm_mday, tm.ngx_tm_hour,
                    tm.ngx_tm_min, tm.ngx_tm_sec);

    date->len = p - date->data;

    return NGX_OK;
}


/*
 * What is signed is what is sent: the query is so in its canonical form, since
 * not all agree on what a "+" is.
 */

static ngx_int_t
ngx_http_prom_token_query(ngx_http_request_t *r, ngx_str_t *uri,
    ngx_prom_sigv4_t *request)
{
    u_char                 *p, *query, *canonical;
    size_t                  n, len, room;
    ngx_prom_sigv4_pair_t  *params;

    query = ngx_strlchr(uri->data, uri->data + uri->len, '?');

    if (query == NULL) {
        ngx_http_prom_token_slice(&request->path, uri);
        return NGX_OK;
    }

    request->path.data = (char *) uri->data;
    request->path.len = query++ - uri->data;

    len = uri->data + uri->len - query;
    n = ngx_prom_sigv4_params((char *) query, len);
    room = request->path.len + 1 + ngx_prom_sigv4_query_room(len, n);

    params = ngx_palloc(r->pool, n * sizeof(ngx_prom_sigv4_pair_t));
    if (params == NULL) {
        return NGX_ERROR;
    }

    p = ngx_pnalloc(r->pool, room);
    if (p == NULL) {
        return NGX_ERROR;
    }

    canonical = ngx_cpymem(p, request->path.data, request->path.len);
    *canonical++ = '?';

    len = ngx_prom_sigv4_query((char *) canonical, (char *) query, len,
                               params);

    (void) ngx_pfree(r->pool, params);

    request->path.data = (char *) p;
    request->query.data = (char *) canonical;
    request->query.len = len;

    uri->data = p;
    uri->len = request->path.len + (len ? 1 + len : 0);

    return NGX_OK;
}


/* derived once a day, and for each version, which is a credential */

static ngx_int_t
ngx_http_prom_token_key(ngx_http_prom_credential_t *credential,
    ngx_prom_sigv4_t *request)
{
    if (ngx_memcmp(credential->day, request->date, NGX_PROM_SIGV4_DAY) == 0) {
        return NGX_OK;
    }

    ngx_memzero(credential->day, NGX_PROM_SIGV4_DAY);

    if (ngx_prom_sigv4_key(credential->key,
                           (char *) credential->secret_key.data,
                           credential->secret_key.len, request->date,
                           &request->region, &request->service)
        == -1)
    {
        return NGX_ERROR;
    }

    ngx_memcpy(credential->day, request->date, NGX_PROM_SIGV4_DAY);

    return NGX_OK;
}


static ngx_int_t
ngx_http_prom_token_signature(ngx_http_request_t *r,
    ngx_prom_sigv4_t *request, u_char *key, ngx_str_t *authorization)
{
    char    *canonical, *string, *value;
    size_t   room, len;

    room = ngx_prom_sigv4_room(request);

    canonical = ngx_pnalloc(r->pool, 2 * room);
    if (canonical == NULL) {
        return NGX_ERROR;
    }

    string = canonical + room;

    len = ngx_prom_sigv4_request(canonical, request);
    len = ngx_prom_sigv4_string(string, request, canonical, len);

    if (len == 0) {
        return NGX_ERROR;
    }

    value = ngx_pnalloc(r->pool, room);
    if (value == NULL) {
        return NGX_ERROR;
    }

    len = ngx_prom_sigv4_authorization(value, request, key, string, len);

    if (len == 0) {
        return NGX_ERROR;
    }

    (void) ngx_pfree(r->pool, canonical);

    authorization->data = (u_char *) value;
    authorization->len = len;

    return NGX_OK;
}


static void
ngx_http_prom_token_header(ngx_prom_sigv4_pair_t *header, const char *name,
    ngx_str_t *value)
{
    header->name.data = name;
    header->name.len = ngx_strlen(name);

    ngx_http_prom_token_slice(&header->value, value);
}


static void
ngx_http_prom_token_slice(ngx_prom_sigv4_text_t *to, ngx_str_t *from)
{
    to->data = (char *) from->data;
    to->len = from->len;
}
