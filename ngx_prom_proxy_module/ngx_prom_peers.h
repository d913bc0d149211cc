/*
 * The board of peers: a file on a tmpfs where the WireGuard side (wireguard/)
 * writes what the kernel, or wireguard-go, says of each node, for nginx's
 * pages to read.  Both map it; it never changes its size.
 *
 * A node's record is at the place of its number, which only one node has: the
 * low 16 bits of its IPv4 address, or of its IPv6 one if it has that alone.
 * The file is sparse: memory is taken for numbers that are in use.
 */


#ifndef _NGX_PROM_PEERS_H_INCLUDED_
#define _NGX_PROM_PEERS_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>
#include <string.h>


#define NGX_PROM_PEERS_MAGIC      0x3177706d     /* "mpw1" */
#define NGX_PROM_PEERS_NUMBERS    65536
#define NGX_PROM_PEERS_KEY        32             /* bytes of a public key */
#define NGX_PROM_PEERS_ENDPOINT   64             /* with a final zero */
#define NGX_PROM_PEERS_REASON     512


/*
 * Of one writer alone: seq is odd meanwhile, and a reader tries again if it
 * was, or isn't what it was before.  A record is the node's only if the key
 * is its own, as a number may have been another node's before; a key of zeros
 * is nobody's.
 */

typedef struct {
    uint32_t             seq;
    uint32_t             reserved;
    uint64_t             handshake;   /* the last one: s of Unix time; 0: none
                                         since the interface is there */
    uint64_t             received;    /* bytes, since then */
    uint64_t             sent;
    uint8_t              key[NGX_PROM_PEERS_KEY];
    char                 endpoint[NGX_PROM_PEERS_ENDPOINT];  /* HOST:PORT */
} ngx_prom_peer_t;


typedef struct {
    uint32_t             magic;       /* set last */
    uint32_t             size;        /* of a record */

    /* of the nodes file; guarded by seq as a record is */

    uint32_t             seq;
    uint32_t             nodes;       /* lines of the set in use */
    uint64_t             loaded;      /* when they were: ms of Unix time; 0:
                                         none are */
    uint64_t             failures;    /* changes that were refused */
    uint32_t             failed;      /* the last change was: */
    uint32_t             reason_len;
    char                 reason[NGX_PROM_PEERS_REASON];
} ngx_prom_peers_head_t;


typedef struct {
    union {
        ngx_prom_peers_head_t    head;
        uint8_t                  page[4096];
    };

    ngx_prom_peer_t      peers[NGX_PROM_PEERS_NUMBERS];      /* by number */
} ngx_prom_peers_t;


/* the number of a node, from its address: len bytes in network order */

static inline uint32_t
ngx_prom_peers_number(const uint8_t *address, size_t len)
{
    return (uint32_t) address[len - 2] << 8 | address[len - 1];
}


/*
 * What tells a node's key from those that had its number before: never 0, as
 * that is a target that is no node.
 */

static inline uint32_t
ngx_prom_peers_mark(const uint8_t *key)
{
    uint32_t  mark;

    memcpy(&mark, key, sizeof(mark));

    return mark ? mark : 1;
}


#endif /* _NGX_PROM_PEERS_H_INCLUDED_ */
