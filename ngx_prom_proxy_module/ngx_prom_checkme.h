/*
 * The header CheckMe, by which an operator sees at the exporter's end that a
 * request came through this proxy.
 *
 *     v1 TIME TARGET MAC
 *
 * TIME    seconds since 1970, decimal
 * TARGET  HOST:PORT, as the proxy was asked
 * MAC     HMAC-SHA256 of "v1 TIME TARGET" with the proxy's key, 64 hex digits
 */


#ifndef _NGX_PROM_CHECKME_H_INCLUDED_
#define _NGX_PROM_CHECKME_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#define NGX_PROM_CHECKME_KEY     16      /* bytes, at least */

/* bytes of a value with a target of len bytes */

#define ngx_prom_checkme_len(len)                                            \
    (sizeof("v1 18446744073709551615  ") - 1 + (len) + 64)


/* returns the length of what it writes to value, or 0 if OpenSSL fails */

size_t ngx_prom_checkme_make(char *value, const char *key, size_t key_len,
    const char *target, size_t target_len, uint64_t time);

/*
 * Returns NULL if the value was made with the key, and what it is of; or else
 * a text that says why not.  target is a slice of value.
 */

const char *ngx_prom_checkme_verify(const char *value, size_t len,
    const char *key, size_t key_len, uint64_t *time, const char **target,
    size_t *target_len);


#endif /* _NGX_PROM_CHECKME_H_INCLUDED_ */
