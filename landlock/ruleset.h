/*
 * Limits of the kernel's on TCP (Landlock, Linux 6.7), for the calling process
 * and what it starts.
 */


#ifndef _LANDLOCK_RULESET_H_INCLUDED_
#define _LANDLOCK_RULESET_H_INCLUDED_


/* what may be refused; binding is not, to the ports that are allowed */

#define LANDLOCK_BIND     1
#define LANDLOCK_CONNECT  2


/* does this kernel have them, and does seccomp let them through */

int landlock_available(void);

/* returns a descriptor, or -1 with errno set; the caller closes it */

int landlock_ruleset(int refused);

/*
 * Allows to bind a port, or ports A-B: text ends with a line feed.
 * Returns 0; -1 with errno set; or 1 if text is no port or range.
 */

int landlock_allow(int ruleset, const char *text);

/*
 * From here on, and for good.  Also sets no_new_privs, which the kernel asks
 * for: no setuid program may gain from the limits.  Returns 0, or -1 with
 * errno set.
 */

int landlock_restrict(int ruleset);


#endif /* _LANDLOCK_RULESET_H_INCLUDED_ */
