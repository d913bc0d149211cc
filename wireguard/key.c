/*
 * Keys of WireGuard; see the header.
 */


#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "key.h"


int
key_random(uint8_t *bytes, size_t len)
{
    return RAND_priv_bytes(bytes, (int) len) == 1 ? 0 : -1;
}


/* as "wg genkey" has it */

int
key_make(uint8_t *private_key)
{
    if (key_random(private_key, KEY_BYTES) == -1) {
        return -1;
    }

    private_key[0] &= 248;
    private_key[31] = (private_key[31] & 127) | 64;

    return 0;
}


int
key_public(uint8_t *public_key, const uint8_t *private_key)
{
    int        rc;
    size_t     len;
    EVP_PKEY  *key;

    key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private_key,
                                       KEY_BYTES);
    if (key == NULL) {
        return -1;
    }

    len = KEY_BYTES;
    rc = EVP_PKEY_get_raw_public_key(key, public_key, &len);

    EVP_PKEY_free(key);

    return rc == 1 && len == KEY_BYTES ? 0 : -1;
}


void
key_text(char *text, const uint8_t *key)
{
    (void) EVP_EncodeBlock((unsigned char *) text, key, KEY_BYTES);
}


void
key_token(char *text, const uint8_t *bytes)
{
    char   base64[KEY_TEXT];
    char  *p;

    key_text(base64, bytes);

    for (p = base64; *p; p++) {
        if (*p == '+') {
            *p = '-';

        } else if (*p == '/') {
            *p = '_';
        }
    }

    /* without the padding */

    memcpy(text, base64, KEY_TOKEN - 1);
    text[KEY_TOKEN - 1] = '\0';

    OPENSSL_cleanse(base64, sizeof(base64));
}


int
key_is_token(const char *text, size_t len)
{
    size_t  i;

    static const char  digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz0123456789-_";

    if (len != KEY_TOKEN - 1) {
        return 0;
    }

    for (i = 0; i < len; i++) {
        if (text[i] == '\0' || strchr(digits, text[i]) == NULL) {
            return 0;
        }
    }

    return 1;
}


void
key_digest(char *hex, const void *data, size_t len)
{
    size_t   i;
    uint8_t  digest[SHA256_DIGEST_LENGTH];

    SHA256(data, len, digest);

    for (i = 0; i < sizeof(digest); i++) {
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    }
}
