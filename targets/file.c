/*
 * A targets file by the grammar of the nginx module.
 */


#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "text.h"


#define TARGETS_FILE_ALLOCS  2        /* the targets, and the parser's hash */


struct targets_file_s {
    const char          *path;
    FILE                *told;
    char                *text;
    size_t               len;
    void                *allocs[TARGETS_FILE_ALLOCS];
    unsigned             nallocs;
    ngx_prom_targets_t   targets;
};


static int targets_file_parse(targets_file_t *file);
static void *targets_file_alloc(void *data, size_t size);
static void targets_file_error(void *data, uint32_t line, uint32_t column,
    const char *reason);


targets_file_t *
targets_file_load(const char *path, FILE *told)
{
    targets_file_t  *file;

    file = calloc(1, sizeof(targets_file_t));
    if (file == NULL) {
        text_fail(path, "out of memory", told);
        return NULL;
    }

    file->path = path;
    file->told = told;
    file->text = text_read(path, &file->len, told);

    if (file->text == NULL || targets_file_parse(file) == -1) {
        targets_file_free(file);
        return NULL;
    }

    return file;
}


const ngx_prom_targets_t *
targets_file_targets(const targets_file_t *file)
{
    return &file->targets;
}


int
targets_file_local(const ngx_prom_target_t *target)
{
    static const uint8_t  ipv4[4] = { 127, 0, 0, 1 };
    static const uint8_t  ipv6[16] = { [15] = 1 };

    switch (target->kind) {

    case NGX_PROM_ADDRESS_LOCALHOST:
        return 1;

    case NGX_PROM_ADDRESS_IPV4:
        return memcmp(target->ip, ipv4, sizeof(ipv4)) == 0;

    case NGX_PROM_ADDRESS_IPV6:
        return memcmp(target->ip, ipv6, sizeof(ipv6)) == 0;
    }

    return 0;
}


void
targets_file_free(targets_file_t *file)
{
    while (file->nallocs) {
        free(file->allocs[--file->nallocs]);
    }

    free(file->text);
    free(file);
}


static int
targets_file_parse(targets_file_t *file)
{
    ngx_prom_targets_t  *pt;

    pt = &file->targets;

    pt->alloc = targets_file_alloc;
    pt->error = targets_file_error;
    pt->data = file;

    switch (ngx_prom_targets_parse(pt, file->text, file->len)) {

    case 0:
        return 0;

    case -1:
        text_fail(file->path, "out of memory", file->told);
        return -1;
    }

    if (file->told && pt->errors > NGX_PROM_ERRORS_MAX) {
        fprintf(file->told, "%s: and %u more mistakes\n", file->path,
                pt->errors - NGX_PROM_ERRORS_MAX);
    }

    return -1;
}


static void *
targets_file_alloc(void *data, size_t size)
{
    targets_file_t  *file = data;

    if (file->nallocs == TARGETS_FILE_ALLOCS) {
        return NULL;
    }

    file->allocs[file->nallocs] = malloc(size);

    return file->allocs[file->nallocs++];
}


static void
targets_file_error(void *data, uint32_t line, uint32_t column,
    const char *reason)
{
    targets_file_t  *file = data;

    if (file->told) {
        fprintf(file->told, "%s:%u:%u: %s\n", file->path, line, column,
                reason);
    }
}
