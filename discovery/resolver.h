/*
 * Look-ups of names in the loop, by c-ares: /etc/hosts and /etc/resolv.conf
 * are minded as the C library minds them.
 */


#ifndef _DISCOVERY_RESOLVER_H_INCLUDED_
#define _DISCOVERY_RESOLVER_H_INCLUDED_


#include "str.h"


#define RESOLVER_HOST  256        /* bytes of a name, with its '\0' */


/* an address, IPv6 without brackets, or the target of an SRV record */

typedef struct {
    char       host[RESOLVER_HOST];
    unsigned   port;              /* of an SRV record */
} resolver_record_t;


/*
 * Is called once for each look-up, never from inside of the function that has
 * begun it; records stay the resolver's.  why is NULL if it has succeeded, and
 * there is a record then.
 */

typedef void (*resolver_done_pt)(void *data, const resolver_record_t *records,
    size_t n, const char *why);


/* return 0, or -1: out of memory */

/*
 * Those of IPv4, or those of IPv6 if it has none: a host that has both is one
 * host, and which of its addresses belong together can't be told.
 */

int resolver_addresses(const char *host, resolver_done_pt done, void *data);

int resolver_services(const char *name, resolver_done_pt done, void *data);


/* nothing is called any more */

void resolver_close(void);


#endif /* _DISCOVERY_RESOLVER_H_INCLUDED_ */
