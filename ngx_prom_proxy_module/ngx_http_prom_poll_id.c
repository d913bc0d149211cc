/*
 * The Id of a scrape, which its client gives back with the push.  It has the
 * form of a UUID, as PushProx's: the first twelve digits are the slot and the
 * tag of the worker that has the scrape, the rest can't be guessed.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <sys/random.h>
#include "ngx_http_prom_poll.h"


/* the digits' groups: 8-4-4-4-12 */

#define ngx_http_prom_poll_id_dash(i)                                        \
    ((i) == 8 || (i) == 13 || (i) == 18 || (i) == 23)


ngx_int_t
ngx_http_prom_poll_id(ngx_prom_poll_at_t *at, u_char *id)
{
    u_char       *p;
    ngx_uint_t    i;
    u_char        bytes[16], digits[32];

    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t) sizeof(bytes)) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, ngx_errno,
                      "getrandom() failed");
        return NGX_ERROR;
    }

    bytes[0] = (u_char) (at->slot >> 8);
    bytes[1] = (u_char) at->slot;
    bytes[2] = (u_char) (at->tag >> 8);
    bytes[3] = (u_char) at->tag;
    bytes[4] = (u_char) (at->tag >> 24);
    bytes[5] = (u_char) (at->tag >> 16);

    /* RFC 9562: version 4, variant 10 */

    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;

    (void) ngx_hex_dump(digits, bytes, sizeof(bytes));

    p = digits;

    for (i = 0; i < NGX_HTTP_PROM_POLL_ID; i++) {
        id[i] = ngx_http_prom_poll_id_dash(i) ? '-' : *p++;
    }

    return NGX_OK;
}


/* the worker of an Id; NGX_ERROR if it is none */

ngx_int_t
ngx_http_prom_poll_id_at(ngx_str_t *id, ngx_prom_poll_at_t *at)
{
    u_char      c;
    ngx_int_t   n;
    ngx_uint_t  i;

    if (id->len != NGX_HTTP_PROM_POLL_ID) {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_HTTP_PROM_POLL_ID; i++) {
        c = id->data[i];

        if (ngx_http_prom_poll_id_dash(i)) {

            if (c != '-') {
                return NGX_ERROR;
            }

            continue;
        }

        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f')) {
            return NGX_ERROR;
        }
    }

    n = ngx_hextoi(id->data, 8);

    at->slot = (uint32_t) n >> 16;
    at->tag = (uint32_t) n & 0xffff;
    at->tag |= (uint32_t) ngx_hextoi(id->data + 9, 4) << 16;

    return NGX_OK;
}
