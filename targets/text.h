/*
 * The text of a file.
 */


#ifndef _TARGETS_TEXT_H_INCLUDED_
#define _TARGETS_TEXT_H_INCLUDED_


#include <stddef.h>
#include <stdio.h>


/*
 * Returns the text, with room for a byte more, for the caller to free; or NULL
 * after telling why as "FILE: reason", unless told is NULL.
 */

char *text_read(const char *path, size_t *len, FILE *told);

/* tells "FILE: reason", unless told is NULL */

void text_fail(const char *path, const char *reason, FILE *told);


#endif /* _TARGETS_TEXT_H_INCLUDED_ */
