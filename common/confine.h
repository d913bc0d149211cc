/*
 * A process that needs no rights of root's.
 */


#ifndef _COMMON_CONFINE_H_INCLUDED_
#define _COMMON_CONFINE_H_INCLUDED_


/*
 * Root has no more rights than any user from here on.  Returns 0, or -1 after
 * telling on stderr why not, behind the name of the program.
 */

int confine(const char *program);


#endif /* _COMMON_CONFINE_H_INCLUDED_ */
