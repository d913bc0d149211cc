/*
 * A hosts file, read and parsed.
 */


#ifndef _HOSTS_HOSTS_FILE_H_INCLUDED_
#define _HOSTS_HOSTS_FILE_H_INCLUDED_


#include <stdio.h>

#include "ngx_prom_hosts.h"


typedef struct hosts_file_s  hosts_file_t;


/*
 * targets is the path of the targets file, whose names must be others, or
 * NULL; one that can't be read or has mistakes is passed over.  Returns NULL
 * after telling what is wrong, as "FILE: reason" or "FILE:LINE:COLUMN:
 * reason", unless told is NULL.  The caller frees the result; path must live
 * as long.
 */

hosts_file_t *hosts_file_load(const char *path, const char *targets,
    FILE *told);

/* the same, but a file that isn't there has no hosts */

hosts_file_t *hosts_file_load_any(const char *path, FILE *told);

/* the same of a text, which is copied; path is for the messages */

hosts_file_t *hosts_file_parse(const char *path, const char *text, size_t len,
    const char *targets, FILE *told);

/*
 * Tells of hosts whose key is one of a file of shared keys, too; returns how
 * many.
 */

uint32_t hosts_file_shared(hosts_file_t *file, const char *keys);

/* belongs to the file and lives as long */

const ngx_prom_hosts_t *hosts_file_hosts(const hosts_file_t *file);

void hosts_file_free(hosts_file_t *file);


#endif /* _HOSTS_HOSTS_FILE_H_INCLUDED_ */
