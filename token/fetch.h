/*
 * A fetch: what it takes to get a remote's credential, be it several requests,
 * one, or none.  How, is what the source of the remote's "auth" says.
 */


#ifndef _TOKEN_FETCH_H_INCLUDED_
#define _TOKEN_FETCH_H_INCLUDED_


#include <stdint.h>

#include "answer.h"
#include "remotes.h"
#include "transfer.h"


#define FETCH_SECRETS  4


typedef enum {
    CREDENTIAL_TOKEN = 0,
    CREDENTIAL_AWS,
    CREDENTIAL_PLAIN
} credential_e;


typedef struct {
    credential_e      kind;
    buffer_t          value;      /* what workers are told; see wipe.h */
    int64_t           left;       /* ms that it is valid for, 0: for ever */
} credential_t;


typedef enum {
    FAILURE_CONNECT = 0,
    FAILURE_TIMEOUT,
    FAILURE_REFUSED,
    FAILURE_THROTTLED,
    FAILURE_SERVER,
    FAILURE_INVALID,
    FAILURE_FILE,
    FAILURES
} failure_e;


typedef struct {
    failure_e         kind;
    int64_t           retry;      /* ms that we were asked to wait, or 0 */
    reason_t          told;       /* to callers: nothing that others wrote */
    reason_t          why;        /* to the operator; no secret in it, too */
} failure_t;


typedef enum {
    STEP_ASK = 0,                 /* a request is set up */
    STEP_DONE,                    /* the credential is there */
    STEP_FAILED
} step_e;


typedef struct fetch_s  fetch_t;
typedef step_e (*fetch_step_pt)(fetch_t *f);


typedef struct {
    const char       *name;       /* for the log */
    fetch_step_pt     start;
    int               watched;    /* a file that is looked at each second */
} source_t;


struct fetch_s {
    const remote_t       *remote;
    const source_t       *source;

    /* calls it when the fetch is over; rc is 0, or -1 */

    void                (*done)(void *data, int rc);
    void                 *data;

    credential_t          credential;
    failure_t             failure;

    /* for sources: the request of a step, its answer, and what is kept */

    const char           *asked;      /* "the token endpoint" */
    fetch_step_pt         next;       /* takes the answer, which is a 2xx */
    buffer_t              body;
    buffer_t              kept;

    /* for fetch.c alone */

    const char           *method;
    buffer_t              url;
    buffer_t              form;
    struct curl_slist    *headers;
    buffer_t              secrets[FETCH_SECRETS];
    unsigned              nsecrets;
    transfer_t            transfer;
    int64_t               deadline;
    int64_t               asked_at;
    unsigned              large:1;    /* the answer is */
    unsigned              failing:1;  /* the last fetch did */
};


/* ms of the clock that goes on while the machine sleeps */

int64_t fetch_now(void);

/* returns 0, or -1: out of memory; data and done are set by its owner */

int fetch_open(fetch_t *f, const remote_t *remote);
void fetch_close(fetch_t *f);

/* done may be called before this returns */

void fetch_start(fetch_t *f, int64_t msec);
int fetch_is_running(const fetch_t *f);


/* For sources.  A setting is its default, if it isn't given. */

const char *fetch_setting(const fetch_t *f, setting_e setting);

/*
 * A request to base, or to path below it; next takes its answer.  What is
 * added to it may also be added to f->url itself.
 */

void fetch_ask(fetch_t *f, const char *asked, fetch_step_pt next,
    const char *method, const char *base, const char *path);

void fetch_escaped(fetch_t *f, const char *text);    /* to the path */
void fetch_param(fetch_t *f, const char *name, const char *value);
void fetch_form(fetch_t *f, const char *name, const char *value);
void fetch_header(fetch_t *f, const char *name, const char *value);

/* of the file of a setting; what is the secret's name in a reason */

step_e fetch_secret(fetch_t *f, setting_e setting, const char *what,
    buffer_t *secret);

/* ... whose file has none, by what it says */

step_e fetch_unusable(fetch_t *f, const char *what, const char *why);

/* what no line of the log may have */

void fetch_hide(fetch_t *f, const char *secret);

/* takes an access token */

step_e fetch_bearer(fetch_t *f);

/* whether it will be valid at all, by what the answer says */

int fetch_is_valid(fetch_t *f, const answer_t *a);

/* the answer should have been a credential */

step_e fetch_invalid(fetch_t *f, const char *why);

step_e fetch_fail(fetch_t *f, failure_e kind, const char *told,
    const char *why);


/* the sources */

const source_t *azure_source(const remote_t *remote);
const source_t *aws_source(const remote_t *remote);

extern const source_t  oauth2_source;
extern const source_t  google_source;
extern const source_t  bearer_file_source;
extern const source_t  basic_file_source;
extern const source_t  none_source;


#endif /* _TOKEN_FETCH_H_INCLUDED_ */
