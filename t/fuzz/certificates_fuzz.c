/*
 * Feeds what reads certificates and keys with anything: the first byte chooses
 * the type, the others are the certificate.  t/01-fuzz.t builds and runs it.
 */


#include "certificate.h"
#include "fuzz.h"



int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_certificate(const uint8_t *data, size_t len,
    const char *type);
static void fuzz_key(const uint8_t *data, size_t len, const char *type);
static void fuzz_base64(const uint8_t *data, size_t len);
static void fuzz_inside(const uint8_t *data, size_t len,
    const ngx_prom_wire_t *wire);


static const char  *fuzz_types[] = {
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com"
};


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_text_t     text;
    const char     *type;
    const uint8_t  *copy;

    if (size == 0) {
        return 0;
    }

    type = fuzz_types[data[0] % (sizeof(fuzz_types) / sizeof(char *))];

    fuzz_text_init(&text, data + 1, size - 1);
    copy = (const uint8_t *) text.data;

    fuzz_certificate(copy, size - 1, type);
    fuzz_key(copy, size - 1, type);
    fuzz_base64(copy, size - 1);

    fuzz_text_free(&text);

    return 0;
}


static void
fuzz_certificate(const uint8_t *data, size_t len, const char *type)
{
    ngx_prom_wire_t             principals, principal;
    certificate_t               certificate;
    const ngx_prom_key_type_t  *known;

    known = ngx_prom_key_type(type, strlen(type));
    FUZZ_CHECK(known != NULL);

    if (!certificate_parse(&certificate, known->certificate, data, len)) {
        return;
    }

    FUZZ_CHECK(certificate.type == known);
    FUZZ_CHECK(certificate.kind <= UINT32_MAX);

    fuzz_inside(data, len, &certificate.numbers);
    fuzz_inside(data, len, &certificate.id);
    fuzz_inside(data, len, &certificate.principals);
    fuzz_inside(data, len, &certificate.authority);

    principals = certificate.principals;

    while (certificate_principal(&principals, &principal)) {
        fuzz_inside(data, len, &principal);
    }

    FUZZ_CHECK(principals.left == 0);
}


static void
fuzz_key(const uint8_t *data, size_t len, const char *type)
{
    ngx_prom_wire_t             wire;
    ngx_prom_key_reason_t       reason;
    const ngx_prom_key_type_t  *known;

    wire.pos = data;
    wire.left = len;

    known = ngx_prom_key_type(type, strlen(type));

    if (ngx_prom_key_numbers(known, &wire, reason) == NULL) {
        fuzz_inside(data, len, &wire);
        FUZZ_CHECK(wire.left < len);
    }
}


static void
fuzz_base64(const uint8_t *data, size_t len)
{
    uint8_t    *out;
    ptrdiff_t   n;

    out = malloc(len / 4 * 3 + 1);
    FUZZ_CHECK(out != NULL);

    n = ngx_prom_base64_decode(out, (const char *) data, len);

    FUZZ_CHECK(n == -1 || (n > 0 && (size_t) n <= len / 4 * 3
                           && (size_t) n + 2 >= len / 4 * 3));

    free(out);
}


static void
fuzz_inside(const uint8_t *data, size_t len, const ngx_prom_wire_t *wire)
{
    FUZZ_CHECK(wire->pos >= data);
    FUZZ_CHECK(wire->left <= len);
    FUZZ_CHECK(wire->pos + wire->left <= data + len);
}
