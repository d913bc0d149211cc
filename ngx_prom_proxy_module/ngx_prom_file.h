/*
 * A file on disk: its identity, which differs after any change, its text, and
 * what is wrong with it, told as "FILE:LINE:COLUMN: reason".
 */


#ifndef _NGX_PROM_FILE_H_INCLUDED_
#define _NGX_PROM_FILE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* all zero if there is no such file; compared as a whole */

typedef struct {
    uint64_t             device;
    uint64_t             inode;
    uint64_t             size;
    int64_t              mtime[2];    /* seconds, nanoseconds */
    int64_t              ctime[2];
} ngx_prom_file_id_t;


#define ngx_prom_file_missing(id)                                            \
    ((id)->inode == 0 && (id)->device == 0)


/*
 * A file that is being read.  Its mistakes go to errors, an array of
 * ngx_str_t; nothing is logged, so that any thread may read it.
 */

typedef struct {
    const ngx_str_t     *name;        /* set by the caller, as are these: */
    ngx_array_t         *errors;
    ngx_pool_t          *pool;

    ngx_prom_file_id_t   id;          /* of what was read */
    char                *text;        /* text[len] is writable */
    size_t               len;
} ngx_prom_file_t;


/* returns 0, or the error if there is none */

ngx_err_t ngx_prom_file_id(const ngx_str_t *name, ngx_prom_file_id_t *id);

/*
 * Returns NGX_OK; NGX_ERROR if the file is missing, or not for us; NGX_AGAIN
 * if it was changed meanwhile; or NGX_ABORT if it could not be read for a
 * reason that may pass.
 */

ngx_int_t ngx_prom_file_read(ngx_prom_file_t *file);

/* adds the file's name, what fmt says, and the text of err unless it is 0 */

void ngx_cdecl ngx_prom_file_wrong(ngx_prom_file_t *file, ngx_err_t err,
    const char *fmt, ...);


#endif /* _NGX_PROM_FILE_H_INCLUDED_ */
