/*
 * What a change of the hosts file came to, in a line of the log.
 */


#ifndef _SESSIONS_CHANGES_H_INCLUDED_
#define _SESSIONS_CHANGES_H_INCLUDED_


#include "ngx_prom_hosts.h"


void changes_log(const char *path, const ngx_prom_hosts_t *before,
    const ngx_prom_hosts_t *after);


#endif /* _SESSIONS_CHANGES_H_INCLUDED_ */
