/*
 * The command "run": flags become the environment of another program, whose
 * arguments don't have them.
 */


#ifndef _TOKEN_RUN_H_INCLUDED_
#define _TOKEN_RUN_H_INCLUDED_


/* returns the exit status, unless the program has taken this one's place */

int run_program(int argc, char **argv, const char *program);


#endif /* _TOKEN_RUN_H_INCLUDED_ */
