/*
 * Commands on the board: list and board.
 */


#define _POSIX_C_SOURCE  200809L

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "board.h"
#include "commands.h"
#include "hosts_file.h"


#define LIST_PATH    4096
#define LIST_PORTS   sizeof("65535-65535")


/* a host and its tunnel, ready to be printed; empty where nothing is known */

typedef struct {
    const ngx_prom_host_t   *host;
    int                      connected;
    char                     ports[LIST_PORTS];
    char                     fingerprint[HOSTS_FINGERPRINT];
    char                     since[32];
    char                     address[NGX_PROM_TUNNELS_ADDRESS];
} list_row_t;


static list_row_t *list_rows(const ngx_prom_hosts_t *ph,
    int board);
static void list_row(list_row_t *row, const ngx_prom_host_t *host,
    int board);
static void list_time(char *text, size_t size, uint64_t msec);
static void list_print(const list_row_t *rows, uint32_t count);
static const char *list_state(const list_row_t *row);
static const char *list_or_dash(const char *text);
static void list_print_json(const list_row_t *rows, uint32_t count);
static void list_print_string(const char *name, const char *text);


int
hosts_list(const hosts_options_t *options, int argc, char **argv)
{
    int                      board;
    char                     path[LIST_PATH], hosts[LIST_PATH];
    list_row_t              *rows;
    hosts_file_t            *file;
    const ngx_prom_hosts_t  *ph;

    (void) argc;

    snprintf(hosts, sizeof(hosts), "%s/hosts", argv[0]);
    snprintf(path, sizeof(path), "%s/tunnels", argv[0]);

    file = hosts_file_load_any(hosts, stderr);

    if (file == NULL) {
        return HOSTS_MISTAKE;
    }

    board = board_open(path);

    if (board == -1) {
        fprintf(stderr, "%s: %s; nothing is known of tunnels\n", path,
                errno == EINVAL ? "is no board of tunnels" : strerror(errno));
    }

    ph = hosts_file_hosts(file);
    rows = list_rows(ph, board);

    if (rows == NULL) {
        perror("monitoring-proxy-hosts");

    } else if (options->json) {
        list_print_json(rows, ph->count);

    } else {
        list_print(rows, ph->count);
    }

    if (board != -1) {
        close(board);
    }

    hosts_file_free(file);
    free(rows);

    return rows ? HOSTS_OK : HOSTS_MISTAKE;
}


static list_row_t *
list_rows(const ngx_prom_hosts_t *ph, int board)
{
    uint32_t     i;
    list_row_t  *rows;

    rows = calloc(ph->count + 1, sizeof(list_row_t));
    if (rows == NULL) {
        return NULL;
    }

    for (i = 0; i < ph->count; i++) {
        list_row(&rows[i], &ph->hosts[i], board);
    }

    return rows;
}


static void
list_row(list_row_t *row, const ngx_prom_host_t *host, int board)
{
    ngx_prom_tunnel_t  tunnel;

    row->host = host;

    if (host->ports > 1) {
        snprintf(row->ports, sizeof(row->ports), "%u-%u",
                 (unsigned) host->port,
                 (unsigned) (uint16_t) (host->port + host->ports - 1));

    } else {
        snprintf(row->ports, sizeof(row->ports), "%u", (unsigned) host->port);
    }

    if (host->key.len) {
        hosts_fingerprint_key(row->fingerprint, &host->key);
    }

    if (board == -1 || board_read(board, host->port, &tunnel) == -1
        || tunnel.logins == 0)
    {
        return;
    }

    row->connected = tunnel.pid != 0;

    list_time(row->since, sizeof(row->since),
              row->connected ? tunnel.since : tunnel.ended);

    if (row->connected) {
        memcpy(row->address, tunnel.address, sizeof(row->address));
        hosts_fingerprint(row->fingerprint, tunnel.digest);
    }
}


static void
list_time(char *text, size_t size, uint64_t msec)
{
    time_t     sec;
    struct tm  tm;

    sec = (time_t) (msec / 1000);

    if (msec == 0 || gmtime_r(&sec, &tm) == NULL
        || strftime(text, size, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
    {
        text[0] = '\0';
    }
}


static void
list_print(const list_row_t *rows, uint32_t count)
{
    int                width, len;
    uint32_t           i;
    const list_row_t  *row;

    width = sizeof("NAME") - 1;

    for (i = 0; i < count; i++) {
        len = (int) rows[i].host->name.len;
        width = len > width ? len : width;
    }

    printf("%-*s  %-11s  %-50s  %-5s  %-20s  %s\n", width, "NAME", "PORT",
           "FINGERPRINT", "STATE", "SINCE", "ADDRESS");

    for (i = 0; i < count; i++) {
        row = &rows[i];

        printf("%-*.*s  %-11s  %-50s  %-5s  %-20s  %s\n", width,
               (int) row->host->name.len, row->host->name.data, row->ports,
               list_or_dash(row->fingerprint), list_state(row),
               list_or_dash(row->since), list_or_dash(row->address));
    }
}


static const char *
list_state(const list_row_t *row)
{
    if (row->connected) {
        return "up";
    }

    return row->since[0] ? "down" : "never";
}


static const char *
list_or_dash(const char *text)
{
    return text[0] ? text : "-";
}


static void
list_print_json(const list_row_t *rows, uint32_t count)
{
    unsigned           n;
    uint32_t           i;
    const list_row_t  *row;

    putchar('[');

    for (i = 0; i < count; i++) {
        row = &rows[i];

        /* a name has nothing in it that JSON would escape */

        printf("%s\n  {\"name\": \"%.*s\", \"ports\": [", i ? "," : "",
               (int) row->host->name.len, row->host->name.data);

        for (n = 0; n < row->host->ports; n++) {
            printf("%s%u", n ? ", " : "", (unsigned) row->host->port + n);
        }

        putchar(']');

        list_print_string("fingerprint", row->fingerprint);
        printf(", \"connected\": %s", row->connected ? "true" : "false");
        list_print_string("since", row->since);
        list_print_string("address", row->address);

        putchar('}');
    }

    puts(count ? "\n]" : "]");
}


/* printable ASCII, of our own making */

static void
list_print_string(const char *name, const char *text)
{
    if (text[0]) {
        printf(", \"%s\": \"%s\"", name, text);

    } else {
        printf(", \"%s\": null", name);
    }
}


int
hosts_board(const hosts_options_t *options, int argc, char **argv)
{
    int  fd;

    (void) options;
    (void) argc;

    fd = board_open(argv[0]);

    if (fd != -1) {
        close(fd);
        return HOSTS_OK;
    }

    if (board_make(argv[0]) == -1) {
        fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
        return HOSTS_MISTAKE;
    }

    return HOSTS_OK;
}
