/*
 * The log, on standard error, in the two formats of Prometheus' programs.
 */


#ifndef _COMMON_LOG_H_INCLUDED_
#define _COMMON_LOG_H_INCLUDED_


typedef enum {
    LOG_DEBUG = 0,
    LOG_INFO,
    LOG_WARN,
    LOG_ERROR
} log_level_e;


/* by their names, as flags have them; -1 if there is none of that name */

int log_set_level(const char *name);
int log_set_format(const char *name);

int log_is_on(log_level_e level);

/* one line: what follows msg is KEY, VALUE, ..., NULL, all of them strings */

void log_line(log_level_e level, const char *msg, ...)
    __attribute__((sentinel));


#endif /* _COMMON_LOG_H_INCLUDED_ */
