/*
 * A line is one write, so that lines of several writers don't mix.
 */


#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "str.h"


static void log_pair(buffer_t *line, const char *key, const char *value);
static int log_is_bare(const char *value);
static void log_quoted(buffer_t *line, const char *value);


static const char  *log_levels[] = { "debug", "info", "warn", "error" };
static const char  *log_shown[] = { "DEBUG", "INFO", "WARN", "ERROR" };

static log_level_e  log_level = LOG_INFO;
static int          log_json;


int
log_set_level(const char *name)
{
    unsigned  i;

    for (i = 0; i < sizeof(log_levels) / sizeof(log_levels[0]); i++) {
        if (strcmp(name, log_levels[i]) == 0) {
            log_level = (log_level_e) i;
            return 0;
        }
    }

    return -1;
}


int
log_set_format(const char *name)
{
    log_json = strcmp(name, "json") == 0;

    return log_json || strcmp(name, "logfmt") == 0 ? 0 : -1;
}


int
log_is_on(log_level_e level)
{
    return level >= log_level;
}


void
log_line(log_level_e level, const char *msg, ...)
{
    char              at[32];
    va_list           args;
    struct tm         tm;
    const char       *key;
    struct pollfd     pfd;
    struct timespec   ts;
    static buffer_t   line;

    if (!log_is_on(level)) {
        return;
    }

    (void) clock_gettime(CLOCK_REALTIME, &ts);
    (void) gmtime_r(&ts.tv_sec, &tm);
    (void) strftime(at, sizeof(at) - 5, "%Y-%m-%dT%H:%M:%S", &tm);
    (void) snprintf(at + strlen(at), 6, ".%03uZ",
                    (unsigned) (ts.tv_nsec / 1000000) % 1000);

    buffer_clear(&line);
    buffer_text(&line, log_json ? "{" : "");

    log_pair(&line, "time", at);
    log_pair(&line, "level", log_shown[level]);
    log_pair(&line, "msg", msg);

    va_start(args, msg);

    for (key = va_arg(args, const char *);
         key;
         key = va_arg(args, const char *))
    {
        log_pair(&line, key, va_arg(args, const char *));
    }

    va_end(args);

    buffer_text(&line, log_json ? "}\n" : "\n");

    /* nothing waits for a log that nobody reads */

    pfd.fd = STDERR_FILENO;
    pfd.events = POLLOUT;

    if (poll(&pfd, 1, 0) == 0) {
        return;
    }

    /* a log that is gone is no reason to end */

    if (write(STDERR_FILENO, line.start, line.len) == -1) {
        return;
    }
}


static void
log_pair(buffer_t *line, const char *key, const char *value)
{
    if (line->len > 1) {
        buffer_text(line, log_json ? "," : " ");
    }

    if (log_json) {
        log_quoted(line, key);
        buffer_text(line, ":");
        log_quoted(line, value);
        return;
    }

    buffer_format(line, "%s=", key);

    if (log_is_bare(value)) {
        buffer_text(line, value);

    } else {
        log_quoted(line, value);
    }
}


static int
log_is_bare(const char *value)
{
    return str_is_visible(str_of(value)) && strpbrk(value, "\"=\\") == NULL;
}


/* what isn't ASCII may be no UTF-8, too, as others have sent it */

static void
log_quoted(buffer_t *line, const char *value)
{
    unsigned char  c;

    buffer_text(line, "\"");

    for (/* void */; *value; value++) {
        c = (unsigned char) *value;

        if (c == '"' || c == '\\') {
            buffer_format(line, "\\%c", c);

        } else if (c == '\n') {
            buffer_text(line, "\\n");

        } else if (c < ' ' || c > '~') {
            buffer_format(line, "\\u%04x", c);

        } else {
            buffer_add(line, &c, 1);
        }
    }

    buffer_text(line, "\"");
}
