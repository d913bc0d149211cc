/*
 * The configuration that Prometheus is to have: the base, and the jobs of the
 * proxies that were found.
 */


#ifndef _DISCOVERY_CONFIG_H_INCLUDED_
#define _DISCOVERY_CONFIG_H_INCLUDED_


#include "base.h"
#include "output.h"


/*
 * Appends it; directory is that of the lists, as Prometheus has it, and
 * pushprox those of its lists that are told of by a job each.
 */

void config_write(const base_t *base, const char *directory,
    const output_list_t *lists, size_t n, buffer_t *to);

/* whether the path of a directory can stand in a pattern of Prometheus' */

int config_directory(const char *path, reason_t why);


#endif /* _DISCOVERY_CONFIG_H_INCLUDED_ */
