/*
 * A process that needs no rights of root's; see the header.
 */


#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine.h"


int
confine(const char *program)
{
    struct __user_cap_header_struct  header;
    struct __user_cap_data_struct    none[_LINUX_CAPABILITY_U32S_3];

    memset(&header, 0, sizeof(header));
    memset(none, 0, sizeof(none));

    header.version = _LINUX_CAPABILITY_VERSION_3;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1
        || syscall(SYS_capset, &header, none) == -1)
    {
        fprintf(stderr, "%s: can't give up capabilities: %s\n", program,
                strerror(errno));
        return -1;
    }

    return 0;
}
