/*
 * Reads a targets file as the nginx module does: a regular file behind any
 * symlinks, of 64 MB at most, that doesn't change under the reader.
 */


#define _POSIX_C_SOURCE  200809L

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"


#define TARGETS_FILE_SIZE    (64 * 1024 * 1024)
#define TARGETS_FILE_ALLOCS  2        /* the targets, and the parser's hash */


struct targets_file_s {
    const char          *path;
    char                *text;
    size_t               len;
    void                *allocs[TARGETS_FILE_ALLOCS];
    unsigned             nallocs;
    ngx_prom_targets_t   targets;
};


static int targets_file_read(targets_file_t *file);
static void targets_file_fail(const targets_file_t *file, const char *reason);
static int targets_file_parse(targets_file_t *file);
static void *targets_file_alloc(void *data, size_t size);
static void targets_file_error(void *data, uint32_t line, uint32_t column,
    const char *reason);


targets_file_t *
targets_file_load(const char *path)
{
    targets_file_t  *file;

    file = calloc(1, sizeof(targets_file_t));
    if (file == NULL) {
        fprintf(stderr, "%s: out of memory\n", path);
        return NULL;
    }

    file->path = path;

    if (targets_file_read(file) == -1 || targets_file_parse(file) == -1) {
        targets_file_free(file);
        return NULL;
    }

    return file;
}


const ngx_prom_targets_t *
targets_file_targets(const targets_file_t *file)
{
    return &file->targets;
}


void
targets_file_free(targets_file_t *file)
{
    while (file->nallocs) {
        free(file->allocs[--file->nallocs]);
    }

    free(file->text);
    free(file);
}


static int
targets_file_read(targets_file_t *file)
{
    int           fd, rc;
    size_t        size;
    ssize_t       n;
    struct stat   st;

    rc = -1;

    /* a FIFO or a device must not hold us up before we know what it is */

    fd = open(file->path, O_RDONLY|O_NONBLOCK|O_NOCTTY|O_CLOEXEC);

    if (fd == -1 || fstat(fd, &st) == -1) {
        targets_file_fail(file, strerror(errno));
        goto done;
    }

    if (!S_ISREG(st.st_mode)) {
        targets_file_fail(file, "is not a regular file");
        goto done;
    }

    if (st.st_size > TARGETS_FILE_SIZE) {
        fprintf(stderr, "%s: has %lld bytes, at most %d are allowed\n",
                file->path, (long long) st.st_size, TARGETS_FILE_SIZE);
        goto done;
    }

    /* the byte more shows a file that grows, and is the parser's */

    size = (size_t) st.st_size;

    file->text = malloc(size + 1);

    if (file->text == NULL) {
        targets_file_fail(file, "out of memory");
        goto done;
    }

    do {
        n = read(fd, file->text + file->len, size + 1 - file->len);

        if (n > 0) {
            file->len += (size_t) n;
        }

    } while ((n > 0 && file->len <= size) || (n == -1 && errno == EINTR));

    if (n == -1) {
        targets_file_fail(file, strerror(errno));
        goto done;
    }

    if (file->len != size) {
        targets_file_fail(file, "was changed while it was read, try again");
        goto done;
    }

    rc = 0;

done:

    if (fd != -1) {
        close(fd);
    }

    return rc;
}


/* what strerror() says begins with a capital letter, our messages don't */

static void
targets_file_fail(const targets_file_t *file, const char *reason)
{
    fprintf(stderr, "%s: %c%s\n", file->path,
            tolower((unsigned char) reason[0]), reason + 1);
}


static int
targets_file_parse(targets_file_t *file)
{
    ngx_prom_targets_t  *pt;

    pt = &file->targets;

    pt->alloc = targets_file_alloc;
    pt->error = targets_file_error;
    pt->data = file;

    switch (ngx_prom_targets_parse(pt, file->text, file->len)) {

    case 0:
        return 0;

    case -1:
        targets_file_fail(file, "out of memory");
        return -1;
    }

    if (pt->errors > NGX_PROM_ERRORS_MAX) {
        fprintf(stderr, "%s: and %u more mistakes\n", file->path,
                pt->errors - NGX_PROM_ERRORS_MAX);
    }

    return -1;
}


static void *
targets_file_alloc(void *data, size_t size)
{
    targets_file_t  *file = data;

    if (file->nallocs == TARGETS_FILE_ALLOCS) {
        return NULL;
    }

    file->allocs[file->nallocs] = malloc(size);

    return file->allocs[file->nallocs++];
}


static void
targets_file_error(void *data, uint32_t line, uint32_t column,
    const char *reason)
{
    targets_file_t  *file = data;

    fprintf(stderr, "%s:%u:%u: %s\n", file->path, line, column, reason);
}
