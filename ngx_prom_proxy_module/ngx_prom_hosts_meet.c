/*
 * Hosts that meet: two that would have one port, or make one target.
 */


#include <string.h>

#include "ngx_prom_hosts_line.h"


typedef struct {
    uint16_t             first;
    uint16_t             last;
} ngx_prom_range_t;


static void ngx_prom_ports_take(uint32_t *owners, const ngx_prom_hosts_t *ph,
    uint8_t given);
static void ngx_prom_ports_check(uint32_t *owners, ngx_prom_hosts_t *ph,
    uint32_t i);
static void ngx_prom_target_check(ngx_prom_hosts_t *ph,
    const ngx_prom_host_t *host, const ngx_prom_seen_t *names);
static const ngx_prom_host_t *ngx_prom_host_line(const ngx_prom_hosts_t *ph,
    uint32_t line);


/*
 * In this order: clear of what the proxy itself listens on and the kernel
 * hands out, below what follows from names, and then what is left.
 */

static const ngx_prom_range_t  ngx_prom_ranges[] = {
    { 20001, 32767 },
    { 10000, 20000 },
    { 32768, 65535 },
    { NGX_PROM_PORT_LEAST, 9999 }
};


/* of the proxy's own listeners, on every address or on localhost */

static const uint16_t  ngx_prom_ports_own[] = { 4443, 4445, 8080, 9090 };


int
ngx_prom_hosts_meet(ngx_prom_hosts_t *ph, const ngx_prom_seen_t *names)
{
    uint32_t   i, *owners;

    owners = ph->alloc(ph->data, NGX_PROM_PORTS * sizeof(uint32_t));
    if (owners == NULL) {
        return -1;
    }

    memset(owners, 0, NGX_PROM_PORTS * sizeof(uint32_t));

    /* a line that says its port keeps it, whichever is first */

    ngx_prom_ports_take(owners, ph, 1);
    ngx_prom_ports_take(owners, ph, 0);

    for (i = 0; i < ph->count; i++) {
        ngx_prom_ports_check(owners, ph, i);
        ngx_prom_target_check(ph, &ph->hosts[i], names);
    }

    return 0;
}


static void
ngx_prom_ports_take(uint32_t *owners, const ngx_prom_hosts_t *ph,
    uint8_t given)
{
    uint32_t                i, port;
    const ngx_prom_host_t  *host;

    for (i = 0; i < ph->count; i++) {
        host = &ph->hosts[i];

        if (host->given != given) {
            continue;
        }

        for (port = host->port; port < host->port + host->ports; port++) {
            if (owners[port] == 0) {
                owners[port] = i + 1;
            }
        }
    }
}


static void
ngx_prom_ports_check(uint32_t *owners, ngx_prom_hosts_t *ph, uint32_t i)
{
    uint32_t                 port, last, free, end;
    ngx_prom_excerpt_t       name, taken;
    const ngx_prom_host_t   *host, *other;

    host = &ph->hosts[i];

    last = host->port + host->ports - 1u;

    for (port = host->port; owners[port] == i + 1; port++) {
        if (port == last) {
            return;
        }
    }

    /* to look for a free port is worth it only where that is told */

    if (ph->errors >= NGX_PROM_ERRORS_MAX) {
        ph->errors++;
        return;
    }

    other = &ph->hosts[owners[port] - 1];
    free = ngx_prom_hosts_free(owners, host->ports);

    ngx_prom_excerpt(name, host->name.data, host->name.len);
    ngx_prom_excerpt(taken, other->name.data, other->name.len);

    if (free == 0) {
        ngx_prom_hosts_error(ph, host, host->port_column, "port %u of \"%s\" "
                             "is that of \"%s\" on line %u; none is free",
                             (unsigned) port, name, taken,
                             (unsigned) other->line);
        return;
    }

    /* the next one that is told gets another */

    for (end = free + host->ports; end-- > free; /* void */ ) {
        owners[end] = i + 1;
    }

    ngx_prom_hosts_error(ph, host, host->port_column, "port %u of \"%s\"%s is "
                         "that of \"%s\" on line %u; port=%u is free",
                         (unsigned) port, name,
                         host->given ? "" : ", which follows from its name,",
                         taken, (unsigned) other->line, (unsigned) free);
}


uint16_t
ngx_prom_hosts_free(const uint32_t *used, uint32_t count)
{
    size_t     i, n;
    uint32_t   port, first, run;

    for (i = 0; i < sizeof(ngx_prom_ranges) / sizeof(ngx_prom_range_t); i++) {

        first = ngx_prom_ranges[i].first;
        run = 0;

        for (port = first; port <= ngx_prom_ranges[i].last; port++) {

            run = used[port] ? 0 : run + 1;

            for (n = 0; n < sizeof(ngx_prom_ports_own) / sizeof(uint16_t);
                 n++)
            {
                if (port == ngx_prom_ports_own[n]) {
                    run = 0;
                }
            }

            if (run == count) {
                return (uint16_t) (port + 1 - count);
            }
        }
    }

    return 0;
}


/* a name in full may be that of another host's exporter */

static void
ngx_prom_target_check(ngx_prom_hosts_t *ph, const ngx_prom_host_t *host,
    const ngx_prom_seen_t *names)
{
    size_t                   len;
    ngx_prom_excerpt_t       buf, exporter;
    const ngx_prom_host_t   *parent;

    if (host->exporters.len) {
        return;
    }

    len = ngx_prom_exporters_parent(&host->name);

    if (len == 0) {
        return;
    }

    parent = ngx_prom_host_line(ph, ngx_prom_seen_find(names, host->name.data,
                                                       len));

    if (parent == NULL
        || !ngx_prom_exporters_have(&parent->exporters, &host->name))
    {
        return;
    }

    ngx_prom_hosts_error(ph, host, host->column, "target \"%s\" is made by "
                         "exporter \"%s\" on line %u already",
                         ngx_prom_excerpt(buf, host->name.data,
                                          host->name.len),
                         ngx_prom_excerpt(exporter, host->name.data + len + 1,
                                          host->name.len - len - 1),
                         (unsigned) parent->line);
}


/* lines are in ascending order; those with mistakes aren't there */

static const ngx_prom_host_t *
ngx_prom_host_line(const ngx_prom_hosts_t *ph, uint32_t line)
{
    uint32_t  low, high, mid;

    low = 0;
    high = ph->count;

    while (low < high) {
        mid = low + (high - low) / 2;

        if (ph->hosts[mid].line == line) {
            return &ph->hosts[mid];
        }

        if (ph->hosts[mid].line < line) {
            low = mid + 1;

        } else {
            high = mid;
        }
    }

    return NULL;
}
