/*
 * Bytes on their way from one transfer to another, of which no more than
 * PIPE_MAX wait.
 */


#ifndef _CLIENT_PIPE_H_INCLUDED_
#define _CLIENT_PIPE_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#define PIPE_MAX   (256 * 1024)
#define PIPE_KEEP  (128 * 1024)   /* of memory, when it isn't used */


typedef struct {
    char      *data;
    size_t     size;
    size_t     start;             /* of those that wait */
    size_t     len;
    uint64_t   taken;
} pipe_t;


size_t pipe_room(const pipe_t *p);

/* takes all of it, for which there must be room: 0, or -1: out of memory */

int pipe_put(pipe_t *p, const void *data, size_t len);

/* gives so many at most, and returns how many they are */

size_t pipe_get(pipe_t *p, void *data, size_t len);

/* makes all that were given wait again: 0, or -1 if they are gone */

int pipe_rewind(pipe_t *p);

void pipe_clear(pipe_t *p);
void pipe_free(pipe_t *p);


#endif /* _CLIENT_PIPE_H_INCLUDED_ */
