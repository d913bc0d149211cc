/*
 * What the file of a proxy's list is called.
 */


#ifndef _DISCOVERY_LIST_PATH_H_INCLUDED_
#define _DISCOVERY_LIST_PATH_H_INCLUDED_


#include "output.h"


#define LIST_SUFFIX    ".json"
#define LIST_PUSHPROX  "pushprox"             /* the directory of theirs */


/* a proxy's name, bytes but [A-Za-z0-9._-] as %XX */

void list_name(buffer_t *b, const char *name);

/* the path of its file in the directory of the lists */

void list_path(buffer_t *b, const output_list_t *list);


#endif /* _DISCOVERY_LIST_PATH_H_INCLUDED_ */
