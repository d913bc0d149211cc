/*
 * A board is mapped for as long as a configuration is in use, and read
 * without a lock, as its writers never wait for a reader.
 *
 * Nothing on it is trusted further than that its file keeps its size.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <sys/mman.h>
#include "ngx_http_prom_board.h"


/* a writer needs less than a microsecond, unless it was stopped meanwhile */

#define NGX_HTTP_PROM_BOARD_TRIES  100


/* of Linux 5.14, and so younger than some headers */

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#endif


static ngx_uint_t ngx_http_prom_board_there(ngx_http_prom_board_t *board,
    const void *place);
static void ngx_http_prom_board_cleanup(void *data);
static char *ngx_http_prom_board_map(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_prom_board_t *board);
static char *ngx_http_prom_board_check(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_prom_board_t *board);


ngx_uint_t
ngx_http_prom_board_copy(ngx_http_prom_board_t *board, void *to,
    const void *from, size_t size, const uint32_t *seq)
{
    uint32_t    before;
    ngx_uint_t  i;

    if (!ngx_http_prom_board_there(board, from)) {
        return 0;
    }

    for (i = 0; i < NGX_HTTP_PROM_BOARD_TRIES; i++) {
        before = __atomic_load_n(seq, __ATOMIC_ACQUIRE);

        if (before & 1) {
            ngx_cpu_pause();
            continue;
        }

        ngx_memcpy(to, from, size);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);

        if (__atomic_load_n(seq, __ATOMIC_RELAXED) == before) {
            return 1;
        }
    }

    return 0;
}


/*
 * To read where nothing was ever written takes a page of memory on a tmpfs.
 * Where there is none left it would end the process, so it is asked for at
 * first; an older kernel, which can't be asked, is trusted to have it.
 */

static ngx_uint_t
ngx_http_prom_board_there(ngx_http_prom_board_t *board, const void *place)
{
    size_t  offset, n;

    offset = (u_char *) place - (u_char *) board->map;
    n = offset / ngx_pagesize;

    if (board->there[n]) {
        return 1;
    }

    if (madvise((u_char *) board->map + n * ngx_pagesize, 1,
                MADV_POPULATE_READ)
        == -1
        && ngx_errno != NGX_EINVAL)
    {
        return 0;
    }

    board->there[n] = 1;

    return 1;
}


ngx_str_t
ngx_http_prom_board_text(u_char *buf, const char *text, size_t size)
{
    size_t     i;
    ngx_str_t  s;

    for (i = 0; i < size && text[i]; i++) {
        buf[i] = (text[i] > 0x20 && text[i] < 0x7f) ? text[i] : '?';
    }

    s.data = buf;
    s.len = i;

    return s;
}


void *
ngx_http_prom_board_create_conf(ngx_conf_t *cf)
{
    ngx_pool_cleanup_t     *cln;
    ngx_http_prom_board_t  *board;

    /* the clean-up's own memory: it ends with the configuration */

    cln = ngx_pool_cleanup_add(cf->pool, sizeof(ngx_http_prom_board_t));
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_prom_board_cleanup;

    board = cln->data;
    ngx_memzero(board, sizeof(ngx_http_prom_board_t));

    return board;
}


static void
ngx_http_prom_board_cleanup(void *data)
{
    ngx_http_prom_board_t *board = data;

    if (board->map) {
        (void) munmap(board->map, board->size);
        board->map = NULL;
    }
}


char *
ngx_http_prom_board(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_prom_board_t *board = conf;

    ngx_str_t                   *value;
    ngx_http_prom_board_kind_t  *kind;

    if (board->file.data) {
        return "is duplicate";
    }

    value = cf->args->elts;
    board->file = value[1];

    if (ngx_conf_full_name(cf->cycle, &board->file, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    kind = cmd->post;
    board->size = kind->size;

    board->there = ngx_pcalloc(cf->pool, board->size / ngx_pagesize + 1);
    if (board->there == NULL) {
        return NGX_CONF_ERROR;
    }

    if (ngx_http_prom_board_map(cf, cmd, board) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_prom_board_check(cf, cmd, board);
}


static char *
ngx_http_prom_board_map(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_prom_board_t *board)
{
    char                        *rv;
    void                        *map;
    ngx_fd_t                     fd;
    ngx_file_info_t              fi;
    ngx_http_prom_board_kind_t  *kind;

    kind = cmd->post;

    fd = ngx_open_file(board->file.data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                       NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" failed in \"%V\" "
                           "directive", &board->file, &cmd->name);
        return NGX_CONF_ERROR;
    }

    rv = NGX_CONF_ERROR;

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_fd_info_n " \"%V\" failed", &board->file);
        goto failed;
    }

    if (!ngx_is_file(&fi) || ngx_file_size(&fi) != (off_t) board->size) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"%V\" directive: it is "
                           "no board of %s, which is a file of %uz bytes",
                           &board->file, &cmd->name, kind->what, board->size);
        goto failed;
    }

    map = mmap(NULL, board->size, PROT_READ, MAP_SHARED, fd, 0);

    if (map == MAP_FAILED) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "mmap(\"%V\") failed", &board->file);
        goto failed;
    }

    board->map = map;
    rv = NGX_CONF_OK;

failed:

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_ALERT, cf, ngx_errno,
                           ngx_close_file_n " \"%V\" failed", &board->file);
    }

    return rv;
}


static char *
ngx_http_prom_board_check(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_prom_board_t *board)
{
    uint32_t                    *words;
    ngx_http_prom_board_kind_t  *kind;

    kind = cmd->post;
    words = board->map;

    if (__atomic_load_n(&words[0], __ATOMIC_ACQUIRE) != kind->magic
        || words[1] != kind->record)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"%V\" directive: it is "
                           "no board of %s, or another version's",
                           &board->file, &cmd->name, kind->what);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}
