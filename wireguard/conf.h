/*
 * wg0.conf: the monitor's own key, addresses and port, and the peers of the
 * user's own.
 *
 * The format is that of wg-quick.  What would have it execute something, or
 * change more than the interface, is a mistake.
 */


#ifndef _WIREGUARD_CONF_H_INCLUDED_
#define _WIREGUARD_CONF_H_INCLUDED_


#include <stdio.h>

#include "key.h"
#include "ngx_prom_targets_line.h"


#define CONF_PATH    4096
#define CONF_PORT    51820
#define CONF_NUMBER  65535            /* the last one, whatever the network */


/* an address with a prefix; bytes is 4 or 16, or 0: there is none */

typedef struct {
    unsigned             bytes;
    unsigned             prefix;
    uint8_t              ip[16];
} conf_net_t;


/* slices of the file; empty where it has no such line */

typedef struct {
    ngx_prom_text_t      public_key;
    ngx_prom_text_t      preshared_key;
    ngx_prom_text_t      endpoint;
    ngx_prom_text_t      keepalive;
    conf_net_t          *allowed;
    uint32_t             nallowed;
    uint32_t             line;
} conf_peer_t;


typedef struct {
    char                 path[CONF_PATH];
    FILE                *told;
    char                *text;
    size_t               len;
    uint32_t             errors;

    uint8_t              key[KEY_BYTES];             /* private */
    char                 public_key[KEY_TEXT];
    unsigned             port;
    unsigned             mtu;                        /* 0: not given */
    conf_net_t           net4;
    conf_net_t           net6;

    conf_peer_t         *peers;
    uint32_t             npeers;
} conf_t;


/*
 * Reads DIR/wg0.conf.  Returns NULL after telling each mistake, as
 * "FILE:LINE:COLUMN: reason", unless told is NULL.  The caller frees it.
 */

conf_t *conf_load(const char *dir, FILE *told);

/* the same of a text, which it takes; text[len] must be writable */

conf_t *conf_parse(const char *path, char *text, size_t len, FILE *told);

void conf_free(conf_t *conf);

/* the last number of a node; and its address: bytes is 4 or 16 */

uint32_t conf_last(const conf_t *conf);
void conf_address(const conf_t *conf, unsigned bytes, uint32_t number,
    uint8_t *ip);

/* the number of an address, or 0: it has none */

uint32_t conf_number(const conf_t *conf, const uint8_t *ip, unsigned bytes);

/* the line of the peer of the user's own that has just this address, or 0 */

uint32_t conf_peer_has(const conf_t *conf, const uint8_t *ip, unsigned bytes);

/* is the address in the network, and is it the monitor's own */

int conf_inside(const conf_net_t *net, const uint8_t *ip);
int conf_own(const conf_net_t *net, const uint8_t *ip);

/* ADDRESS/PREFIX */

void conf_net_print(FILE *out, const conf_net_t *net);


#endif /* _WIREGUARD_CONF_H_INCLUDED_ */
