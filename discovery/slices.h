/*
 * The EndpointSlices that are known, as a list of the API server's has told,
 * and the events of a watch since then.
 */


#ifndef _DISCOVERY_SLICES_H_INCLUDED_
#define _DISCOVERY_SLICES_H_INCLUDED_


#include "slice.h"


#define SLICES_MAX       10000
#define SLICES_VERSION   128      /* bytes of a resourceVersion */
#define SLICES_CONTINUE  8192     /* ... of what stands for the next page */


/* all zeros is none */

typedef struct {
    slice_t   **slice;            /* IPv4 first, then by name */
    size_t      n;
    size_t      size;
} slices_t;


/* where a list, or a watch, has come to; its owner frees both */

typedef struct {
    buffer_t    version;
    buffer_t    next;             /* of a list's next page; empty: the last */
} slices_at_t;


typedef enum {
    EVENT_ADDED = 0,
    EVENT_MODIFIED,
    EVENT_DELETED,
    EVENT_BOOKMARK,
    EVENT_ERROR,
    EVENTS
} event_e;


/* an answer that is an error, or the event of one */

typedef struct {
    long        code;             /* as HTTP's; 0: there was none */
    reason_t    message;          /* "", if there was none */
} status_t;


typedef struct {
    event_e     type;
    int         changed;          /* the slices are */
    status_t    status;           /* of EVENT_ERROR */
} event_t;


/* adds what a page has; returns 0, or -1 with the reason */

int slices_page(slices_t *slices, slices_at_t *at, str_t text,
    const char *port, reason_t why);

/*
 * The line of an event changes the slices and the version.  Returns 0; or -1
 * with the reason, if it is none, and then what has changed isn't known.
 */

int slices_event(slices_t *slices, slices_at_t *at, str_t line,
    const char *port, event_t *event, reason_t why);

/* these are what there is; they are taken, and what was told stays so */

void slices_replace(slices_t *slices, slices_t *by);

/* returns 0, or -1: out of memory; places_free() frees in both cases */

int slices_places(const slices_t *slices, places_t *places);

void slices_free(slices_t *slices);

/* whatever text an answer has */

void status_parse(status_t *status, str_t text);


#endif /* _DISCOVERY_SLICES_H_INCLUDED_ */
