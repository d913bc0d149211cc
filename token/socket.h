/*
 * The socket that nginx's workers connect to: each is told all at once, and
 * then what changes.
 */


#ifndef _TOKEN_SOCKET_H_INCLUDED_
#define _TOKEN_SOCKET_H_INCLUDED_


#include "str.h"


/* appends all that a new worker is told */

typedef void (*socket_greet_pt)(buffer_t *lines);

/* a line that a worker has sent; returns 0, or -1 if it makes no sense */

typedef int (*socket_line_pt)(str_t line);


/*
 * Whoever may enter the directory of path may connect.  max is how many bytes
 * may wait for a worker that doesn't read.  Returns 0, or -1 with the reason.
 */

int socket_open(const char *path, size_t max, socket_greet_pt greet,
    socket_line_pt line, reason_t why);
void socket_close(void);

void socket_tell(const buffer_t *lines);


#endif /* _TOKEN_SOCKET_H_INCLUDED_ */
