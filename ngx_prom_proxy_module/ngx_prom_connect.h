/*
 * The head of a request to a forward proxy that begins with CONNECT, in plain
 * C without nginx.  RFC 9110, 9.3.6, and RFC 9112, 3.2.3.
 */


#ifndef _NGX_PROM_CONNECT_H_INCLUDED_
#define _NGX_PROM_CONNECT_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


typedef enum {
    NGX_PROM_CONNECT_AGAIN = 0,       /* not all of it is there */
    NGX_PROM_CONNECT_OTHER,           /* another method: http's business */
    NGX_PROM_CONNECT_DONE,            /* the head is whole */
    NGX_PROM_CONNECT_BAD              /* reason says why; the answer is 400 */
} ngx_prom_connect_e;


/* a slice of the head that was parsed */

typedef struct {
    const char                  *data;
    size_t                       len;
} ngx_prom_connect_text_t;


typedef struct {
    ngx_prom_connect_text_t      target;     /* as written: host:port */
    ngx_prom_connect_text_t      host;       /* without brackets */
    unsigned                     port;
    ngx_prom_connect_text_t      credentials;   /* value of the one
                                                   Proxy-Authorization */
    size_t                       len;        /* of the head, with its end */
    unsigned                     minor;      /* of HTTP/1.x */
    const char                  *reason;
} ngx_prom_connect_t;


/*
 * Looks at the first len bytes of a connection; called again, with all bytes
 * again, when there are more.  Decides OTHER as soon as the first bytes can't
 * be "CONNECT ".  BAD: no port or 0 or beyond 65535, a user, a path, an
 * invalid host, a header that nginx would refuse (folded, a space before the
 * colon, a bare CR, control characters, no Host with HTTP/1.1, two of them), a
 * body (Content-Length other than 0, Transfer-Encoding), two
 * Proxy-Authorization, HTTP/0.9, 2 and up.  A bare LF ends a line, as nginx
 * has it.
 */

ngx_prom_connect_e ngx_prom_connect_parse(ngx_prom_connect_t *connect,
    const char *buf, size_t len);


#endif /* _NGX_PROM_CONNECT_H_INCLUDED_ */
