/*
 * A worker's private sockets, from their names to listen().
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_prom_poll_socket.h"


#define NGX_HTTP_PROM_POLL_BACKLOG  4096

/* "SLOT-TAG", "SLOT=TAG", or with a dot until it can be dialled */

#define NGX_HTTP_PROM_POLL_FILE     (sizeof("255-00000000") - 1)

#define ngx_http_prom_poll_socket_separator(type)                             \
    (((type) == SOCK_STREAM) ? '-' : '=')


static ngx_int_t ngx_http_prom_poll_socket_name(ngx_str_t *path,
    const ngx_prom_poll_at_t *at, u_char separator, struct sockaddr_un *sun);
static ngx_int_t ngx_http_prom_poll_socket_bind(ngx_socket_t s, int type,
    struct sockaddr_un *named, struct sockaddr_un *sun, ngx_log_t *log);
static ngx_int_t ngx_http_prom_poll_socket_parse(u_char *name, size_t len,
    ngx_prom_poll_at_t *at);
static ngx_err_t ngx_http_prom_poll_socket_probe(struct sockaddr_un *sun);
static ngx_err_t ngx_http_prom_poll_socket_dial(int type,
    struct sockaddr_un *sun);


/* what a worker does without until it has the socket */

static const char  *ngx_http_prom_poll_socket_what[] = {
    "polls are not served by this worker",
    "no connection is moved to this worker"
};


ngx_int_t
ngx_http_prom_poll_socket_address(ngx_str_t *path,
    const ngx_prom_poll_at_t *at, int type, struct sockaddr_un *sun)
{
    return ngx_http_prom_poll_socket_name(path, at,
                           ngx_http_prom_poll_socket_separator(type), sun);
}


static ngx_int_t
ngx_http_prom_poll_socket_name(ngx_str_t *path, const ngx_prom_poll_at_t *at,
    u_char separator, struct sockaddr_un *sun)
{
    u_char  *p;

    ngx_memzero(sun, sizeof(struct sockaddr_un));
    sun->sun_family = AF_UNIX;

    if (path->len + 1 + NGX_HTTP_PROM_POLL_FILE >= sizeof(sun->sun_path)) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(sun->sun_path, path->data, path->len);
    (void) ngx_sprintf(p, "/%uD%c%08xD", at->slot, separator, at->tag);

    return NGX_OK;
}


ngx_socket_t
ngx_http_prom_poll_socket_open(ngx_str_t *path, const ngx_prom_poll_at_t *at,
    int type, struct sockaddr_un *sun, ngx_log_t *log)
{
    const char          *what;
    ngx_socket_t         s;
    struct sockaddr_un   unnamed;

    what = ngx_http_prom_poll_socket_what[type != SOCK_STREAM];

    if (ngx_http_prom_poll_socket_address(path, at, type, sun) != NGX_OK
        || ngx_http_prom_poll_socket_name(path, at, '.', &unnamed) != NGX_OK)
    {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "%s: the path \"%V\" is too long for a unix socket",
                      what, path);
        return (ngx_socket_t) -1;
    }

    s = ngx_socket(AF_UNIX, type, 0);

    if (s == (ngx_socket_t) -1) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_socket_errno,
                      "%s yet: " ngx_socket_n " failed", what);
        return s;
    }

    if (ngx_http_prom_poll_socket_bind(s, type, sun, &unnamed, log)
        != NGX_OK)
    {

        if (ngx_close_socket(s) == -1) {
            ngx_log_error(NGX_LOG_ALERT, log, ngx_socket_errno,
                          ngx_close_socket_n " failed");
        }

        return (ngx_socket_t) -1;
    }

    return s;
}


/*
 * The socket gets its name when it can be dialled, by nginx's user alone:
 * before, another worker would take it for one that nobody listens on.
 */

static ngx_int_t
ngx_http_prom_poll_socket_bind(ngx_socket_t s, int type,
    struct sockaddr_un *named, struct sockaddr_un *sun, ngx_log_t *log)
{
    ngx_err_t    err;
    ngx_uint_t   bound;
    const char  *what;

    bound = 0;
    what = ngx_nonblocking_n;

    if (ngx_nonblocking(s) == -1) {
        goto failed;
    }

    what = "fcntl(FD_CLOEXEC)";

    if (fcntl(s, F_SETFD, FD_CLOEXEC) == -1) {
        goto failed;
    }

    what = "bind()";

    if (bind(s, (struct sockaddr *) sun, sizeof(struct sockaddr_un)) == -1) {
        goto failed;
    }

    bound = 1;
    what = "chmod()";

    if (chmod(sun->sun_path, S_IRUSR|S_IWUSR) == -1) {
        goto failed;
    }

    what = "listen()";

    if (type == SOCK_STREAM && listen(s, NGX_HTTP_PROM_POLL_BACKLOG) == -1) {
        goto failed;
    }

    /* of an nginx that is being upgraded and counts its workers alike */

    what = "the name";
    err = ngx_http_prom_poll_socket_probe(named);

    if (err == 0 || err == NGX_EAGAIN) {
        ngx_set_errno(NGX_EADDRINUSE);
        goto failed;
    }

    what = ngx_rename_file_n;

    if (ngx_rename_file(sun->sun_path, named->sun_path) == NGX_FILE_ERROR) {
        goto failed;
    }

    return NGX_OK;

failed:

    err = ngx_errno;

    if (bound) {
        (void) ngx_delete_file(sun->sun_path);
    }

    ngx_log_error(NGX_LOG_EMERG, log, err,
                  "%s yet: %s of \"%s\" failed",
                  ngx_http_prom_poll_socket_what[type != SOCK_STREAM], what,
                  sun->sun_path);

    return NGX_ERROR;
}


void
ngx_http_prom_poll_socket_tidy(ngx_str_t *path, ngx_prom_poll_zone_t *zone,
    ngx_log_t *log)
{
    u_char              *name;
    size_t               len;
    ngx_dir_t            dir;
    ngx_prom_poll_at_t   at;
    struct sockaddr_un   sun;

    if (ngx_open_dir(path, &dir) == NGX_ERROR) {
        return;
    }

    while (ngx_read_dir(&dir) == NGX_OK) {

        name = ngx_de_name(&dir);
        len = ngx_de_namelen(&dir);

        if (ngx_http_prom_poll_socket_parse(name, len, &at) != NGX_OK
            || ngx_prom_poll_zone_has(zone, &at)
            || ngx_http_prom_poll_socket_name(path, &at, name[len - 9], &sun)
               != NGX_OK
            || ngx_http_prom_poll_socket_probe(&sun) != NGX_ECONNREFUSED)
        {
            continue;
        }

        ngx_log_error(NGX_LOG_NOTICE, log, 0,
                      "removing \"%s\", a socket that nobody listens on",
                      sun.sun_path);

        (void) ngx_delete_file(sun.sun_path);
    }

    if (ngx_close_dir(&dir) == NGX_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_errno,
                      ngx_close_dir_n " \"%V\" failed", path);
    }
}


static ngx_int_t
ngx_http_prom_poll_socket_parse(u_char *name, size_t len,
    ngx_prom_poll_at_t *at)
{
    ngx_int_t  n;

    if (len < sizeof("0-00000000") - 1 || len > NGX_HTTP_PROM_POLL_FILE) {
        return NGX_DECLINED;
    }

    n = ngx_atoi(name, len - 9);

    if (n < 0 || n >= NGX_PROM_POLL_SLOTS) {
        return NGX_DECLINED;
    }

    at->slot = n;

    if (name[len - 9] != '-' && name[len - 9] != '='
        && name[len - 9] != '.')
    {
        return NGX_DECLINED;
    }

    n = ngx_hextoi(name + len - 8, 8);

    if (n == NGX_ERROR) {
        return NGX_DECLINED;
    }

    at->tag = n;

    return NGX_OK;
}


/* the error of a connect(), 0 if there is none */

static ngx_err_t
ngx_http_prom_poll_socket_probe(struct sockaddr_un *sun)
{
    ngx_err_t  err;

    err = ngx_http_prom_poll_socket_dial(SOCK_STREAM, sun);

    if (err == EPROTOTYPE) {
        err = ngx_http_prom_poll_socket_dial(SOCK_DGRAM, sun);
    }

    return err;
}


static ngx_err_t
ngx_http_prom_poll_socket_dial(int type, struct sockaddr_un *sun)
{
    ngx_err_t     err;
    ngx_socket_t  s;

    s = ngx_socket(AF_UNIX, type, 0);

    if (s == (ngx_socket_t) -1) {
        return ngx_socket_errno;
    }

    err = 0;

    if (ngx_nonblocking(s) == -1
        || connect(s, (struct sockaddr *) sun, sizeof(struct sockaddr_un))
           == -1)
    {
        err = ngx_socket_errno;
    }

    (void) ngx_close_socket(s);

    return err;
}
