/*
 * The keeper's process: its remotes, its signals, and what workers say.
 */


#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "keeper.h"
#include "kept.h"
#include "log.h"
#include "loop.h"
#include "signals.h"
#include "socket.h"


#define KEEPER_OK       0
#define KEEPER_FAILED   1
#define KEEPER_USAGE    2

#define KEEPER_LINES    40960    /* bytes for each remote that may wait */


static void keeper_mistake(void *data, const char *where, const char *what);
static int keeper_run(const char *socket);
static void keeper_limits(void);
static void keeper_signal(int signo);
static void keeper_close(void);
static void keeper_greet(buffer_t *lines);
static int keeper_line(str_t line);


static remotes_t      keeper_remotes;
static kept_t        *keeper;
static unsigned       keeper_n;


int
keep(const char *remotes, const char *socket, const char *level)
{
    int  rc;

    if (log_set_level(level) == -1) {
        log_line(LOG_ERROR, "the log's level isn't debug, info, warn or error",
                 NULL);
        return KEEPER_USAGE;
    }

    rc = KEEPER_USAGE;

    if (remotes_read(&keeper_remotes, remotes, keeper_mistake, NULL) == 0) {
        rc = keeper_run(socket) == 0 ? KEEPER_OK : KEEPER_FAILED;
    }

    remotes_free(&keeper_remotes);

    return rc;
}


static void
keeper_mistake(void *data, const char *where, const char *what)
{
    (void) data;

    log_line(LOG_ERROR, what, "at", where, NULL);
}


static int
keeper_run(const char *socket)
{
    int       rc;
    unsigned  i;
    reason_t  why;

    rc = -1;

    answer_init();
    keeper_limits();
    kept_seed();

    if (loop_open() == -1) {
        log_line(LOG_ERROR, "epoll", "err", strerror(errno), NULL);
        return -1;
    }

    if (transfers_open() == -1) {
        log_line(LOG_ERROR, "libcurl has failed to start", NULL);
        return -1;
    }

    keeper = calloc(keeper_remotes.n ? keeper_remotes.n : 1, sizeof(kept_t));

    if (keeper == NULL) {
        log_line(LOG_ERROR, "out of memory", NULL);
        goto done;
    }

    (void) signal(SIGPIPE, SIG_IGN);

    if (signals_open(0, keeper_signal) == -1) {
        log_line(LOG_ERROR, "signals", "err", strerror(errno), NULL);
        goto done;
    }

    if (socket_open(socket, (keeper_remotes.n + 1) * KEEPER_LINES,
                    keeper_greet, keeper_line, why)
        == -1)
    {
        log_line(LOG_ERROR, "the socket", "path", socket, "err", why, NULL);
        goto done;
    }

    for (i = 0; i < keeper_remotes.n; i++) {
        keeper_n++;

        if (kept_open(&keeper[i], &keeper_remotes.remote[i]) == -1) {
            log_line(LOG_ERROR, "out of memory", NULL);
            goto done;
        }
    }

    for (i = 0; i < keeper_n; i++) {
        kept_start(&keeper[i]);
    }

    rc = loop_run();

    if (rc == -1) {
        log_line(LOG_ERROR, "epoll", "err", strerror(errno), NULL);
    }

done:

    keeper_close();

    return rc;
}


/* a descriptor for each worker and each fetch, and no secret in a core */

static void
keeper_limits(void)
{
    struct rlimit  limit, none = { 0, 0 };

    (void) setrlimit(RLIMIT_CORE, &none);

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &limit);
    }

#ifdef __GLIBC__
    /* of the threads that resolve names, each would take its own memory */
    (void) mallopt(M_ARENA_MAX, 1);
#endif
}


static void
keeper_signal(int signo)
{
    (void) signo;

    log_line(LOG_INFO, "ends", NULL);

    loop_end();
}


static void
keeper_close(void)
{
    unsigned  i;

    socket_close();

    for (i = 0; i < keeper_n; i++) {
        kept_close(&keeper[i]);
    }

    transfers_close();

    free(keeper);

    signals_close();
}


static void
keeper_greet(buffer_t *lines)
{
    unsigned  i;

    for (i = 0; i < keeper_n; i++) {
        kept_lines(&keeper[i], lines);
    }
}


/* fresh NAME VERSION */

static int
keeper_line(str_t line)
{
    str_t        name, version;
    unsigned     i;
    uint64_t     n;
    const char  *space;

    static const char  fresh[] = "fresh ";

    if (line.len < sizeof(fresh) - 1
        || memcmp(line.start, fresh, sizeof(fresh) - 1) != 0)
    {
        return -1;
    }

    name.start = line.start + sizeof(fresh) - 1;
    line.len -= sizeof(fresh) - 1;

    space = memchr(name.start, ' ', line.len);

    if (space == NULL) {
        return -1;
    }

    name.len = (size_t) (space - name.start);
    version = (str_t) { space + 1, line.len - name.len - 1 };

    if (version.len == 0 || version.len > 19) {
        return -1;
    }

    for (n = 0, i = 0; i < version.len; i++) {

        if (version.start[i] < '0' || version.start[i] > '9') {
            return -1;
        }

        n = n * 10 + (uint64_t) (version.start[i] - '0');
    }

    for (i = 0; i < keeper_n; i++) {
        if (strlen(keeper[i].name) == name.len
            && memcmp(keeper[i].name, name.start, name.len) == 0)
        {
            kept_refuse(&keeper[i], n);
            break;
        }
    }

    return 0;
}
