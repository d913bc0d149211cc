/*
 * It grows as it fills, and is a ring only once it is as large as it gets:
 * what is smaller is left where it is, to be rewound.
 */


#include <stdlib.h>
#include <string.h>

#include "pipe.h"


#define PIPE_MIN  (16 * 1024)


static int pipe_grow(pipe_t *p, size_t len);


size_t
pipe_room(const pipe_t *p)
{
    return PIPE_MAX - p->len;
}


int
pipe_put(pipe_t *p, const void *data, size_t len)
{
    size_t  at, n;

    if (p->size < PIPE_MAX && p->start + p->len + len > p->size
        && pipe_grow(p, len) == -1)
    {
        return -1;
    }

    at = p->start + p->len;
    at -= at >= p->size ? p->size : 0;

    n = p->size - at;
    n = n < len ? n : len;

    if (n) {
        memcpy(p->data + at, data, n);
    }

    if (len > n) {
        memcpy(p->data, (const char *) data + n, len - n);
    }

    p->len += len;

    return 0;
}


/* before it is a ring */

static int
pipe_grow(pipe_t *p, size_t len)
{
    char    *data;
    size_t   size;

    size = p->size ? p->size : PIPE_MIN;

    while (size < PIPE_MAX && size < p->start + p->len + len) {
        size *= 2;
    }

    data = realloc(p->data, size);

    if (data == NULL) {
        return -1;
    }

    p->data = data;
    p->size = size;

    return 0;
}


size_t
pipe_get(pipe_t *p, void *data, size_t len)
{
    size_t  n;

    len = len < p->len ? len : p->len;

    n = p->size - p->start;
    n = n < len ? n : len;

    if (n) {
        memcpy(data, p->data + p->start, n);
    }

    if (len > n) {
        memcpy((char *) data + n, p->data, len - n);
    }

    p->start += len;
    p->start -= p->size && p->start >= p->size && p->size == PIPE_MAX
                ? p->size : 0;
    p->len -= len;
    p->taken += len;

    return len;
}


int
pipe_rewind(pipe_t *p)
{
    /* all that ever came is here as long as it hasn't been all around */

    if (p->taken + p->len >= PIPE_MAX || p->start != p->taken) {
        return -1;
    }

    p->start = 0;
    p->len += (size_t) p->taken;
    p->taken = 0;

    return 0;
}


void
pipe_clear(pipe_t *p)
{
    if (p->size > PIPE_KEEP) {
        pipe_free(p);
    }

    p->start = 0;
    p->len = 0;
    p->taken = 0;
}


void
pipe_free(pipe_t *p)
{
    free(p->data);
    memset(p, 0, sizeof(*p));
}
