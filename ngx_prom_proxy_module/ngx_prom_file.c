/*
 * Reads a targets file from disk and has it parsed; the one place that knows
 * how a mistake in it is told: "FILE:LINE:COLUMN: reason".
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_prom_file.h"


#define NGX_PROM_FILE_MAX    (64 * 1024 * 1024)

/* the longest text of ours, an errno's text and a reason of the grammar's */

#define NGX_PROM_FILE_ERROR  1024


typedef struct {
    ngx_str_t           *file;
    ngx_pool_t          *pool;
    ngx_array_t         *errors;
    ngx_prom_file_id_t  *id;
    ngx_int_t            rc;          /* of a file that can't be read */
} ngx_prom_file_ctx_t;


static void ngx_prom_file_identify(const ngx_file_info_t *fi,
    ngx_prom_file_id_t *id);
static char *ngx_prom_file_read(ngx_prom_file_ctx_t *ctx, size_t *len);
static char *ngx_prom_file_text(ngx_prom_file_ctx_t *ctx, ngx_fd_t fd,
    size_t *len);
static void *ngx_prom_file_alloc(void *data, size_t size);
static void ngx_prom_file_error(void *data, uint32_t line, uint32_t column,
    const char *reason);
static void ngx_cdecl ngx_prom_file_wrong(ngx_prom_file_ctx_t *ctx,
    ngx_err_t err, const char *fmt, ...);


ngx_err_t
ngx_prom_file_id(ngx_str_t *file, ngx_prom_file_id_t *id)
{
    ngx_file_info_t  fi;

    if (ngx_file_info(file->data, &fi) == NGX_FILE_ERROR) {
        ngx_memzero(id, sizeof(ngx_prom_file_id_t));
        return ngx_errno;
    }

    ngx_prom_file_identify(&fi, id);

    return 0;
}


static void
ngx_prom_file_identify(const ngx_file_info_t *fi, ngx_prom_file_id_t *id)
{
    ngx_memzero(id, sizeof(ngx_prom_file_id_t));

    id->device = fi->st_dev;
    id->inode = fi->st_ino;
    id->size = fi->st_size;
    id->mtime[0] = fi->st_mtim.tv_sec;
    id->mtime[1] = fi->st_mtim.tv_nsec;
    id->ctime[0] = fi->st_ctim.tv_sec;
    id->ctime[1] = fi->st_ctim.tv_nsec;
}


ngx_int_t
ngx_prom_file_load(ngx_str_t *file, ngx_prom_targets_t *pt,
    ngx_prom_file_id_t *id, ngx_array_t *errors, ngx_pool_t *pool)
{
    int                   rc;
    char                 *text;
    size_t                len;
    ngx_prom_file_ctx_t   ctx;

    ctx.file = file;
    ctx.pool = pool;
    ctx.errors = errors;
    ctx.id = id;
    ctx.rc = NGX_ERROR;

    /* of a file that can't be opened, too */

    (void) ngx_prom_file_id(file, id);

    text = ngx_prom_file_read(&ctx, &len);
    if (text == NULL) {
        return ctx.rc;
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

    if (rc == -1) {
        ngx_prom_file_wrong(&ctx, NGX_ENOMEM, ": cannot be parsed");
        return NGX_ABORT;
    }

    if (pt->errors > NGX_PROM_ERRORS_MAX) {
        ngx_prom_file_wrong(&ctx, 0, ": and %uD more mistakes",
                            pt->errors - NGX_PROM_ERRORS_MAX);
    }

    return NGX_ERROR;
}


static char *
ngx_prom_file_read(ngx_prom_file_ctx_t *ctx, size_t *len)
{
    char       *text;
    ngx_fd_t    fd;
    ngx_err_t   err;

    /* NONBLOCK: opening a fifo must not wait for its writer */

    fd = ngx_open_file(ctx->file->data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                       NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        err = ngx_errno;
        ngx_prom_file_wrong(ctx, err, ": cannot be opened");

        if (err != NGX_ENOENT && err != NGX_EACCES && err != NGX_ENOTDIR) {
            ctx->rc = NGX_ABORT;
        }

        return NULL;
    }

    text = ngx_prom_file_text(ctx, fd, len);

    (void) ngx_close_file(fd);

    return text;
}


static char *
ngx_prom_file_text(ngx_prom_file_ctx_t *ctx, ngx_fd_t fd, size_t *len)
{
    off_t                size;
    char                *text;
    size_t               n;
    ssize_t              rc;
    ngx_file_info_t      fi;
    ngx_prom_file_id_t   id;

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR) {
        ngx_prom_file_wrong(ctx, ngx_errno, ": cannot be examined");
        ctx->rc = NGX_ABORT;
        return NULL;
    }

    ngx_prom_file_identify(&fi, ctx->id);

    if (!ngx_is_file(&fi)) {
        ngx_prom_file_wrong(ctx, 0, ": is not a regular file");
        return NULL;
    }

    size = ngx_file_size(&fi);

    if (size > NGX_PROM_FILE_MAX) {
        ngx_prom_file_wrong(ctx, 0, ": has %O bytes, at most %d are allowed",
                            size, NGX_PROM_FILE_MAX);
        return NULL;
    }

    text = ngx_palloc(ctx->pool, size + 1);
    if (text == NULL) {
        ngx_prom_file_wrong(ctx, NGX_ENOMEM, ": cannot be read");
        ctx->rc = NGX_ABORT;
        return NULL;
    }

    /* one byte more than there should be: a file that grows is noticed */

    for (n = 0; n <= (size_t) size; n += rc) {
        rc = ngx_read_fd(fd, text + n, size + 1 - n);

        if (rc == -1) {
            ngx_prom_file_wrong(ctx, ngx_errno, ": cannot be read");
            ctx->rc = NGX_ABORT;
            return NULL;
        }

        if (rc == 0) {
            break;
        }
    }

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR) {
        ngx_prom_file_wrong(ctx, ngx_errno, ": cannot be examined");
        ctx->rc = NGX_ABORT;
        return NULL;
    }

    /* a link to it comes and goes, which changes nothing but the ctime */

    ngx_prom_file_identify(&fi, &id);
    ngx_memcpy(id.ctime, ctx->id->ctime, sizeof(id.ctime));

    if (n != (size_t) size
        || ngx_memcmp(&id, ctx->id, sizeof(ngx_prom_file_id_t)) != 0)
    {
        ngx_prom_file_wrong(ctx, 0, ": was changed while it was read, "
                                    "try again");
        ctx->rc = NGX_AGAIN;
        return NULL;
    }

    *len = n;

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
    ngx_prom_file_wrong(data, 0, ":%uD:%uD: %s", line, column, reason);
}


/* adds "FILE", what fmt says, and the error's text, if any */

static void ngx_cdecl
ngx_prom_file_wrong(ngx_prom_file_ctx_t *ctx, ngx_err_t err, const char *fmt,
    ...)
{
    u_char     *p, *last;
    va_list     args;
    ngx_str_t  *error;

    error = ngx_array_push(ctx->errors);
    if (error == NULL) {
        return;
    }

    p = ngx_pnalloc(ctx->pool, ctx->file->len + NGX_PROM_FILE_ERROR);
    if (p == NULL) {
        ctx->errors->nelts--;
        return;
    }

    error->data = p;
    last = p + ctx->file->len + NGX_PROM_FILE_ERROR;

    p = ngx_slprintf(p, last, "%V", ctx->file);

    va_start(args, fmt);
    p = ngx_vslprintf(p, last, fmt, args);
    va_end(args);

    if (err) {
        p = ngx_slprintf(p, last, " (%d: ", err);
        p = ngx_strerror(err, p, last - p);
        p = ngx_slprintf(p, last, ")");
    }

    error->len = p - error->data;
}
