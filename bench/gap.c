/*
 * Measures how long nginx's event loops were away: a library to preload.
 *
 * An event loop asks for events in epoll_wait().  The gap is the time from
 * its return to the next call: as long as that, a worker does nothing for any
 * other connection.  With BENCH_GAP=FILE each process has a record of numbers
 * of 8 bytes in FILE, which must hold zeroes at first, and may be filled with
 * zeroes again to start anew:
 *
 *     pid, gaps, longest gap, longest busy gap, longest run, gaps of more
 *     than 10 ms, busy gaps of more than 10 ms
 *
 * The times are nanoseconds.  A gap less what the worker waited for a CPU is
 * busy: it ran, or slept in a system call, or all of a virtual machine stood
 * still.  The rest is other processes' work on a machine that has too few CPUs
 * for all of them.  A run is what the worker spent on a CPU in a gap.
 */


#define _GNU_SOURCE

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>


#define GAP_RECORDS  64
#define GAP_LONG     10000000


typedef struct {
    uint64_t  pid;
    uint64_t  gaps;
    uint64_t  longest;
    uint64_t  longest_busy;
    uint64_t  longest_run;
    uint64_t  many;
    uint64_t  many_busy;
} gap_record_t;


typedef struct {
    uint64_t  ran;
    uint64_t  waited;        /* ready to run, without a CPU */
} gap_used_t;


static void gap_open(void);
static void gap_begin(void);
static void gap_end(void);
static gap_record_t *gap_record(uint64_t pid);
static uint64_t gap_clock(clockid_t id);
static gap_used_t gap_used(uint64_t pid);


static gap_record_t  *gap_records;
static uint64_t       gap_started;       /* 0: not in a gap */
static gap_used_t     gap_used_then;


/* nginx clears its environment later */

__attribute__((constructor))
static void
gap_open(void)
{
    int          fd;
    void        *p;
    const char  *file;

    file = getenv("BENCH_GAP");
    fd = file ? open(file, O_RDWR) : -1;

    if (fd == -1) {
        return;
    }

    p = mmap(NULL, GAP_RECORDS * sizeof(gap_record_t),
             PROT_READ|PROT_WRITE, MAP_SHARED, fd, 0);

    close(fd);

    if (p != MAP_FAILED) {
        gap_records = p;
    }
}


/* takes the place of libc's */

int
epoll_wait(int epfd, struct epoll_event *events, int maxevents, int timeout)
{
    int  n;

    gap_end();

    n = syscall(SYS_epoll_pwait, epfd, events, maxevents, timeout, NULL,
                _NSIG / 8);

    gap_begin();

    return n;
}


static void
gap_begin(void)
{
    gap_used_then = gap_used(getpid());
    gap_started = gap_clock(CLOCK_MONOTONIC);
}


static void
gap_end(void)
{
    uint64_t       pid, gap, ran, waited, busy;
    gap_used_t     used;
    gap_record_t  *record;

    if (gap_started == 0) {
        return;
    }

    pid = getpid();

    gap = gap_clock(CLOCK_MONOTONIC) - gap_started;
    used = gap_used(pid);
    ran = used.ran - gap_used_then.ran;
    waited = used.waited - gap_used_then.waited;
    busy = (gap > waited) ? gap - waited : 0;

    record = gap_record(pid);
    if (record == NULL) {
        return;
    }

    record->gaps++;
    record->many += (gap > GAP_LONG);
    record->many_busy += (busy > GAP_LONG);

    if (gap > record->longest) {
        record->longest = gap;
    }

    if (busy > record->longest_busy) {
        record->longest_busy = busy;
    }

    if (ran > record->longest_run) {
        record->longest_run = ran;
    }
}


/* found anew each time, as a worker starts with its master's memory */

static gap_record_t *
gap_record(uint64_t pid)
{
    int  i;

    for (i = 0; gap_records && i < GAP_RECORDS; i++) {
        if (gap_records[i].pid == pid
            || __sync_bool_compare_and_swap(&gap_records[i].pid, 0, pid))
        {
            return &gap_records[i];
        }
    }

    return NULL;
}


static uint64_t
gap_clock(clockid_t id)
{
    struct timespec  ts;

    clock_gettime(id, &ts);

    return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}


/* nanoseconds of this thread */

static gap_used_t
gap_used(uint64_t pid)
{
    char                buf[64];
    ssize_t             n;
    gap_used_t          used;
    unsigned long long  waited;

    static int       fd = -1;
    static uint64_t  whose;

    if (whose != pid) {
        if (fd != -1) {
            close(fd);
        }

        fd = open("/proc/thread-self/schedstat", O_RDONLY|O_CLOEXEC);
        whose = pid;
    }

    /* schedstat's own time on a CPU is as coarse as the kernel's tick */

    used.ran = gap_clock(CLOCK_THREAD_CPUTIME_ID);
    used.waited = 0;

    n = pread(fd, buf, sizeof(buf) - 1, 0);
    if (n <= 0) {
        return used;
    }

    buf[n] = '\0';

    if (sscanf(buf, "%*u %llu", &waited) == 1) {
        used.waited = waited;
    }

    return used;
}
