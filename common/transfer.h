/*
 * A transfer of libcurl's in the loop.  Its handle is used again and again, as
 * are the connections: those of a pool by the transfers that have this pool,
 * and the others by all the others.
 */


#ifndef _COMMON_TRANSFER_H_INCLUDED_
#define _COMMON_TRANSFER_H_INCLUDED_


#include <curl/curl.h>
#include <sys/socket.h>

#include "str.h"


/* "" is none */

typedef struct {
    const char        *cacert;
    const char        *cert;
    const char        *key;
} transfer_tls_t;


typedef void (*transfer_done_pt)(void *data, CURLcode rc);


/*
 * easy's options are for its owner to set.  When it is over, done is called,
 * and never from inside of libcurl, so that anything may be done then.
 */

typedef struct {
    CURL                     *easy;
    CURLSH                   *pool;       /* or NULL */
    transfer_done_pt          done;
    void                     *data;
    int                       running;
    struct sockaddr_storage   address;    /* that it has dialled last */
    char                      error[CURL_ERROR_SIZE];
} transfer_t;


/* these return 0, or -1 */

int transfers_open(void);
void transfers_close(void);       /* after each transfer_close() */

int transfer_open(transfer_t *t, const transfer_tls_t *tls);
void transfer_close(transfer_t *t);

int transfer_start(transfer_t *t);

/* connections for a few; to be closed when no transfer has it any more */

CURLSH *transfer_pool_open(void);
void transfer_pool_close(CURLSH *pool);

/* for a transfer that isn't running; NULL: no pool */

int transfer_set_pool(transfer_t *t, CURLSH *pool);

/* breaks it off, with its connection; done isn't called */

void transfer_stop(transfer_t *t);

/* goes on after a callback has paused it */

void transfer_resume(transfer_t *t);

/* connections to be kept alive, and given up soon after they are cut */

void transfer_guard(transfer_t *t);

/* why it has failed, in words that say no more than that */

void transfer_reason(transfer_t *t, CURLcode rc, reason_t why);


#endif /* _COMMON_TRANSFER_H_INCLUDED_ */
