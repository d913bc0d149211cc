/*
 * A proxy's answer, which is anything until it was read.
 */


#ifndef _DISCOVERY_READER_H_INCLUDED_
#define _DISCOVERY_READER_H_INCLUDED_


#include "list.h"


/* what is told of the proxy, not by it */

typedef struct {
    const char   *address;        /* of each target */
    const char   *replica;        /* label of that name; NULL: none */
} reader_t;


/*
 * Of /targets, and of /clients of a PushProx proxy, where a target's name is
 * its address.  Returns 0, or -1 with the reason, and the list is empty.
 */

int reader_targets(const reader_t *reader, str_t text, list_t *list,
    reason_t why);
int reader_clients(const reader_t *reader, str_t text, list_t *list,
    reason_t why);


#endif /* _DISCOVERY_READER_H_INCLUDED_ */
