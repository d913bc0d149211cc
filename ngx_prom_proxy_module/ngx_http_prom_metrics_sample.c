/*
 * What the families' samples are written with: descriptions, labels and
 * numbers as the page's formats have them.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_metrics.h"


/* as the two formats have a type, and what OpenMetrics' names end without */

typedef struct {
    const char                  *text;
    const char                  *openmetrics;
    ngx_str_t                    suffix;
} ngx_http_prom_metrics_kind_t;


/* by ngx_http_prom_metrics_type_e */

static const ngx_http_prom_metrics_kind_t  ngx_http_prom_metrics_kinds[] = {
    { "counter", "counter", ngx_string("_total") },
    { "gauge", "gauge", ngx_null_string },
    { "histogram", "histogram", ngx_null_string },
    { "gauge", "info", ngx_string("_info") }
};


u_char *
ngx_http_prom_metrics_describe(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    ngx_str_t                            name;
    const ngx_http_prom_metrics_kind_t  *kind;

    kind = &ngx_http_prom_metrics_kinds[family->type];
    name = family->name;

    if (!m->openmetrics) {
        return ngx_sprintf(p, "# HELP %V %s\n# TYPE %V %s\n",
                           &name, family->help, &name, kind->text);
    }

    name.len -= kind->suffix.len;

    p = ngx_sprintf(p, "# TYPE %V %s\n", &name, kind->openmetrics);

    if (family->unit[0]) {
        p = ngx_sprintf(p, "# UNIT %V %s\n", &name, family->unit);
    }

    return ngx_sprintf(p, "# HELP %V %s\n", &name, family->help);
}


u_char *
ngx_http_prom_metrics_sample(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family, const char *suffix,
    const char *label)
{
    p = ngx_sprintf(p, "%V%s", &family->name, suffix);

    if (m->label.len || label[0]) {
        p = ngx_sprintf(p, "{%V%s%s}", &m->label,
                        (m->label.len && label[0]) ? "," : "", label);
    }

    *p++ = ' ';

    return p;
}


u_char *
ngx_http_prom_metrics_number(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    uint64_t  *n;

    n = (uint64_t *) ((u_char *) m + family->offset);

    p = ngx_http_prom_metrics_sample(p, m, family, "", "");
    return ngx_sprintf(p, "%uL\n", *n);
}


u_char *
ngx_http_prom_metrics_seconds(u_char *p, uint64_t ms)
{
    p = ngx_sprintf(p, "%uL", ms / 1000);

    if (ms % 1000) {
        p = ngx_sprintf(p, ".%03uL", ms % 1000);

        while (p[-1] == '0') {
            p--;
        }
    }

    return p;
}


u_char *
ngx_http_prom_metrics_le(u_char *p, ngx_http_prom_metrics_t *m,
    const uint32_t *bounds, ngx_uint_t i, ngx_uint_t n)
{
    p = ngx_sprintf(p, "le=\"");

    if (i == n) {
        p = ngx_sprintf(p, "+Inf");

    } else {
        p = ngx_http_prom_metrics_seconds(p, bounds[i]);

        /* OpenMetrics' bounds always have a point */

        if (m->openmetrics && bounds[i] % 1000 == 0) {
            p = ngx_sprintf(p, ".0");
        }
    }

    *p++ = '"';

    return p;
}


u_char *
ngx_http_prom_metrics_because(u_char *p,
    const ngx_http_prom_metrics_family_t *family, const ngx_str_t *reason)
{
    p = ngx_sprintf(p, "%V{reason=\"", &family->name);
    p = ngx_http_prom_escape_label(p, reason);
    return ngx_sprintf(p, "\"} 1\n");
}
