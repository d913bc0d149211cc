/*
 * Files that others read while they are written.
 */


#ifndef _DISCOVERY_FILE_H_INCLUDED_
#define _DISCOVERY_FILE_H_INCLUDED_


#include "str.h"


/* appends a regular file's text, at most so much; 0, or -1 with the reason */

int file_read(const char *path, size_t max, buffer_t *text, reason_t why);

/* whether this is the file's text */

int file_is(const char *path, str_t text);

/*
 * Gives the file this text as a whole: by a rename, or in place where it is
 * mounted by itself.  A new one can be read by all, another keeps its mode.
 * Returns 0, or -1 with the reason, and the file is as it was.
 */

int file_write(const char *path, str_t text, reason_t why);

/* whether that can be done, as far as can be told; 0, or -1 with the reason */

int file_is_writable(const char *path, reason_t why);

/* the path less its last part; "." if there is no other */

void file_directory(buffer_t *b, const char *path);

/* -1, after the reason: what errno says of the path, and what to do then */

int file_fail(reason_t why, const char *path);


#endif /* _DISCOVERY_FILE_H_INCLUDED_ */
