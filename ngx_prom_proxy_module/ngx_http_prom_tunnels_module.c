/*
 * The board of tunnels: mapped for as long as a configuration is in use, and
 * read without a lock, as its writers never wait for a reader.
 *
 * Nothing on it is trusted further than that its file keeps its size.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <sys/mman.h>
#include "ngx_http_prom_tunnels.h"


/* a writer needs less than a microsecond, unless it was stopped meanwhile */

#define NGX_HTTP_PROM_TUNNELS_TRIES  100

/* the last millisecond of the year 9999 */

#define NGX_HTTP_PROM_TUNNELS_TIME   ((uint64_t) 253402300799999)


/* of Linux 5.14, and so younger than some headers */

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#endif

/* of memory, of 4096 bytes or more */

#define NGX_HTTP_PROM_TUNNELS_PAGES                                           \
    (sizeof(ngx_prom_tunnels_t) / 4096 + 1)


struct ngx_http_prom_board_s {
    ngx_prom_tunnels_t          *map;
    u_char                       there[NGX_HTTP_PROM_TUNNELS_PAGES];
};


typedef struct {
    ngx_str_t                    file;
    ngx_http_prom_board_t        board;
} ngx_http_prom_tunnels_main_conf_t;


static ngx_uint_t ngx_http_prom_tunnels_there(ngx_http_prom_board_t *board,
    const void *place);
static ngx_uint_t ngx_http_prom_tunnels_copy(void *to, const void *from,
    size_t size, const uint32_t *seq);
static void ngx_http_prom_tunnels_address(ngx_http_prom_tunnel_t *tunnel,
    const ngx_prom_tunnel_t *record);
static void ngx_http_prom_tunnels_fingerprint(ngx_http_prom_tunnel_t *tunnel,
    const ngx_prom_tunnel_t *record);

static void *ngx_http_prom_tunnels_create_main_conf(ngx_conf_t *cf);
static void ngx_http_prom_tunnels_cleanup(void *data);
static char *ngx_http_prom_tunnels(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_prom_tunnels_map(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_prom_tunnels_main_conf_t *tmcf);
static char *ngx_http_prom_tunnels_check(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_prom_tunnels_main_conf_t *tmcf);


const ngx_str_t  ngx_http_prom_tunnels_refused[] = {
    ngx_string("key"),
    ngx_string("user"),
    ngx_string("certificate"),
    ngx_string("protocol"),
    ngx_string("timeout"),
    ngx_string("limit"),
    ngx_string("connected"),
    ngx_string("closed")
};


static ngx_command_t  ngx_http_prom_tunnels_commands[] = {

    /* prom_proxy_tunnels FILE; the board of tunnels */

    { ngx_string("prom_proxy_tunnels"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_prom_tunnels,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_prom_tunnels_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    ngx_http_prom_tunnels_create_main_conf,   /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_prom_tunnels_module = {
    NGX_MODULE_V1,
    &ngx_http_prom_tunnels_module_ctx,     /* module context */
    ngx_http_prom_tunnels_commands,        /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


ngx_http_prom_board_t *
ngx_http_prom_tunnels_board(ngx_http_request_t *r)
{
    ngx_http_prom_tunnels_main_conf_t  *tmcf;

    tmcf = ngx_http_get_module_main_conf(r, ngx_http_prom_tunnels_module);

    return tmcf->board.map ? &tmcf->board : NULL;
}


void
ngx_http_prom_tunnels_read(ngx_http_prom_board_t *board, ngx_uint_t port,
    ngx_http_prom_tunnel_t *tunnel)
{
    ngx_prom_tunnel_t         record;
    const ngx_prom_tunnel_t  *shared;

    ngx_memzero(tunnel, offsetof(ngx_http_prom_tunnel_t, buf));

    if (board == NULL || port == 0 || port >= NGX_PROM_TUNNELS_PORTS) {
        return;
    }

    shared = &board->map->tunnels[port];

    if (!ngx_http_prom_tunnels_there(board, shared)
        || !ngx_http_prom_tunnels_copy(&record, shared, sizeof(record),
                                       &shared->seq))
    {
        tunnel->state = NGX_HTTP_PROM_TUNNEL_UNKNOWN;
        return;
    }

    tunnel->since = ngx_min(record.since, NGX_HTTP_PROM_TUNNELS_TIME);
    tunnel->ended = ngx_min(record.ended, NGX_HTTP_PROM_TUNNELS_TIME);
    tunnel->logins = record.logins;
    tunnel->certificate = (record.certificate != 0);

    if (record.logins == 0) {
        tunnel->state = NGX_HTTP_PROM_TUNNEL_NEVER;
        return;
    }

    tunnel->state = record.pid ? NGX_HTTP_PROM_TUNNEL_CONNECTED
                               : NGX_HTTP_PROM_TUNNEL_CLOSED;

    ngx_http_prom_tunnels_address(tunnel, &record);
    ngx_http_prom_tunnels_fingerprint(tunnel, &record);
}


ngx_int_t
ngx_http_prom_tunnels_head(ngx_http_prom_board_t *board,
    ngx_prom_tunnels_head_t *head)
{
    ngx_int_t                       rc;
    ngx_uint_t                      i;
    const ngx_prom_tunnels_head_t  *shared;

    shared = &board->map->head;
    rc = NGX_OK;

    if (!ngx_http_prom_tunnels_copy(head, shared, sizeof(*head),
                                    &shared->seq))
    {
        ngx_memzero(head, sizeof(*head));
        rc = NGX_AGAIN;
    }

    head->reason_len = ngx_min(head->reason_len, NGX_PROM_TUNNELS_REASON);
    head->reason_len = strnlen(head->reason, head->reason_len);

    /* not guarded by seq, each is right by itself */

    for (i = 0; i < NGX_PROM_REFUSED_REASONS; i++) {
        head->refused[i] = __atomic_load_n(&shared->refused[i],
                                           __ATOMIC_RELAXED);
    }

    head->logins = __atomic_load_n(&shared->logins, __ATOMIC_RELAXED);
    head->sessions = __atomic_load_n(&shared->sessions, __ATOMIC_RELAXED);
    head->shared = __atomic_load_n(&shared->shared, __ATOMIC_RELAXED);
    head->shared = ngx_min(head->shared, head->sessions);

    return rc;
}


/*
 * To read where nothing was ever written takes a page of memory on a tmpfs.
 * Where there is none left it would end the process, so it is asked for at
 * first; an older kernel, which can't be asked, is trusted to have it.
 */

static ngx_uint_t
ngx_http_prom_tunnels_there(ngx_http_prom_board_t *board, const void *place)
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


/* returns 0 if the writer didn't come to an end within some tries */

static ngx_uint_t
ngx_http_prom_tunnels_copy(void *to, const void *from, size_t size,
    const uint32_t *seq)
{
    uint32_t    before;
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_PROM_TUNNELS_TRIES; i++) {
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


static void
ngx_http_prom_tunnels_address(ngx_http_prom_tunnel_t *tunnel,
    const ngx_prom_tunnel_t *record)
{
    char        ch;
    ngx_uint_t  i;

    for (i = 0; i < NGX_PROM_TUNNELS_ADDRESS && record->address[i]; i++) {
        ch = record->address[i];
        tunnel->buf[i] = (ch > 0x20 && ch < 0x7f) ? ch : '?';
    }

    tunnel->address.data = tunnel->buf;
    tunnel->address.len = i;
}


static void
ngx_http_prom_tunnels_fingerprint(ngx_http_prom_tunnel_t *tunnel,
    const ngx_prom_tunnel_t *record)
{
    u_char     *p;
    ngx_str_t   src, dst;

    p = tunnel->buf + NGX_PROM_TUNNELS_ADDRESS;

    src.data = (u_char *) record->digest;
    src.len = NGX_PROM_TUNNELS_DIGEST;
    dst.data = ngx_cpymem(p, "SHA256:", sizeof("SHA256:") - 1);

    ngx_encode_base64(&dst, &src);

    while (dst.len && dst.data[dst.len - 1] == '=') {
        dst.len--;
    }

    tunnel->fingerprint.data = p;
    tunnel->fingerprint.len = dst.data + dst.len - p;
}


static void *
ngx_http_prom_tunnels_create_main_conf(ngx_conf_t *cf)
{
    ngx_pool_cleanup_t                 *cln;
    ngx_http_prom_tunnels_main_conf_t  *tmcf;

    /* the clean-up's own memory: it ends with the configuration */

    cln = ngx_pool_cleanup_add(cf->pool,
                               sizeof(ngx_http_prom_tunnels_main_conf_t));
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_prom_tunnels_cleanup;

    tmcf = cln->data;
    ngx_memzero(tmcf, sizeof(ngx_http_prom_tunnels_main_conf_t));

    return tmcf;
}


static void
ngx_http_prom_tunnels_cleanup(void *data)
{
    ngx_http_prom_tunnels_main_conf_t *tmcf = data;

    if (tmcf->board.map) {
        (void) munmap(tmcf->board.map, sizeof(ngx_prom_tunnels_t));
        tmcf->board.map = NULL;
    }
}


static char *
ngx_http_prom_tunnels(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_prom_tunnels_main_conf_t *tmcf = conf;

    ngx_str_t  *value;

    if (tmcf->file.data) {
        return "is duplicate";
    }

    value = cf->args->elts;
    tmcf->file = value[1];

    if (ngx_conf_full_name(cf->cycle, &tmcf->file, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (ngx_http_prom_tunnels_map(cf, cmd, tmcf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_prom_tunnels_check(cf, cmd, tmcf);
}


static char *
ngx_http_prom_tunnels_map(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_prom_tunnels_main_conf_t *tmcf)
{
    char             *rv;
    void             *board;
    ngx_fd_t          fd;
    ngx_file_info_t   fi;

    fd = ngx_open_file(tmcf->file.data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                       NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" failed in \"%V\" "
                           "directive", &tmcf->file, &cmd->name);
        return NGX_CONF_ERROR;
    }

    rv = NGX_CONF_ERROR;

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_fd_info_n " \"%V\" failed", &tmcf->file);
        goto failed;
    }

    if (!ngx_is_file(&fi)
        || ngx_file_size(&fi) != (off_t) sizeof(ngx_prom_tunnels_t))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"%V\" directive: it is "
                           "no board of tunnels, which is a file of %uz bytes",
                           &tmcf->file, &cmd->name,
                           sizeof(ngx_prom_tunnels_t));
        goto failed;
    }

    board = mmap(NULL, sizeof(ngx_prom_tunnels_t), PROT_READ, MAP_SHARED, fd,
                 0);

    if (board == MAP_FAILED) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "mmap(\"%V\") failed", &tmcf->file);
        goto failed;
    }

    tmcf->board.map = board;
    rv = NGX_CONF_OK;

failed:

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_ALERT, cf, ngx_errno,
                           ngx_close_file_n " \"%V\" failed", &tmcf->file);
    }

    return rv;
}


static char *
ngx_http_prom_tunnels_check(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_prom_tunnels_main_conf_t *tmcf)
{
    uint32_t  magic;

    magic = __atomic_load_n(&tmcf->board.map->head.magic, __ATOMIC_ACQUIRE);

    if (magic != NGX_PROM_TUNNELS_MAGIC
        || tmcf->board.map->head.size != sizeof(ngx_prom_tunnel_t))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"%V\" directive: it is "
                           "no board of tunnels, or another version's",
                           &tmcf->file, &cmd->name);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}
