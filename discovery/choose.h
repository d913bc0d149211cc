/*
 * Which of the proxies that list a target it is listed at.
 */


#ifndef _DISCOVERY_CHOOSE_H_INCLUDED_
#define _DISCOVERY_CHOOSE_H_INCLUDED_


#include "list.h"


/* a proxy, of several in the order of their names, and what it lists */

typedef struct {
    const char     *name;
    const list_t   *list;
    int             stale;        /* it didn't answer when it was last asked */
} choose_from_t;


/* who had each target last; all zeros: nobody */

typedef struct {
    buffer_t        text;         /* names of targets, in their order */
    struct {
        size_t      end;          /* of its name in the text */
        size_t      from;
    }              *target;
    size_t          n;
    size_t          size;
    buffer_t        names;        /* of proxies, each with its '\0' */
    size_t          nnames;
} choose_last_t;


/* line is that of from[i].list */

typedef void (*choose_pt)(void *data, size_t i, str_t line);


/*
 * Hands out what is chosen, by the names of targets.  Once: each target is at
 * one proxy; else at all but those that know that it isn't connected to them.
 * Returns 0, or -1: out of memory.
 */

int choose(choose_last_t *last, const choose_from_t *from, size_t n, int once,
    choose_pt chosen, void *data);

void choose_forget(choose_last_t *last);


#endif /* _DISCOVERY_CHOOSE_H_INCLUDED_ */
