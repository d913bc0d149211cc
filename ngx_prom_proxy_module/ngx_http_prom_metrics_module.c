/*
 * The page of own metrics, for Prometheus: which format it gets, and the walk
 * over families and targets.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_metrics.h"
#include "ngx_http_prom_poll.h"


/* targets between two looks at other events */

#define NGX_HTTP_PROM_METRICS_STEP  500


typedef struct {
    ngx_flag_t                   per_target;
} ngx_http_prom_metrics_loc_conf_t;


/* a media type that we have, and its version; any, if that is not named */

typedef struct {
    ngx_str_t                    type;
    ngx_str_t                    version;
    ngx_uint_t                   openmetrics;
} ngx_http_prom_metrics_media_t;


static ngx_int_t ngx_http_prom_metrics_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_prom_metrics_registry(ngx_http_request_t *r,
    ngx_http_prom_metrics_t *m);
static ngx_int_t ngx_http_prom_metrics_headers(ngx_http_request_t *r,
    ngx_uint_t openmetrics);
static ngx_uint_t ngx_http_prom_metrics_negotiate(ngx_http_request_t *r);
static void ngx_http_prom_metrics_accept(ngx_str_t *value, ngx_int_t *best,
    ngx_uint_t *openmetrics);
static ngx_int_t ngx_http_prom_metrics_quality(ngx_str_t *range,
    ngx_uint_t *openmetrics);
static ngx_uint_t ngx_http_prom_metrics_part(ngx_str_t *text, u_char delimiter,
    ngx_str_t *part);
static ngx_int_t ngx_http_prom_metrics_write(ngx_http_prom_page_t *page);
static ngx_uint_t ngx_http_prom_metrics_left_out(ngx_http_prom_metrics_t *m,
    ngx_http_prom_metrics_walk_e walk);
static ngx_int_t ngx_http_prom_metrics_count(ngx_http_prom_metrics_t *m);
static ngx_int_t ngx_http_prom_metrics_family(ngx_http_prom_page_t *page,
    ngx_http_prom_metrics_t *m);
static ngx_int_t ngx_http_prom_metrics_target(ngx_http_prom_page_t *page,
    ngx_http_prom_metrics_t *m);
static ngx_http_prom_metrics_walk_e ngx_http_prom_metrics_transport(
    const ngx_prom_item_t *item);

static void *ngx_http_prom_metrics_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_prom_metrics_merge_loc_conf(ngx_conf_t *cf,
    void *parent, void *child);
static char *ngx_http_prom_metrics(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


static ngx_str_t  ngx_http_prom_metrics_text =
    ngx_string("text/plain; version=0.0.4; charset=utf-8");
static ngx_str_t  ngx_http_prom_metrics_openmetrics =
    ngx_string("application/openmetrics-text; version=1.0.0; charset=utf-8");


static const ngx_str_t  ngx_http_prom_metrics_name = ngx_string("Accept");


static ngx_http_prom_metrics_media_t  ngx_http_prom_metrics_medias[] = {
    { ngx_string("application/openmetrics-text"), ngx_string("1.0.0"), 1 },
    { ngx_string("text/plain"), ngx_string("0.0.4"), 0 },
    { ngx_string("text/*"), ngx_null_string, 0 },
    { ngx_string("*/*"), ngx_null_string, 0 },
    { ngx_null_string, ngx_null_string, 0 }
};


static ngx_command_t  ngx_http_prom_metrics_commands[] = {

    /* prom_proxy_metrics [per_target=on|off]; the page of own metrics */

    { ngx_string("prom_proxy_metrics"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_http_prom_metrics,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_prom_metrics_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_prom_metrics_create_loc_conf, /* create location configuration */
    ngx_http_prom_metrics_merge_loc_conf   /* merge location configuration */
};


ngx_module_t  ngx_http_prom_metrics_module = {
    NGX_MODULE_V1,
    &ngx_http_prom_metrics_module_ctx,     /* module context */
    ngx_http_prom_metrics_commands,        /* module directives */
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


static ngx_int_t
ngx_http_prom_metrics_handler(ngx_http_request_t *r)
{
    ngx_int_t                          rc;
    ngx_http_prom_metrics_t           *m;
    ngx_http_prom_poll_main_conf_t    *poll;
    ngx_http_prom_token_main_conf_t   *tmcf;
    ngx_http_prom_metrics_loc_conf_t  *mlcf;

    rc = ngx_http_prom_page_check(r);

    if (rc != NGX_OK) {
        return rc;
    }

    m = ngx_pcalloc(r->pool, sizeof(ngx_http_prom_metrics_t));
    if (m == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_prom_metrics_registry(r, m) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    mlcf = ngx_http_get_module_loc_conf(r, ngx_http_prom_metrics_module);
    poll = ngx_http_get_module_main_conf(r, ngx_http_prom_poll_module);

    m->forward = ngx_prom_forward_all((ngx_cycle_t *) ngx_cycle);
    m->per_forwarded = mlcf->per_target;

    if (poll->zone) {
        m->polls = ngx_http_prom_proxy_polls(poll->zone);
        m->clients = ngx_prom_poll_count(m->polls);
        m->clients_max = ngx_prom_poll_limit(m->polls);
    }

    tmcf = ngx_http_get_module_main_conf(r, ngx_http_prom_token_module);
    m->tokens = &tmcf->tokens;

    if (m->tokens->nelts) {
        /* a zone has counters of all, or there is none */
        m->token = *(ngx_http_prom_token_t **) m->tokens->elts;
    }

    ngx_http_prom_proxy_origins(r, &m->origins);

    if (m->origins.tunnels) {
        ngx_http_prom_metrics_board(m);
    }

    if (m->origins.peers) {
        ngx_http_prom_metrics_peers(m);
    }

    m->family = ngx_http_prom_metrics_families;
    m->openmetrics = ngx_http_prom_metrics_negotiate(r);

    if (ngx_http_prom_metrics_headers(r, m->openmetrics) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "prom metrics: %uL targets, openmetrics:%d",
                   m->targets, m->openmetrics);

    return ngx_http_prom_page_send(r, ngx_http_prom_metrics_write, m);
}


/* before the first load there are the families without a target */

static ngx_int_t
ngx_http_prom_metrics_registry(ngx_http_request_t *r,
    ngx_http_prom_metrics_t *m)
{
    ngx_int_t                          rc;
    ngx_http_prom_metrics_loc_conf_t  *mlcf;

    m->registry = ngx_http_prom_page_registry(r);

    if (m->registry == NULL) {
        return NGX_OK;
    }

    rc = ngx_prom_walk_start(&m->walk, m->registry, r->pool);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {
        m->counted = 1;

    } else {
        mlcf = ngx_http_get_module_loc_conf(r, ngx_http_prom_metrics_module);

        m->per_target = mlcf->per_target;
        m->targets = m->walk.count;
    }

    ngx_prom_registry_info(m->registry, &m->info);

    m->successful = !m->info.failed;
    m->loaded = m->info.loaded;
    m->took = m->info.took;
    m->size = m->info.zone;
    m->used = m->info.used;
    m->capacity = m->info.capacity;
    m->counters = ngx_prom_registry_totals(m->registry);

    return NGX_OK;
}


static ngx_int_t
ngx_http_prom_metrics_headers(ngx_http_request_t *r, ngx_uint_t openmetrics)
{
    ngx_str_t        *type;
    ngx_table_elt_t  *h;

    type = openmetrics ? &ngx_http_prom_metrics_openmetrics
                       : &ngx_http_prom_metrics_text;

    /* the length to the first parameter is what "gzip_types" looks at */

    r->headers_out.content_type = *type;
    r->headers_out.content_type_len = ngx_strlchr(type->data,
                                                  type->data + type->len, ';')
                                      - type->data;
    r->headers_out.content_type_lowcase = NULL;

    h = ngx_http_prom_page_header(r, "Vary", "Accept");

    return h ? NGX_OK : NGX_ERROR;
}


/*
 * Text is what those get who don't ask for OpenMetrics, and who ask for
 * nothing that we have.
 */

static ngx_uint_t
ngx_http_prom_metrics_negotiate(ngx_http_request_t *r)
{
    ngx_int_t                    best;
    ngx_uint_t                   openmetrics;
    ngx_table_elt_t             *header;
    ngx_http_prom_header_pos_t   pos;

    best = 0;
    openmetrics = 0;

    ngx_memzero(&pos, sizeof(ngx_http_prom_header_pos_t));

    for ( ;; ) {
        header = ngx_http_prom_proxy_header(&r->headers_in.headers,
                                            &ngx_http_prom_metrics_name, &pos);
        if (header == NULL) {
            return openmetrics;
        }

        ngx_http_prom_metrics_accept(&header->value, &best, &openmetrics);
    }
}


/* the highest quality wins, and of equal ones the first */

static void
ngx_http_prom_metrics_accept(ngx_str_t *value, ngx_int_t *best,
    ngx_uint_t *openmetrics)
{
    ngx_int_t   quality;
    ngx_str_t   text, range;
    ngx_uint_t  found;

    text = *value;
    found = 0;

    while (ngx_http_prom_metrics_part(&text, ',', &range)) {
        quality = ngx_http_prom_metrics_quality(&range, &found);

        if (quality > *best) {
            *best = quality;
            *openmetrics = found;
        }
    }
}


/* returns thousandths; 0 for what we don't have */

static ngx_int_t
ngx_http_prom_metrics_quality(ngx_str_t *range, ngx_uint_t *openmetrics)
{
    ngx_int_t                       quality;
    ngx_str_t                       text, type, parameter;
    ngx_http_prom_metrics_media_t  *media;

    text = *range;

    if (!ngx_http_prom_metrics_part(&text, ';', &type)) {
        return 0;
    }

    for (media = ngx_http_prom_metrics_medias; media->type.len; media++) {

        if (media->type.len == type.len
            && ngx_strncasecmp(media->type.data, type.data, type.len) == 0)
        {
            break;
        }
    }

    if (media->type.len == 0) {
        return 0;
    }

    *openmetrics = media->openmetrics;
    quality = 1000;

    while (ngx_http_prom_metrics_part(&text, ';', &parameter)) {

        if (parameter.len > 2
            && ngx_strncasecmp(parameter.data, (u_char *) "q=", 2) == 0)
        {
            quality = ngx_atofp(parameter.data + 2, parameter.len - 2, 3);
        }

        if (parameter.len > sizeof("version=") - 1
            && ngx_strncasecmp(parameter.data, (u_char *) "version=",
                               sizeof("version=") - 1)
               == 0)
        {
            parameter.data += sizeof("version=") - 1;
            parameter.len -= sizeof("version=") - 1;

            if (parameter.len != media->version.len
                || ngx_memcmp(parameter.data, media->version.data,
                              parameter.len)
                   != 0)
            {
                return 0;
            }
        }
    }

    return quality;
}


/* takes the part up to the delimiter off the text; 0 at the text's end */

static ngx_uint_t
ngx_http_prom_metrics_part(ngx_str_t *text, u_char delimiter, ngx_str_t *part)
{
    u_char  *p, *last, *end;

    if (text->len == 0) {
        return 0;
    }

    p = text->data;
    last = p + text->len;

    end = ngx_strlchr(p, last, delimiter);

    if (end == NULL) {
        end = last;
        text->data = last;

    } else {
        text->data = end + 1;
    }

    text->len = last - text->data;

    while (p < end && (*p == ' ' || *p == '\t')) {
        p++;
    }

    while (p < end && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }

    part->data = p;
    part->len = end - p;

    return 1;
}


static ngx_int_t
ngx_http_prom_metrics_write(ngx_http_prom_page_t *page)
{
    ngx_http_prom_metrics_t *m = page->data;

    u_char     *p;
    ngx_int_t   rc;

    for ( /* void */ ; m->family->name.len; m->family++) {

        if (ngx_http_prom_metrics_left_out(m, m->family->walk)) {
            continue;
        }

        if (m->family->walk == NGX_HTTP_PROM_METRICS_ALL && !m->counted) {
            rc = ngx_http_prom_metrics_count(m);

            if (rc != NGX_OK) {
                return rc;
            }
        }

        rc = ngx_http_prom_metrics_family(page, m);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (!m->openmetrics) {
        return NGX_OK;
    }

    p = ngx_http_prom_page_room(page, sizeof("# EOF\n") - 1);
    if (p == NULL) {
        return NGX_AGAIN;
    }

    ngx_http_prom_page_wrote(page, ngx_cpymem(p, "# EOF\n",
                                              sizeof("# EOF\n") - 1));
    return NGX_OK;
}


static ngx_uint_t
ngx_http_prom_metrics_left_out(ngx_http_prom_metrics_t *m,
    ngx_http_prom_metrics_walk_e walk)
{
    switch (walk) {

    case NGX_HTTP_PROM_METRICS_REGISTRY:
    case NGX_HTTP_PROM_METRICS_ALL:
        return m->registry == NULL;

    case NGX_HTTP_PROM_METRICS_BOARD:
        return m->origins.tunnels == NULL;

    case NGX_HTTP_PROM_METRICS_NODES:
        return !m->nodes_known;

    case NGX_HTTP_PROM_METRICS_EACH:
        return !m->per_target;

    case NGX_HTTP_PROM_METRICS_TUNNEL:
        return !m->per_target || m->origins.tunnels == NULL;

    case NGX_HTTP_PROM_METRICS_PEER:
        return !m->per_target || m->origins.peers == NULL;

    case NGX_HTTP_PROM_METRICS_POLLS:
        return m->polls == NULL;

    case NGX_HTTP_PROM_METRICS_POLL:
        return !m->per_target || m->polls == NULL;

    case NGX_HTTP_PROM_METRICS_FORWARD:
        return m->forward == NULL;

    case NGX_HTTP_PROM_METRICS_FORWARDED:
        return !m->per_forwarded || m->forward == NULL;

    case NGX_HTTP_PROM_METRICS_QUERY:
        return m->token == NULL || m->token->counters == NULL;

    case NGX_HTTP_PROM_METRICS_TOKEN:
        return m->token == NULL;

    default:
        return 0;
    }
}


static ngx_int_t
ngx_http_prom_metrics_count(ngx_http_prom_metrics_t *m)
{
    ngx_int_t        rc;
    ngx_uint_t       n;
    ngx_prom_item_t  item;

    for (n = 0; n < NGX_HTTP_PROM_METRICS_STEP; n++) {
        rc = ngx_prom_walk_next(&m->walk, &item);

        if (rc == NGX_DONE) {
            m->counted = 1;
            return NGX_OK;
        }

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }

        if (item.counters->scraped == 0) {
            m->unscraped++;

        } else if (item.counters->up) {
            m->up++;

        } else {
            m->down++;
        }
    }

    return NGX_AGAIN;
}


static ngx_int_t
ngx_http_prom_metrics_family(ngx_http_prom_page_t *page,
    ngx_http_prom_metrics_t *m)
{
    u_char      *p;
    ngx_int_t    rc;
    ngx_uint_t   n;

    if (!m->described) {
        p = ngx_http_prom_page_room(page, NGX_HTTP_PROM_METRICS_DESCRIPTION
                                          + m->family->size);
        if (p == NULL) {
            return NGX_AGAIN;
        }

        p = ngx_http_prom_metrics_describe(p, m, m->family);

        if (m->family->walk < NGX_HTTP_PROM_METRICS_EACH) {
            p = m->family->write(p, m, m->family);
            ngx_http_prom_page_wrote(page, p);
            return NGX_OK;
        }

        ngx_http_prom_page_wrote(page, p);

        m->described = 1;
        m->walk.next = 0;
    }

    for (n = 0; n < NGX_HTTP_PROM_METRICS_STEP; n++) {
        rc = ngx_http_prom_metrics_target(page, m);

        if (rc == NGX_DONE) {
            m->described = 0;
            return NGX_OK;
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_AGAIN;
}


/* returns NGX_DONE behind the last target, otherwise as the page's writer */

static ngx_int_t
ngx_http_prom_metrics_target(ngx_http_prom_page_t *page,
    ngx_http_prom_metrics_t *m)
{
    u_char           *p, *last;
    ngx_int_t         rc;
    ngx_prom_item_t   item;

    /* room first, as the walk doesn't go back */

    p = ngx_http_prom_page_room(page, m->family->size);
    if (p == NULL) {
        return NGX_AGAIN;
    }

    if (m->family->walk >= NGX_HTTP_PROM_METRICS_FORWARDED) {
        rc = (m->family->walk == NGX_HTTP_PROM_METRICS_FORWARDED)
             ? ngx_http_prom_metrics_forward_walk(m)
             : ngx_http_prom_metrics_query_walk(m);

        if (rc == NGX_OK) {
            p = m->family->write(p, m, m->family);
            ngx_http_prom_page_wrote(page, p);
        }

        return rc;
    }

    rc = ngx_prom_walk_next(&m->walk, &item);

    if (rc == NGX_DONE) {
        return NGX_DONE;
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    /* thousands may be scraped in absolute form alone, which has no target */

    if (m->family->walk == NGX_HTTP_PROM_METRICS_EACH
        && item.kind == NGX_PROM_ADDRESS_POLL
        && item.counters->scraped == 0)
    {
        return NGX_OK;
    }

    if (m->family->walk >= NGX_HTTP_PROM_METRICS_TUNNEL) {

        if (ngx_http_prom_metrics_transport(&item) != m->family->walk) {
            return NGX_OK;
        }

        ngx_http_prom_proxy_tunnel(&m->origins, &item, &m->tunnel);

        if (m->tunnel.state <= NGX_HTTP_PROM_TUNNEL_UNKNOWN) {
            return NGX_OK;
        }
    }

    last = ngx_sprintf(m->buf, "target=\"");
    last = ngx_http_prom_escape_label(last, &item.name);
    *last++ = '"';

    m->label.data = m->buf;
    m->label.len = last - m->buf;
    m->counters = item.counters;

    ngx_http_prom_page_wrote(page, m->family->write(p, m, m->family));

    return NGX_OK;
}


/* which families a target has beside those that each has */

static ngx_http_prom_metrics_walk_e
ngx_http_prom_metrics_transport(const ngx_prom_item_t *item)
{
    if (item->node) {
        return NGX_HTTP_PROM_METRICS_PEER;
    }

    if (item->kind == NGX_PROM_ADDRESS_POLL) {
        return NGX_HTTP_PROM_METRICS_POLL;
    }

    return NGX_HTTP_PROM_METRICS_TUNNEL;
}


static void *
ngx_http_prom_metrics_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_prom_metrics_loc_conf_t  *mlcf;

    mlcf = ngx_palloc(cf->pool, sizeof(ngx_http_prom_metrics_loc_conf_t));
    if (mlcf == NULL) {
        return NULL;
    }

    mlcf->per_target = NGX_CONF_UNSET;

    return mlcf;
}


static char *
ngx_http_prom_metrics_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_prom_metrics_loc_conf_t *prev = parent;
    ngx_http_prom_metrics_loc_conf_t *conf = child;

    ngx_http_prom_proxy_main_conf_t  *pmcf;
    ngx_http_prom_token_main_conf_t  *tmcf;

    /* the zone may be defined further down */

    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_prom_proxy_module);
    tmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_prom_token_module);

    if (conf->per_target != NGX_CONF_UNSET
        && pmcf->zone == NULL
        && tmcf->tokens.nelts == 0)
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"prom_proxy_metrics\" needs a \"prom_proxy_zone\" or "
                      "a \"prom_token\"");
        return NGX_CONF_ERROR;
    }

    /* "if" and "limit_except" inherit the handler, and no others do */

    ngx_conf_merge_value(conf->per_target, prev->per_target, NGX_CONF_UNSET);

    return NGX_CONF_OK;
}


static char *
ngx_http_prom_metrics(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_prom_metrics_loc_conf_t *mlcf = conf;

    ngx_str_t                 *value;
    ngx_http_core_loc_conf_t  *clcf;

    if (mlcf->per_target != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 1
        || ngx_strcmp(value[1].data, "per_target=on") == 0)
    {
        mlcf->per_target = 1;

    } else if (ngx_strcmp(value[1].data, "per_target=off") == 0) {
        mlcf->per_target = 0;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"%V\" directive, it must "
                           "be \"per_target=on\" or \"per_target=off\"",
                           &value[1], &cmd->name);
        return NGX_CONF_ERROR;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_prom_metrics_handler;

    return NGX_CONF_OK;
}
