/*
 * The lock of a zone: see ngx_prom_lock.h.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_prom_lock.h"


static ngx_uint_t ngx_prom_lock_lost(ngx_pid_t pid);


void
ngx_prom_lock(ngx_shmtx_t *mtx)
{
    ngx_pid_t  pid;

    if (ngx_process != NGX_PROCESS_MASTER) {
        ngx_shmtx_lock(mtx);
        return;
    }

    while (!ngx_shmtx_trylock(mtx)) {

        pid = (ngx_pid_t) *mtx->lock;

        if (pid && ngx_prom_lock_lost(pid)) {
            (void) ngx_shmtx_force_unlock(mtx, pid);
            continue;
        }

        ngx_msleep(1);
    }
}


/* it is a zombie, or not even that */

static ngx_uint_t
ngx_prom_lock_lost(ngx_pid_t pid)
{
    int       fd;
    char     *p, buf[512];
    ssize_t   n;

    (void) ngx_snprintf((u_char *) buf, sizeof(buf), "/proc/%P/stat%Z", pid);

    fd = open(buf, O_RDONLY|O_CLOEXEC);
    if (fd == -1) {
        return (ngx_errno == NGX_ENOENT && kill(pid, 0) == -1);
    }

    n = read(fd, buf, sizeof(buf) - 1);

    (void) close(fd);

    if (n <= 0) {
        return (kill(pid, 0) == -1);
    }

    buf[n] = '\0';

    /* behind a name in parentheses, with whatever is in it */

    p = strrchr(buf, ')');

    return (p && (p[2] == 'Z' || p[2] == 'X'));
}
