/*
 * What a node is handed; see the header.
 */


#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "state.h"
#include "text.h"
#include "token_url.h"


#define TOKEN_URL_PORT  4443


static int token_url_pin_of(token_url_t *url, X509 *certificate);


int
token_url_pin(token_url_t *url, const char *dir)
{
    int    rc;
    char   path[STATE_PATH];
    FILE  *in;
    X509  *certificate;

    snprintf(path, sizeof(path), "%s/tls.crt", dir);

    in = fopen(path, "re");

    if (in == NULL) {
        text_fail(path, errno == ENOENT ? "is not there; the proxy makes it "
                                          "when it starts with WireGuard"
                                        : strerror(errno), stderr);
        return -1;
    }

    certificate = PEM_read_X509(in, NULL, NULL, NULL);
    fclose(in);

    rc = certificate ? token_url_pin_of(url, certificate) : -1;

    X509_free(certificate);

    if (rc == -1) {
        text_fail(path, "is not a certificate in PEM", stderr);
    }

    return rc;
}


static int
token_url_pin_of(token_url_t *url, X509 *certificate)
{
    int       len;
    uint8_t   digest[SHA256_DIGEST_LENGTH], *der;

    der = NULL;
    len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);

    if (len <= 0) {
        return -1;
    }

    SHA256(der, (size_t) len, digest);
    key_token(url->pin, digest);

    OPENSSL_free(der);

    return 0;
}


int
token_url_make(token_url_t *url)
{
    uint8_t  bytes[KEY_BYTES];

    if (key_random(bytes, sizeof(bytes)) == -1) {
        return -1;
    }

    key_token(url->token, bytes);
    key_digest(url->hash, url->token, KEY_TOKEN - 1);

    OPENSSL_cleanse(bytes, sizeof(bytes));

    return 0;
}


char *
token_url_text(const token_url_t *url, const ngx_prom_text_t *name)
{
    int    n, ipv6;
    char  *text;

    ipv6 = strchr(url->host, ':') != NULL;

    n = asprintf(&text, "https://%s%s%s:%d/%.*s/%s.%s", ipv6 ? "[" : "",
                 url->host, ipv6 ? "]" : "", TOKEN_URL_PORT, (int) name->len,
                 name->data, url->token, url->pin);

    return n == -1 ? NULL : text;
}
