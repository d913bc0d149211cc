/*
 * A certificate of OpenSSH; see the header.
 */


#include <string.h>

#include "certificate.h"


int
certificate_parse(certificate_t *certificate, const char *type,
    const uint8_t *data, size_t len)
{
    ngx_prom_wire_t        wire, name, nonce, options, extensions, reserved;
    ngx_prom_wire_t        signature, principals, principal;
    ngx_prom_key_reason_t  reason;

    wire.pos = data;
    wire.left = len;

    certificate->type = ngx_prom_key_certificate(type, strlen(type));

    if (certificate->type == NULL
        || !ngx_prom_wire_string(&wire, &name)
        || name.left != strlen(type)
        || memcmp(name.pos, type, name.left) != 0
        || !ngx_prom_wire_string(&wire, &nonce))
    {
        return 0;
    }

    certificate->numbers = wire;

    if (ngx_prom_key_numbers(certificate->type, &wire, reason)) {
        return 0;
    }

    certificate->numbers.left -= wire.left;

    if (!ngx_prom_wire_uint(&wire, 8, &certificate->serial)
        || !ngx_prom_wire_uint(&wire, 4, &certificate->kind)
        || !ngx_prom_wire_string(&wire, &certificate->id)
        || !ngx_prom_wire_string(&wire, &certificate->principals)
        || !ngx_prom_wire_uint(&wire, 8, &certificate->after)
        || !ngx_prom_wire_uint(&wire, 8, &certificate->before)
        || !ngx_prom_wire_string(&wire, &options)
        || !ngx_prom_wire_string(&wire, &extensions)
        || !ngx_prom_wire_string(&wire, &reserved)
        || !ngx_prom_wire_string(&wire, &certificate->authority)
        || !ngx_prom_wire_string(&wire, &signature)
        || wire.left)
    {
        return 0;
    }

    principals = certificate->principals;

    while (certificate_principal(&principals, &principal)) { /* void */ }

    return principals.left == 0;
}


int
certificate_principal(ngx_prom_wire_t *principals, ngx_prom_wire_t *principal)
{
    return ngx_prom_wire_string(principals, principal);
}
