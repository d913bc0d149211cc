/*
 * A hosts file by the grammar of the nginx module.
 */


#define _POSIX_C_SOURCE  200809L

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "file.h"
#include "hosts_file.h"
#include "keys_file.h"
#include "ngx_prom_hosts_line.h"
#include "text.h"


#define HOSTS_FILE_ALLOCS  8          /* the parser's, and those of a merge */


struct hosts_file_s {
    const char          *path;
    FILE                *told;
    char                *text;
    size_t               len;
    void                *allocs[HOSTS_FILE_ALLOCS];
    unsigned             nallocs;
    ngx_prom_hosts_t     hosts;
};


static hosts_file_t *hosts_file_new(const char *path, FILE *told);
static hosts_file_t *hosts_file_finish(hosts_file_t *file,
    const char *targets);
static int hosts_file_merge(hosts_file_t *file, const char *targets);
static void *hosts_file_alloc(void *data, size_t size);
static void hosts_file_error(void *data, uint32_t line, uint32_t column,
    const char *reason);


hosts_file_t *
hosts_file_load(const char *path, const char *targets, FILE *told)
{
    hosts_file_t  *file;

    file = hosts_file_new(path, told);
    if (file == NULL) {
        return NULL;
    }

    file->text = text_read(path, &file->len, told);

    return hosts_file_finish(file, targets);
}


hosts_file_t *
hosts_file_load_any(const char *path, FILE *told)
{
    struct stat  st;

    if (lstat(path, &st) == -1 && errno == ENOENT) {
        return hosts_file_parse(path, "", 0, NULL, told);
    }

    return hosts_file_load(path, NULL, told);
}


hosts_file_t *
hosts_file_parse(const char *path, const char *text, size_t len,
    const char *targets, FILE *told)
{
    hosts_file_t  *file;

    file = hosts_file_new(path, told);
    if (file == NULL) {
        return NULL;
    }

    file->len = len;
    file->text = malloc(len + 1);

    if (file->text == NULL) {
        text_fail(path, "out of memory", told);

    } else {
        memcpy(file->text, text, len);
    }

    return hosts_file_finish(file, targets);
}


static hosts_file_t *
hosts_file_new(const char *path, FILE *told)
{
    hosts_file_t  *file;

    file = calloc(1, sizeof(hosts_file_t));
    if (file == NULL) {
        text_fail(path, "out of memory", told);
        return NULL;
    }

    file->path = path;
    file->told = told;
    file->hosts.alloc = hosts_file_alloc;
    file->hosts.error = hosts_file_error;
    file->hosts.data = file;

    return file;
}


/* frees the file where it returns NULL */

static hosts_file_t *
hosts_file_finish(hosts_file_t *file, const char *targets)
{
    int                rc;
    ngx_prom_hosts_t  *ph;

    ph = &file->hosts;

    if (file->text == NULL) {
        goto failed;
    }

    rc = ngx_prom_hosts_parse(ph, file->text, file->len);

    if (rc == 0 && targets) {
        rc = hosts_file_merge(file, targets);
    }

    if (rc == 0) {
        return file;
    }

    if (rc == -1) {
        text_fail(file->path, "out of memory", file->told);

    } else if (file->told && ph->errors > NGX_PROM_ERRORS_MAX) {
        fprintf(file->told, "%s: and %u more mistakes\n", file->path,
                ph->errors - NGX_PROM_ERRORS_MAX);
    }

failed:

    hosts_file_free(file);

    return NULL;
}


static int
hosts_file_merge(hosts_file_t *file, const char *targets)
{
    int                  rc;
    targets_file_t      *other;
    ngx_prom_targets_t   pt;

    other = targets_file_load(targets, NULL);

    if (other == NULL) {
        return 0;
    }

    pt = *targets_file_targets(other);
    pt.alloc = hosts_file_alloc;
    pt.data = file;

    rc = ngx_prom_hosts_merge(&file->hosts, &pt);

    targets_file_free(other);

    return rc;
}


uint32_t
hosts_file_shared(hosts_file_t *file, const char *keys)
{
    char              *start;
    uint32_t           i;
    keys_file_t       *shared;
    ngx_prom_host_t   *host;
    ngx_prom_hosts_t  *ph;

    shared = keys_file_load_right(keys, NULL);

    if (shared == NULL) {
        return 0;
    }

    ph = &file->hosts;

    for (i = 0; i < ph->count; i++) {
        host = &ph->hosts[i];

        if (host->key.len == 0
            || keys_file_find(shared, host->key.data, host->key.len) == NULL)
        {
            continue;
        }

        start = host->name.data;

        if (start > file->text && start[-1] == '/') {
            start--;
        }

        ngx_prom_hosts_error(ph, host, host->column
                             + (uint32_t) (host->type.data - start),
                             "the key of \"%.*s\" is also in "
                             "MONITORING_PROXY_PUBLIC_KEY; take it out of one "
                             "of them", (int) host->name.len, host->name.data);
    }

    keys_file_free(shared);

    return ph->errors;
}


const ngx_prom_hosts_t *
hosts_file_hosts(const hosts_file_t *file)
{
    return &file->hosts;
}


void
hosts_file_free(hosts_file_t *file)
{
    while (file->nallocs) {
        free(file->allocs[--file->nallocs]);
    }

    free(file->text);
    free(file);
}


static void *
hosts_file_alloc(void *data, size_t size)
{
    hosts_file_t  *file = data;

    if (file->nallocs == HOSTS_FILE_ALLOCS) {
        return NULL;
    }

    file->allocs[file->nallocs] = malloc(size);

    return file->allocs[file->nallocs++];
}


static void
hosts_file_error(void *data, uint32_t line, uint32_t column,
    const char *reason)
{
    hosts_file_t  *file = data;

    if (file->told) {
        fprintf(file->told, "%s:%u:%u: %s\n", file->path, line, column,
                reason);
    }
}
