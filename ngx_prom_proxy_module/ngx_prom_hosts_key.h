/*
 * Public keys as OpenSSH writes them: TYPE BASE64, where BASE64 holds the type
 * again and the numbers of the key.  No length in it is trusted.
 */


#ifndef _NGX_PROM_HOSTS_KEY_H_INCLUDED_
#define _NGX_PROM_HOSTS_KEY_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#define NGX_PROM_KEY_BYTES       4096   /* decoded; RSA of 16,384 bits: 2 kB */
#define NGX_PROM_KEY_BASE64      ((NGX_PROM_KEY_BYTES + 2) / 3 * 4)

#define NGX_PROM_RSA_BITS_MIN    2048
#define NGX_PROM_RSA_BITS_MAX    16384

/* the reason of most keys that are wrong */

#define NGX_PROM_KEY_CHANGED     "is not valid; cut off or changed?"


typedef struct {
    const char          *name;
    const char          *certificate;    /* the type of its certificates */
    const char          *curve;          /* NULL: none in the key */
    size_t               point;          /* bytes; 0: RSA */
    int                  application;    /* of a FIDO key */
} ngx_prom_key_type_t;


/* what is left to read */

typedef struct {
    const uint8_t       *pos;
    size_t               left;
} ngx_prom_wire_t;


typedef char  ngx_prom_key_reason_t[128];


/* the type with that name, or NULL; the second takes those of certificates */

const ngx_prom_key_type_t *ngx_prom_key_type(const char *name, size_t len);
const ngx_prom_key_type_t *ngx_prom_key_certificate(const char *name,
    size_t len);

/*
 * Checks TYPE BASE64.  Returns NULL, or what is wrong with the key, to be read
 * behind "key": it lives as long as the buffer and has nothing of the key.
 */

const char *ngx_prom_key_check(const ngx_prom_key_type_t *type,
    const char *base64, size_t len, ngx_prom_key_reason_t reason);

/* the same of the numbers of a key, which are read from the wire */

const char *ngx_prom_key_numbers(const ngx_prom_key_type_t *type,
    ngx_prom_wire_t *wire, ngx_prom_key_reason_t reason);

/*
 * Decodes len bytes to at most len / 4 * 3.  Returns how many, or -1 if they
 * aren't the base64, with its padding, that an encoder makes.
 */

ptrdiff_t ngx_prom_base64_decode(uint8_t *out, const char *text, size_t len);

/* read from the wire and return 1, or 0 if there is less than that left */

int ngx_prom_wire_string(ngx_prom_wire_t *wire, ngx_prom_wire_t *string);
int ngx_prom_wire_uint(ngx_prom_wire_t *wire, unsigned bytes,
    uint64_t *value);


#endif /* _NGX_PROM_HOSTS_KEY_H_INCLUDED_ */
