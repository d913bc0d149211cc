/*
 * What a proxy lists: groups of one target each, as they are handed on, by
 * the name of the target.
 */


#ifndef _DISCOVERY_LIST_H_INCLUDED_
#define _DISCOVERY_LIST_H_INCLUDED_


#include "str.h"


typedef enum {
    CONNECTED_NO = 0,
    CONNECTED_UNKNOWN,            /* as it doesn't say */
    CONNECTED_YES
} connected_e;


/* name and line are pieces of the list's text */

typedef struct {
    size_t         name;
    size_t         line;          /* the group in JSON, without an end */
    unsigned       name_len;
    unsigned       line_len;
    connected_e    connected;
} group_t;


/* all zeros is an empty one */

typedef struct {
    buffer_t       text;
    group_t       *group;         /* by name; no two have one */
    size_t         n;
    size_t         size;
} list_t;


str_t list_name(const list_t *list, const group_t *group);
str_t list_line(const list_t *list, const group_t *group);

/* by bytes: less than, equal to, or greater than 0 */

int list_compare(str_t a, str_t b);

/*
 * Adds a group whose name and line were appended to the text, the name first.
 * Returns 0, or -1: out of memory.
 */

int list_add(list_t *list, size_t name, size_t line, connected_e connected);

/* sorts them, once all are added; the first one of a name stays */

void list_end(list_t *list);

void list_free(list_t *list);


#endif /* _DISCOVERY_LIST_H_INCLUDED_ */
