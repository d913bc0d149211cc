/*
 * What the file of a proxy's list is called.
 */


#ifndef _DISCOVERY_PATH_H_INCLUDED_
#define _DISCOVERY_PATH_H_INCLUDED_


#include "output.h"


#define PATH_SUFFIX    ".json"
#define PATH_PUSHPROX  "pushprox"             /* the directory of theirs */


/* a proxy's name, bytes but [A-Za-z0-9._-] as %XX */

void path_escape(buffer_t *b, const char *name);

/* the path of its file in the directory of the lists */

void path_list(buffer_t *b, const output_list_t *list);


#endif /* _DISCOVERY_PATH_H_INCLUDED_ */
