/*
 * The command that writes the board; see ngx_prom_peers.h.
 */


#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "dump.h"
#include "state.h"
#include "text.h"


static ngx_prom_peers_t *board_map(const char *path);
static int board_open(const char *path);
static int board_is(int fd);
static int board_make(const char *path);
static void board_peer(ngx_prom_peers_t *board, const dump_peer_t *peer);
static int board_file(ngx_prom_peers_head_t *head, int argc, char **argv);
static void board_loaded(ngx_prom_peers_head_t *head,
    const nodes_file_t *nodes, const char *path);
static void board_failed(ngx_prom_peers_head_t *head, const char *messages);
static void board_begin(uint32_t *seq);
static void board_end(uint32_t *seq);


int
wireguard_board(const wireguard_options_t *options, int argc, char **argv)
{
    int                rc;
    dump_t             dump;
    uint32_t           i;
    ngx_prom_peers_t  *board;

    (void) options;

    if (dump_read(&dump, stdin) == -1) {
        perror(WIREGUARD);
        return WIREGUARD_FAILED;
    }

    board = board_map(argv[0]);

    if (board == NULL) {
        text_fail(argv[0], strerror(errno), stderr);
        dump_free(&dump);
        return WIREGUARD_FAILED;
    }

    for (i = 0; i < dump.count; i++) {
        if (dump.peers[i].number) {
            board_peer(board, &dump.peers[i]);
        }
    }

    rc = argc > 1 ? board_file(&board->head, argc - 1, argv + 1) : 0;

    (void) munmap(board, sizeof(ngx_prom_peers_t));
    dump_free(&dump);

    return rc == 0 ? WIREGUARD_OK : WIREGUARD_FAILED;
}


static ngx_prom_peers_t *
board_map(const char *path)
{
    int    fd, error;
    void  *p;

    fd = board_open(path);
    if (fd == -1) {
        return NULL;
    }

    p = mmap(NULL, sizeof(ngx_prom_peers_t), PROT_READ|PROT_WRITE, MAP_SHARED,
             fd, 0);

    error = errno;
    close(fd);
    errno = error;

    return p == MAP_FAILED ? NULL : p;
}


/* another file in its place is replaced */

static int
board_open(const char *path)
{
    int  fd;

    fd = open(path, O_RDWR|O_NONBLOCK|O_NOCTTY|O_CLOEXEC);

    if (fd == -1 && errno != ENOENT) {
        return -1;
    }

    if (fd != -1) {
        if (board_is(fd)) {
            return fd;
        }

        close(fd);
    }

    return board_make(path);
}


static int
board_is(int fd)
{
    struct stat            st;
    ngx_prom_peers_head_t  head;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode)
           && st.st_size == (off_t) sizeof(ngx_prom_peers_t)
           && pread(fd, &head, sizeof(head), 0) == (ssize_t) sizeof(head)
           && head.magic == NGX_PROM_PEERS_MAGIC
           && head.size == sizeof(ngx_prom_peer_t);
}


static int
board_make(const char *path)
{
    int                    fd, error;
    char                   beside[STATE_PATH];
    ngx_prom_peers_head_t  head;

    if (snprintf(beside, sizeof(beside), "%s.new", path)
        >= (int) sizeof(beside))
    {
        errno = ENAMETOOLONG;
        return -1;
    }

    (void) unlink(beside);

    fd = open(beside, O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC, 0644);
    if (fd == -1) {
        return -1;
    }

    memset(&head, 0, sizeof(head));
    head.magic = NGX_PROM_PEERS_MAGIC;
    head.size = sizeof(ngx_prom_peer_t);

    if (fchmod(fd, 0644) == 0
        && ftruncate(fd, sizeof(ngx_prom_peers_t)) == 0
        && pwrite(fd, &head, sizeof(head), 0) == (ssize_t) sizeof(head)
        && rename(beside, path) == 0)
    {
        return fd;
    }

    error = errno;
    close(fd);
    (void) unlink(beside);
    errno = error;

    return -1;
}


static void
board_peer(ngx_prom_peers_t *board, const dump_peer_t *peer)
{
    ngx_prom_peer_t  *record;

    record = &board->peers[peer->number];

    board_begin(&record->seq);

    record->handshake = peer->handshake;
    record->received = peer->received;
    record->sent = peer->sent;
    memcpy(record->key, peer->key, sizeof(record->key));
    memcpy(record->endpoint, peer->endpoint, sizeof(record->endpoint));

    board_end(&record->seq);
}


/* what has become of the nodes file, as "check" sees it */

static int
board_file(ngx_prom_peers_head_t *head, int argc, char **argv)
{
    char            *messages;
    FILE            *told;
    size_t           len;
    state_t          state;
    nodes_file_t    *nodes;
    nodes_beside_t   beside;

    if (state_open(&state, argv[0], stderr) == -1) {
        return -1;
    }

    told = open_memstream(&messages, &len);
    if (told == NULL) {
        perror(WIREGUARD);
        return -1;
    }

    state.conf = conf_load(argv[0], told);

    beside.conf = state.conf;
    beside.targets = argc > 1 ? argv[1] : NULL;
    beside.hosts = argc > 2 ? argv[2] : NULL;

    nodes = nodes_file_load(state.nodes_path, &beside, told);
    fclose(told);

    board_begin(&head->seq);

    if (state.conf && nodes) {
        board_loaded(head, nodes, state.nodes_path);

    } else {
        board_failed(head, messages);
    }

    board_end(&head->seq);

    state.nodes = nodes;
    state_close(&state);
    free(messages);

    return 0;
}


/* when it was is when that was seen, if the file has changed */

static void
board_loaded(ngx_prom_peers_head_t *head, const nodes_file_t *nodes,
    const char *path)
{
    uint64_t         changed;
    struct stat      st;
    struct timespec  now;

    changed = 0;

    if (stat(path, &st) == 0) {
        changed = (uint64_t) st.st_mtim.tv_sec * 1000
                  + (uint64_t) st.st_mtim.tv_nsec / 1000000;
    }

    if (head->loaded == 0 || head->failed || changed > head->loaded) {
        (void) clock_gettime(CLOCK_REALTIME, &now);

        head->loaded = (uint64_t) now.tv_sec * 1000
                       + (uint64_t) now.tv_nsec / 1000000;
    }

    head->nodes = nodes_file_nodes(nodes)->count;
    head->failed = 0;
    head->reason_len = 0;
}


static void
board_failed(ngx_prom_peers_head_t *head, const char *messages)
{
    size_t  len;

    len = strcspn(messages, "\n");

    if (len > sizeof(head->reason)) {
        len = sizeof(head->reason);
    }

    if (!head->failed || head->reason_len != len
        || memcmp(head->reason, messages, len) != 0)
    {
        head->failures++;
    }

    head->failed = 1;
    head->reason_len = (uint32_t) len;
    memcpy(head->reason, messages, len);
}


/* odd meanwhile, also behind one who died in between */

static void
board_begin(uint32_t *seq)
{
    *(volatile uint32_t *) seq = (*seq | 1) + (*seq & 1 ? 2 : 0);
    atomic_thread_fence(memory_order_seq_cst);
}


static void
board_end(uint32_t *seq)
{
    atomic_thread_fence(memory_order_seq_cst);
    *(volatile uint32_t *) seq = *seq + 1;
}
