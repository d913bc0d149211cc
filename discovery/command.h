/*
 * A command that is run beside the loop, one at a time.
 */


#ifndef _DISCOVERY_COMMAND_H_INCLUDED_
#define _DISCOVERY_COMMAND_H_INCLUDED_


#include <stdint.h>

#include "str.h"


/*
 * failed is NULL if it has ended with status 0, else the end of what it has
 * printed, or why it didn't end so.  said is whether it was the command that
 * said so: it would again.
 */

typedef void (*command_done_pt)(const char *failed, int said);


/*
 * Runs argv[0], a path, with the text as its input, for at most so long.
 * Returns 0, or -1 with the reason, and done isn't called.
 */

int command_start(char *const *argv, str_t input, int64_t msec,
    command_done_pt done, reason_t why);

int command_is_running(void);
void command_stop(void);          /* kills it; done isn't called */


/* the path of a program, as a shell finds it; -1 with the reason */

int command_find(buffer_t *path, const char *name, reason_t why);


#endif /* _DISCOVERY_COMMAND_H_INCLUDED_ */
