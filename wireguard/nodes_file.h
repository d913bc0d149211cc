/*
 * A nodes file, read and parsed, beside wg0.conf and the files of other
 * targets.
 */


#ifndef _WIREGUARD_NODES_FILE_H_INCLUDED_
#define _WIREGUARD_NODES_FILE_H_INCLUDED_


#include <stdio.h>

#include "conf.h"
#include "ngx_prom_nodes.h"


typedef struct nodes_file_s  nodes_file_t;


/*
 * What is beside it, each may be NULL: the monitor's keys and addresses, and
 * the paths of files whose names must be others.  Such a file that can't be
 * read, or has mistakes, is passed over.
 */

typedef struct {
    const conf_t            *conf;
    const char              *targets;
    const char              *hosts;
} nodes_beside_t;


/*
 * Parses a text, which is copied.  Returns NULL after telling what is wrong,
 * as "PATH:LINE:COLUMN: reason", unless told is NULL.  The caller frees the
 * result; path must live as long.
 */

nodes_file_t *nodes_file_parse(const char *path, const char *text, size_t len,
    const nodes_beside_t *beside, FILE *told);

/* the same of a file; one that isn't there has no nodes */

nodes_file_t *nodes_file_load(const char *path, const nodes_beside_t *beside,
    FILE *told);

/* what is right in a text, whatever is wrong elsewhere; NULL: no memory */

nodes_file_t *nodes_file_right(const char *text, size_t len);

/* belongs to the file and lives as long */

const ngx_prom_nodes_t *nodes_file_nodes(const nodes_file_t *file);

void nodes_file_free(nodes_file_t *file);


#endif /* _WIREGUARD_NODES_FILE_H_INCLUDED_ */
