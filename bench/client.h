/*
 * What the scrapers for measurements share: a connection to 127.0.0.1, a
 * request with Prometheus' headers, and the header of an answer.
 */


#ifndef _CLIENT_H_INCLUDED_
#define _CLIENT_H_INCLUDED_


#include <stddef.h>


#define CLIENT_HEADER_MAX  16384

/* a prime: stepping by it meets every number below any NAMES but its own
   multiples once before the first one returns */

#define CLIENT_STEP        7919


typedef struct {
    int          status;
    int          closed;     /* the connection ends behind this answer */
    size_t       header;     /* bytes, with the empty line */
    size_t       body;
} client_answer_t;


/* returns a socket, or -1 */

int client_connect(int port);

/*
 * Sends a GET of path, in which a "#" becomes the number, of five digits.
 * Returns 0, or -1.
 */

int client_request(int fd, const char *path, unsigned number);

/*
 * Reads the header in the string buf.  Returns 1, or 0 if it isn't whole yet,
 * or -1 if it has no Content-Length.
 */

int client_answer(const char *buf, client_answer_t *answer);

/* microseconds */

double client_now(void);

/* for qsort() of double */

int client_compare(const void *one, const void *two);


#endif /* _CLIENT_H_INCLUDED_ */
