/*
 * What sessions.c, which has them all, and session.c, which has the life of
 * one, know of each other.
 *
 * A session is OPENING while its login waits for the answer, which takes time
 * where its host has an older session: that one is probed, and ended if it is
 * dead.  It is LIVE once the answer was yes.  REFUSED, it is given the time
 * that its client needs to see that it has no port; ENDING, it was signalled.
 * In any state it is gone when its process is.
 */


#ifndef _SESSIONS_SESSION_LOCAL_H_INCLUDED_
#define _SESSIONS_SESSION_LOCAL_H_INCLUDED_


#include <sys/queue.h>

#include "grants.h"
#include "log.h"
#include "loop.h"
#include "probe.h"
#include "record.h"
#include "session.h"
#include "strays.h"


#define SESSION_PORTS   65536
#define SESSION_REASON  256


typedef enum {
    SESSION_OPENING = 0,
    SESSION_LIVE,
    SESSION_REFUSED,
    SESSION_ENDING
} session_state_e;


struct session_s {
    TAILQ_ENTRY(session_s)   queue;
    sessions_t              *sessions;
    session_state_e          state;
    loop_event_t             process;     /* its pidfd */
    record_t                 record;
    unsigned                 held:1;      /* it was LIVE, and counts */
    unsigned                 certificate:1;
    uint8_t                  digest[NGX_PROM_TUNNELS_DIGEST];
    uint64_t                 expires;     /* s of Unix time, 0: never */
    int64_t                  opened;      /* by the monotonic clock */
    int64_t                  due;         /* of the next step */
    probe_t                 *probe;       /* of the host's older session */
    session_answer_pt        answer;
    void                    *data;
    char                     shared[LOG_FINGERPRINT + 16];   /* who */
};


TAILQ_HEAD(session_queue_s, session_s);


struct sessions_s {
    struct session_queue_s   live;
    struct session_queue_s   busy;        /* in any other state */
    int                      dir;
    uint32_t                 hosts;       /* that have a session */
    uint32_t                 shared;      /* sessions of shared keys */
    unsigned                 clearing:1;  /* all of these shall be gone */
    uint64_t                 checked;     /* for expiry, s of Unix time */
    board_t                 *board;
    access_t                *access;
    grants_t                *grants;
    strays_t                *strays;
    int64_t                  adopt;       /* when to try again, 0: done */

    /* by the first port of a host */

    const ngx_prom_host_t   *at[SESSION_PORTS];
    session_t               *holders[SESSION_PORTS];
    session_t               *openings[SESSION_PORTS];
};


/*
 * To what a service before has left: goes on with it, or ends it if it can't
 * be watched.  The record is forgotten where its process is gone, and kept
 * where that can't be told as yet.
 */

typedef enum {
    SESSION_ADOPTED = 0,
    SESSION_FORGET,
    SESSION_KEEP
} session_adopt_e;

session_adopt_e session_adopt(sessions_t *sessions, const char *file);

void session_step(session_t *s, int64_t now);

/* NULL if it has a right to be, or else why not, in buf or elsewhere */

const char *session_check(session_t *s, char *buf);

/* why it hasn't, by what access_login() said; and as what that counts */

const char *session_denied(const session_t *s, access_e error,
    const access_login_t *found, char *buf);
ngx_prom_refused_e session_refused_as(access_e error);

void session_refuse(session_t *s, const char *reason);

/* reason is told as "ended: REASON", unless it is NULL */

void session_end(session_t *s, const char *reason);

void session_free(session_t *s);

/* the host's name, or "shared key SHA256:..." */

const char *session_who(const session_t *s);

/* ends all sessions of shared keys, as port is a host's now */

void sessions_clear_shared(sessions_t *sessions, uint16_t port);

/* the host that has the port as its first, if this is its name */

const ngx_prom_host_t *sessions_host(const sessions_t *sessions,
    uint16_t port, const char *name);

/* tells the board how many there are */

void sessions_count(sessions_t *sessions);


#endif /* _SESSIONS_SESSION_LOCAL_H_INCLUDED_ */
