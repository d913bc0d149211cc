/*
 * Places: where proxies are, as a source of them tells.
 */


#ifndef _DISCOVERY_PLACES_H_INCLUDED_
#define _DISCOVERY_PLACES_H_INCLUDED_


#include "str.h"


typedef struct {
    char      *name;              /* of the proxy: its pod's, or the address */
    char      *address;           /* HOST:PORT, [IPv6]:PORT; asked, scraped */
} place_t;


/* all zeros is an empty one */

typedef struct {
    place_t   *place;             /* by name; no two have it or an address */
    size_t     n;
    size_t     size;
} places_t;


/*
 * Whoever looks for proxies hands over all that there are, each time that
 * these change, and once they are known at first.  The places are then the
 * handler's, who frees them.
 */

typedef void (*places_pt)(places_t *places);


/*
 * Adds a copy; one whose name or address is there already changes nothing.
 * Returns 0, or -1: out of memory.
 */

int places_add(places_t *places, str_t name, str_t address);

int places_equal(const places_t *a, const places_t *b);
void places_free(places_t *places);


/*
 * Whether it is HOST:PORT with a host that is a name or an address, IPv6 in
 * brackets, and a port of 1 to 65535; -1 with the reason if not.
 */

int place_address(const char *text, reason_t why);


#endif /* _DISCOVERY_PLACES_H_INCLUDED_ */
