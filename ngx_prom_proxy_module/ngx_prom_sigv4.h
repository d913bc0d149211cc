/*
 * Signatures of AWS, Version 4: what a request's header Authorization has.
 *
 *     AWS4-HMAC-SHA256 Credential=KEY/DAY/REGION/SERVICE/aws4_request,
 *         SignedHeaders=NAME;NAME, Signature=HEX
 *
 * The signature is of a string that has the hash of the canonical request,
 * and is made with a key that is derived from the secret one and good for a
 * day.  Each step is a function, as AWS' description and its vectors have
 * them; nothing is allocated here.
 */


#ifndef _NGX_PROM_SIGV4_H_INCLUDED_
#define _NGX_PROM_SIGV4_H_INCLUDED_


#include <stddef.h>


#define NGX_PROM_SIGV4_DATE  16       /* 20150830T123600Z */
#define NGX_PROM_SIGV4_DAY   8        /* what a date begins with */
#define NGX_PROM_SIGV4_KEY   32
#define NGX_PROM_SIGV4_HEX   64       /* of a SHA-256 */


typedef struct {
    const char                   *data;
    size_t                        len;
} ngx_prom_sigv4_text_t;


/* a header or a parameter */

typedef struct {
    ngx_prom_sigv4_text_t         name;
    ngx_prom_sigv4_text_t         value;
} ngx_prom_sigv4_pair_t;


typedef struct {
    ngx_prom_sigv4_text_t         method;
    ngx_prom_sigv4_text_t         path;       /* as it is sent */
    ngx_prom_sigv4_text_t         query;      /* canonical, without "?" */

    /* those that are signed: lower case, sorted, each name once */

    const ngx_prom_sigv4_pair_t  *headers;
    size_t                        nheaders;

    const char                   *payload;    /* hash of the body, in hex */
    const char                   *date;
    ngx_prom_sigv4_text_t         region;
    ngx_prom_sigv4_text_t         service;
    ngx_prom_sigv4_text_t         access_key;
} ngx_prom_sigv4_t;


/*
 * The canonical form of a query: each name and value decoded, "+" too, and
 * encoded, sorted by name and then by value.  Those who read forms read the
 * same in it, so it can be sent as well, and then there is but one way to
 * understand what was signed.
 *
 * ngx_prom_sigv4_params() is how many pairs of params are wanted.  dst has
 * ngx_prom_sigv4_query_room() bytes; what is behind the returned length is
 * of no more use.
 */

#define ngx_prom_sigv4_query_room(len, nparams)  (2 * (3 * (len) + (nparams)))

size_t ngx_prom_sigv4_params(const char *query, size_t len);
size_t ngx_prom_sigv4_query(char *dst, const char *query, size_t len,
    ngx_prom_sigv4_pair_t *params);

/* room for each of the texts that are made of a request */

size_t ngx_prom_sigv4_room(const ngx_prom_sigv4_t *request);

/* they return the length of what they write to dst, or 0 if OpenSSL fails */

size_t ngx_prom_sigv4_request(char *dst, const ngx_prom_sigv4_t *request);
size_t ngx_prom_sigv4_string(char *dst, const ngx_prom_sigv4_t *request,
    const char *canonical, size_t len);
size_t ngx_prom_sigv4_authorization(char *dst,
    const ngx_prom_sigv4_t *request, const unsigned char *key,
    const char *string, size_t len);

/*
 * These return 0, or -1 if OpenSSL fails or the secret is longer than any.
 * Of date only the day is looked at.
 */

int ngx_prom_sigv4_key(unsigned char *key, const char *secret, size_t len,
    const char *date, const ngx_prom_sigv4_text_t *region,
    const ngx_prom_sigv4_text_t *service);
int ngx_prom_sigv4_hash(char *hex, const void *data, size_t len);

void ngx_prom_sigv4_hex(char *hex, const unsigned char *data, size_t len);


#endif /* _NGX_PROM_SIGV4_H_INCLUDED_ */
