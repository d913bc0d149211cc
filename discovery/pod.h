/*
 * The pod that this runs in, as far as Kubernetes has told it: where its API
 * server is, who we are to it, and our namespace.
 */


#ifndef _DISCOVERY_POD_H_INCLUDED_
#define _DISCOVERY_POD_H_INCLUDED_


#include "options.h"
#include "secret.h"


typedef struct {
    buffer_t      apiserver;      /* URL, without a "/" at its end */
    buffer_t      namespace;
    const char   *cacert;         /* "": the system's authorities */
    secret_t      token;          /* without a value: we are nobody */
} pod_t;


/* returns 0, or -1 with the reason; pod_close() frees in both cases */

int pod_open(pod_t *pod, const options_t *options, reason_t why);
void pod_close(pod_t *pod);


#endif /* _DISCOVERY_POD_H_INCLUDED_ */
