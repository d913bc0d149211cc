/*
 * Who asks: scrapers of "prom_poll_scrape" have their own authentication, by
 * Proxy-Authorization; and $prom_poll_certificate_name is the names in a
 * client's certificate.
 *
 * What nginx looks at is the Authorization header, which in a scrape is for
 * the exporter: for nginx the other takes its place, while both headers stay
 * in the request as they are.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_conf.h"
#include "ngx_http_prom_proxy.h"
#include "ngx_http_prom_poll.h"

#if (NGX_HTTP_SSL)
#include <openssl/x509v3.h>
#endif


static ngx_int_t ngx_http_prom_poll_auth_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_prom_poll_auth_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_prom_poll_certificate_variable(
    ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);
#if (NGX_HTTP_SSL)
static ngx_int_t ngx_http_prom_poll_certificate_san(X509 *cert,
    ngx_str_t *name);
static void ngx_http_prom_poll_certificate_cn(X509 *cert, ngx_str_t *name);
static void ngx_http_prom_poll_certificate_add(ASN1_STRING *text,
    ngx_str_t *name);
#endif

static ngx_int_t ngx_http_prom_poll_auth_add_variables(ngx_conf_t *cf);
static ngx_int_t ngx_http_prom_poll_auth_init(ngx_conf_t *cf);


static ngx_str_t  ngx_http_prom_poll_auth_header =
    ngx_string("Proxy-Authorization");


static ngx_http_module_t  ngx_http_prom_poll_auth_module_ctx = {
    ngx_http_prom_poll_auth_add_variables, /* preconfiguration */
    ngx_http_prom_poll_auth_init,          /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_prom_poll_auth_module = {
    NGX_MODULE_V1,
    &ngx_http_prom_poll_auth_module_ctx,   /* module context */
    NULL,                                  /* module directives */
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


static ngx_http_variable_t  ngx_http_prom_poll_auth_vars[] = {

    /* NAME,..., or empty: no certificate, or none that was verified */
    { ngx_string("prom_poll_certificate_name"), NULL,
      ngx_http_prom_poll_certificate_variable, 0, 0, 0 },

      ngx_http_null_variable
};


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;


/*
 * In the access phase, where this module's turn is before that of nginx's
 * own; what decides is left to them.
 */

static ngx_int_t
ngx_http_prom_poll_auth_handler(ngx_http_request_t *r)
{
    ngx_http_prom_header_pos_t      pos;
    ngx_http_prom_poll_loc_conf_t  *plcf;

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_prom_poll_module);

    if (plcf->kind != NGX_HTTP_PROM_POLL_SCRAPE) {
        return NGX_DECLINED;
    }

    ngx_str_null(&r->headers_in.user);
    ngx_str_null(&r->headers_in.passwd);

    ngx_memzero(&pos, sizeof(ngx_http_prom_header_pos_t));

    r->headers_in.authorization =
        ngx_http_prom_proxy_header(&r->headers_in.headers,
                                   &ngx_http_prom_poll_auth_header, &pos);

    return NGX_DECLINED;
}


/* a proxy that wants to know who asks says 407, in a header of its own */

static ngx_int_t
ngx_http_prom_poll_auth_header_filter(ngx_http_request_t *r)
{
    ngx_table_elt_t                *header;
    ngx_http_prom_poll_ctx_t       *ctx;
    ngx_http_prom_poll_loc_conf_t  *plcf;

    header = r->headers_out.www_authenticate;

    if (header == NULL
        || r->headers_out.status != NGX_HTTP_UNAUTHORIZED
        || r != r->main
        || r->upstream)
    {
        return ngx_http_next_header_filter(r);
    }

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_prom_poll_module);
    ctx = ngx_http_get_module_ctx(r, ngx_http_prom_poll_module);

    /* an exporter's own 401 stays what it is */

    if ((plcf->kind != NGX_HTTP_PROM_POLL_SCRAPE
         && !ngx_http_prom_poll_was_scrape(r))
        || (ctx && (ctx->handed || ctx->paired)))
    {
        return ngx_http_next_header_filter(r);
    }

    r->headers_out.status = 407;
    ngx_str_set(&r->headers_out.status_line,
                "407 Proxy Authentication Required");
    ngx_str_set(&header->key, "Proxy-Authenticate");

    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_prom_poll_certificate_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
#if (NGX_HTTP_SSL)

    X509       *cert;
    ngx_str_t   name;
    u_char      buf[NGX_HTTP_PROM_POLL_IDENTITY];

    v->not_found = 1;

    if (r->connection->ssl == NULL
        || SSL_get_verify_result(r->connection->ssl->connection) != X509_V_OK)
    {
        return NGX_OK;
    }

    cert = SSL_get_peer_certificate(r->connection->ssl->connection);
    if (cert == NULL) {
        return NGX_OK;
    }

    name.len = 0;
    name.data = buf;

    if (ngx_http_prom_poll_certificate_san(cert, &name) != NGX_OK) {
        ngx_http_prom_poll_certificate_cn(cert, &name);
    }

    X509_free(cert);

    if (name.len == 0) {
        return NGX_OK;
    }

    name.data = ngx_pnalloc(r->pool, name.len);
    if (name.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(name.data, buf, name.len);

    ngx_http_prom_conf_set(v, &name);

#else

    v->not_found = 1;

#endif

    return NGX_OK;
}


#if (NGX_HTTP_SSL)

/*
 * All DNS names, as far as they are clients' and there is room.  NGX_DECLINED:
 * there is none at all, so that the CN counts.
 */

static ngx_int_t
ngx_http_prom_poll_certificate_san(X509 *cert, ngx_str_t *name)
{
    int             i, n;
    ngx_int_t       rc;
    GENERAL_NAME   *general;
    GENERAL_NAMES  *names;

    names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    if (names == NULL) {
        return NGX_DECLINED;
    }

    rc = NGX_DECLINED;
    n = sk_GENERAL_NAME_num(names);

    for (i = 0; i < n; i++) {
        general = sk_GENERAL_NAME_value(names, i);

        if (general->type == GEN_DNS) {
            ngx_http_prom_poll_certificate_add(general->d.dNSName, name);
            rc = NGX_OK;
        }
    }

    GENERAL_NAMES_free(names);

    return rc;
}


/* one that has several is nobody's */

static void
ngx_http_prom_poll_certificate_cn(X509 *cert, ngx_str_t *name)
{
    int         i;
    X509_NAME  *subject;

    subject = X509_get_subject_name(cert);
    if (subject == NULL) {
        return;
    }

    i = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

    if (i == -1
        || X509_NAME_get_index_by_NID(subject, NID_commonName, i) != -1)
    {
        return;
    }

    ngx_http_prom_poll_certificate_add(
                X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, i)),
                name);
}


/* letters, digits and "._-" alone, as a client's name has them */

static void
ngx_http_prom_poll_certificate_add(ASN1_STRING *text, ngx_str_t *name)
{
    int      len;
    u_char  *p, *data;

    len = ASN1_STRING_to_UTF8(&data, text);
    if (len < 0) {
        return;
    }

    for (p = data; p < data + len; p++) {
        if (!(*p >= '0' && *p <= '9') && !(*p >= 'a' && *p <= 'z')
            && !(*p >= 'A' && *p <= 'Z')
            && *p != '.' && *p != '_' && *p != '-')
        {
            break;
        }
    }

    if (len > 0
        && len <= NGX_PROM_POLL_NAME
        && p == data + len
        && name->len + 1 + len <= NGX_HTTP_PROM_POLL_IDENTITY)
    {
        if (name->len) {
            name->data[name->len++] = ',';
        }

        ngx_memcpy(name->data + name->len, data, len);
        name->len += len;
    }

    OPENSSL_free(data);
}

#endif


static ngx_int_t
ngx_http_prom_poll_auth_add_variables(ngx_conf_t *cf)
{
    return ngx_http_prom_conf_variables(cf, ngx_http_prom_poll_auth_vars);
}


static ngx_int_t
ngx_http_prom_poll_auth_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_ACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_prom_poll_auth_handler;

    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_prom_poll_auth_header_filter;

    return NGX_OK;
}
