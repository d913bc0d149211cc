/*
 * landlock-tcp: runs a program that can't connect by TCP and can listen on
 * given TCP ports and on no other; nor can what it starts.
 *
 *     landlock-tcp PORTS PROGRAM [ARGUMENT ...]
 *     landlock-tcp --available
 *
 * PORTS are ports and ranges A-B of them with commas between, or "any", for
 * which the kernel keeps no list: it would be copied for each process below
 * that limits itself further, as sshd's sessions do.
 *
 * Landlock has TCP since Linux 6.7, and seccomp must let it through.
 * --available succeeds where that is so; elsewhere the program runs without
 * such limits, and a line on stderr says it.
 */


#define _POSIX_C_SOURCE  200809L

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ruleset.h"


#define LANDLOCK_TCP_FAILED   111     /* as s6's programs do */
#define LANDLOCK_TCP_USAGE    100


static int landlock_tcp_restrict(const char *ports);
static int landlock_tcp_allow(int ruleset, const char *ports);


static const char  landlock_tcp_usage[] =
    "usage: landlock-tcp PORTS PROGRAM [ARGUMENT ...]\n"
    "       landlock-tcp --available\n"
    "\n"
    "runs PROGRAM so that it can't connect by TCP, and can listen on the TCP\n"
    "ports PORTS only: ports and ranges A-B with commas between, or \"any\"\n";


int
main(int argc, char **argv)
{
    if (argc == 2
        && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0))
    {
        fputs(landlock_tcp_usage, stdout);
        return 0;
    }

    if (argc == 2 && strcmp(argv[1], "--available") == 0) {
        return !landlock_available();
    }

    if (argc < 3) {
        fputs(landlock_tcp_usage, stderr);
        return LANDLOCK_TCP_USAGE;
    }

    if (!landlock_available()) {
        fputs("landlock-tcp: no limits: this needs Linux 6.7, and Landlock "
              "allowed by seccomp\n", stderr);

    } else if (landlock_tcp_restrict(argv[1]) == -1) {
        return LANDLOCK_TCP_FAILED;
    }

    execvp(argv[2], &argv[2]);

    fprintf(stderr, "landlock-tcp: %s: %s\n", argv[2], strerror(errno));

    return LANDLOCK_TCP_FAILED;
}


static int
landlock_tcp_restrict(const char *ports)
{
    int  rc, any, ruleset;

    any = strcmp(ports, "any") == 0;
    ruleset = landlock_ruleset(any ? LANDLOCK_CONNECT
                                   : LANDLOCK_BIND|LANDLOCK_CONNECT);

    if (ruleset == -1) {
        perror("landlock-tcp: cannot make a ruleset");
        return -1;
    }

    rc = any ? 0 : landlock_tcp_allow(ruleset, ports);

    if (rc == 0) {
        rc = landlock_restrict(ruleset);

        if (rc == -1) {
            perror("landlock-tcp: cannot be limited");
        }
    }

    close(ruleset);

    return rc;
}


static int
landlock_tcp_allow(int ruleset, const char *ports)
{
    int          rc;
    char         line[64];
    size_t       len;
    const char  *p;

    for (p = ports; /* void */ ; p += len + 1) {

        len = strcspn(p, ",");
        snprintf(line, sizeof(line), "%.*s\n", (int) len, p);

        rc = landlock_allow(ruleset, line);

        if (rc == 1) {
            fprintf(stderr, "landlock-tcp: \"%s\" is no list of ports\n",
                    ports);
            return -1;
        }

        if (rc == -1) {
            perror("landlock-tcp: cannot allow a port");
            return -1;
        }

        if (p[len] == '\0') {
            return 0;
        }
    }
}
