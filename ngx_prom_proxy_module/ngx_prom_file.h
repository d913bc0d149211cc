/*
 * A targets file on disk: its identity, which differs after any change, and
 * its text, read and parsed.
 */


#ifndef _NGX_PROM_FILE_H_INCLUDED_
#define _NGX_PROM_FILE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_prom_targets.h"


/* all zero if there is no such file; compared as a whole */

typedef struct {
    uint64_t             device;
    uint64_t             inode;
    uint64_t             size;
    int64_t              mtime[2];    /* seconds, nanoseconds */
    int64_t              ctime[2];
} ngx_prom_file_id_t;


/* returns 0, or the error if there is none */

ngx_err_t ngx_prom_file_id(ngx_str_t *file, ngx_prom_file_id_t *id);

/*
 * Reads and parses a targets file, into pool.  What is wrong with it goes
 * to errors, an array of ngx_str_t: "FILE:LINE:COLUMN: reason" each; nothing
 * is logged, so that any thread may call it.  id is that of what was read.
 * Returns NGX_OK; NGX_ERROR if the file is wrong, missing, or not for us;
 * NGX_AGAIN if it was changed meanwhile; or NGX_ABORT if it could not be
 * read for a reason that may pass.
 */

ngx_int_t ngx_prom_file_load(ngx_str_t *file, ngx_prom_targets_t *pt,
    ngx_prom_file_id_t *id, ngx_array_t *errors, ngx_pool_t *pool);


#endif /* _NGX_PROM_FILE_H_INCLUDED_ */
