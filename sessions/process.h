/*
 * Processes that aren't ours: sshd's sessions.
 */


#ifndef _SESSIONS_PROCESS_H_INCLUDED_
#define _SESSIONS_PROCESS_H_INCLUDED_


#include <stdint.h>
#include <sys/types.h>


/*
 * Before all others: looks up whose sessions are.  Returns -1 once it has said
 * why it can't.
 */

int process_init(void);

/*
 * Returns a pidfd and when the process started, as in /proc/PID/stat, which
 * tells it from a later one of that number; or -1 with errno set.
 */

int process_open(pid_t pid, uint64_t *started);

/*
 * Signals it and its group without a pidfd, if it is the one that started
 * then; returns -1 with errno set, ESRCH: it has ended, and what was left of
 * its group was killed.
 */

int process_stop(pid_t pid, uint64_t started, int signal);

/*
 * Calls the handler for each session of this machine's sshd, by its monitor:
 * a process "sshd-session" of root's that leads a group and has a child of
 * that name which is the user's, so that its login is done.  Returns -1 with
 * errno set.
 */

typedef void (*process_handler_pt)(void *data, pid_t pid, uint64_t started);

int process_sessions(process_handler_pt handler, void *data);

/* has it ended */

int process_ended(int pidfd);

/*
 * Signals the process and all of its group, if it leads one; once it has
 * ended, what is left of its group.  started is as of process_open().
 */

void process_signal(pid_t pid, int pidfd, uint64_t started, int signal);


#endif /* _SESSIONS_PROCESS_H_INCLUDED_ */
