/*
 * The directory of WireGuard's files; see the header.
 */


#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "state.h"
#include "store.h"
#include "text.h"


#define STATE_NAP     20              /* ms between tries to lock it */
#define STATE_TRIES   500             /* 10 s in all */
#define STATE_DIGITS  5               /* of the next number, at most */


static uint32_t state_highest(const state_t *state);
static uint32_t state_place_number(const state_t *state,
    const ngx_prom_text_t *place);
static int64_t state_next(const state_t *state);
static int state_taken(const conf_t *conf, uint32_t number);


int
state_open(state_t *state, const char *dir, FILE *told)
{
    memset(state, 0, sizeof(state_t));

    state->dir = dir;
    state->told = told;
    state->lock = -1;

    if (strlen(dir) >= STATE_PATH - STATE_NAME) {
        text_fail(dir, strerror(ENAMETOOLONG), told);
        return -1;
    }

    snprintf(state->nodes_path, STATE_PATH, "%s/nodes", dir);
    snprintf(state->invitations_path, STATE_PATH, "%s/invitations", dir);
    snprintf(state->next_path, STATE_PATH, "%s/next", dir);

    return 0;
}


int
state_lock(state_t *state)
{
    int              rc, tries;
    struct timespec  nap;

    nap.tv_sec = 0;
    nap.tv_nsec = STATE_NAP * 1000000L;

    for (tries = 0; tries < STATE_TRIES; tries++) {
        rc = state_try(state);

        if (rc != 1) {
            return rc;
        }

        (void) nanosleep(&nap, NULL);
    }

    text_fail(state->dir, "is locked by another process, try again",
              state->told);
    return -1;
}


int
state_try(state_t *state)
{
    if (state->lock == -1) {
        state->lock = open(state->dir, O_RDONLY|O_DIRECTORY|O_CLOEXEC);
    }

    if (state->lock == -1) {
        text_fail(state->dir, strerror(errno), state->told);
        return -1;
    }

    if (flock(state->lock, LOCK_EX|LOCK_NB) == 0) {
        return 0;
    }

    if (errno == EWOULDBLOCK || errno == EINTR) {
        return 1;
    }

    text_fail(state->dir, strerror(errno), state->told);

    return -1;
}


void
state_close(state_t *state)
{
    if (state->conf) {
        conf_free(state->conf);
    }

    if (state->nodes) {
        nodes_file_free(state->nodes);
    }

    if (state->invitations) {
        invitations_free(state->invitations);
    }

    if (state->lock != -1) {
        close(state->lock);
    }

    free(state->text);
}


int
state_read(state_t *state)
{
    nodes_beside_t  beside;

    state->conf = conf_load(state->dir, state->told);

    if (state->conf == NULL || state_read_nodes(state) == -1) {
        return -1;
    }

    memset(&beside, 0, sizeof(beside));
    beside.conf = state->conf;

    state->nodes = nodes_file_parse(state->nodes_path, state->text, state->len,
                                    &beside, state->told);
    if (state->nodes == NULL) {
        return -1;
    }

    state->invitations = invitations_load(state->invitations_path,
                                          state->told);

    return state->invitations ? 0 : -1;
}


int
state_read_nodes(state_t *state)
{
    struct stat  st;

    if (lstat(state->nodes_path, &st) == -1 && errno == ENOENT) {
        state->text = calloc(1, 1);

        if (state->text == NULL) {
            text_fail(state->nodes_path, "out of memory", state->told);
        }

    } else {
        state->text = text_read(state->nodes_path, &state->len, state->told);
    }

    return state->text ? 0 : -1;
}


int
state_write(state_t *state, const char *path, mode_t mode, const char *text,
    size_t len)
{
    int          rc;
    size_t       before;
    store_t     *store;
    const char  *had;

    store = store_open(path, mode, state->told);
    if (store == NULL) {
        return -1;
    }

    rc = 0;
    had = store_text(store, &before);

    if (before != len || memcmp(had, text, len) != 0) {
        rc = store_write(store, text, len);
    }

    store_close(store);

    return rc;
}


int
state_write_invitations(state_t *state, int64_t now)
{
    int      rc;
    char    *text;
    FILE    *out;
    size_t   len;

    out = open_memstream(&text, &len);

    if (out == NULL) {
        text_fail(state->invitations_path, strerror(errno), state->told);
        return -1;
    }

    invitations_print(out, state->invitations, now);

    if (fclose(out) == EOF) {
        text_fail(state->invitations_path, strerror(errno), state->told);
        rc = -1;

    } else {
        rc = state_write(state, state->invitations_path, 0600, text, len);
    }

    free(text);

    return rc;
}


int64_t
state_number(state_t *state)
{
    int64_t   next;
    uint32_t  number;

    next = state_next(state);

    if (next == -1) {
        return -1;
    }

    number = state_highest(state) + 1;

    if (next > number) {
        number = (uint32_t) next;
    }

    while (state_taken(state->conf, number)) {
        number++;
    }

    return number <= conf_last(state->conf) ? (int64_t) number : 0;
}


static uint32_t
state_highest(const state_t *state)
{
    uint32_t                 i, number, highest;
    const conf_t            *conf;
    const ngx_prom_node_t   *node;
    const ngx_prom_nodes_t  *pn;

    conf = state->conf;
    pn = nodes_file_nodes(state->nodes);
    highest = 0;

    for (i = 0; i < pn->count; i++) {
        node = &pn->nodes[i];

        number = node->address4.len ? conf_number(conf, node->ip4, 4) : 0;
        highest = number > highest ? number : highest;

        number = node->address6.len ? conf_number(conf, node->ip6, 16) : 0;
        highest = number > highest ? number : highest;
    }

    for (i = 0; i < state->invitations->count; i++) {
        if (state->invitations->list[i].kind != INVITATION_OPEN) {
            continue;
        }

        number = state_place_number(state, &state->invitations->list[i].place);
        highest = number > highest ? number : highest;
    }

    return highest;
}


static uint32_t
state_place_number(const state_t *state, const ngx_prom_text_t *place)
{
    char      text[INET6_ADDRSTRLEN];
    size_t    len;
    uint8_t   ip[16];
    uint32_t  number;

    /* those of IPv4 and of IPv6 are the same */

    for (len = 0; len < place->len && place->data[len] != ','; len++) {
        /* void */
    }

    if (len >= sizeof(text)) {
        return 0;
    }

    memcpy(text, place->data, len);
    text[len] = '\0';

    number = 0;

    if (inet_pton(AF_INET, text, ip) == 1) {
        number = conf_number(state->conf, ip, 4);

    } else if (inet_pton(AF_INET6, text, ip) == 1) {
        number = conf_number(state->conf, ip, 16);
    }

    return number;
}


/* 0 while there was none */

static int64_t
state_next(const state_t *state)
{
    char         *text;
    size_t        len, i;
    int64_t       next;
    struct stat   st;

    if (lstat(state->next_path, &st) == -1 && errno == ENOENT) {
        return 0;
    }

    text = text_read(state->next_path, &len, state->told);
    if (text == NULL) {
        return -1;
    }

    while (len && (text[len - 1] == '\n' || text[len - 1] == '\r')) {
        len--;
    }

    next = 0;

    for (i = 0; i < len && i < STATE_DIGITS && ngx_prom_digit(text[i]); i++) {
        next = next * 10 + text[i] - '0';
    }

    if (i != len) {
        text_fail(state->next_path, "is not the number of the next address",
                  state->told);
        next = -1;
    }

    free(text);

    return next;
}


/* by the monitor, or by a peer of the user's own */

static int
state_taken(const conf_t *conf, uint32_t number)
{
    uint8_t  ip[16];

    if (number > conf_last(conf)) {
        return 0;
    }

    if (conf->net4.bytes) {
        conf_address(conf, 4, number, ip);

        if (conf_own(&conf->net4, ip) || conf_peer_has(conf, ip, 4)) {
            return 1;
        }
    }

    if (conf->net6.bytes) {
        conf_address(conf, 16, number, ip);

        if (conf_own(&conf->net6, ip) || conf_peer_has(conf, ip, 16)) {
            return 1;
        }
    }

    return 0;
}


int
state_write_next(state_t *state, uint32_t next)
{
    int      n;
    char     text[16];
    int64_t  before;

    before = state_next(state);

    if (before == -1) {
        return -1;
    }

    if (before >= (int64_t) next) {
        return 0;
    }

    n = snprintf(text, sizeof(text), "%u\n", (unsigned) next);

    return state_write(state, state->next_path, 0600, text, (size_t) n);
}


char *
state_place(const state_t *state, uint32_t number)
{
    char          text4[INET6_ADDRSTRLEN], text6[INET6_ADDRSTRLEN];
    char         *place;
    size_t        size;
    uint8_t       ip[16];
    const conf_t *conf;

    conf = state->conf;
    text4[0] = '\0';
    text6[0] = '\0';

    if (conf->net4.bytes) {
        conf_address(conf, 4, number, ip);
        (void) inet_ntop(AF_INET, ip, text4, sizeof(text4));
    }

    if (conf->net6.bytes) {
        conf_address(conf, 16, number, ip);
        (void) inet_ntop(AF_INET6, ip, text6, sizeof(text6));
    }

    size = 2 * INET6_ADDRSTRLEN;
    place = malloc(size);

    if (place) {
        snprintf(place, size, "%s%s%s", text4,
                 text4[0] && text6[0] ? "," : "", text6);
    }

    return place;
}
