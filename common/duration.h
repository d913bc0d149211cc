/*
 * Durations as Go writes them: 1m30s, 500ms, 1.5h.
 */


#ifndef _COMMON_DURATION_H_INCLUDED_
#define _COMMON_DURATION_H_INCLUDED_


#include "str.h"


/* in ms, rounded up, at most a day; or -1 with the reason */

long duration_parse(const char *text, reason_t why);


#endif /* _COMMON_DURATION_H_INCLUDED_ */
