/*
 * The sessions of sshd's that may have ports: who may open one, that a host
 * has one at a time, and that it ends with the right to it.
 */


#ifndef _SESSIONS_SESSION_H_INCLUDED_
#define _SESSIONS_SESSION_H_INCLUDED_


#include "access.h"
#include "board.h"


typedef struct sessions_s  sessions_t;
typedef struct session_s   session_t;


/* what sshd knows of a login; key is base64, of a key or a certificate */

typedef struct {
    long                 pid;
    const char          *type;
    const char          *key;
    const char          *address;
} session_login_t;


/*
 * Called once for each session_open(), in it or later; text may be more than
 * one line and is valid in the call.
 */

typedef void (*session_answer_pt)(void *data, const char *text, size_t len);


/*
 * dir is where records are kept.  The board and access are used as long as
 * the sessions; access is theirs.  Sessions that a service before has left
 * are taken over.  Returns NULL after telling why.
 */

sessions_t *sessions_open(const char *dir, board_t *board, access_t *access);

/* lets go of the sessions, which go on */

void sessions_close(sessions_t *sessions);

const access_t *sessions_access(const sessions_t *sessions);

/* from now on by this, which is theirs; sessions without a right to be end */

void sessions_renew(sessions_t *sessions, access_t *access);

/* returns NULL if the answer was given, or else what may be cancelled */

session_t *session_open(sessions_t *sessions, const session_login_t *login,
    session_answer_pt answer, void *data);

/* nobody waits for the answer any more */

void session_cancel(session_t *session);

/* the answer did not come to this process: its session, if it has one, ends */

void session_unheard(sessions_t *sessions, long pid);

/* is one of this host's about to end */

int sessions_ending(const sessions_t *sessions, const char *name);

/* ends the sessions of this host, whatever the files say */

void sessions_end_host(sessions_t *sessions, const char *name);

/* to be called every 50 ms if it returned 1, or else now and then */

int sessions_step(sessions_t *sessions);


#endif /* _SESSIONS_SESSION_H_INCLUDED_ */
