/*
 * A request to enrol, as nginx passes it on: HTTP of one request a connection,
 * whose body says how long it is.
 *
 *     POST /enrol    {"name": "NAME", "token": "TOKEN", "public_key": "KEY"}
 */


#ifndef _WIREGUARD_ENROL_REQUEST_H_INCLUDED_
#define _WIREGUARD_ENROL_REQUEST_H_INCLUDED_


#include "key.h"
#include "ngx_prom_targets.h"
#include "str.h"


#define REQUEST_HEADER  4096          /* bytes at most */
#define REQUEST_BODY    4096
#define REQUEST_FROM    64


typedef struct {
    char                 name[NGX_PROM_NAME_MAX + 1];
    char                 hash[KEY_DIGEST];           /* of the token */
    char                 key[KEY_TEXT];
    char                 from[REQUEST_FROM];         /* X-Real-IP, or "" */
} enrol_request_t;


/*
 * Returns 200 with the request; 0 while it isn't whole; or another status with
 * the reason.  in[len] must be readable, and is '\0'.
 */

int enrol_request_parse(enrol_request_t *request, const char *in, size_t len,
    reason_t why);


#endif /* _WIREGUARD_ENROL_REQUEST_H_INCLUDED_ */
