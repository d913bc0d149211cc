/*
 * The grammar of /etc/monitoring/wireguard/nodes, in plain C without nginx, so
 * that the module, the program of WireGuard and the fuzzer run the same code.
 *
 *     NAME PUBLICKEY ADDRESS[,ADDRESS] [ports=PORTS] [LABEL=VALUE ...]
 *
 * NAME, labels, comments and line ends are those of the targets file; see
 * ngx_prom_targets.h.  PUBLICKEY is what "wg pubkey" prints.  ADDRESS is the
 * node's own in the network, at most one of IPv4 and one of IPv6, without a
 * prefix.
 *
 * ports=PORT               the node's one exporter, 9100 if it isn't given
 * ports=EXPORTER:PORT,...  several of them, as in a hosts file
 *
 * A line makes the target NAME, or a target NAME/EXPORTER for each exporter.
 */


#ifndef _NGX_PROM_NODES_H_INCLUDED_
#define _NGX_PROM_NODES_H_INCLUDED_


#include "ngx_prom_targets.h"


#define NGX_PROM_NODE_KEY     32      /* bytes of a key */
#define NGX_PROM_NODE_BASE64  44      /* of its text */


/* texts are slices of the parsed text and live as long as it does */

typedef struct {
    ngx_prom_text_t      name;
    ngx_prom_text_t      key;         /* base64 */
    ngx_prom_text_t      address4;    /* as written; one may be empty */
    ngx_prom_text_t      address6;
    ngx_prom_text_t      exporters;   /* EXPORTER:PORT,... or empty */
    ngx_prom_text_t      labels;      /* "name\0value\0"..., unescaped */

    uint32_t             line;        /* from 1 */
    uint32_t             column;      /* of its name */
    uint32_t             key_column;
    uint32_t             address_column;
    uint16_t             port;        /* of the one exporter, or 0 */

    uint8_t              ip4[4];      /* network order */
    uint8_t              ip6[16];
} ngx_prom_node_t;


typedef struct {
    ngx_prom_targets_alloc_pt    alloc;      /* set by the caller */
    ngx_prom_targets_error_pt    error;      /* set by the caller */
    void                        *data;       /* handed to both */

    ngx_prom_node_t             *nodes;      /* in the file's order */
    uint32_t                     count;
    uint32_t                     errors;     /* all, also untold ones */
} ngx_prom_nodes_t;


/*
 * Parses text[0 .. len - 1] in place; text[len] must be writable too.  Two
 * lines with one name, target, key or address are a mistake that names both.
 * Returns as ngx_prom_targets_parse() does: 0, 1 with errors, or -1.  Targets
 * that meet are told behind the mistakes of all lines.
 */

int ngx_prom_nodes_parse(ngx_prom_nodes_t *pn, char *text, size_t len);

/*
 * Adds the nodes' targets to those of pt, whose alloc is used: they dial the
 * IPv4 address, or the IPv6 one of a node that has that alone.  A name that
 * both have is a mistake of the nodes', told by pn->error: it names the line
 * of the targets file, or of the hosts file if pt has hosts' targets already.
 * Both must hold no errors before.
 * Returns 0; 1 with pn->errors, pt is then as before; or -1.
 */

int ngx_prom_nodes_merge(ngx_prom_nodes_t *pn, ngx_prom_targets_t *pt);

/*
 * Walks the exporters of a node: *pos is 0 at first.  Returns 1 with the next
 * one's name, which is empty for the only one, and its port; 0 behind the
 * last.
 */

int ngx_prom_nodes_exporter(const ngx_prom_node_t *node, size_t *pos,
    ngx_prom_text_t *name, uint16_t *port);

/*
 * The number of a node, for ngx_prom_peers.h: the low 16 bits of its IPv4
 * address, or of the IPv6 one where it has that alone.  Two nodes may have the
 * same one.
 */

uint16_t ngx_prom_nodes_number(const ngx_prom_node_t *node);

/* the node with that name, or NULL */

const ngx_prom_node_t *ngx_prom_nodes_find(const ngx_prom_nodes_t *pn,
    const char *name, size_t len);

/* decodes a public key; returns 0 if it isn't one */

int ngx_prom_nodes_key(uint8_t *key, const char *base64, size_t len);


#endif /* _NGX_PROM_NODES_H_INCLUDED_ */
