/*
 * A file that is changed as a whole, by one process at a time.
 */


#ifndef _COMMON_STORE_H_INCLUDED_
#define _COMMON_STORE_H_INCLUDED_


#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>


typedef struct store_s  store_t;


/*
 * Locks and reads the file, and makes an empty one of the mode if it isn't
 * there, unless that is 0.  Returns NULL after telling what is wrong, which
 * goes to told from then on.
 */

store_t *store_open(const char *path, mode_t make, FILE *told);

const char *store_text(const store_t *store, size_t *len);

/*
 * Gives the file another text: writes one beside it and renames that, or,
 * where that can't be, as it can't for a mounted file, writes in place.
 * Mode and owner stay.  Returns 0; or -1 after telling why, and the file is as
 * it was.
 */

int store_write(store_t *store, const char *text, size_t len);

void store_close(store_t *store);


#endif /* _COMMON_STORE_H_INCLUDED_ */
