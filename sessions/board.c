/*
 * A page of the file has to be there before it is written to by the mapping:
 * on a full tmpfs that would be a SIGBUS.
 */


#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "board.h"
#include "log.h"
#include "loop.h"


#define BOARD_PIECE  512          /* records read at once */


struct board_s {
    int                  fd;
    int                  full;    /* and that was told */
    ngx_prom_tunnels_t  *map;
};


static int board_use(const char *path);
static int board_make(const char *path);
static int board_reserve(board_t *board, off_t offset, size_t size);
static ngx_prom_tunnel_t *board_begin(board_t *board, uint16_t port);
static void board_begin_seq(uint32_t *seq);
static void board_end_seq(uint32_t *seq);
static void board_write(board_t *board, uint16_t port,
    const ngx_prom_tunnel_t *record, uint32_t login);


board_t *
board_open(const char *path)
{
    int       error;
    board_t  *board;

    board = calloc(1, sizeof(board_t));

    if (board == NULL) {
        return NULL;
    }

    board->map = MAP_FAILED;
    board->fd = board_use(path);

    if (board->fd == -1) {
        board->fd = board_make(path);
    }

    if (board->fd == -1) {
        goto failed;
    }

    board->map = mmap(NULL, sizeof(ngx_prom_tunnels_t), PROT_READ|PROT_WRITE,
                      MAP_SHARED, board->fd, 0);

    if (board->map == MAP_FAILED
        || board_reserve(board, 0, sizeof(board->map->page)) == -1)
    {
        goto failed;
    }

    /* one that was killed as it wrote */

    if (board->map->head.seq & 1) {
        board_end_seq(&board->map->head.seq);
    }

    return board;

failed:

    error = errno;
    board_close(board);
    errno = error;

    return NULL;
}


void
board_close(board_t *board)
{
    if (board->map != MAP_FAILED) {
        munmap(board->map, sizeof(ngx_prom_tunnels_t));
    }

    if (board->fd != -1) {
        close(board->fd);
    }

    free(board);
}


/* returns -1 if it isn't there, or isn't a board */

static int
board_use(const char *path)
{
    int          fd;
    uint32_t     words[2];
    struct stat  st;

    fd = open(path, O_RDWR|O_CLOEXEC|O_NOFOLLOW|O_NONBLOCK);

    if (fd == -1) {
        return -1;
    }

    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)
        && st.st_size == (off_t) sizeof(ngx_prom_tunnels_t)
        && pread(fd, words, sizeof(words), 0) == (ssize_t) sizeof(words)
        && words[0] == NGX_PROM_TUNNELS_MAGIC
        && words[1] == sizeof(ngx_prom_tunnel_t))
    {
        return fd;
    }

    close(fd);

    return -1;
}


static int
board_make(const char *path)
{
    int       fd, error;
    char     *new;
    uint32_t  words[2];

    if (asprintf(&new, "%s.new", path) == -1) {
        return -1;
    }

    words[0] = NGX_PROM_TUNNELS_MAGIC;
    words[1] = sizeof(ngx_prom_tunnel_t);

    fd = open(new, O_RDWR|O_CREAT|O_TRUNC|O_CLOEXEC|O_NOFOLLOW, 0644);

    if (fd != -1
        && (fchmod(fd, 0644) == -1
            || ftruncate(fd, sizeof(ngx_prom_tunnels_t)) == -1
            || pwrite(fd, words, sizeof(words), 0) != (ssize_t) sizeof(words)
            || rename(new, path) == -1))
    {
        error = errno;
        close(fd);
        errno = error;
        fd = -1;
    }

    free(new);

    return fd;
}


static int
board_reserve(board_t *board, off_t offset, size_t size)
{
    if (fallocate(board->fd, FALLOC_FL_KEEP_SIZE, offset, (off_t) size) == 0
        || errno == EOPNOTSUPP)
    {
        board->full = 0;
        return 0;
    }

    if (!board->full) {
        log_line("cannot write to the board of tunnels: %s", strerror(errno));
        board->full = 1;
    }

    return -1;
}


void
board_connected(board_t *board, uint16_t port,
    const ngx_prom_tunnel_t *record)
{
    board_write(board, port, record, 1);
}


void
board_adopted(board_t *board, uint16_t port, const ngx_prom_tunnel_t *record)
{
    const ngx_prom_tunnel_t  *old;

    old = &board->map->tunnels[port];

    if ((old->seq & 1) == 0 && old->pid == record->pid
        && old->started == record->started)
    {
        return;
    }

    board_write(board, port, record, old->logins == 0);
}


static void
board_write(board_t *board, uint16_t port, const ngx_prom_tunnel_t *record,
    uint32_t login)
{
    ngx_prom_tunnel_t  *tunnel;

    tunnel = board_begin(board, port);

    if (tunnel == NULL) {
        return;
    }

    tunnel->pid = record->pid;
    tunnel->started = record->started;
    tunnel->since = record->since;
    tunnel->logins += login;
    tunnel->certificate = record->certificate;
    memcpy(tunnel->digest, record->digest, sizeof(tunnel->digest));
    memcpy(tunnel->address, record->address, sizeof(tunnel->address));

    board_end_seq(&tunnel->seq);
}


void
board_ended(board_t *board, uint16_t port)
{
    ngx_prom_tunnel_t  *tunnel;

    tunnel = board_begin(board, port);

    if (tunnel == NULL) {
        return;
    }

    tunnel->pid = 0;
    tunnel->started = 0;
    tunnel->ended = loop_time();

    board_end_seq(&tunnel->seq);
}


void
board_forget(board_t *board, uint16_t port)
{
    ngx_prom_tunnel_t  *tunnel;

    tunnel = board_begin(board, port);

    if (tunnel == NULL) {
        return;
    }

    memset((char *) tunnel + sizeof(tunnel->seq), 0,
           sizeof(ngx_prom_tunnel_t) - sizeof(tunnel->seq));

    board_end_seq(&tunnel->seq);
}


/* read from the file: looking at a hole by the mapping would fill it */

void
board_sweep(board_t *board, const uint8_t *lives)
{
    off_t              offset;
    uint32_t           i, port;
    ngx_prom_tunnel_t  tunnels[BOARD_PIECE];

    for (port = 0; port < NGX_PROM_TUNNELS_PORTS; port += BOARD_PIECE) {

        offset = (off_t) (offsetof(ngx_prom_tunnels_t, tunnels)
                          + port * sizeof(ngx_prom_tunnel_t));

        if (pread(board->fd, tunnels, sizeof(tunnels), offset)
            != (ssize_t) sizeof(tunnels))
        {
            return;
        }

        for (i = 0; i < BOARD_PIECE; i++) {

            if ((tunnels[i].pid || tunnels[i].seq & 1) && !lives[port + i]) {
                board_ended(board, (uint16_t) (port + i));
            }
        }
    }
}


void
board_login(board_t *board)
{
    __atomic_fetch_add(&board->map->head.logins, 1, __ATOMIC_RELAXED);
}


void
board_refused(board_t *board, ngx_prom_refused_e reason)
{
    __atomic_fetch_add(&board->map->head.refused[reason], 1,
                       __ATOMIC_RELAXED);
}


void
board_sessions(board_t *board, uint32_t sessions, uint32_t shared)
{
    __atomic_store_n(&board->map->head.sessions, sessions, __ATOMIC_RELAXED);
    __atomic_store_n(&board->map->head.shared, shared, __ATOMIC_RELAXED);
}


void
board_loaded(board_t *board, uint32_t hosts)
{
    ngx_prom_tunnels_head_t  *head;

    head = &board->map->head;

    board_begin_seq(&head->seq);

    head->hosts = hosts;
    head->loaded = loop_time();
    head->failed = 0;
    head->reason_len = 0;

    board_end_seq(&head->seq);
}


void
board_failed(board_t *board, const char *reason)
{
    size_t                    len;
    ngx_prom_tunnels_head_t  *head;

    head = &board->map->head;
    len = strlen(reason);

    if (len > sizeof(head->reason)) {
        len = sizeof(head->reason);
    }

    board_begin_seq(&head->seq);

    head->failures++;
    head->failed = 1;
    head->reason_len = (uint32_t) len;
    memcpy(head->reason, reason, len);

    board_end_seq(&head->seq);
}


void
board_hosts(board_t *board, uint32_t hosts)
{
    ngx_prom_tunnels_head_t  *head;

    head = &board->map->head;

    board_begin_seq(&head->seq);

    head->hosts = hosts;

    board_end_seq(&head->seq);
}


int
board_is_loaded(const board_t *board)
{
    return board->map->head.loaded && !board->map->head.failed;
}


int
board_is_failed(const board_t *board)
{
    return board->map->head.failed != 0;
}


static ngx_prom_tunnel_t *
board_begin(board_t *board, uint16_t port)
{
    ngx_prom_tunnel_t  *tunnel;

    tunnel = &board->map->tunnels[port];

    if (board_reserve(board, (char *) tunnel - (char *) board->map,
                      sizeof(ngx_prom_tunnel_t))
        == -1)
    {
        return NULL;
    }

    board_begin_seq(&tunnel->seq);

    return tunnel;
}


/* odd, before anything that follows */

static void
board_begin_seq(uint32_t *seq)
{
    __atomic_store_n(seq, *seq | 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}


/* even, behind all that came before */

static void
board_end_seq(uint32_t *seq)
{
    __atomic_store_n(seq, *seq + 1, __ATOMIC_RELEASE);
}
