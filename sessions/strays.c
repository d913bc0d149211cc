/*
 * They are signalled by number, as long as it is the process that it was, with
 * SIGTERM first, and SIGKILL each second from then on.
 */


#define _GNU_SOURCE

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "log.h"
#include "loop.h"
#include "process.h"
#include "strays.h"


#define STRAYS_TERM   1000        /* ms, between signals */
#define STRAYS_AGAIN  5000        /* ms, to the second and last look */


typedef struct stray_s {
    TAILQ_ENTRY(stray_s)     queue;
    pid_t                    pid;
    uint64_t                 started;
    int64_t                  due;         /* of the next signal */
} stray_t;


struct strays_s {
    TAILQ_HEAD(, stray_s)    strays;
    unsigned                 looks;       /* that were */
    int64_t                  look;        /* when the next is */
    strays_known_pt          known;
    strays_gone_pt           gone;
    void                    *data;
};


static void strays_found(void *data, pid_t pid, uint64_t started);


strays_t *
strays_open(strays_known_pt known, strays_gone_pt gone, void *data)
{
    strays_t  *strays;

    strays = calloc(1, sizeof(strays_t));

    if (strays) {
        TAILQ_INIT(&strays->strays);
        strays->known = known;
        strays->gone = gone;
        strays->data = data;
    }

    return strays;
}


void
strays_close(strays_t *strays)
{
    stray_t  *stray;

    while ((stray = TAILQ_FIRST(&strays->strays))) {
        TAILQ_REMOVE(&strays->strays, stray, queue);
        free(stray);
    }

    free(strays);
}


int
strays_end(strays_t *strays, pid_t pid, uint64_t started)
{
    stray_t  *stray;

    stray = calloc(1, sizeof(stray_t));

    if (stray == NULL) {
        return -1;
    }

    stray->pid = pid;
    stray->started = started;
    stray->due = loop_now() + STRAYS_TERM;

    TAILQ_INSERT_TAIL(&strays->strays, stray, queue);

    (void) process_stop(pid, started, SIGTERM);

    return 0;
}


int
strays_has(const strays_t *strays, pid_t pid)
{
    const stray_t  *stray;

    TAILQ_FOREACH(stray, &strays->strays, queue) {
        if (stray->pid == pid) {
            return 1;
        }
    }

    return 0;
}


/*
 * A session that nobody has said yes to may be left by a service before, which
 * was killed as it had said no: that was at most moments ago.
 */

int
strays_step(strays_t *strays, int64_t now)
{
    stray_t  *stray, *next;

    if (strays->looks < 2 && now >= strays->look) {
        strays->look = now + STRAYS_AGAIN;

        if (process_sessions(strays_found, strays) == 0) {
            strays->looks++;

        } else {
            log_line("/proc: %s", strerror(errno));
        }
    }

    for (stray = TAILQ_FIRST(&strays->strays); stray; stray = next) {
        next = TAILQ_NEXT(stray, queue);

        if (now < stray->due) {
            continue;
        }

        stray->due = now + STRAYS_TERM;

        if (process_stop(stray->pid, stray->started, SIGKILL) == 0
            || errno != ESRCH)
        {
            continue;
        }

        TAILQ_REMOVE(&strays->strays, stray, queue);
        strays->gone(strays->data, stray->pid, stray->started);
        free(stray);
    }

    return !TAILQ_EMPTY(&strays->strays);
}


static void
strays_found(void *data, pid_t pid, uint64_t started)
{
    strays_t  *strays = data;

    if (strays_has(strays, pid) || strays->known(strays->data, pid)) {
        return;
    }

    log_line("process %ld: ended: a session that nobody has said yes to",
             (long) pid);

    if (strays_end(strays, pid, started) == -1) {
        log_line("out of memory");
    }
}
