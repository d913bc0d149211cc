/*
 * Keys of WireGuard, which are those of X25519, tokens and digests.
 */


#ifndef _WIREGUARD_KEY_H_INCLUDED_
#define _WIREGUARD_KEY_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#define KEY_BYTES   32
#define KEY_TEXT    45                /* base64, with a final zero */
#define KEY_TOKEN   44                /* base64 of URLs, with a final zero */
#define KEY_DIGEST  65                /* hex, with a final zero */


/* these return 0, or -1 */

int key_make(uint8_t *private_key);
int key_public(uint8_t *public_key, const uint8_t *private_key);
int key_random(uint8_t *bytes, size_t len);

void key_text(char *text, const uint8_t *key);

/* 32 bytes as they are in a token-URL; the other way: is the text such */

void key_token(char *text, const uint8_t *bytes);
int key_is_token(const char *text, size_t len);

/* SHA-256 */

void key_digest(char *hex, const void *data, size_t len);


#endif /* _WIREGUARD_KEY_H_INCLUDED_ */
