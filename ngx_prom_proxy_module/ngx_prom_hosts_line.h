/*
 * What the files of the hosts grammar share.
 */


#ifndef _NGX_PROM_HOSTS_LINE_H_INCLUDED_
#define _NGX_PROM_HOSTS_LINE_H_INCLUDED_


#include "ngx_prom_hosts.h"
#include "ngx_prom_targets_line.h"


/*
 * What stands behind the key: port=, ports= and labels, in any order; goes on
 * behind mistakes where it can.
 */

void ngx_prom_hosts_words(ngx_prom_line_t *pl, ngx_prom_host_t *host);

/*
 * Tells of ports and targets that two hosts have; names are those of all
 * lines.  Returns -1 if there is no memory.
 */

int ngx_prom_hosts_meet(ngx_prom_hosts_t *ph, const ngx_prom_seen_t *names);

/* a mistake that is told behind the lines */

void ngx_prom_hosts_error(ngx_prom_hosts_t *ph, const ngx_prom_host_t *host,
    uint32_t column, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));


#endif /* _NGX_PROM_HOSTS_LINE_H_INCLUDED_ */
