/*
 * What "wg show wg0 dump" says of peers.
 */


#ifndef _WIREGUARD_DUMP_H_INCLUDED_
#define _WIREGUARD_DUMP_H_INCLUDED_


#include <stdint.h>
#include <stdio.h>

#include "key.h"
#include "ngx_prom_peers.h"


typedef struct {
    uint8_t              key[KEY_BYTES];
    char                 endpoint[NGX_PROM_PEERS_ENDPOINT];  /* or "" */
    uint32_t             number;      /* of its address; 0: it has none */
    uint64_t             handshake;   /* s of Unix time, or 0 */
    uint64_t             received;
    uint64_t             sent;
} dump_peer_t;


typedef struct {
    dump_peer_t         *peers;       /* by key */
    uint32_t             count;
} dump_t;


/* passes over lines that make no sense; returns 0, or -1: no memory */

int dump_read(dump_t *dump, FILE *in);
void dump_free(dump_t *dump);

/* the peer with the key, or NULL */

const dump_peer_t *dump_find(const dump_t *dump, const uint8_t *key);


#endif /* _WIREGUARD_DUMP_H_INCLUDED_ */
