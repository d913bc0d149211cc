/*
 * The board: a file on a tmpfs where the sessions service (sessions/) writes
 * which host is connected, and sshd's log filter which logins were refused,
 * for nginx's pages and "monitoring-proxy list" to read.  All of them map it;
 * it never changes its size.
 *
 * A host's record is at the place of its first port, which only one host can
 * have.  The file is sparse: memory is taken for ports that are in use.
 */


#ifndef _NGX_PROM_TUNNELS_H_INCLUDED_
#define _NGX_PROM_TUNNELS_H_INCLUDED_


#include <stdint.h>


#define NGX_PROM_TUNNELS_MAGIC    0x3174706d     /* "mpt1" */
#define NGX_PROM_TUNNELS_PORTS    65536
#define NGX_PROM_TUNNELS_ADDRESS  48             /* with a final zero */
#define NGX_PROM_TUNNELS_DIGEST   32             /* SHA-256 */
#define NGX_PROM_TUNNELS_REASON   512


/* why a connection to sshd came to no tunnel, and its name in the metrics */

typedef enum {
    NGX_PROM_REFUSED_KEY = 0,         /* "key": none that may log in */
    NGX_PROM_REFUSED_USER,            /* "user": another than "monitoring" */
    NGX_PROM_REFUSED_CERTIFICATE,     /* "certificate": expired, no host's */
    NGX_PROM_REFUSED_PROTOCOL,        /* "protocol": no ssh, no algorithm */
    NGX_PROM_REFUSED_TIMEOUT,         /* "timeout": slower than allowed */
    NGX_PROM_REFUSED_LIMIT,           /* "limit": too many at once */
    NGX_PROM_REFUSED_CONNECTED,       /* "connected": the host is already */
    NGX_PROM_REFUSED_CLOSED,          /* "closed": it left before logging in */
    NGX_PROM_REFUSED_REASONS
} ngx_prom_refused_e;


/*
 * Written by the sessions service alone: seq is odd meanwhile, and a reader
 * tries again if it was, or isn't what it was before.  Times are milliseconds
 * of Unix time.
 */

typedef struct {
    uint32_t             seq;
    uint32_t             pid;         /* of sshd's session; 0: not connected */
    uint64_t             started;     /* the process', as in /proc/PID/stat */
    uint64_t             since;       /* of the login, also of an ended one */
    uint64_t             ended;       /* of the last session, 0 if none did */
    uint32_t             logins;      /* all; 0: none, so nothing is known */
    uint8_t              certificate; /* it logged in by certificate */
    uint8_t              spare[3];
    uint8_t              digest[NGX_PROM_TUNNELS_DIGEST];    /* of its key */
    char                 address[NGX_PROM_TUNNELS_ADDRESS];  /* its source */
    uint8_t              reserved[8];
} ngx_prom_tunnel_t;


typedef struct {
    uint32_t             magic;       /* set last */
    uint32_t             size;        /* of a record */

    uint64_t             refused[NGX_PROM_REFUSED_REASONS];  /* atomic */

    /* by the sessions service alone; sessions of all keys, and their logins */

    uint32_t             sessions;
    uint32_t             shared;      /* of them by the shared key */
    uint64_t             logins;

    /* of the hosts file; guarded by seq as a record is */

    uint32_t             seq;
    uint32_t             hosts;       /* lines of the set in use */
    uint64_t             loaded;      /* when they were */
    uint64_t             failures;
    uint32_t             failed;      /* the last change was refused: */
    uint32_t             reason_len;
    char                 reason[NGX_PROM_TUNNELS_REASON];
} ngx_prom_tunnels_head_t;


typedef struct {
    union {
        ngx_prom_tunnels_head_t  head;
        uint8_t                  page[4096];
    };

    ngx_prom_tunnel_t    tunnels[NGX_PROM_TUNNELS_PORTS];    /* by port */
} ngx_prom_tunnels_t;


#endif /* _NGX_PROM_TUNNELS_H_INCLUDED_ */
