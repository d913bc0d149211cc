/*
 * Memory is a file without a name, so that whoever reads files reads it too.
 */


#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "copy.h"
#include "keys_file.h"
#include "log.h"
#include "text.h"


static int copy_write_file(const char *path, const char *text, size_t len);
static int copy_write_memory(copy_t *copy, const char *text, size_t len);
static int copy_write_text(int fd, const char *text, size_t len);
static int copy_holds(const keys_file_t *all, const keys_file_t *some);
static void copy_close_fd(int *fd);


int
copy_open(copy_t *copy, const char *state, const char *name)
{
    int  rc;

    copy->fd = -1;
    copy->next_fd = -1;

    rc = asprintf(&copy->path, "%s/%s", state, name);
    rc |= asprintf(&copy->new, "%s/%s.new", state, name);

    return rc < 0 ? -1 : 0;
}


void
copy_close(copy_t *copy)
{
    copy_close_fd(&copy->fd);
    copy_close_fd(&copy->next_fd);

    free(copy->path);
    free(copy->new);
}


const char *
copy_current(const copy_t *copy)
{
    return copy->fd == -1 ? copy->path : copy->memory;
}


const char *
copy_next(const copy_t *copy)
{
    return copy->next_fd == -1 ? copy->new : copy->next;
}


int
copy_write(copy_t *copy, const char *text, size_t len)
{
    copy_close_fd(&copy->next_fd);

    if (copy_write_file(copy->new, text, len) == 0) {
        return 0;
    }

    copy->error = errno;

    if (copy_write_memory(copy, text, len) == 0) {
        return 0;
    }

    errno = copy->error;

    return -1;
}


/* for others to read, as keys are public */

static int
copy_write_file(const char *path, const char *text, size_t len)
{
    int  fd, error;

    (void) unlink(path);

    fd = open(path, O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0644);

    if (fd == -1) {
        return -1;
    }

    if (fchmod(fd, 0644) == 0 && copy_write_text(fd, text, len) == 0) {
        close(fd);
        return 0;
    }

    error = errno;
    close(fd);
    (void) unlink(path);
    errno = error;

    return -1;
}


static int
copy_write_memory(copy_t *copy, const char *text, size_t len)
{
    copy->next_fd = memfd_create("copy", MFD_CLOEXEC);

    if (copy->next_fd == -1) {
        return -1;
    }

    if (copy_write_text(copy->next_fd, text, len) == -1) {
        copy_close_fd(&copy->next_fd);
        return -1;
    }

    snprintf(copy->next, sizeof(copy->next), "/proc/self/fd/%d",
             copy->next_fd);

    return 0;
}


static int
copy_write_text(int fd, const char *text, size_t len)
{
    ssize_t  n;

    while (len) {
        n = write(fd, text, len);

        if (n == -1) {
            return -1;
        }

        text += n;
        len -= (size_t) n;
    }

    return 0;
}


int
copy_file(copy_t *copy, const char *from, FILE *told)
{
    int      rc;
    char    *text;
    size_t   len;

    text = text_read(from, &len, told);

    if (text == NULL) {
        return -1;
    }

    rc = copy_write(copy, text, len);

    if (rc == -1) {
        fprintf(told, "%s: %s\n", copy->path, strerror(errno));
    }

    free(text);

    return rc;
}


int
copy_same(const copy_t *copy)
{
    int     same;
    char   *a, *b;
    size_t  a_len, b_len;

    a = text_read(copy_next(copy), &a_len, NULL);
    b = text_read(copy_current(copy), &b_len, NULL);

    same = a && b && a_len == b_len && memcmp(a, b, a_len) == 0;

    free(a);
    free(b);

    return same;
}


/* a key more than once is as good as once */

int
copy_same_keys(const copy_t *copy)
{
    int           same;
    keys_file_t  *a, *b;

    a = keys_file_load(copy_next(copy), NULL);
    b = keys_file_load(copy_current(copy), NULL);

    same = a && b && copy_holds(a, b) && copy_holds(b, a);

    if (a) {
        keys_file_free(a);
    }

    if (b) {
        keys_file_free(b);
    }

    return same;
}


static int
copy_holds(const keys_file_t *all, const keys_file_t *some)
{
    size_t                  i, j;
    const keys_file_key_t  *a, *b;

    for (i = 0; i < some->count; i++) {
        a = &some->keys[i];

        for (j = 0; j < all->count; j++) {
            b = &all->keys[j];

            if (a->base64.len == b->base64.len
                && memcmp(a->base64.data, b->base64.data, a->base64.len) == 0)
            {
                break;
            }
        }

        if (j == all->count) {
            return 0;
        }
    }

    return 1;
}


int
copy_commit(copy_t *copy)
{
    if (copy->next_fd == -1) {

        if (rename(copy->new, copy->path) == -1) {
            return -1;
        }

        copy_close_fd(&copy->fd);
        return 0;
    }

    if (copy->fd == -1) {
        log_line("%s can't be written: %s; what it should say holds as long "
                 "as this service runs", copy->path, strerror(copy->error));
    }

    copy_close_fd(&copy->fd);

    copy->fd = copy->next_fd;
    copy->next_fd = -1;
    memcpy(copy->memory, copy->next, sizeof(copy->memory));

    return 0;
}


void
copy_discard(copy_t *copy)
{
    copy_close_fd(&copy->next_fd);
    (void) unlink(copy->new);
}


void
copy_save(copy_t *copy)
{
    char    *text;
    size_t   len;

    if (copy->fd == -1) {
        return;
    }

    text = text_read(copy->memory, &len, NULL);

    if (text && copy_write_file(copy->new, text, len) == 0
        && copy_commit(copy) == 0)
    {
        log_line("%s could be written now", copy->path);
    }

    free(text);
}


static void
copy_close_fd(int *fd)
{
    if (*fd != -1) {
        close(*fd);
        *fd = -1;
    }
}
