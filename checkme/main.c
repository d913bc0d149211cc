/*
 * Verifies a value of the header CheckMe, which the forward proxy sends to
 * exporters:
 *
 *     monitoring-proxy-checkme VALUE
 *
 * The key is in MONITORING_PROXY_FORWARD_CHECKME_KEY, or is the first line of
 * the file that MONITORING_PROXY_FORWARD_CHECKME_KEY_FILE names.  If the value
 * was made with it, prints when, for which target, and how many seconds ago:
 *
 *     2026-11-21T20:41:53Z 10.20.0.7:9100 12
 *
 * Exit status: 0; 1 if it was not made with this key; 2 for a mistake.
 */


#define _POSIX_C_SOURCE  200809L

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ngx_prom_checkme.h"


#define NAME      "monitoring-proxy checkme: "
#define KEY       "MONITORING_PROXY_FORWARD_CHECKME_KEY"
#define KEY_MAX   4096


static const char *find_key(char *buf, size_t size);
static int read_key(const char *name, char *buf, size_t size);
static int print(uint64_t made, const char *target, size_t len);


int
main(int argc, char **argv)
{
    char         buf[KEY_MAX + 1];
    size_t       len;
    uint64_t     made;
    const char  *key, *target, *reason;

    if (argc != 2) {
        fputs("usage: monitoring-proxy-checkme VALUE\n", stderr);
        return 2;
    }

    key = find_key(buf, sizeof(buf));

    if (key == NULL) {
        return 2;
    }

    if (strlen(key) < NGX_PROM_CHECKME_KEY) {
        fprintf(stderr, NAME "the key has less than %d bytes\n",
                NGX_PROM_CHECKME_KEY);
        return 2;
    }

    reason = ngx_prom_checkme_verify(argv[1], strlen(argv[1]), key,
                                     strlen(key), &made, &target, &len);
    if (reason) {
        fprintf(stderr, NAME "%s\n", reason);
        return 1;
    }

    return print(made, target, len);
}


/* of either, the first line, as nginx reads it */

static const char *
find_key(char *buf, size_t size)
{
    const char  *key, *file;

    key = getenv(KEY);

    if (key && *key) {
        snprintf(buf, size, "%s", key);
        buf[strcspn(buf, "\r\n")] = '\0';
        return buf;
    }

    file = getenv(KEY "_FILE");

    if (file && *file) {
        return read_key(file, buf, size) == 0 ? buf : NULL;
    }

    fputs(NAME "neither " KEY " nor " KEY "_FILE is set here\n", stderr);

    return NULL;
}


static int
read_key(const char *name, char *buf, size_t size)
{
    FILE    *file;
    size_t   n;

    file = fopen(name, "r");

    if (file == NULL) {
        fputs(NAME, stderr);
        perror(name);
        return -1;
    }

    n = fread(buf, 1, size - 1, file);
    buf[n] = '\0';
    buf[strcspn(buf, "\r\n")] = '\0';

    fclose(file);

    return 0;
}


static int
print(uint64_t made, const char *target, size_t len)
{
    char       text[sizeof("-2147483648-12-31T23:59:60Z")];
    time_t     then;
    struct tm  tm;

    then = (time_t) made;

    if (gmtime_r(&then, &tm) == NULL
        || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
    {
        fputs(NAME "its time is out of range\n", stderr);
        return 1;
    }

    printf("%s %.*s %" PRId64 "\n", text, (int) len, target,
           (int64_t) time(NULL) - (int64_t) made);

    return fflush(stdout) == 0 ? 0 : 2;
}
