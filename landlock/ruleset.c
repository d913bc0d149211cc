/*
 * The system calls have no wrappers in libc, and <linux/landlock.h> in Debian
 * 12 is older than TCP.  The numbers are the same on all architectures.
 */


#define _GNU_SOURCE

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ruleset.h"


#define LANDLOCK_ABI             4       /* the first with TCP */

#define LANDLOCK_CREATE_RULESET  444
#define LANDLOCK_ADD_RULE        445
#define LANDLOCK_RESTRICT_SELF   446

#define LANDLOCK_VERSION         1       /* flag of CREATE_RULESET */
#define LANDLOCK_PORT            2       /* type of a rule */


typedef struct {
    uint64_t             fs;
    uint64_t             net;
} landlock_ruleset_t;


typedef struct {
    uint64_t             access;
    uint64_t             port;        /* host order */
} landlock_rule_t;


int
landlock_available(void)
{
    return syscall(LANDLOCK_CREATE_RULESET, NULL, (size_t) 0,
                   LANDLOCK_VERSION)
           >= LANDLOCK_ABI;
}


int
landlock_ruleset(int refused)
{
    landlock_ruleset_t  attr;

    attr.fs = 0;
    attr.net = (uint64_t) refused;

    return (int) syscall(LANDLOCK_CREATE_RULESET, &attr, sizeof(attr), 0);
}


int
landlock_allow(int ruleset, const char *text)
{
    char             *end;
    unsigned long     first, last;
    landlock_rule_t   rule;

    if (*text < '1' || *text > '9') {
        return 1;
    }

    first = strtoul(text, &end, 10);
    last = first;

    if (*end == '-') {
        last = strtoul(end + 1, &end, 10);
    }

    if (*end != '\n' || last > 65535 || first > last) {
        return 1;
    }

    rule.access = LANDLOCK_BIND;

    for (rule.port = first; rule.port <= last; rule.port++) {

        if (syscall(LANDLOCK_ADD_RULE, ruleset, LANDLOCK_PORT, &rule, 0)
            == -1)
        {
            return -1;
        }
    }

    return 0;
}


int
landlock_restrict(int ruleset)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1) {
        return -1;
    }

    return (int) syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0);
}
