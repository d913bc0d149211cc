/*
 * What "wg show wg0 dump" says: of the interface in its first line, and then
 * of a peer a line, in fields between tabs.
 */


#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dump.h"
#include "ngx_prom_nodes.h"


#define DUMP_FIELDS  8


/* of a peer's line */

enum {
    DUMP_KEY = 0,
    DUMP_PRESHARED_KEY,
    DUMP_ENDPOINT,
    DUMP_ALLOWED,
    DUMP_HANDSHAKE,
    DUMP_RECEIVED,
    DUMP_SENT,
    DUMP_KEEPALIVE
};


static int dump_line(dump_peer_t *peer, char *line);
static int dump_compare(const void *a, const void *b);
static uint32_t dump_number(char *allowed);
static int dump_count(uint64_t *n, const char *text);


int
dump_read(dump_t *dump, FILE *in)
{
    int           rc;
    char         *line;
    size_t        size;
    uint32_t      room;
    dump_peer_t  *peers;

    memset(dump, 0, sizeof(dump_t));

    rc = 0;
    room = 0;
    line = NULL;
    size = 0;

    while (getline(&line, &size, in) != -1) {

        if (dump->count == room) {
            room = room ? 2 * room : 64;
            peers = realloc(dump->peers, room * sizeof(dump_peer_t));

            if (peers == NULL) {
                dump_free(dump);
                rc = -1;
                break;
            }

            dump->peers = peers;
        }

        dump->count += (uint32_t) dump_line(&dump->peers[dump->count], line);
    }

    free(line);

    if (dump->count) {
        qsort(dump->peers, dump->count, sizeof(dump_peer_t), dump_compare);
    }

    return rc;
}


static int
dump_compare(const void *a, const void *b)
{
    return memcmp(((const dump_peer_t *) a)->key,
                  ((const dump_peer_t *) b)->key, KEY_BYTES);
}


void
dump_free(dump_t *dump)
{
    free(dump->peers);
    memset(dump, 0, sizeof(dump_t));
}


static int
dump_line(dump_peer_t *peer, char *line)
{
    char      *fields[DUMP_FIELDS];
    unsigned   n;

    line[strcspn(line, "\n")] = '\0';

    for (n = 0; line && n < DUMP_FIELDS; n++) {
        fields[n] = strsep(&line, "\t");
    }

    memset(peer, 0, sizeof(dump_peer_t));

    if (n < DUMP_FIELDS || line
        || !ngx_prom_nodes_key(peer->key, fields[DUMP_KEY],
                               strlen(fields[DUMP_KEY]))
        || !dump_count(&peer->handshake, fields[DUMP_HANDSHAKE])
        || !dump_count(&peer->received, fields[DUMP_RECEIVED])
        || !dump_count(&peer->sent, fields[DUMP_SENT]))
    {
        return 0;
    }

    if (strcmp(fields[DUMP_ENDPOINT], "(none)") != 0) {
        snprintf(peer->endpoint, sizeof(peer->endpoint), "%s",
                 fields[DUMP_ENDPOINT]);
    }

    peer->number = dump_number(fields[DUMP_ALLOWED]);

    return 1;
}


/* of its single address of IPv4, or else of IPv6 */

static uint32_t
dump_number(char *allowed)
{
    char      *word, *slash;
    uint8_t    ip[16];
    uint32_t   number;

    number = 0;

    while ((word = strsep(&allowed, ",")) != NULL) {
        slash = strchr(word, '/');

        if (slash == NULL) {
            continue;
        }

        *slash++ = '\0';

        if (strcmp(slash, "32") == 0 && inet_pton(AF_INET, word, ip) == 1) {
            return ngx_prom_peers_number(ip, 4);
        }

        if (strcmp(slash, "128") == 0 && inet_pton(AF_INET6, word, ip) == 1) {
            number = ngx_prom_peers_number(ip, 16);
        }
    }

    return number;
}


static int
dump_count(uint64_t *n, const char *text)
{
    char  *end;

    if (*text < '0' || *text > '9') {
        return 0;
    }

    errno = 0;
    *n = strtoull(text, &end, 10);

    return *end == '\0' && errno == 0;
}


const dump_peer_t *
dump_find(const dump_t *dump, const uint8_t *key)
{
    dump_peer_t  peer;

    if (dump->count == 0) {
        return NULL;
    }

    memcpy(peer.key, key, KEY_BYTES);

    return bsearch(&peer, dump->peers, dump->count, sizeof(dump_peer_t),
                   dump_compare);
}
