/*
 * A secret in a file, read when it is needed: its first line.
 */


#ifndef _TOKEN_SECRET_FILE_H_INCLUDED_
#define _TOKEN_SECRET_FILE_H_INCLUDED_


#include "str.h"


#define SECRET_FILE_MAX  16384        /* bytes */


/* appends it to what wipe_free() frees; returns 0, or -1 with the reason */

int secret_file_read(const char *path, buffer_t *secret, reason_t why);


#endif /* _TOKEN_SECRET_FILE_H_INCLUDED_ */
