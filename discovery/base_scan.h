/*
 * Where in the text of a prometheus.yaml a job can be added.
 */


#ifndef _DISCOVERY_BASE_SCAN_H_INCLUDED_
#define _DISCOVERY_BASE_SCAN_H_INCLUDED_


#include "str.h"


typedef struct {
    size_t      at;               /* of the text: what is added goes here */
    size_t      key;              /* the column of scrape_configs */
    size_t      dash;             /* the column of its jobs' "-" */
    int         listed;           /* it has scrape_configs */
    size_t      blank;            /* of it, "null" or "[" and "]", which go: */
    size_t      blanks;           /* so many bytes from there */
    buffer_t    jobs;             /* names, '\0' in front of and behind each */
} base_scan_t;


/*
 * path is the text's, for the reason.  Returns 0, or -1 with the reason; scan
 * is freed by base_scan_free() in each case.
 */

int base_scan(base_scan_t *scan, const char *path, str_t text, reason_t why);
void base_scan_free(base_scan_t *scan);


/* the bytes of the line break that s starts with, or 0 */

size_t base_scan_break(str_t s);


#endif /* _DISCOVERY_BASE_SCAN_H_INCLUDED_ */
