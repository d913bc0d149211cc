/*
 * A session of sshd's is a group: the monitor, which is root's and leads it,
 * and its child, which is the user's.  A root without CAP_KILL may signal its
 * own processes only, so the user's are signalled as the user.
 */


#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"
#include "process.h"


#ifndef PROCESS_USER              /* a test has another */
#define PROCESS_USER   "monitoring"
#endif

#define PROCESS_NAME   "sshd-session"
#define PROCESS_STAT   1024       /* bytes that hold all up to its start */
#define PROCESS_START  20         /* fields between the name and the start */


/* of /proc/PID/stat */

typedef struct {
    char                 name[32];
    pid_t                parent;
    pid_t                group;
    uint64_t             started;
} process_stat_t;


static int process_is_session(pid_t pid, process_stat_t *stat);
static int process_is_here(pid_t pid);
static uid_t process_uid(pid_t pid);
static void process_signal_group(pid_t pid, int signal);
static int process_started(pid_t pid, uint64_t *started);
static int process_stat(pid_t pid, process_stat_t *stat);
static ssize_t process_read(pid_t pid, const char *file, char *text,
    size_t size);


static uid_t  process_user;


int
process_init(void)
{
    struct passwd  *pw;

    errno = 0;
    pw = getpwnam(PROCESS_USER);

    if (pw == NULL || pw->pw_uid == 0) {
        log_line("user \"" PROCESS_USER "\": %s",
                 pw ? "is root" : errno ? strerror(errno) : "there is none");
        return -1;
    }

    process_user = pw->pw_uid;

    return 0;
}


int
process_open(pid_t pid, uint64_t *started)
{
    int  fd, error;

    fd = (int) syscall(SYS_pidfd_open, pid, 0);

    if (fd == -1) {
        return -1;
    }

    /* if it lives now, what was read before is its own */

    error = process_started(pid, started);

    if (error == 0 && process_ended(fd)) {
        error = ESRCH;
    }

    if (error) {
        close(fd);
        errno = error;
        return -1;
    }

    return fd;
}


int
process_ended(int pidfd)
{
    struct pollfd  pfd;

    pfd.fd = pidfd;
    pfd.events = POLLIN;

    return poll(&pfd, 1, 0) == 1;
}


void
process_signal(pid_t pid, int pidfd, uint64_t started, int signal)
{
    uint64_t  now;

    if (!process_ended(pidfd)) {

        (void) syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);

        if (getpgid(pid) == pid) {
            process_signal_group(pid, signal);
        }

        return;
    }

    /* a number isn't given away while a group has it */

    if (process_started(pid, &now) == ESRCH || now == started) {
        process_signal_group(pid, signal);
    }
}


int
process_stop(pid_t pid, uint64_t started, int signal)
{
    int       error;
    uint64_t  now;

    error = process_started(pid, &now);

    if (error == 0 && now == started) {
        (void) kill(pid, signal);

        if (getpgid(pid) == pid) {
            process_signal_group(pid, signal);
        }

        return 0;
    }

    if (error == ESRCH) {
        process_signal_group(pid, SIGKILL);
    }

    errno = error ? error : ESRCH;

    return -1;
}


int
process_sessions(process_handler_pt handler, void *data)
{
    DIR             *dp;
    long             pid;
    char            *end;
    process_stat_t   child, monitor;
    struct dirent   *entry;

    dp = opendir("/proc");

    if (dp == NULL) {
        return -1;
    }

    while ((entry = readdir(dp))) {
        pid = strtol(entry->d_name, &end, 10);

        if (pid > 0 && *end == '\0'
            && process_is_session((pid_t) pid, &child)
            && child.group == child.parent
            && process_uid((pid_t) pid) == process_user
            && process_is_session(child.parent, &monitor)
            && monitor.group == child.parent
            && process_uid(child.parent) == 0
            && process_is_here(monitor.parent))
        {
            handler(data, child.parent, monitor.started);
        }
    }

    closedir(dp);

    return 0;
}


static int
process_is_session(pid_t pid, process_stat_t *stat)
{
    return process_stat(pid, stat) == 0
           && strcmp(stat->name, PROCESS_NAME) == 0;
}


/* not in another container, whose processes may be seen; its parent tells */

static int
process_is_here(pid_t pid)
{
    char         path[32];
    struct stat  here, there;

    snprintf(path, sizeof(path), "/proc/%ld/ns/mnt", (long) pid);

    return stat(path, &there) == 0 && stat("/proc/self/ns/mnt", &here) == 0
           && here.st_ino == there.st_ino && here.st_dev == there.st_dev;
}


/* returns -1 if it can't be read */

static uid_t
process_uid(pid_t pid)
{
    char  *p, text[PROCESS_STAT];

    if (process_read(pid, "status", text, sizeof(text)) <= 0) {
        return (uid_t) -1;
    }

    p = strstr(text, "\nUid:\t");

    return p ? (uid_t) strtoul(p + 6, NULL, 10) : (uid_t) -1;
}


static void
process_signal_group(pid_t pid, int signal)
{
    (void) kill(-pid, signal);

    if (seteuid(process_user) == 0) {
        (void) kill(-pid, signal);

        if (seteuid(0) == -1) {
            abort();
        }
    }
}


/* returns 0 or an error; ESRCH: there is no such process */

static int
process_started(pid_t pid, uint64_t *started)
{
    int             error;
    process_stat_t  stat;

    error = process_stat(pid, &stat);
    *started = error ? 0 : stat.started;

    return error;
}


static int
process_stat(pid_t pid, process_stat_t *stat)
{
    int      i;
    long     parent, group;
    char    *p, *name, text[PROCESS_STAT];
    ssize_t  n;

    n = process_read(pid, "stat", text, sizeof(text));

    if (n <= 0) {
        return n == 0 || errno == ENOENT ? ESRCH : errno;
    }

    /* a name may have spaces and brackets in it, what follows has none */

    name = strchr(text, '(');
    p = strrchr(text, ')');

    if (name == NULL || p == NULL
        || sscanf(p, ") %*c %ld %ld", &parent, &group) != 2)
    {
        return EPROTO;
    }

    snprintf(stat->name, sizeof(stat->name), "%.*s", (int) (p - name - 1),
             name + 1);
    stat->parent = (pid_t) parent;
    stat->group = (pid_t) group;

    for (i = 0; p && i < PROCESS_START; i++) {
        p = strchr(p + 1, ' ');
    }

    if (p == NULL) {
        return EPROTO;
    }

    stat->started = strtoull(p + 1, NULL, 10);

    return 0;
}


/* returns the length of what fits, terminated, or -1 with errno set */

static ssize_t
process_read(pid_t pid, const char *file, char *text, size_t size)
{
    int      fd, error;
    char     path[32];
    ssize_t  n;

    snprintf(path, sizeof(path), "/proc/%ld/%s", (long) pid, file);

    fd = open(path, O_RDONLY|O_CLOEXEC);

    if (fd == -1) {
        return -1;
    }

    n = read(fd, text, size - 1);
    error = errno;
    close(fd);

    text[n > 0 ? n : 0] = '\0';
    errno = error;

    return n;
}
