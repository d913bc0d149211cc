/*
 * STATE's copy of a user's file.  What comes next is written beside it and
 * takes its place once it was checked.  Where STATE can't be written, as it is
 * full, memory holds the text: who is revoked is not to wait for room.
 */


#ifndef _SESSIONS_COPY_H_INCLUDED_
#define _SESSIONS_COPY_H_INCLUDED_


#include <stddef.h>
#include <stdio.h>


#define COPY_MEMORY  32


typedef struct {
    char                *path;
    char                *new;
    int                  error;       /* why there is a text in memory */
    int                  fd;          /* of the one in use, or -1 */
    int                  next_fd;     /* of the next, or -1 */
    char                 memory[COPY_MEMORY];     /* their paths */
    char                 next[COPY_MEMORY];
} copy_t;


/* returns -1 without memory; to be closed in any case */

int copy_open(copy_t *copy, const char *state, const char *name);
void copy_close(copy_t *copy);

/* the path of what is in use */

const char *copy_current(const copy_t *copy);

/* these return 0, or -1 with errno set */

int copy_write(copy_t *copy, const char *text, size_t len);

/* the same of a file's text; tells why not */

int copy_file(copy_t *copy, const char *from, FILE *told);
int copy_commit(copy_t *copy);

/* the path of what was written, which is gone with the discard */

const char *copy_next(const copy_t *copy);
void copy_discard(copy_t *copy);

/* is what was written the same as what is in use: as text, as a set of keys */

int copy_same(const copy_t *copy);
int copy_same_keys(const copy_t *copy);

/* tries to write what memory has */

void copy_save(copy_t *copy);


#endif /* _SESSIONS_COPY_H_INCLUDED_ */
