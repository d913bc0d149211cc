/*
 * landlock-tcp: runs a program that can listen on given TCP ports and on no
 * other, and can't connect by TCP at all; nor can what it starts.
 *
 *     landlock-tcp FILE PROGRAM [ARGUMENT ...]
 *     landlock-tcp --available
 *
 * FILE has ports and ranges A-B of them, one a line.
 *
 * sshd takes no ranges, and its lists of ports cost each session memory that
 * grows with their square: 76 MB for 4,096 ports.  The kernel's list is there
 * once, however many sessions there are.  It knows ports only; addresses are
 * still sshd's to check.
 *
 * Landlock has TCP since Linux 6.7, and seccomp must let it through.
 * --available succeeds where that is so; elsewhere the program runs without
 * such limits, and a line on stderr says it.
 */


#define _GNU_SOURCE

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>


#define LANDLOCK_TCP_FAILED   111     /* as s6's programs do */
#define LANDLOCK_TCP_USAGE    100

#define LANDLOCK_TCP_ABI      4       /* the first with TCP */

/*
 * From <linux/landlock.h>, which in Debian 12 is older than that. The numbers
 * of the system calls are the same on all architectures.
 */

#define LANDLOCK_TCP_CREATE_RULESET  444
#define LANDLOCK_TCP_ADD_RULE        445
#define LANDLOCK_TCP_RESTRICT_SELF   446

#define LANDLOCK_TCP_VERSION         1       /* flag of CREATE_RULESET */
#define LANDLOCK_TCP_PORT            2       /* type of a rule */
#define LANDLOCK_TCP_BIND            1
#define LANDLOCK_TCP_CONNECT         2


typedef struct {
    uint64_t             fs;
    uint64_t             net;
} landlock_tcp_ruleset_t;


typedef struct {
    uint64_t             access;
    uint64_t             port;        /* host order */
} landlock_tcp_rule_t;


static int landlock_tcp_available(void);
static int landlock_tcp_restrict(const char *file);
static int landlock_tcp_allow_file(int ruleset, const char *file);
static int landlock_tcp_allow_line(int ruleset, const char *line);


static const char  landlock_tcp_usage[] =
    "usage: landlock-tcp FILE PROGRAM [ARGUMENT ...]\n"
    "       landlock-tcp --available\n"
    "\n"
    "runs PROGRAM so that it can listen on the TCP ports of FILE only (ports\n"
    "and ranges A-B, one a line) and can't connect by TCP\n";


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
        return !landlock_tcp_available();
    }

    if (argc < 3) {
        fputs(landlock_tcp_usage, stderr);
        return LANDLOCK_TCP_USAGE;
    }

    if (!landlock_tcp_available()) {
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
landlock_tcp_available(void)
{
    return syscall(LANDLOCK_TCP_CREATE_RULESET, NULL, (size_t) 0,
                   LANDLOCK_TCP_VERSION)
           >= LANDLOCK_TCP_ABI;
}


static int
landlock_tcp_restrict(const char *file)
{
    int                     ruleset;
    landlock_tcp_ruleset_t  attr;

    attr.fs = 0;
    attr.net = LANDLOCK_TCP_BIND|LANDLOCK_TCP_CONNECT;

    ruleset = syscall(LANDLOCK_TCP_CREATE_RULESET, &attr, sizeof(attr), 0);

    if (ruleset == -1) {
        perror("landlock-tcp: landlock_create_ruleset()");
        return -1;
    }

    if (landlock_tcp_allow_file(ruleset, file) == -1) {
        return -1;
    }

    /* the kernel's condition: no setuid program may gain from the limits */

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1) {
        perror("landlock-tcp: prctl(PR_SET_NO_NEW_PRIVS)");
        return -1;
    }

    if (syscall(LANDLOCK_TCP_RESTRICT_SELF, ruleset, 0) == -1) {
        perror("landlock-tcp: landlock_restrict_self()");
        return -1;
    }

    close(ruleset);

    return 0;
}


static int
landlock_tcp_allow_file(int ruleset, const char *file)
{
    FILE  *fp;
    char   line[64];

    fp = fopen(file, "r");

    if (fp == NULL) {
        fprintf(stderr, "landlock-tcp: %s: %s\n", file, strerror(errno));
        return -1;
    }

    while (fgets(line, sizeof(line), fp)) {

        if (landlock_tcp_allow_line(ruleset, line) == -1) {
            line[strcspn(line, "\n")] = '\0';
            fprintf(stderr, "landlock-tcp: %s: \"%s\" is no port or range\n",
                    file, line);
            fclose(fp);
            return -1;
        }
    }

    fclose(fp);

    return 0;
}


static int
landlock_tcp_allow_line(int ruleset, const char *line)
{
    char                *end;
    unsigned long        first, last;
    landlock_tcp_rule_t  rule;

    first = strtoul(line, &end, 10);
    last = first;

    if (*end == '-') {
        last = strtoul(end + 1, &end, 10);
    }

    if (*end != '\n' || first == 0 || last > 65535 || first > last) {
        return -1;
    }

    rule.access = LANDLOCK_TCP_BIND;

    for (rule.port = first; rule.port <= last; rule.port++) {

        if (syscall(LANDLOCK_TCP_ADD_RULE, ruleset, LANDLOCK_TCP_PORT, &rule,
                    0)
            == -1)
        {
            perror("landlock-tcp: landlock_add_rule()");
            return -1;
        }
    }

    return 0;
}
