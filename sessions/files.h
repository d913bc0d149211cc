/*
 * The files that say who may have a session: ETC/hosts and ETC/ssh_ca.pub are
 * checked and copied to STATE when they change, by this service alone while it
 * runs; ETC/targets and what else STATE has of keys and ports is read again.
 */


#ifndef _SESSIONS_FILES_H_INCLUDED_
#define _SESSIONS_FILES_H_INCLUDED_


#include "session.h"


typedef struct files_s  files_t;


/* returns NULL after telling why */

files_t *files_open(const char *state, const char *etc, board_t *board);
void files_close(files_t *files);

/* by the files of STATE; returns NULL after telling why */

access_t *files_access(files_t *files);

/* from now on, changes are for these */

void files_watch(files_t *files, sessions_t *sessions);

/* looks for changes: to be called every 250 ms */

void files_step(files_t *files);

/*
 * To be called at a login, which sshd has allowed by the files as they are at
 * that moment, but for those that are checked first.
 */

void files_fresh(files_t *files);

/* these return 0, or -1 with a reason of one line */

int files_reload(files_t *files, char *reason, size_t size);
int files_remove(files_t *files, const char *name, char *reason,
    size_t size);


#endif /* _SESSIONS_FILES_H_INCLUDED_ */
