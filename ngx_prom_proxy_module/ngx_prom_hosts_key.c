/*
 * Public keys as OpenSSH writes them; see the header.
 */


#include <stdio.h>
#include <string.h>

#include "ngx_prom_hosts_key.h"


static int ngx_prom_wire_is(const ngx_prom_wire_t *string, const char *s);
static const char *ngx_prom_rsa_check(ngx_prom_wire_t *wire,
    ngx_prom_key_reason_t reason);
static int ngx_prom_rsa_number(ngx_prom_wire_t *wire, ngx_prom_wire_t *n);
static int ngx_prom_base64_digit(char ch);


static const ngx_prom_key_type_t  ngx_prom_key_types[] = {

    { "ssh-ed25519",
      "ssh-ed25519-cert-v01@openssh.com",
      NULL, 32, 0 },

    { "ecdsa-sha2-nistp256",
      "ecdsa-sha2-nistp256-cert-v01@openssh.com",
      "nistp256", 65, 0 },

    { "ecdsa-sha2-nistp384",
      "ecdsa-sha2-nistp384-cert-v01@openssh.com",
      "nistp384", 97, 0 },

    { "ecdsa-sha2-nistp521",
      "ecdsa-sha2-nistp521-cert-v01@openssh.com",
      "nistp521", 133, 0 },

    { "ssh-rsa",
      "ssh-rsa-cert-v01@openssh.com",
      NULL, 0, 0 },

    { "sk-ssh-ed25519@openssh.com",
      "sk-ssh-ed25519-cert-v01@openssh.com",
      NULL, 32, 1 },

    { "sk-ecdsa-sha2-nistp256@openssh.com",
      "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
      "nistp256", 65, 1 },

    { NULL, NULL, NULL, 0, 0 }
};


const ngx_prom_key_type_t *
ngx_prom_key_type(const char *name, size_t len)
{
    const ngx_prom_key_type_t  *type;

    for (type = ngx_prom_key_types; type->name; type++) {
        if (strlen(type->name) == len && memcmp(type->name, name, len) == 0) {
            return type;
        }
    }

    return NULL;
}


const ngx_prom_key_type_t *
ngx_prom_key_certificate(const char *name, size_t len)
{
    const ngx_prom_key_type_t  *type;

    for (type = ngx_prom_key_types; type->name; type++) {
        if (strlen(type->certificate) == len
            && memcmp(type->certificate, name, len) == 0)
        {
            return type;
        }
    }

    return NULL;
}


const char *
ngx_prom_key_check(const ngx_prom_key_type_t *type, const char *base64,
    size_t len, ngx_prom_key_reason_t reason)
{
    uint8_t                     key[NGX_PROM_KEY_BASE64 / 4 * 3];
    ptrdiff_t                   n;
    const char                 *wrong;
    ngx_prom_wire_t             wire, name;
    const ngx_prom_key_type_t  *other;

    if (len > NGX_PROM_KEY_BASE64) {
        snprintf(reason, sizeof(ngx_prom_key_reason_t), "has %zu bytes; "
                 "at most %d are allowed", len, NGX_PROM_KEY_BASE64);
        return reason;
    }

    n = ngx_prom_base64_decode(key, base64, len);

    if (n == -1) {
        return NGX_PROM_KEY_CHANGED;
    }

    wire.pos = key;
    wire.left = (size_t) n;

    if (!ngx_prom_wire_string(&wire, &name)) {
        return NGX_PROM_KEY_CHANGED;
    }

    if (!ngx_prom_wire_is(&name, type->name)) {
        other = ngx_prom_key_type((const char *) name.pos, name.left);

        if (other) {
            snprintf(reason, sizeof(ngx_prom_key_reason_t), "is of type %s, "
                     "not %s; copy the whole line of the .pub file",
                     other->name, type->name);
            return reason;
        }

        if (ngx_prom_key_certificate((const char *) name.pos, name.left)) {
            return "is a certificate; give the plain public key";
        }

        return NGX_PROM_KEY_CHANGED;
    }

    wrong = ngx_prom_key_numbers(type, &wire, reason);

    if (wrong) {
        return wrong;
    }

    return wire.left ? NGX_PROM_KEY_CHANGED : NULL;
}


const char *
ngx_prom_key_numbers(const ngx_prom_key_type_t *type, ngx_prom_wire_t *wire,
    ngx_prom_key_reason_t reason)
{
    ngx_prom_wire_t  curve, point, application;

    if (type->point == 0) {
        return ngx_prom_rsa_check(wire, reason);
    }

    if (type->curve
        && (!ngx_prom_wire_string(wire, &curve)
            || !ngx_prom_wire_is(&curve, type->curve)))
    {
        return NGX_PROM_KEY_CHANGED;
    }

    if (!ngx_prom_wire_string(wire, &point) || point.left != type->point) {
        return NGX_PROM_KEY_CHANGED;
    }

    /* 4 is for a point that isn't compressed, as OpenSSH wants it */

    if (type->curve && point.pos[0] != 4) {
        return NGX_PROM_KEY_CHANGED;
    }

    if (type->application
        && (!ngx_prom_wire_string(wire, &application)
            || application.left == 0))
    {
        return NGX_PROM_KEY_CHANGED;
    }

    return NULL;
}


static const char *
ngx_prom_rsa_check(ngx_prom_wire_t *wire, ngx_prom_key_reason_t reason)
{
    size_t           bits;
    unsigned         top;
    ngx_prom_wire_t  e, n;

    if (!ngx_prom_rsa_number(wire, &e) || !ngx_prom_rsa_number(wire, &n)) {
        return NGX_PROM_KEY_CHANGED;
    }

    bits = (n.left - 1) * 8;

    for (top = n.pos[0]; top; top >>= 1) {
        bits++;
    }

    if (bits < NGX_PROM_RSA_BITS_MIN) {
        snprintf(reason, sizeof(ngx_prom_key_reason_t), "is RSA of %zu bits; "
                 "at least %d are needed", bits, NGX_PROM_RSA_BITS_MIN);
        return reason;
    }

    if (bits > NGX_PROM_RSA_BITS_MAX) {
        snprintf(reason, sizeof(ngx_prom_key_reason_t), "is RSA of %zu bits; "
                 "at most %d are allowed", bits, NGX_PROM_RSA_BITS_MAX);
        return reason;
    }

    return NULL;
}


/* a number over zero in as few bytes as it has, less the one for its sign */

static int
ngx_prom_rsa_number(ngx_prom_wire_t *wire, ngx_prom_wire_t *n)
{
    if (!ngx_prom_wire_string(wire, n) || n->left == 0 || n->pos[0] & 0x80) {
        return 0;
    }

    if (n->pos[0]) {
        return 1;
    }

    n->pos++;
    n->left--;

    return n->left && n->pos[0] & 0x80;
}


static int
ngx_prom_wire_is(const ngx_prom_wire_t *string, const char *s)
{
    return string->left == strlen(s)
           && memcmp(string->pos, s, string->left) == 0;
}


int
ngx_prom_wire_string(ngx_prom_wire_t *wire, ngx_prom_wire_t *string)
{
    uint64_t         len;
    ngx_prom_wire_t  rest;

    rest = *wire;

    if (!ngx_prom_wire_uint(&rest, 4, &len) || len > rest.left) {
        return 0;
    }

    string->pos = rest.pos;
    string->left = (size_t) len;

    wire->pos = rest.pos + len;
    wire->left = rest.left - (size_t) len;

    return 1;
}


int
ngx_prom_wire_uint(ngx_prom_wire_t *wire, unsigned bytes, uint64_t *value)
{
    if (wire->left < bytes) {
        return 0;
    }

    wire->left -= bytes;

    for (*value = 0; bytes; bytes--) {
        *value = *value << 8 | *wire->pos++;
    }

    return 1;
}


ptrdiff_t
ngx_prom_base64_decode(uint8_t *out, const char *text, size_t len)
{
    int       digit;
    size_t    i, bytes;
    uint8_t  *p;
    uint32_t  bits;

    if (len == 0 || len % 4) {
        return -1;
    }

    bytes = 3;

    while (bytes > 1 && text[len - 1] == '=') {
        len--;
        bytes--;
    }

    p = out;
    bits = 0;

    for (i = 0; i < len; i++) {
        digit = ngx_prom_base64_digit(text[i]);

        if (digit == -1) {
            return -1;
        }

        bits = bits << 6 | (uint32_t) digit;

        if (i % 4 == 3) {
            *p++ = (uint8_t) (bits >> 16);
            *p++ = (uint8_t) (bits >> 8);
            *p++ = (uint8_t) bits;
            bits = 0;
        }
    }

    /* bits that are left over must be zero, so that a key has one text */

    if (bytes == 2) {
        if (bits & 0x3) {
            return -1;
        }

        *p++ = (uint8_t) (bits >> 10);
        *p++ = (uint8_t) (bits >> 2);

    } else if (bytes == 1) {
        if (bits & 0xf) {
            return -1;
        }

        *p++ = (uint8_t) (bits >> 4);
    }

    return p - out;
}


static int
ngx_prom_base64_digit(char ch)
{
    if (ch >= 'A' && ch <= 'Z') {
        return ch - 'A';
    }

    if (ch >= 'a' && ch <= 'z') {
        return ch - 'a' + 26;
    }

    if (ch >= '0' && ch <= '9') {
        return ch - '0' + 52;
    }

    if (ch == '+') {
        return 62;
    }

    return ch == '/' ? 63 : -1;
}
