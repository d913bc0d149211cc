/*
 * Reads a file from disk; the one place that knows how a mistake in it is
 * told: "FILE:LINE:COLUMN: reason".
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_prom_file.h"


#define NGX_PROM_FILE_MAX    (64 * 1024 * 1024)

/* the longest text of ours, an errno's text and a reason of the grammar's */

#define NGX_PROM_FILE_ERROR  1024


static void ngx_prom_file_identify(const ngx_file_info_t *fi,
    ngx_prom_file_id_t *id);
static ngx_int_t ngx_prom_file_text(ngx_prom_file_t *file, ngx_fd_t fd);


ngx_err_t
ngx_prom_file_id(const ngx_str_t *name, ngx_prom_file_id_t *id)
{
    ngx_file_info_t  fi;

    if (ngx_file_info(name->data, &fi) == NGX_FILE_ERROR) {
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
ngx_prom_file_read(ngx_prom_file_t *file)
{
    ngx_fd_t    fd;
    ngx_err_t   err;
    ngx_int_t   rc;

    /* of a file that can't be opened, too */

    (void) ngx_prom_file_id(file->name, &file->id);

    /* NONBLOCK: opening a fifo must not wait for its writer */

    fd = ngx_open_file(file->name->data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                       NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        err = ngx_errno;
        ngx_prom_file_wrong(file, err, ": cannot be opened");

        return (err == NGX_ENOENT || err == NGX_EACCES || err == NGX_ENOTDIR)
               ? NGX_ERROR : NGX_ABORT;
    }

    rc = ngx_prom_file_text(file, fd);

    (void) ngx_close_file(fd);

    return rc;
}


static ngx_int_t
ngx_prom_file_text(ngx_prom_file_t *file, ngx_fd_t fd)
{
    off_t                size;
    char                *text;
    size_t               n;
    ssize_t              rc;
    ngx_file_info_t      fi;
    ngx_prom_file_id_t   id;

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR) {
        ngx_prom_file_wrong(file, ngx_errno, ": cannot be examined");
        return NGX_ABORT;
    }

    ngx_prom_file_identify(&fi, &file->id);

    if (!ngx_is_file(&fi)) {
        ngx_prom_file_wrong(file, 0, ": is not a regular file");
        return NGX_ERROR;
    }

    size = ngx_file_size(&fi);

    if (size > NGX_PROM_FILE_MAX) {
        ngx_prom_file_wrong(file, 0, ": has %O bytes, at most %d are allowed",
                            size, NGX_PROM_FILE_MAX);
        return NGX_ERROR;
    }

    text = ngx_palloc(file->pool, size + 1);
    if (text == NULL) {
        ngx_prom_file_wrong(file, NGX_ENOMEM, ": cannot be read");
        return NGX_ABORT;
    }

    /* one byte more than there should be: a file that grows is noticed */

    for (n = 0; n <= (size_t) size; n += rc) {
        rc = ngx_read_fd(fd, text + n, size + 1 - n);

        if (rc == -1) {
            ngx_prom_file_wrong(file, ngx_errno, ": cannot be read");
            return NGX_ABORT;
        }

        if (rc == 0) {
            break;
        }
    }

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR) {
        ngx_prom_file_wrong(file, ngx_errno, ": cannot be examined");
        return NGX_ABORT;
    }

    /* a link to it comes and goes, which changes nothing but the ctime */

    ngx_prom_file_identify(&fi, &id);
    ngx_memcpy(id.ctime, file->id.ctime, sizeof(id.ctime));

    if (n != (size_t) size
        || ngx_memcmp(&id, &file->id, sizeof(ngx_prom_file_id_t)) != 0)
    {
        ngx_prom_file_wrong(file, 0, ": was changed while it was read, "
                                     "try again");
        return NGX_AGAIN;
    }

    file->text = text;
    file->len = n;

    return NGX_OK;
}


void ngx_cdecl
ngx_prom_file_wrong(ngx_prom_file_t *file, ngx_err_t err, const char *fmt, ...)
{
    u_char     *p, *last;
    va_list     args;
    ngx_str_t  *error;

    error = ngx_array_push(file->errors);
    if (error == NULL) {
        return;
    }

    p = ngx_pnalloc(file->pool, file->name->len + NGX_PROM_FILE_ERROR);
    if (p == NULL) {
        file->errors->nelts--;
        return;
    }

    error->data = p;
    last = p + file->name->len + NGX_PROM_FILE_ERROR;

    p = ngx_slprintf(p, last, "%V", file->name);

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
