/*
 * sessions: keeps the sessions of sshd's.
 *
 *     sessions [-d FD] STATE ETC
 *
 * STATE is the proxy's own directory (/run/monitoring-proxy), ETC the user's
 * (/etc/monitoring).  FD gets a line feed once it answers.  sessions.h and the
 * headers beside it say what it does.  It may be killed and started again at
 * any time: sessions go on meanwhile, and only new ones wait.
 */


#define _GNU_SOURCE

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "control.h"
#include "files.h"
#include "log.h"
#include "loop.h"
#include "process.h"
#include "session.h"


#define MAIN_FAILED  111          /* as s6's programs do */
#define MAIN_USAGE   100

#define MAIN_BUSY    50           /* ms between steps, while there is work */
#define MAIN_LOOK    250          /* ms between looks at the files */


static int main_run(const char *state, const char *etc, int ready);
static int main_loop(sessions_t *sessions, files_t *files,
    control_t *control);
static void main_signals(void);
static void main_signal(int signal);
static void main_raise_limit(void);
static char *main_path(const char *dir, const char *file);


static const char  main_usage[] =
    "usage: sessions [-d FD] STATE ETC\n"
    "\n"
    "keeps the sessions of sshd's; FD gets a line feed when it is ready\n";


static volatile sig_atomic_t  main_quit;


int
main(int argc, char **argv)
{
    int    opt, ready;
    char  *end;

    ready = -1;

    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(main_usage, stdout);
        return 0;
    }

    while ((opt = getopt(argc, argv, "d:h")) != -1) {

        switch (opt) {

        case 'd':
            ready = (int) strtol(optarg, &end, 10);

            if (*end == '\0' && ready > STDERR_FILENO) {
                break;
            }

            fputs(main_usage, stderr);
            return MAIN_USAGE;

        case 'h':
            fputs(main_usage, stdout);
            return 0;

        default:
            fputs(main_usage, stderr);
            return MAIN_USAGE;
        }
    }

    if (argc - optind != 2) {
        fputs(main_usage, stderr);
        return MAIN_USAGE;
    }

    main_signals();
    main_raise_limit();

    if (process_init() == -1) {
        return MAIN_FAILED;
    }

    if (loop_open() == -1) {
        log_line("epoll: %s", strerror(errno));
        return MAIN_FAILED;
    }

    return main_run(argv[optind], argv[optind + 1], ready) == 0 ? 0
                                                                : MAIN_FAILED;
}


static int
main_run(const char *state, const char *etc, int ready)
{
    int          rc;
    char        *tunnels, *dir, *path;
    board_t     *board;
    files_t     *files;
    access_t    *access;
    control_t   *control;
    sessions_t  *sessions;

    rc = -1;
    board = NULL;
    files = NULL;
    control = NULL;
    sessions = NULL;

    tunnels = main_path(state, "tunnels");
    dir = main_path(state, "sessions");
    path = main_path(state, "sessions.sock");

    if (tunnels == NULL || dir == NULL || path == NULL) {
        log_line("out of memory");
        goto done;
    }

    board = board_open(tunnels);

    if (board == NULL) {
        log_line("%s: %s", tunnels, strerror(errno));
        goto done;
    }

    files = files_open(state, etc, board);

    if (files == NULL) {
        goto done;
    }

    access = files_access(files);

    if (access == NULL) {
        goto done;
    }

    sessions = sessions_open(dir, board, access);

    if (sessions == NULL) {
        goto done;
    }

    files_watch(files, sessions);

    control = control_open(path, sessions, files);

    if (control == NULL) {
        goto done;
    }

    if (ready != -1) {
        (void) !write(ready, "\n", 1);
        close(ready);
    }

    rc = main_loop(sessions, files, control);

done:

    if (control) {
        control_close(control);
    }

    if (sessions) {
        sessions_close(sessions);
    }

    if (files) {
        files_close(files);
    }

    if (board) {
        board_close(board);
    }

    free(path);
    free(dir);
    free(tunnels);

    return rc;
}


static int
main_loop(sessions_t *sessions, files_t *files, control_t *control)
{
    int      n, busy;
    int64_t  now, step, look;

    busy = 0;
    step = look = loop_now();

    while (!main_quit) {

        now = loop_now();

        if (now >= look) {
            files_step(files);
            look = now + MAIN_LOOK;
        }

        if (now >= step) {
            busy = sessions_step(sessions);
            busy |= control_step(control);
            step = now + MAIN_BUSY;
        }

        n = loop_step((int) (busy ? step - now : look - now));

        if (n == -1) {
            log_line("epoll: %s", strerror(errno));
            return -1;
        }

        /* an event may have brought work */

        busy |= n;
    }

    return 0;
}


static void
main_signals(void)
{
    struct sigaction  sa;

    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = main_signal;

    (void) sigaction(SIGTERM, &sa, NULL);
    (void) sigaction(SIGINT, &sa, NULL);

    sa.sa_handler = SIG_IGN;

    (void) sigaction(SIGPIPE, &sa, NULL);
    (void) sigaction(SIGHUP, &sa, NULL);
}


static void
main_signal(int signal)
{
    (void) signal;

    main_quit = 1;
}


/* three descriptors a session at most */

static void
main_raise_limit(void)
{
    struct rlimit  limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &limit);
    }
}


static char *
main_path(const char *dir, const char *file)
{
    char  *path;

    return asprintf(&path, "%s/%s", dir, file) == -1 ? NULL : path;
}
