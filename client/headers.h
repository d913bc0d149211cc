/*
 * Lines of a header, and which of them go on to the next hop.
 */


#ifndef _CLIENT_HEADERS_H_INCLUDED_
#define _CLIENT_HEADERS_H_INCLUDED_


#include "str.h"


#define HEADERS_MAX  128


typedef struct {
    str_t     name;
    str_t     value;
} header_t;


typedef struct {
    header_t  line[HEADERS_MAX];
    unsigned  n;
} headers_t;


/*
 * Reads a line, without its end, which goes on to lie where it does.  Returns
 * 0, or -1 with the reason: it is none, or there are too many.
 */

int headers_line(headers_t *headers, str_t line, reason_t why);

/* the value of the first with that name, or one whose start is NULL */

str_t headers_find(const headers_t *headers, const char *name);

/*
 * Whether it is for this hop alone, or concerns the body's length, which each
 * hop tells for itself, or names this scrape.
 */

int headers_is_hop(const headers_t *headers, const header_t *header);


#endif /* _CLIENT_HEADERS_H_INCLUDED_ */
