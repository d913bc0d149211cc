/*
 * The lock of a zone.  The master lets go of what a worker held that died; and
 * so it must not wait itself for a worker that it hasn't looked after yet.
 */


#ifndef _NGX_PROM_LOCK_H_INCLUDED_
#define _NGX_PROM_LOCK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


void ngx_prom_lock(ngx_shmtx_t *mtx);

#define ngx_prom_unlock(mtx)  ngx_shmtx_unlock(mtx)


#endif /* _NGX_PROM_LOCK_H_INCLUDED_ */
