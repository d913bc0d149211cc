/*
 * A certificate of OpenSSH, type ...-cert-v01@openssh.com.  That its signature
 * is right is not looked at.
 */


#ifndef _HOSTS_CERTIFICATE_H_INCLUDED_
#define _HOSTS_CERTIFICATE_H_INCLUDED_


#include "ngx_prom_hosts_key.h"


#define CERTIFICATE_USER  1
#define CERTIFICATE_HOST  2


/* all but the type are slices of the bytes */

typedef struct {
    const ngx_prom_key_type_t   *type;           /* of its plain key */
    ngx_prom_wire_t              numbers;        /* of the plain key */
    ngx_prom_wire_t              id;
    ngx_prom_wire_t              principals;
    ngx_prom_wire_t              authority;      /* the key that signed it */
    uint64_t                     serial;
    uint64_t                     kind;
    uint64_t                     after;          /* s, Unix time: valid from */
    uint64_t                     before;         /* and until */
} certificate_t;


/* returns 1; or 0 if the bytes, to their end, are no such certificate */

int certificate_parse(certificate_t *certificate, const char *type,
    const uint8_t *data, size_t len);

/* *principals is the certificate's at first; returns 0 behind the last */

int certificate_principal(ngx_prom_wire_t *principals,
    ngx_prom_wire_t *principal);


#endif /* _HOSTS_CERTIFICATE_H_INCLUDED_ */
