/*
 * A file that is changed as a whole; see the header.
 */


#define _GNU_SOURCE  1                /* also by -D */

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store.h"
#include "text.h"


#define STORE_PATH   4096
#define STORE_BESIDE "/.store.XXXXXX"
#define STORE_NAP    50               /* ms between tries to lock it */
#define STORE_TRIES  200              /* 10 s in all */


struct store_s {
    const char          *name;        /* the path as its user has it */
    FILE                *told;
    char                 path[STORE_PATH];   /* behind any symlinks */
    int                  fd;          /* has the lock */
    struct stat          st;
    char                *text;
    size_t               len;
};


static int store_resolve(store_t *store);
static int store_lock(store_t *store, mode_t make);
static int store_lock_wait(store_t *store);
static int store_beside(store_t *store, const char *text, size_t len);
static int store_beside_fill(store_t *store, int fd, const char *text,
    size_t len);
static void store_sync_directory(const char *directory);
static int store_in_place(store_t *store, const char *text, size_t len);
static int store_in_place_write(store_t *store, int fd, const char *text,
    size_t len);
static int store_put(int fd, const char *text, size_t len, size_t from);
static void store_fail(const store_t *store, int error);


store_t *
store_open(const char *path, mode_t make, FILE *told)
{
    store_t  *store;

    store = calloc(1, sizeof(store_t));
    if (store == NULL) {
        text_fail(path, "out of memory", told);
        return NULL;
    }

    store->name = path;
    store->told = told;
    store->fd = -1;

    if (store_resolve(store) == -1 || store_lock(store, make) == -1) {
        store_close(store);
        return NULL;
    }

    store->text = text_read(store->path, &store->len, told);

    if (store->text == NULL) {
        store_close(store);
        return NULL;
    }

    return store;
}


const char *
store_text(const store_t *store, size_t *len)
{
    *len = store->len;

    return store->text;
}


void
store_close(store_t *store)
{
    if (store->fd != -1) {
        close(store->fd);
    }

    free(store->text);
    free(store);
}


/* a rename must replace the file, not a symlink to it */

static int
store_resolve(store_t *store)
{
    char  *path;

    path = realpath(store->name, NULL);

    if (path == NULL && errno != ENOENT) {
        text_fail(store->name, strerror(errno), store->told);
        return -1;
    }

    if (strlen(path ? path : store->name)
        >= sizeof(store->path) - sizeof(STORE_BESIDE))
    {
        text_fail(store->name, strerror(ENAMETOOLONG), store->told);
        free(path);
        return -1;
    }

    strcpy(store->path, path ? path : store->name);
    free(path);

    return 0;
}


/* another may have replaced the file until the lock is ours */

static int
store_lock(store_t *store, mode_t make)
{
    struct stat  st;

    for ( ;; ) {
        store->fd = open(store->path, O_RDONLY|O_NONBLOCK|O_NOCTTY|O_CLOEXEC);

        if (store->fd == -1 && errno == ENOENT && make) {
            store->fd = open(store->path, O_RDWR|O_CREAT|O_NOCTTY|O_CLOEXEC,
                             make);

            if (store->fd == -1) {
                store_fail(store, errno);
                return -1;
            }
        }

        if (store->fd == -1 || fstat(store->fd, &store->st) == -1) {
            text_fail(store->name, strerror(errno), store->told);
            return -1;
        }

        if (!S_ISREG(store->st.st_mode)) {
            text_fail(store->name, "is not a regular file", store->told);
            return -1;
        }

        if (store_lock_wait(store) == -1) {
            return -1;
        }

        if (stat(store->path, &st) == 0 && st.st_ino == store->st.st_ino
            && st.st_dev == store->st.st_dev)
        {
            store->st = st;
            return 0;
        }

        close(store->fd);
    }
}


static int
store_lock_wait(store_t *store)
{
    int              tries;
    struct timespec  nap;

    nap.tv_sec = 0;
    nap.tv_nsec = STORE_NAP * 1000000L;

    for (tries = 0; flock(store->fd, LOCK_EX|LOCK_NB) == -1; tries++) {

        if (errno != EWOULDBLOCK && errno != EINTR) {
            text_fail(store->name, strerror(errno), store->told);
            return -1;
        }

        if (tries == STORE_TRIES) {
            text_fail(store->name, "is locked by another process, try again",
                      store->told);
            return -1;
        }

        (void) nanosleep(&nap, NULL);
    }

    return 0;
}


int
store_write(store_t *store, const char *text, size_t len)
{
    int       rc, error;
    sigset_t  all, old;

    /* nothing is left half done */

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &old);

    rc = store_beside(store, text, len);

    if (rc == -1) {
        rc = store_in_place(store, text, len);
    }

    error = errno;
    sigprocmask(SIG_SETMASK, &old, NULL);

    if (rc == -1) {
        store_fail(store, error);
    }

    return rc;
}


static int
store_beside(store_t *store, const char *text, size_t len)
{
    int   fd;
    char  path[STORE_PATH], beside[STORE_PATH + sizeof(STORE_BESIDE)];
    char  *directory;

    /* other names of the file would stay with the old text */

    if (store->st.st_nlink > 1) {
        return -1;
    }

    strcpy(path, store->path);
    directory = dirname(path);

    snprintf(beside, sizeof(beside), "%s" STORE_BESIDE, directory);

    fd = mkostemp(beside, O_CLOEXEC);
    if (fd == -1) {
        return -1;
    }

    if (store_beside_fill(store, fd, text, len) == -1
        || rename(beside, store->path) == -1)
    {
        close(fd);
        (void) unlink(beside);
        return -1;
    }

    close(fd);
    store_sync_directory(directory);

    return 0;
}


static int
store_beside_fill(store_t *store, int fd, const char *text, size_t len)
{
    struct stat  st;

    if (fstat(fd, &st) == -1) {
        return -1;
    }

    if ((st.st_uid != store->st.st_uid || st.st_gid != store->st.st_gid)
        && fchown(fd, store->st.st_uid, store->st.st_gid) == -1)
    {
        return -1;
    }

    if (fchmod(fd, store->st.st_mode & 07777) == -1
        || store_put(fd, text, len, 0) == -1)
    {
        return -1;
    }

    return fsync(fd);
}


/* that the name is on the disk too is good to have, no more */

static void
store_sync_directory(const char *directory)
{
    int  fd;

    fd = open(directory, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (fd != -1) {
        (void) fsync(fd);
        close(fd);
    }
}


static int
store_in_place(store_t *store, const char *text, size_t len)
{
    int  fd, rc, error;

    fd = open(store->path, O_WRONLY|O_NOCTTY|O_CLOEXEC);
    if (fd == -1) {
        return -1;
    }

    rc = store_in_place_write(store, fd, text, len);

    error = errno;
    close(fd);
    errno = error;

    return rc;
}


static int
store_in_place_write(store_t *store, int fd, const char *text, size_t len)
{
    int     error;
    size_t  same;

    /* takes the room before anything is changed, where the system can */

    if (len > store->len
        && fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t) len) == -1
        && errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL)
    {
        return -1;
    }

    for (same = 0; same < len && same < store->len; same++) {
        if (text[same] != store->text[same]) {
            break;
        }
    }

    if (store_put(fd, text, len, same) == 0
        && (len >= store->len || ftruncate(fd, (off_t) len) == 0)
        && fsync(fd) == 0)
    {
        return 0;
    }

    error = errno;

    (void) store_put(fd, store->text, store->len, same);

    if (ftruncate(fd, (off_t) store->len) == 0) {
        (void) fsync(fd);
    }

    errno = error;

    return -1;
}


static int
store_put(int fd, const char *text, size_t len, size_t from)
{
    ssize_t  n;

    while (from < len) {
        n = pwrite(fd, text + from, len - from, (off_t) from);

        if (n == -1) {
            return -1;
        }

        from += (size_t) n;
    }

    return 0;
}


static void
store_fail(const store_t *store, int error)
{
    if (error == EROFS || error == EACCES || error == EPERM) {
        text_fail(store->name, "is not writable here; mount it, or better its "
                  "directory, without \":ro\", and let root write it",
                  store->told);
        return;
    }

    text_fail(store->name, strerror(error), store->told);
}
