/*
 * What the files of the hosts grammar share, and those of nodes with them.
 */


#ifndef _NGX_PROM_HOSTS_LINE_H_INCLUDED_
#define _NGX_PROM_HOSTS_LINE_H_INCLUDED_


#include "ngx_prom_hosts.h"
#include "ngx_prom_targets_line.h"


/* targets that are added to those of other files */

typedef struct {
    ngx_prom_target_t   *first;       /* all of them, the old ones first */
    ngx_prom_target_t   *target;      /* the next one that is added */
    char                *text;        /* where its texts go */
    ngx_prom_seen_t      names;       /* old ones by name, counted from 1 */
} ngx_prom_merge_t;


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

/*
 * EXPORTER:PORT,... of "ports=", which is the next word, of the host or node
 * with that name: tells of mistakes, packs it to the left of the labels, and
 * returns 1.  *ports is how many there are, from 1.
 */

int ngx_prom_exporters_parse(ngx_prom_line_t *pl, const ngx_prom_text_t *name,
    ngx_prom_text_t *exporters, uint16_t *ports);

/* walks them: *pos is 0 at first; returns 0 behind the last */

int ngx_prom_exporters_next(const ngx_prom_text_t *exporters, size_t *pos,
    ngx_prom_text_t *name, uint16_t *port);

/* bytes of a name in front of its last "/", or 0 */

size_t ngx_prom_exporters_parent(const ngx_prom_text_t *name);

/* is the last segment of the name one of them */

int ngx_prom_exporters_have(const ngx_prom_text_t *exporters,
    const ngx_prom_text_t *name);

/*
 * Makes room for count more targets with texts of so many bytes.  Returns -1
 * if there is no memory.
 */

int ngx_prom_merge_start(ngx_prom_merge_t *merge, const ngx_prom_targets_t *pt,
    size_t count, size_t bytes);

/* names the target, NAME or NAME/EXPORTER, for which there is text */

void ngx_prom_merge_name(ngx_prom_merge_t *merge, ngx_prom_target_t *target,
    const ngx_prom_text_t *name, const ngx_prom_text_t *exporter);

/* the old target with the same name, or NULL */

const ngx_prom_target_t *ngx_prom_merge_find(const ngx_prom_merge_t *merge,
    const ngx_prom_target_t *target);

/* adds what was filled in */

void ngx_prom_merge_end(const ngx_prom_merge_t *merge, ngx_prom_targets_t *pt);

/* a mistake that is told behind the lines */

void ngx_prom_hosts_error(ngx_prom_hosts_t *ph, const ngx_prom_host_t *host,
    uint32_t column, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));


#endif /* _NGX_PROM_HOSTS_LINE_H_INCLUDED_ */
