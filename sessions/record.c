/*
 * A record is whole or not there: it is written beside and renamed.
 */


#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "record.h"


#define RECORD_SIZE  65536
#define RECORD_NAME  16


static int record_write(int dir, const char *file, const char *text,
    size_t len);
static char *record_read(int dir, const char *file);


void
record_clear(record_t *record)
{
    free(record->name);
    free(record->address);
    free(record->type);
    free(record->key);

    memset(record, 0, sizeof(record_t));
}


int
record_save(int dir, const record_t *record)
{
    int    len, rc;
    char  *text, file[RECORD_NAME], new[RECORD_NAME];

    len = asprintf(&text, "%" PRIu64 " %" PRIu64 " %s %u %u %s %s %s\n",
                   record->started, record->since,
                   record->name ? record->name : "-", record->first,
                   record->ports, record->address, record->type, record->key);

    if (len == -1) {
        errno = ENOMEM;
        return -1;
    }

    snprintf(file, sizeof(file), "%ld", (long) record->pid);
    snprintf(new, sizeof(new), "%ld.new", (long) record->pid);

    rc = record_write(dir, new, text, (size_t) len);

    if (rc == 0) {
        rc = renameat(dir, new, dir, file);
    }

    free(text);

    return rc;
}


static int
record_write(int dir, const char *file, const char *text, size_t len)
{
    int      fd, error;
    ssize_t  n;

    fd = openat(dir, file, O_WRONLY|O_CREAT|O_TRUNC|O_NOFOLLOW|O_CLOEXEC,
                0600);

    if (fd == -1) {
        return -1;
    }

    n = write(fd, text, len);
    error = n == -1 ? errno : ENOSPC;
    close(fd);

    if (n == (ssize_t) len) {
        return 0;
    }

    (void) unlinkat(dir, file, 0);
    errno = error;

    return -1;
}


int
record_load(int dir, const char *file, record_t *record)
{
    int        n;
    char      *text, *end;
    long       pid;
    unsigned   first, ports;

    memset(record, 0, sizeof(record_t));

    pid = strtol(file, &end, 10);

    if (end == file || *end != '\0' || pid <= 0 || pid > INT32_MAX) {
        errno = EINVAL;
        return -1;
    }

    text = record_read(dir, file);

    if (text == NULL) {
        return -1;
    }

    n = sscanf(text, "%" SCNu64 " %" SCNu64 " %ms %u %u %ms %ms %ms",
               &record->started, &record->since, &record->name, &first,
               &ports, &record->address, &record->type, &record->key);

    free(text);

    if (n != 8 || first > UINT16_MAX || ports > UINT16_MAX) {
        record_clear(record);
        errno = EINVAL;
        return -1;
    }

    record->pid = (pid_t) pid;
    record->first = (uint16_t) first;
    record->ports = (uint16_t) ports;

    if (first == 0) {
        free(record->name);
        record->name = NULL;
    }

    return 0;
}


static char *
record_read(int dir, const char *file)
{
    int           fd;
    char         *text;
    ssize_t       n;
    struct stat   st;

    text = NULL;
    fd = openat(dir, file, O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

    if (fd == -1) {
        return NULL;
    }

    if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode)
        || st.st_size > RECORD_SIZE)
    {
        errno = EINVAL;
        goto done;
    }

    text = malloc((size_t) st.st_size + 1);

    if (text == NULL) {
        goto done;
    }

    n = read(fd, text, (size_t) st.st_size);
    text[n > 0 ? n : 0] = '\0';

done:

    close(fd);

    return text;
}


void
record_remove(int dir, pid_t pid)
{
    char  file[RECORD_NAME];

    snprintf(file, sizeof(file), "%ld", (long) pid);

    (void) unlinkat(dir, file, 0);
}
