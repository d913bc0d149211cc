/*
 * What the operator reads: one line a call, on stderr.
 */


#ifndef _SESSIONS_LOG_H_INCLUDED_
#define _SESSIONS_LOG_H_INCLUDED_


#include <stdint.h>


#define LOG_FINGERPRINT  64       /* "SHA256:" and base64, with a final zero */
#define LOG_TIME         32       /* with a final zero */


void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* as ssh-keygen -l prints it; returns text */

const char *log_fingerprint(const uint8_t digest[32], char *text);

/* UTC, from milliseconds of Unix time; returns text */

const char *log_time(uint64_t msec, char *text);


#endif /* _SESSIONS_LOG_H_INCLUDED_ */
