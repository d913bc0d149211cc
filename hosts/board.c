/*
 * The board; see the header.
 */


#define _POSIX_C_SOURCE  200809L

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "board.h"


#define BOARD_PATH   4096
#define BOARD_TRIES  1000             /* a writer that died in between */


static int board_check(int fd);
static int board_write(int fd);
static int board_pread(int fd, void *data, size_t size, off_t at);


int
board_open(const char *path)
{
    int  fd, error;

    fd = open(path, O_RDONLY|O_NONBLOCK|O_NOCTTY|O_CLOEXEC);

    if (fd == -1 || board_check(fd) == 0) {
        return fd;
    }

    error = errno;
    close(fd);
    errno = error;

    return -1;
}


static int
board_check(int fd)
{
    struct stat              st;
    ngx_prom_tunnels_head_t  head;

    if (fstat(fd, &st) == -1) {
        return -1;
    }

    if (!S_ISREG(st.st_mode)
        || st.st_size != (off_t) sizeof(ngx_prom_tunnels_t))
    {
        errno = EINVAL;
        return -1;
    }

    if (board_pread(fd, &head, sizeof(head), 0) == -1) {
        return -1;
    }

    if (head.magic != NGX_PROM_TUNNELS_MAGIC
        || head.size != sizeof(ngx_prom_tunnel_t))
    {
        errno = EINVAL;
        return -1;
    }

    return 0;
}


int
board_make(const char *path)
{
    int   fd, n, error;
    char  beside[BOARD_PATH];

    n = snprintf(beside, sizeof(beside), "%s.new", path);

    if (n < 0 || (size_t) n >= sizeof(beside)) {
        errno = ENAMETOOLONG;
        return -1;
    }

    (void) unlink(beside);

    fd = open(beside, O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0644);
    if (fd == -1) {
        return -1;
    }

    if (board_write(fd) == -1 || rename(beside, path) == -1) {
        error = errno;
        close(fd);
        (void) unlink(beside);
        errno = error;
        return -1;
    }

    close(fd);

    return 0;
}


static int
board_write(int fd)
{
    ngx_prom_tunnels_head_t  head;

    memset(&head, 0, sizeof(head));

    head.magic = NGX_PROM_TUNNELS_MAGIC;
    head.size = sizeof(ngx_prom_tunnel_t);

    if (fchmod(fd, 0644) == -1
        || ftruncate(fd, sizeof(ngx_prom_tunnels_t)) == -1)
    {
        return -1;
    }

    return pwrite(fd, &head, sizeof(head), 0) == (ssize_t) sizeof(head) ? 0
                                                                        : -1;
}


int
board_read(int fd, uint16_t port, ngx_prom_tunnel_t *tunnel)
{
    off_t     at;
    unsigned  tries;
    uint32_t  before, after;

    at = (off_t) (offsetof(ngx_prom_tunnels_t, tunnels)
                  + port * sizeof(ngx_prom_tunnel_t));

    for (tries = 0; tries < BOARD_TRIES; tries++) {

        if (board_pread(fd, &before, sizeof(before), at) == -1
            || board_pread(fd, tunnel, sizeof(ngx_prom_tunnel_t), at) == -1
            || board_pread(fd, &after, sizeof(after), at) == -1)
        {
            return -1;
        }

        if ((before & 1) == 0 && before == after) {
            break;
        }

        (void) sched_yield();
    }

    tunnel->address[NGX_PROM_TUNNELS_ADDRESS - 1] = '\0';

    return 0;
}


static int
board_pread(int fd, void *data, size_t size, off_t at)
{
    ssize_t  n;

    n = pread(fd, data, size, at);

    if (n == (ssize_t) size) {
        return 0;
    }

    if (n != -1) {
        errno = EIO;
    }

    return -1;
}
