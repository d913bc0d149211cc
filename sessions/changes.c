/*
 * Both sets are sorted by name and walked side by side.
 */


#define _GNU_SOURCE

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "changes.h"
#include "log.h"


#define CHANGES_NAMES  10         /* that are told of each kind */
#define CHANGES_TEXT   1024
#define CHANGES_MORE   32         /* bytes that are kept for " and 9 more" */


typedef struct {
    const char          *title;
    uint32_t             count;
    uint32_t             more;    /* that are only counted */
    size_t               len;
    char                 text[CHANGES_TEXT];
} changes_kind_t;


static const ngx_prom_host_t **changes_sort(const ngx_prom_hosts_t *hosts);
static int changes_compare(const void *one, const void *two);
static int changes_order(const ngx_prom_text_t *a, const ngx_prom_text_t *b);
static int changes_same(const ngx_prom_host_t *a, const ngx_prom_host_t *b);
static void changes_add(changes_kind_t *kind, const ngx_prom_host_t *host);


void
changes_log(const char *path, const ngx_prom_hosts_t *before,
    const ngx_prom_hosts_t *after)
{
    int                      order;
    uint32_t                 i, j;
    changes_kind_t           came, changed, gone;
    const ngx_prom_host_t  **a, **b;

    came = (changes_kind_t) { .title = "; new: " };
    changed = (changes_kind_t) { .title = "; changed: " };
    gone = (changes_kind_t) { .title = "; gone: " };

    a = changes_sort(before);
    b = changes_sort(after);

    for (i = 0, j = 0; a && b && (i < before->count || j < after->count); ) {

        if (i == before->count) {
            order = 1;

        } else if (j == after->count) {
            order = -1;

        } else {
            order = changes_order(&a[i]->name, &b[j]->name);
        }

        if (order < 0) {
            changes_add(&gone, a[i++]);

        } else if (order > 0) {
            changes_add(&came, b[j++]);

        } else if (!changes_same(a[i++], b[j++])) {
            changes_add(&changed, b[j - 1]);
        }
    }

    free(a);
    free(b);

    log_line("%s read again; hosts from now on: %u%s%s%s", path, after->count,
             came.text, changed.text, gone.text);
}


/* the caller frees what it returns, or NULL */

static const ngx_prom_host_t **
changes_sort(const ngx_prom_hosts_t *hosts)
{
    uint32_t                 i;
    const ngx_prom_host_t  **sorted;

    sorted = malloc((hosts->count + 1) * sizeof(ngx_prom_host_t *));

    if (sorted == NULL) {
        return NULL;
    }

    for (i = 0; i < hosts->count; i++) {
        sorted[i] = &hosts->hosts[i];
    }

    qsort(sorted, hosts->count, sizeof(ngx_prom_host_t *), changes_compare);

    return sorted;
}


static int
changes_compare(const void *one, const void *two)
{
    const ngx_prom_host_t *const *a = one, *const *b = two;

    return changes_order(&(*a)->name, &(*b)->name);
}


static int
changes_order(const ngx_prom_text_t *a, const ngx_prom_text_t *b)
{
    int     order;
    size_t  len;

    len = a->len < b->len ? a->len : b->len;
    order = len ? memcmp(a->data, b->data, len) : 0;

    if (order) {
        return order;
    }

    return a->len < b->len ? -1 : a->len > b->len;
}


static int
changes_same(const ngx_prom_host_t *a, const ngx_prom_host_t *b)
{
    return a->port == b->port && a->ports == b->ports
           && changes_order(&a->key, &b->key) == 0
           && changes_order(&a->exporters, &b->exporters) == 0
           && changes_order(&a->labels, &b->labels) == 0;
}


static void
changes_add(changes_kind_t *kind, const ngx_prom_host_t *host)
{
    size_t  left;

    left = sizeof(kind->text) - kind->len;

    if (kind->more == 0 && kind->count < CHANGES_NAMES
        && host->name.len + CHANGES_MORE < left)
    {
        kind->len += (size_t) snprintf(kind->text + kind->len, left,
                                       "%s%.*s",
                                       kind->count ? ", " : kind->title,
                                       (int) host->name.len,
                                       host->name.data);
        kind->count++;
        return;
    }

    /* written over by the next, if there is one */

    snprintf(kind->text + kind->len, left, " and %u more", ++kind->more);
}
