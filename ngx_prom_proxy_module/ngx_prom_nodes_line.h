/*
 * What the files of the nodes grammar share.
 */


#ifndef _NGX_PROM_NODES_LINE_H_INCLUDED_
#define _NGX_PROM_NODES_LINE_H_INCLUDED_


#include "ngx_prom_hosts_line.h"
#include "ngx_prom_nodes.h"


/* tells of targets that two nodes make; returns -1 if there is no memory */

int ngx_prom_nodes_meet(ngx_prom_nodes_t *pn);


#endif /* _NGX_PROM_NODES_LINE_H_INCLUDED_ */
