/*
 * The ports that sessions of shared keys were allowed, in a file that outlives
 * the service: such a session may take them as long as it lives, whatever the
 * files say by then.
 */


#ifndef _SESSIONS_GRANTS_H_INCLUDED_
#define _SESSIONS_GRANTS_H_INCLUDED_


#include <stdint.h>


typedef struct grants_s  grants_t;


/* opens the file in dir, or makes it; returns NULL with errno set */

grants_t *grants_open(int dir, const char *file);
void grants_close(grants_t *grants);

void grants_add(grants_t *grants, uint16_t first, uint16_t last);
int grants_has(const grants_t *grants, uint16_t port);

/* no such session is left */

void grants_clear(grants_t *grants);


#endif /* _SESSIONS_GRANTS_H_INCLUDED_ */
