/*
 * A file that we may write is the store's matter, which keeps its mode and
 * owner, and finds a way where it can't be renamed.  Another appears with all
 * of its text.
 */


#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "store.h"


#define FILE_BESIDE  "/.new.XXXXXX"
#define FILE_MODE    0644
#define FILE_CHUNK   65536


static int file_open(const char *path, off_t *size);
static int file_replace(const char *path, str_t text, reason_t why);
static int file_make(const char *path, str_t text, reason_t why);
static int file_fill(int fd, str_t text);


int
file_read(const char *path, size_t max, buffer_t *text, reason_t why)
{
    int      fd;
    char     chunk[FILE_CHUNK];
    off_t    size;
    size_t   len;
    ssize_t  n;

    fd = file_open(path, &size);

    if (fd == -1) {
        return file_fail(why, path);
    }

    len = text->len;

    do {
        n = read(fd, chunk, FILE_CHUNK);

        if (n > 0) {
            buffer_add(text, chunk, (size_t) n);
        }

    } while (n > 0 && text->len - len <= max && !text->failed);

    if (n == -1) {
        (void) file_fail(why, path);
    }

    close(fd);

    if (n == -1) {
        return -1;
    }

    if (text->len - len > max) {
        return reason(why, "%.*s: it has more than %zu bytes", REASON_TEXT,
                      path, max);
    }

    return text->failed ? reason(why, "out of memory") : 0;
}


int
file_is(const char *path, str_t text)
{
    int      fd;
    char     chunk[FILE_CHUNK];
    off_t    size;
    size_t   len;
    ssize_t  n;

    fd = file_open(path, &size);

    if (fd == -1) {
        return 0;
    }

    len = 0;

    if ((size_t) size == text.len) {

        while ((n = read(fd, chunk, FILE_CHUNK)) > 0) {

            if ((size_t) n > text.len - len
                || memcmp(text.start + len, chunk, (size_t) n) != 0)
            {
                break;
            }

            len += (size_t) n;
        }

    } else {
        n = -1;
    }

    close(fd);

    return n == 0 && len == text.len;
}


/* nothing but a regular file, which doesn't hold us up */

static int
file_open(const char *path, off_t *size)
{
    int          fd;
    struct stat  st;

    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd == -1) {
        return -1;
    }

    if (fstat(fd, &st) == 0) {
        *size = st.st_size;

        if (S_ISREG(st.st_mode)) {
            return fd;
        }
    }

    close(fd);
    errno = S_ISDIR(st.st_mode) ? EISDIR : ENOTSUP;

    return -1;
}


int
file_write(const char *path, str_t text, reason_t why)
{
    if (access(path, W_OK) == 0) {
        return file_replace(path, text, why);
    }

    /* another's, too, in a directory that is ours */

    return file_make(path, text, why);
}


static int
file_replace(const char *path, str_t text, reason_t why)
{
    int       rc;
    FILE     *told;
    reason_t  text_told;
    store_t  *store;

    memset(text_told, 0, sizeof(text_told));

    told = fmemopen(text_told, sizeof(text_told) - 1, "w");

    if (told == NULL) {
        return reason(why, "out of memory");
    }

    rc = -1;
    store = store_open(path, 0, told);

    if (store) {
        rc = store_write(store, text.start, text.len);
        store_close(store);
    }

    (void) fclose(told);

    if (rc == -1) {
        text_told[strcspn(text_told, "\n")] = '\0';
        (void) reason(why, "%s", text_told);
    }

    return rc;
}


static int
file_make(const char *path, str_t text, reason_t why)
{
    int       fd, rc;
    buffer_t  beside;

    memset(&beside, 0, sizeof(beside));

    file_directory(&beside, path);
    buffer_text(&beside, FILE_BESIDE);

    if (beside.failed) {
        buffer_free(&beside);
        return reason(why, "out of memory");
    }

    fd = mkostemp(beside.start, O_CLOEXEC);

    rc = fd == -1 ? -1 : file_fill(fd, text);

    if (rc == 0) {
        rc = rename(beside.start, path);
    }

    if (rc == -1) {
        (void) file_fail(why, path);
    }

    if (fd != -1) {
        close(fd);

        if (rc == -1) {
            (void) unlink(beside.start);
        }
    }

    buffer_free(&beside);

    return rc;
}


static int
file_fill(int fd, str_t text)
{
    size_t   done;
    ssize_t  n;

    for (done = 0; done < text.len; done += (size_t) n) {
        n = write(fd, text.start + done, text.len - done);

        if (n == -1) {
            return -1;
        }
    }

    if (fchmod(fd, FILE_MODE) == -1) {
        return -1;
    }

    return fsync(fd);
}


/* beside it, unless it is mounted by itself; or in place */

int
file_is_writable(const char *path, reason_t why)
{
    int            rc;
    buffer_t       directory;
    struct statx   stx;

    if (statx(AT_FDCWD, path, 0, STATX_TYPE, &stx) == 0
        && (stx.stx_attributes & STATX_ATTR_MOUNT_ROOT))
    {
        return access(path, W_OK) == 0 ? 0 : file_fail(why, path);
    }

    memset(&directory, 0, sizeof(directory));
    file_directory(&directory, path);

    if (directory.failed) {
        return reason(why, "out of memory");
    }

    rc = access(directory.start, W_OK | X_OK);

    if (rc == -1) {
        (void) file_fail(why, path);

        if (access(path, F_OK) == 0) {
            rc = access(path, W_OK);
        }
    }

    buffer_free(&directory);

    return rc;
}


void
file_directory(buffer_t *b, const char *path)
{
    const char  *slash;

    slash = strrchr(path, '/');

    if (slash == NULL) {
        buffer_text(b, ".");
        return;
    }

    buffer_add(b, path, slash == path ? 1 : (size_t) (slash - path));
}


int
file_fail(reason_t why, const char *path)
{
    char  todo[64];

    todo[0] = '\0';

    switch (errno) {

    case EACCES:
    case EPERM:
        (void) snprintf(todo, sizeof(todo), "; let user %u in, as whom this"
                        " runs", (unsigned) geteuid());
        break;

    case EROFS:
        (void) snprintf(todo, sizeof(todo), "; mount it, or its directory,"
                        " to be written");
        break;

    case ENOENT:
        (void) snprintf(todo, sizeof(todo), "; make it, or its directory, or"
                        " mount one there");
        break;

    case ENOSPC:
    case EDQUOT:
        (void) snprintf(todo, sizeof(todo), "; it will be written when there"
                        " is");
        break;

    case ENOTSUP:
        return reason(why, "%.*s: not a regular file", REASON_TEXT, path);
    }

    return reason(why, "%.*s: %s%s", REASON_TEXT, path, strerror(errno),
                  todo);
}
