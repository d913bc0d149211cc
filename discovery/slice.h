/*
 * An EndpointSlice: the addresses of what a Service selects, or a part of
 * them.
 */


#ifndef _DISCOVERY_SLICE_H_INCLUDED_
#define _DISCOVERY_SLICE_H_INCLUDED_


#include <jansson.h>

#include "places.h"


typedef enum {
    SLICE_IPV4 = 0,               /* of a pod with both, it is this that is */
    SLICE_IPV6,
    SLICE_FQDN
} slice_type_e;


typedef struct {
    char          *name;
    slice_type_e   type;
    places_t       places;
    unsigned       endpoints;     /* that it has, whatever they are */
    unsigned       skipped;       /* ... that can't be understood */
    int            portless;      /* it has no such port; not a mistake */
    reason_t       why;           /* of what was skipped at first, or "" */
    int            told;          /* the reason was */
} slice_t;


/*
 * port is its name or number.  An endpoint that can't be understood is
 * skipped, and a slice that can't is empty, with the reason; without a name,
 * there is none, and NULL with the reason is returned.
 */

slice_t *slice_parse(const json_t *object, const char *port, reason_t why);
void slice_free(slice_t *slice);

/* a string that is no longer than that, of visible ASCII, or NULL */

const char *slice_text(const json_t *object, const char *key, size_t max);


#endif /* _DISCOVERY_SLICE_H_INCLUDED_ */
