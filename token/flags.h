/*
 * The command "run": flags become the environment of another program, whose
 * arguments don't have them.
 */


#ifndef _TOKEN_FLAGS_H_INCLUDED_
#define _TOKEN_FLAGS_H_INCLUDED_


/* returns the exit status, unless the program has taken this one's place */

int flags_run(int argc, char **argv, const char *program);


#endif /* _TOKEN_FLAGS_H_INCLUDED_ */
