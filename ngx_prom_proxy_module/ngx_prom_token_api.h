/*
 * What of a remote Prometheus may be asked: methods and paths, in plain C
 * without nginx.
 */


#ifndef _NGX_PROM_TOKEN_API_H_INCLUDED_
#define _NGX_PROM_TOKEN_API_H_INCLUDED_


#include <stddef.h>


#define NGX_PROM_TOKEN_API_QUERY  0x01
#define NGX_PROM_TOKEN_API_WRITE  0x02
#define NGX_PROM_TOKEN_API_ADMIN  0x04
#define NGX_PROM_TOKEN_API_ALL    0x08


typedef enum {
    NGX_PROM_TOKEN_API_OK = 0,
    NGX_PROM_TOKEN_API_BAD,           /* no path that could be */
    NGX_PROM_TOKEN_API_PATH,          /* isn't allowed */
    NGX_PROM_TOKEN_API_METHOD         /* isn't allowed for that path */
} ngx_prom_token_api_e;


/*
 * Judges the target of a request as it came, up to its end, by what is
 * allowed.  Its arguments are not looked at, but for a "#".
 */

ngx_prom_token_api_e ngx_prom_token_api(unsigned allowed, const char *method,
    size_t method_len, const char *target, size_t len);


#endif /* _NGX_PROM_TOKEN_API_H_INCLUDED_ */
