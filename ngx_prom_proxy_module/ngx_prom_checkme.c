/*
 * Makes and verifies the header CheckMe; see the header.
 */


#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "ngx_prom_checkme.h"


#define NGX_PROM_CHECKME_HEX  64


static int ngx_prom_checkme_mac(char *hex, const char *key, size_t key_len,
    const char *text, size_t len);


size_t
ngx_prom_checkme_make(char *value, const char *key, size_t key_len,
    const char *target, size_t target_len, uint64_t time)
{
    size_t  len;

    len = (size_t) sprintf(value, "v1 %" PRIu64 " ", time);

    memcpy(value + len, target, target_len);
    len += target_len;

    if (ngx_prom_checkme_mac(value + len + 1, key, key_len, value, len)
        == -1)
    {
        return 0;
    }

    value[len] = ' ';

    return len + 1 + NGX_PROM_CHECKME_HEX;
}


const char *
ngx_prom_checkme_verify(const char *value, size_t len, const char *key,
    size_t key_len, uint64_t *time, const char **target, size_t *target_len)
{
    char         hex[NGX_PROM_CHECKME_HEX];
    const char  *p, *mac, *digits;

    if (len <= NGX_PROM_CHECKME_HEX + sizeof("v1 0 x ") - 2
        || memcmp(value, "v1 ", 3) != 0
        || value[len - NGX_PROM_CHECKME_HEX - 1] != ' ')
    {
        return "it is no value of CheckMe: \"v1 TIME TARGET MAC\"";
    }

    mac = value + len - NGX_PROM_CHECKME_HEX;

    if (ngx_prom_checkme_mac(hex, key, key_len, value, mac - 1 - value)
        == -1)
    {
        return "OpenSSL can't compute it";
    }

    if (CRYPTO_memcmp(hex, mac, NGX_PROM_CHECKME_HEX) != 0) {
        return "it was not made with this proxy's key, or was changed";
    }

    /* what has the right MAC was written by us */

    *time = 0;

    digits = value + 3;

    for (p = digits; p < mac && *p >= '0' && *p <= '9'; p++) {
        *time = *time * 10 + (uint64_t) (*p - '0');
    }

    if (p == digits || p - digits > 19 || mac - p < 3 || *p != ' ') {
        return "it is no value of CheckMe: \"v1 TIME TARGET MAC\"";
    }

    *target = p + 1;
    *target_len = (size_t) (mac - 1 - *target);

    return NULL;
}


static int
ngx_prom_checkme_mac(char *hex, const char *key, size_t key_len,
    const char *text, size_t len)
{
    unsigned       i, n;
    unsigned char  mac[EVP_MAX_MD_SIZE];

    static const char  digits[] = "0123456789abcdef";

    if (HMAC(EVP_sha256(), key, (int) key_len, (const unsigned char *) text,
             len, mac, &n)
        == NULL || n != NGX_PROM_CHECKME_HEX / 2)
    {
        return -1;
    }

    for (i = 0; i < n; i++) {
        hex[2 * i] = digits[mac[i] >> 4];
        hex[2 * i + 1] = digits[mac[i] & 0xf];
    }

    return 0;
}
