/*
 * Reads the sources of the registry and makes one set of targets of them: a
 * mistake in any of them is one of the whole set.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_prom_hosts.h"
#include "ngx_prom_nodes.h"
#include "ngx_prom_source.h"


/* the grammars' own view of what is read */

typedef struct {
    ngx_prom_targets_t  *targets;
    ngx_prom_hosts_t     hosts;
    ngx_prom_nodes_t     nodes;
} ngx_prom_source_set_t;


static ngx_int_t ngx_prom_source_parse(ngx_prom_source_set_t *set,
    ngx_prom_source_e what, ngx_prom_file_t *file);
static ngx_int_t ngx_prom_source_merge(ngx_prom_source_set_t *set);
static ngx_int_t ngx_prom_source_parsed(ngx_prom_file_t *file, int rc,
    uint32_t errors);
static void *ngx_prom_source_alloc(void *data, size_t size);
static void ngx_prom_source_error(void *data, uint32_t line, uint32_t column,
    const char *reason);


ngx_int_t
ngx_prom_source_load(const ngx_prom_source_t *sources,
    const ngx_prom_sources_t *used, ngx_prom_targets_t *pt,
    ngx_prom_sources_t *read, ngx_array_t *errors, ngx_pool_t *pool)
{
    ngx_int_t               rc, worst;
    ngx_err_t               err;
    ngx_uint_t              i, found;
    ngx_prom_file_t         files[NGX_PROM_SOURCES];
    ngx_prom_source_set_t   set;

    ngx_memzero(pt, sizeof(ngx_prom_targets_t));
    ngx_memzero(&set, sizeof(ngx_prom_source_set_t));
    ngx_memzero(files, sizeof(files));
    ngx_memzero(read, sizeof(ngx_prom_sources_t));

    pt->alloc = ngx_prom_source_alloc;
    pt->error = ngx_prom_source_error;
    pt->data = &files[NGX_PROM_SOURCE_TARGETS];

    set.targets = pt;
    set.hosts.alloc = ngx_prom_source_alloc;
    set.hosts.error = ngx_prom_source_error;
    set.hosts.data = &files[NGX_PROM_SOURCE_HOSTS];
    set.nodes.alloc = ngx_prom_source_alloc;
    set.nodes.error = ngx_prom_source_error;
    set.nodes.data = &files[NGX_PROM_SOURCE_NODES];

    worst = NGX_OK;
    found = 0;

    for (i = 0; i < NGX_PROM_SOURCES; i++) {
        files[i].name = &sources[i].file;
        files[i].errors = errors;
        files[i].pool = pool;

        if (sources[i].file.len == 0) {
            continue;
        }

        err = ngx_prom_file_id(files[i].name, &files[i].id);

        if ((err == NGX_ENOENT || err == NGX_ENOTDIR)
            && sources[i].optional
            && ngx_prom_file_missing(&used->id[i]))
        {
            continue;
        }

        found = 1;

        rc = ngx_prom_file_read(&files[i]);

        read->id[i] = files[i].id;

        if (rc == NGX_AGAIN) {
            return NGX_AGAIN;
        }

        if (rc == NGX_OK) {
            rc = ngx_prom_source_parse(&set, i, &files[i]);
        }

        if (worst == NGX_OK || rc == NGX_ABORT) {
            worst = rc;
        }
    }

    for (i = 0; !found && i < NGX_PROM_SOURCES; i++) {
        if (sources[i].file.len) {
            ngx_prom_file_wrong(&files[i], NGX_ENOENT, ": cannot be opened");
            worst = NGX_DECLINED;
        }
    }

    if (worst == NGX_OK) {
        worst = ngx_prom_source_merge(&set);
    }

    pt->data = NULL;

    return worst;
}


static ngx_int_t
ngx_prom_source_parse(ngx_prom_source_set_t *set, ngx_prom_source_e what,
    ngx_prom_file_t *file)
{
    int  rc;

    switch (what) {

    case NGX_PROM_SOURCE_HOSTS:
        rc = ngx_prom_hosts_parse(&set->hosts, file->text, file->len);
        return ngx_prom_source_parsed(file, rc, set->hosts.errors);

    case NGX_PROM_SOURCE_NODES:
        rc = ngx_prom_nodes_parse(&set->nodes, file->text, file->len);
        return ngx_prom_source_parsed(file, rc, set->nodes.errors);

    default: /* NGX_PROM_SOURCE_TARGETS */
        rc = ngx_prom_targets_parse(set->targets, file->text, file->len);
        return ngx_prom_source_parsed(file, rc, set->targets->errors);
    }
}


/* a name that two files have is a mistake of the one that comes last */

static ngx_int_t
ngx_prom_source_merge(ngx_prom_source_set_t *set)
{
    int        rc;
    ngx_int_t  merged;

    if (set->hosts.count) {
        rc = ngx_prom_hosts_merge(&set->hosts, set->targets);
        merged = ngx_prom_source_parsed(set->hosts.data, rc,
                                        set->hosts.errors);
        if (merged != NGX_OK) {
            return merged;
        }
    }

    if (set->nodes.count) {
        rc = ngx_prom_nodes_merge(&set->nodes, set->targets);
        return ngx_prom_source_parsed(set->nodes.data, rc, set->nodes.errors);
    }

    return NGX_OK;
}


/* what came of a grammar's work on the file */

static ngx_int_t
ngx_prom_source_parsed(ngx_prom_file_t *file, int rc, uint32_t errors)
{
    if (rc == 0) {
        return NGX_OK;
    }

    if (rc == -1) {
        ngx_prom_file_wrong(file, NGX_ENOMEM, ": cannot be parsed");
        return NGX_ABORT;
    }

    if (errors > NGX_PROM_ERRORS_MAX) {
        ngx_prom_file_wrong(file, 0, ": and %uD more mistakes",
                            errors - NGX_PROM_ERRORS_MAX);
    }

    return NGX_ERROR;
}


static void *
ngx_prom_source_alloc(void *data, size_t size)
{
    ngx_prom_file_t  *file = data;

    return ngx_palloc(file->pool, size);
}


static void
ngx_prom_source_error(void *data, uint32_t line, uint32_t column,
    const char *reason)
{
    ngx_prom_file_wrong(data, 0, ":%uD:%uD: %s", line, column, reason);
}
