/*
 * A targets file, read and parsed.
 */


#ifndef _TARGETS_FILE_H_INCLUDED_
#define _TARGETS_FILE_H_INCLUDED_


#include "ngx_prom_targets.h"


typedef struct targets_file_s  targets_file_t;


/*
 * Returns NULL after telling on stderr what is wrong, as "FILE: reason" or
 * "FILE:LINE:COLUMN: reason".  The caller frees the result.
 */

targets_file_t *targets_file_load(const char *path);

/* belongs to the file and lives as long */

const ngx_prom_targets_t *targets_file_targets(const targets_file_t *file);

void targets_file_free(targets_file_t *file);


#endif /* _TARGETS_FILE_H_INCLUDED_ */
