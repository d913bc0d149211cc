/*
 * A file that is changed as a whole, by one process at a time.
 */


#ifndef _HOSTS_STORE_H_INCLUDED_
#define _HOSTS_STORE_H_INCLUDED_


#include <stddef.h>


typedef struct store_s  store_t;


/*
 * Locks and reads the file, and makes an empty one if it isn't there and may
 * be made.  Returns NULL after telling on stderr what is wrong.
 */

store_t *store_open(const char *path, int make);

const char *store_text(const store_t *store, size_t *len);

/*
 * Gives the file another text: writes one beside it and renames that, or,
 * where that can't be, as it can't for a mounted file, writes in place.
 * Mode and owner stay.  Returns 0; or -1 after telling on stderr, and the file
 * is as it was.
 */

int store_write(store_t *store, const char *text, size_t len);

void store_close(store_t *store);


#endif /* _HOSTS_STORE_H_INCLUDED_ */
