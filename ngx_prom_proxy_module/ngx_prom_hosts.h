/*
 * The grammar of /etc/monitoring/hosts, in plain C without nginx, so that the
 * module, sshd's side and the fuzzer run the same code.
 *
 *     NAME TYPE BASE64 [port=PORT] [ports=EXPORTER:PORT,...] [LABEL=VALUE ...]
 *     NAME -           [port=PORT] [ports=EXPORTER:PORT,...] [LABEL=VALUE ...]
 *
 * NAME, labels, comments and line ends are those of the targets file; see
 * ngx_prom_targets.h.  TYPE BASE64 is a public key as in a .pub file, without
 * its comment; "-" is a host that has none, and logs in by certificate alone.
 *
 * port=     the port of the proxy's localhost that the host listens on, from
 *           1024; without it, the port follows from NAME alone.
 * ports=    exporters of one host, at most NGX_PROM_EXPORTERS_MAX: EXPORTER
 *           is a segment of a name, PORT the exporter's own at the host.  They
 *           have port, port + 1 and so on, in their order.
 *
 * A line makes the target NAME, or a target NAME/EXPORTER for each exporter.
 */


#ifndef _NGX_PROM_HOSTS_H_INCLUDED_
#define _NGX_PROM_HOSTS_H_INCLUDED_


#include "ngx_prom_targets.h"


#define NGX_PROM_EXPORTERS_MAX   64

/* ports that follow from a name: outside of what the kernel gives clients */

#define NGX_PROM_PORT_FIRST      10000
#define NGX_PROM_PORT_LAST       32767

#define NGX_PROM_PORT_LEAST      1024
#define NGX_PROM_PORTS           65536

/* of a host's one exporter that isn't named: where its client forwards to */

#define NGX_PROM_EXPORTER_PORT   9100


/* texts are slices of the parsed text and live as long as it does */

typedef struct {
    ngx_prom_text_t      name;
    ngx_prom_text_t      type;        /* "ssh-ed25519"; empty with "-" */
    ngx_prom_text_t      key;         /* base64; empty with "-" */
    ngx_prom_text_t      exporters;   /* what "ports=" says, or empty */
    ngx_prom_text_t      labels;      /* "name\0value\0"..., unescaped */

    uint32_t             line;        /* from 1 */
    uint32_t             column;      /* of its name */
    uint32_t             port_column; /* the same if it isn't given */
    uint16_t             port;        /* the first, host order */
    uint16_t             ports;       /* how many, from 1 */
    uint8_t              given;       /* the line says its port */
} ngx_prom_host_t;


typedef struct {
    ngx_prom_targets_alloc_pt    alloc;      /* set by the caller */
    ngx_prom_targets_error_pt    error;      /* set by the caller */
    void                        *data;       /* handed to both */

    ngx_prom_host_t             *hosts;      /* in the file's order */
    uint32_t                     count;
    uint32_t                     errors;     /* all, also untold ones */
} ngx_prom_hosts_t;


/*
 * Parses text[0 .. len - 1] in place; text[len] must be writable too.  Two
 * lines with one name, target, key or port are a mistake that names both.
 * Returns as ngx_prom_targets_parse() does: 0, 1 with errors, or -1.  Ports
 * and targets that meet are told behind the mistakes of all lines.
 */

int ngx_prom_hosts_parse(ngx_prom_hosts_t *ph, char *text, size_t len);

/*
 * Adds the hosts' targets to those of pt, whose alloc is used; a name that
 * both have is a mistake of the hosts', told by ph->error: it names the line
 * of the targets file.  Both must hold no errors before.
 * Returns 0; 1 with ph->errors, pt is then as before; or -1.
 */

int ngx_prom_hosts_merge(ngx_prom_hosts_t *ph, ngx_prom_targets_t *pt);

/*
 * Walks the exporters of a host: *pos is 0 at first.  Returns 1 with the next
 * one's name and its port at the host, or 0 behind the last; a host without
 * "ports=" has one, with an empty name and NGX_PROM_EXPORTER_PORT.
 */

int ngx_prom_hosts_exporter(const ngx_prom_host_t *host, size_t *pos,
    ngx_prom_text_t *name, uint16_t *port);

/*
 * The port that follows from a name: with NGX_PROM_EXPORTERS_MAX of them, all
 * are up to NGX_PROM_PORT_LAST.
 */

uint16_t ngx_prom_hosts_port(const char *name, size_t len);

/*
 * The first of count ports in a row that are free, for a host to be given, or
 * 0; used is by port, 0 for those that are free.
 */

uint16_t ngx_prom_hosts_free(const uint32_t *used, uint32_t count);

/* the host with that name, or NULL */

const ngx_prom_host_t *ngx_prom_hosts_find(const ngx_prom_hosts_t *ph,
    const char *name, size_t len);


#endif /* _NGX_PROM_HOSTS_H_INCLUDED_ */
