/*
 * A question to a proxy: one GET, and the whole answer, if it isn't too much.
 */


#ifndef _DISCOVERY_ASK_H_INCLUDED_
#define _DISCOVERY_ASK_H_INCLUDED_


#include "transfer.h"


#define ASK_ETAG  128             /* bytes, with their end */


/* status is 0 where there was no answer, and why says what was instead */

typedef void (*ask_done_pt)(void *data, long status, str_t body, reason_t why);


typedef struct {
    transfer_t           transfer;
    buffer_t             url;
    struct curl_slist   *headers;
    buffer_t             body;
    int                  refused;           /* it is longer than it may be */
    char                 etag[ASK_ETAG];    /* of the answer, or "" */
    ask_done_pt          done;
    void                *data;              /* NULL: it isn't in use */
} ask_t;


/*
 * These return 0, or -1: out of memory.  Unless etag is "", the status is 304
 * where the answer would have this one.
 */

int ask_open(ask_t *ask);
int ask_start(ask_t *ask, const char *address, const char *path,
    const char *etag, ask_done_pt done, void *data);

void ask_stop(ask_t *ask);        /* done isn't called */
void ask_close(ask_t *ask);


#endif /* _DISCOVERY_ASK_H_INCLUDED_ */
