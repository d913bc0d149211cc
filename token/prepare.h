/*
 * The command "prepare": checks the environment and the file of remotes, and
 * writes what the keeper and nginx need.
 */


#ifndef _TOKEN_PREPARE_H_INCLUDED_
#define _TOKEN_PREPARE_H_INCLUDED_


#include "settings.h"


/*
 * Makes dir, unless there is a mistake, which is told on stderr.  None of
 * taken, ports that others listen on, may be a remote's.  What was made is
 * told on stdout.  Returns the exit status.
 */

int prepare(const char *dir, char **taken, int ntaken);

/* conf.c: the servers of nginx's configuration */

void conf_servers(buffer_t *out, const remotes_t *remotes,
    const char *level);


#endif /* _TOKEN_PREPARE_H_INCLUDED_ */
