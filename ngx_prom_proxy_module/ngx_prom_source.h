/*
 * Where the registry's targets come from: a targets file, a hosts file, a file
 * of WireGuard nodes, or several of them, which are one set then; and clients
 * that poll, beside these.
 */


#ifndef _NGX_PROM_SOURCE_H_INCLUDED_
#define _NGX_PROM_SOURCE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_prom_file.h"
#include "ngx_prom_poll_zone.h"
#include "ngx_prom_targets.h"


typedef enum {
    NGX_PROM_SOURCE_TARGETS = 0,
    NGX_PROM_SOURCE_HOSTS,
    NGX_PROM_SOURCE_NODES,
    NGX_PROM_SOURCES
} ngx_prom_source_e;


typedef struct {
    ngx_str_t            file;        /* empty: there is no such source */
    ngx_msec_t           interval;    /* of looking at it, 0 is never */
    ngx_uint_t           optional;    /* it may be missing */
} ngx_prom_source_t;


/* all sources as they were at one time */

typedef struct {
    ngx_prom_file_id_t   id[NGX_PROM_SOURCES];
    ngx_uint_t           polls;       /* version of the poll clients, or 0 */
} ngx_prom_sources_t;


/*
 * Reads, parses and merges all sources into one set of targets, in pool.
 * What is wrong with them goes to errors, as ngx_prom_file.h has it.  An
 * optional file that is missing holds nothing, unless used, the sources of
 * the set in use, have it.  read are the sources as they were read.
 * Returns NGX_OK; NGX_DECLINED if none of the files is there; NGX_ERROR if
 * one is wrong, missing, or not for us; NGX_AGAIN if one was changed
 * meanwhile; or NGX_ABORT if one could not be read for a reason that may pass.
 */

ngx_int_t ngx_prom_source_load(const ngx_prom_source_t *sources,
    const ngx_prom_sources_t *used, ngx_prom_targets_t *pt,
    ngx_prom_sources_t *read, ngx_array_t *errors, ngx_pool_t *pool);


/*
 * Adds the clients that poll to pt, in pool.  Those whose name pt has already
 * are left out, and go to hidden, an array of ngx_str_t.  *version is that of
 * all that were seen.
 */

ngx_int_t ngx_prom_source_polls(ngx_prom_poll_zone_t *zone,
    ngx_prom_targets_t *pt, ngx_uint_t *version, ngx_array_t *hidden,
    ngx_pool_t *pool);


#endif /* _NGX_PROM_SOURCE_H_INCLUDED_ */
