/*
 * A targets file, read and parsed.
 */


#ifndef _TARGETS_FILE_H_INCLUDED_
#define _TARGETS_FILE_H_INCLUDED_


#include <stdio.h>

#include "ngx_prom_targets.h"


typedef struct targets_file_s  targets_file_t;


/*
 * Returns NULL after telling what is wrong, as "FILE: reason" or
 * "FILE:LINE:COLUMN: reason", unless told is NULL.  The caller frees the
 * result; path must live as long.
 */

targets_file_t *targets_file_load(const char *path, FILE *told);

/* belongs to the file and lives as long */

const ngx_prom_targets_t *targets_file_targets(const targets_file_t *file);

/* may an ssh tunnel listen there: one of its listeners is at localhost */

int targets_file_local(const ngx_prom_target_t *target);

void targets_file_free(targets_file_t *file);


#endif /* _TARGETS_FILE_H_INCLUDED_ */
