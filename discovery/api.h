/*
 * A request to Kubernetes' API server, one at a time: a whole answer, or one
 * that comes line by line, for minutes.
 */


#ifndef _DISCOVERY_API_H_INCLUDED_
#define _DISCOVERY_API_H_INCLUDED_


#include "loop.h"
#include "pod.h"
#include "transfer.h"


#define API_ANSWER_MAX  (64 * 1024 * 1024)
#define API_LINE_MAX    (4 * 1024 * 1024)


typedef enum {
    API_OK = 0,
    API_STOPPED,                  /* by what took the line */
    API_CONNECT,
    API_TLS,
    API_TIMEOUT,
    API_CUT,                      /* the answer has come to an end too soon */
    API_LARGE,
    API_REFUSED,                  /* the status isn't 200 */
    API_MEMORY
} api_rc_e;


/* takes a line, and returns 0, or -1: nothing more is to come */

typedef int (*api_line_pt)(void *data, str_t line);

/* may start the next request; why is "" if rc is API_OK or API_STOPPED */

typedef void (*api_done_pt)(void *data, api_rc_e rc, const char *why);


/* began, line, done and data are for its owner to set first */

typedef struct {
    loop_handler_pt      began;       /* there is a 200, and lines will come */
    api_line_pt          line;
    api_done_pt          done;
    void                *data;

    buffer_t             answer;      /* or the line that isn't whole yet */
    long                 status;

    pod_t               *pod;
    transfer_t           transfer;
    struct curl_slist   *headers;
    unsigned             token;       /* the version of that in headers */
    loop_timer_t         timer;
    int                  lines;
    int                  answered;
    int                  large;
    int                  stopped;
    int                  failing;
} api_t;


/* returns 0, or -1: out of memory; api_close() frees in both cases */

int api_open(api_t *api, pod_t *pod);
void api_close(api_t *api);

/*
 * path is that of the URL, from "/apis" on; NULL: out of memory.  Done is
 * always called, and after this has returned.  A whole answer may take so many
 * ms, or lines come for so long.
 */

void api_get(api_t *api, const char *path, long msec);
void api_watch(api_t *api, const char *path, long msec);

/* whether there is a token that wasn't shown yet */

int api_has_another_token(api_t *api);

/* whether lines can come now */

int api_is_watching(const api_t *api);


/* appends what stands for the text in a URL */

void api_escaped(buffer_t *url, const char *text);


#endif /* _DISCOVERY_API_H_INCLUDED_ */
