/*
 * STATE/sessions.sock, for root alone.  A line asks:
 *
 *     open PID TYPE BASE64 ADDRESS PORT
 *     reload
 *     remove NAME
 *
 * The answer is "ok", "ok NAME" with the ports of the session, A or A-B or *
 * a line, or "no REASON"; then the connection is closed.
 */


#ifndef _SESSIONS_CONTROL_H_INCLUDED_
#define _SESSIONS_CONTROL_H_INCLUDED_


#include "files.h"
#include "session.h"


typedef struct control_s  control_t;


/* listens; returns NULL after telling why not */

control_t *control_open(const char *path, sessions_t *sessions,
    files_t *files);
void control_close(control_t *control);

/* to be called every 50 ms if it returned 1, or else now and then */

int control_step(control_t *control);


#endif /* _SESSIONS_CONTROL_H_INCLUDED_ */
