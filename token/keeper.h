/*
 * The keeper: gets every remote's credentials, keeps them fresh, and tells
 * nginx's workers.
 */


#ifndef _TOKEN_KEEPER_H_INCLUDED_
#define _TOKEN_KEEPER_H_INCLUDED_


/*
 * remotes is the path of prepare's file, socket that of the unix socket to
 * listen at, level one of log_set_level()'s.  Returns the exit status, once a
 * signal has asked for the end.
 */

int keep(const char *remotes, const char *socket, const char *level);


#endif /* _TOKEN_KEEPER_H_INCLUDED_ */
