/*
 * Boards, for nginx's pages: files on a tmpfs that others write meanwhile,
 * such as ngx_prom_tunnels.h and ngx_prom_peers.h.
 */


#ifndef _NGX_HTTP_PROM_BOARD_H_INCLUDED_
#define _NGX_HTTP_PROM_BOARD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* the last second of the year 9999: no page is told of a later one */

#define NGX_HTTP_PROM_BOARD_TIME  ((uint64_t) 253402300799)


/* a board begins with its magic and the size of a record */

typedef struct {
    const char                  *what;      /* "tunnels" */
    uint32_t                     magic;
    uint32_t                     record;
    size_t                       size;      /* of the file */
} ngx_http_prom_board_kind_t;


typedef struct {
    ngx_str_t                    file;
    void                        *map;       /* or NULL: there is none */
    size_t                       size;
    u_char                      *there;     /* pages that can be read */
} ngx_http_prom_board_t;


/*
 * Copies what a writer guards by seq, which is part of it.  Returns 0 if the
 * writer didn't come to an end within some tries, or there is no memory.
 */

ngx_uint_t ngx_http_prom_board_copy(ngx_http_prom_board_t *board, void *to,
    const void *from, size_t size, const uint32_t *seq);

/* a text of at most size bytes, or to its zero: what isn't printed is "?" */

ngx_str_t ngx_http_prom_board_text(u_char *buf, const char *text,
    size_t size);

/*
 * A module's main configuration that is a board, and its directive, whose
 * post is a ngx_http_prom_board_kind_t.
 */

void *ngx_http_prom_board_create_conf(ngx_conf_t *cf);
char *ngx_http_prom_board(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


#endif /* _NGX_HTTP_PROM_BOARD_H_INCLUDED_ */
