/*
 * Reads a targets file from disk and has it parsed; the one place that knows
 * how a mistake in it is told: "FILE:LINE:COLUMN: reason".
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_prom_registry.h"


#define NGX_PROM_FILE_MAX    (64 * 1024 * 1024)


typedef struct {
    ngx_str_t           *file;
    ngx_pool_t          *pool;
    ngx_uint_t           level;
} ngx_prom_file_ctx_t;


static char *ngx_prom_file_read(ngx_prom_file_ctx_t *ctx, size_t *len);
static void *ngx_prom_file_alloc(void *data, size_t size);
static void ngx_prom_file_error(void *data, uint32_t line, uint32_t column,
    const char *reason);


ngx_int_t
ngx_prom_file_load(ngx_str_t *file, ngx_prom_targets_t *pt, ngx_pool_t *pool,
    ngx_uint_t level)
{
    int                   rc;
    char                 *text;
    size_t                len;
    ngx_prom_file_ctx_t   ctx;

    ctx.file = file;
    ctx.pool = pool;
    ctx.level = level;

    text = ngx_prom_file_read(&ctx, &len);
    if (text == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(pt, sizeof(ngx_prom_targets_t));

    pt->alloc = ngx_prom_file_alloc;
    pt->error = ngx_prom_file_error;
    pt->data = &ctx;

    rc = ngx_prom_targets_parse(pt, text, len);

    pt->data = NULL;

    if (rc == 0) {
        return NGX_OK;
    }

    if (pt->errors > NGX_PROM_ERRORS_MAX) {
        ngx_log_error(level, pool->log, 0, "%V: and %uD more mistakes",
                      file, pt->errors - NGX_PROM_ERRORS_MAX);
    }

    return NGX_ERROR;
}


static char *
ngx_prom_file_read(ngx_prom_file_ctx_t *ctx, size_t *len)
{
    off_t             size;
    char             *text;
    size_t            n;
    ssize_t           rc;
    ngx_fd_t          fd;
    ngx_file_info_t   fi;

    text = NULL;

    /* NONBLOCK: opening a fifo must not wait for its writer */

    fd = ngx_open_file(ctx->file->data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                       NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_log_error(ctx->level, ctx->pool->log, ngx_errno,
                      "%V: cannot be opened", ctx->file);
        return NULL;
    }

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR) {
        ngx_log_error(ctx->level, ctx->pool->log, ngx_errno,
                      "%V: cannot be examined", ctx->file);
        goto done;
    }

    if (!ngx_is_file(&fi)) {
        ngx_log_error(ctx->level, ctx->pool->log, 0,
                      "%V: is not a regular file", ctx->file);
        goto done;
    }

    size = ngx_file_size(&fi);

    if (size > NGX_PROM_FILE_MAX) {
        ngx_log_error(ctx->level, ctx->pool->log, 0,
                      "%V: has %O bytes, at most %d are allowed",
                      ctx->file, size, NGX_PROM_FILE_MAX);
        goto done;
    }

    text = ngx_palloc(ctx->pool, size + 1);
    if (text == NULL) {
        goto done;
    }

    /* one byte more than there should be: a file that grows is noticed */

    for (n = 0; n <= (size_t) size; n += rc) {
        rc = ngx_read_fd(fd, text + n, size + 1 - n);

        if (rc == -1) {
            ngx_log_error(ctx->level, ctx->pool->log, ngx_errno,
                          "%V: cannot be read", ctx->file);
            text = NULL;
            goto done;
        }

        if (rc == 0) {
            break;
        }
    }

    if (n != (size_t) size) {
        ngx_log_error(ctx->level, ctx->pool->log, 0,
                      "%V: was changed while it was read, try again",
                      ctx->file);
        text = NULL;
        goto done;
    }

    *len = n;

done:

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, ctx->pool->log, ngx_errno,
                      ngx_close_file_n " \"%V\" failed", ctx->file);
    }

    return text;
}


static void *
ngx_prom_file_alloc(void *data, size_t size)
{
    ngx_prom_file_ctx_t  *ctx = data;

    return ngx_palloc(ctx->pool, size);
}


static void
ngx_prom_file_error(void *data, uint32_t line, uint32_t column,
    const char *reason)
{
    ngx_prom_file_ctx_t  *ctx = data;

    ngx_log_error(ctx->level, ctx->pool->log, 0, "%V:%uD:%uD: %s",
                  ctx->file, line, column, reason);
}
