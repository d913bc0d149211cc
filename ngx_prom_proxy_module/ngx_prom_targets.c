/*
 * The grammar of /etc/monitoring/targets; see the header.  Here are its lines;
 * ADDRESS and the labels have files of their own.
 */


#include <string.h>

#include "ngx_prom_targets_line.h"


#define NGX_PROM_LINE_MIN        3      /* bytes of a line with a NAME */


static void ngx_prom_target_parse(ngx_prom_targets_t *pt, ngx_prom_line_t *pl,
    ngx_prom_seen_t *names);


int
ngx_prom_targets_parse(ngx_prom_targets_t *pt, char *text, size_t len)
{
    size_t            bound;
    ngx_prom_line_t   pl;
    ngx_prom_seen_t   names;

    pt->targets = NULL;
    pt->count = 0;
    pt->errors = 0;

    if (!ngx_prom_lines_start(&pl, text, len, pt->error, pt->data,
                              &pt->errors))
    {
        return 1;
    }

    bound = ngx_prom_lines_bound(&pl, NGX_PROM_LINE_MIN);

    pt->targets = ngx_prom_lines_array(pt->alloc, pt->data, bound,
                                       sizeof(ngx_prom_target_t));

    if ((pt->targets == NULL && bound)
        || ngx_prom_seen_init(&names, pt->alloc, pt->data, bound) == -1)
    {
        return -1;
    }

    while (ngx_prom_line_next(&pl)) {
        ngx_prom_target_parse(pt, &pl, &names);
    }

    return pt->errors ? 1 : 0;
}


int
ngx_prom_targets_label(const ngx_prom_target_t *target, size_t *pos,
    const char **name, const char **value)
{
    const char  *p;

    if (*pos >= target->labels.len) {
        return 0;
    }

    p = target->labels.data + *pos;
    *name = p;

    p += strlen(p) + 1;
    *value = p;

    p += strlen(p) + 1;
    *pos = p - target->labels.data;

    return 1;
}


static void
ngx_prom_target_parse(ngx_prom_targets_t *pt, ngx_prom_line_t *pl,
    ngx_prom_seen_t *names)
{
    uint32_t             other;
    ngx_prom_text_t      address, name;
    ngx_prom_target_t   *target;
    ngx_prom_excerpt_t   buf;

    if (!ngx_prom_line_token(pl, &address)) {
        return;
    }

    if (!ngx_prom_line_token(pl, &name)) {
        ngx_prom_line_error(pl, address.data, "no NAME after the address; "
                            "a line is ADDRESS NAME [LABEL=VALUE ...]");
        return;
    }

    target = &pt->targets[pt->count];
    memset(target, 0, sizeof(ngx_prom_target_t));

    target->line = pl->number;
    target->address = address;

    ngx_prom_address_parse(pl, target);

    /* names of lines with other mistakes count too */

    if (ngx_prom_name_parse(pl, &name)) {
        target->name = name;
        other = ngx_prom_seen_add(names, name.data, name.len, pl->number);

        if (other) {
            ngx_prom_line_error(pl, name.data, "name \"%s\" is on line %u "
                                "already",
                                ngx_prom_excerpt(buf, name.data, name.len),
                                (unsigned) other);
        }
    }

    ngx_prom_labels_start(pl);

    while (ngx_prom_line_more(pl) && ngx_prom_label_parse(pl)) { /* void */ }

    target->labels = pl->labels;

    if (!pl->wrong) {
        pt->count++;
    }
}
