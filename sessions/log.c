/*
 * One write a line, so that lines of several writers don't mix.  Nobody waits
 * for one who doesn't read them: a pipe that takes anything takes a line.
 */


#define _POSIX_C_SOURCE  200809L

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"


#define LOG_LINE  4096            /* PIPE_BUF */


static void log_print(const char *format, ...)
    __attribute__((format(printf, 1, 2)));
static int log_waits(void);
static void log_write(const char *format, va_list args);


void
log_line(const char *format, ...)
{
    va_list          args;
    static unsigned  lost;

    if (lost && !log_waits()) {
        log_print("%u lines lost, as nobody has read the log", lost);
        lost = 0;
    }

    if (log_waits()) {
        lost++;
        return;
    }

    va_start(args, format);
    log_write(format, args);
    va_end(args);
}


static void
log_print(const char *format, ...)
{
    va_list  args;

    va_start(args, format);
    log_write(format, args);
    va_end(args);
}


static int
log_waits(void)
{
    struct pollfd  pfd;

    pfd.fd = STDERR_FILENO;
    pfd.events = POLLOUT;

    return poll(&pfd, 1, 0) == 0;
}


static void
log_write(const char *format, va_list args)
{
    int   n;
    char  line[LOG_LINE];

    n = vsnprintf(line, sizeof(line) - 1, format, args);

    if (n < 0) {
        return;
    }

    if ((size_t) n > sizeof(line) - 2) {
        n = sizeof(line) - 2;
    }

    line[n++] = '\n';

    /* a log that is gone is no reason to end */

    if (write(STDERR_FILENO, line, (size_t) n) == -1) {
        return;
    }
}


const char *
log_fingerprint(const uint8_t digest[32], char *text)
{
    int       i;
    char     *p;
    uint32_t  bits;

    static const char  digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    p = text + sprintf(text, "SHA256:");

    for (i = 0; i < 32; i += 3) {
        bits = (uint32_t) digest[i] << 16 | (uint32_t) digest[i + 1] << 8
               | (i + 2 < 32 ? digest[i + 2] : 0);

        *p++ = digits[bits >> 18];
        *p++ = digits[bits >> 12 & 63];
        *p++ = digits[bits >> 6 & 63];

        if (i + 2 < 32) {
            *p++ = digits[bits & 63];
        }
    }

    *p = '\0';

    return text;
}


const char *
log_time(uint64_t msec, char *text)
{
    time_t     sec;
    struct tm  tm;

    sec = (time_t) (msec / 1000);

    if (gmtime_r(&sec, &tm) == NULL
        || strftime(text, LOG_TIME, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
    {
        strcpy(text, "?");
    }

    return text;
}
