/*
 * To be preloaded: the clock of the day jumps by as many seconds as the file
 * CLOCK_JUMP of the environment has; the others go on as they are.
 */


#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>


static long clock_jump(void);


static int  (*clock_real)(clockid_t id, struct timespec *ts);


int
clock_gettime(clockid_t id, struct timespec *ts)
{
    int  rc;

    if (clock_real == NULL) {
        clock_real = (int (*)(clockid_t, struct timespec *))
                         dlsym(RTLD_NEXT, "clock_gettime");
    }

    rc = clock_real(id, ts);

    if (rc == 0 && id == CLOCK_REALTIME) {
        ts->tv_sec += clock_jump();
    }

    return rc;
}


time_t
time(time_t *now)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_REALTIME, &ts);

    if (now) {
        *now = ts.tv_sec;
    }

    return ts.tv_sec;
}


int
gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    struct timespec  ts;

    (void) zone;
    (void) clock_gettime(CLOCK_REALTIME, &ts);

    tv->tv_sec = ts.tv_sec;
    tv->tv_usec = ts.tv_nsec / 1000;

    return 0;
}


static long
clock_jump(void)
{
    long         seconds;
    FILE        *file;
    const char  *path;

    seconds = 0;
    path = getenv("CLOCK_JUMP");
    file = path ? fopen(path, "r") : NULL;

    if (file) {
        if (fscanf(file, "%ld", &seconds) != 1) {
            seconds = 0;
        }

        fclose(file);
    }

    return seconds;
}
