/*
 * What becomes of those that have asked: all that came meanwhile at once, as
 * what they change is written once.
 *
 * The nodes file is written before the token is burnt: who dies in between
 * leaves a node whose token is good for its own key alone.
 */


#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "enrol.h"
#include "lines.h"
#include "log.h"
#include "state.h"


#define ENROL_KEEPALIVE  25           /* s, so that a way through NAT stays */

#define ENROL_TOKEN                                                           \
    "this token is not valid: used, expired, or for another name; at the "    \
    "proxy: monitoring-proxy wg invite NAME"
#define ENROL_FILES                                                           \
    "the proxy can't enrol now; its log says why"


/* one decision for the list */

typedef struct {
    const wireguard_options_t   *options;
    const char                  *dir;
    state_t                      state;
    enrol_t                     *list;
    int64_t                      now;
    char                        *text;        /* of the nodes file, as it
                                                 will be */
    size_t                       len;
    nodes_file_t                *nodes;       /* of that */
    int                          burnt;       /* tokens, in this decision */
} enrol_set_t;


static void enrol_set(const wireguard_options_t *options, state_t *state,
    enrol_t *list);
static int enrol_set_decide(enrol_set_t *set);
static int enrol_one(enrol_set_t *set, enrol_t *e);
static const char *enrol_wrong(const enrol_set_t *set,
    const invitation_t *invitation, const enrol_t *e);
static const char *enrol_node_key(const enrol_set_t *set, const char *name);
static int enrol_key_taken(const enrol_set_t *set, const enrol_t *e);
static int enrol_key_is(const ngx_prom_text_t *key, const enrol_t *e);
static int enrol_change(enrol_set_t *set, const invitation_t *invitation,
    const enrol_t *e);
static int enrol_set_check(enrol_set_t *set);
static int enrol_set_write(enrol_set_t *set);
static void enrol_set_answer(enrol_set_t *set);
static void enrol_answer(const enrol_set_t *set, enrol_t *e,
    const ngx_prom_node_t *node);
static void enrol_answer_ip(enrol_t *e, const char *what, const uint8_t *ip,
    unsigned bytes);
static void enrol_set_fail(enrol_set_t *set);
static void enrol_refuse(enrol_t *e, int status, const char *text,
    const char *why);
static void enrol_log_told(FILE *told, char **messages);


static uint64_t  enrol_changes;


int
enrol_decide(const wireguard_options_t *options, const char *dir,
    enrol_t *list)
{
    int       rc;
    char     *messages;
    FILE     *told;
    size_t    len;
    state_t   state;
    enrol_t  *e;

    told = open_memstream(&messages, &len);

    if (told == NULL) {
        for (e = list; e; e = e->next) {
            enrol_tell(e, 503, ENROL_FILES);
        }

        return 0;
    }

    rc = state_open(&state, dir, told);

    if (rc == 0) {
        rc = state_try(&state);
    }

    if (rc == 0) {
        enrol_set(options, &state, list);

    } else if (rc == -1) {
        for (e = list; e; e = e->next) {
            enrol_refuse(e, 503, ENROL_FILES, "files");
        }
    }

    state_close(&state);
    enrol_log_told(told, &messages);

    return rc == 1;
}


/* where one of them spoils it for all, each is tried by itself */

static void
enrol_set(const wireguard_options_t *options, state_t *state, enrol_t *list)
{
    int           rc;
    enrol_t      *e, *next;
    enrol_set_t   set;

    memset(&set, 0, sizeof(set));

    set.options = options;
    set.dir = state->dir;
    set.list = list;
    set.now = (int64_t) time(NULL);

    (void) state_open(&set.state, state->dir, state->told);

    rc = enrol_set_decide(&set);

    if (rc == -1 && (list->next == NULL || set.state.invitations == NULL)) {
        enrol_set_fail(&set);
        rc = 0;
    }

    free(set.text);

    if (set.nodes) {
        nodes_file_free(set.nodes);
    }

    state_close(&set.state);

    if (rc == 0) {
        return;
    }

    for (e = list; e; e = next) {
        next = e->next;
        e->next = NULL;
        e->taken = 0;

        if (e->status == 0) {
            enrol_set(options, state, e);
        }

        e->next = next;
    }
}


static int
enrol_set_decide(enrol_set_t *set)
{
    enrol_t  *e;

    if (state_read(&set->state) == -1) {
        return -1;
    }

    set->len = set->state.len;
    set->text = malloc(set->len + 1);

    if (set->text == NULL) {
        return -1;
    }

    memcpy(set->text, set->state.text, set->len);

    for (e = set->list; e; e = e->next) {
        if (enrol_one(set, e) == -1) {
            return -1;
        }
    }

    if (enrol_set_check(set) == -1 || enrol_set_write(set) == -1) {
        return -1;
    }

    enrol_set_answer(set);

    return 0;
}


/* has it refused, or part of the change; -1: there is no memory */

static int
enrol_one(enrol_set_t *set, enrol_t *e)
{
    const char    *wrong, *key;
    invitation_t  *invitation;

    invitation = invitations_find(set->state.invitations, e->request.hash);
    wrong = enrol_wrong(set, invitation, e);

    if (wrong) {
        enrol_refuse(e, 403, ENROL_TOKEN, wrong);
        return 0;
    }

    if (enrol_key_taken(set, e)) {
        enrol_refuse(e, 409, "this key is another node's; wg genkey makes "
                     "another one", "key of another node");
        return 0;
    }

    key = enrol_node_key(set, e->request.name);

    if ((key == NULL || strncmp(key, e->request.key, KEY_TEXT - 1) != 0)
        && enrol_change(set, invitation, e) == -1)
    {
        return -1;
    }

    if (invitation->kind != INVITATION_USED) {
        invitation->kind = INVITATION_USED;
        invitation->key.data = e->request.key;
        invitation->key.len = KEY_TEXT - 1;
        set->burnt = 1;
    }

    e->taken = 1;

    return 0;
}


/* why it can't be used, or NULL; a node whose answer was lost may ask again */

static const char *
enrol_wrong(const enrol_set_t *set, const invitation_t *invitation,
    const enrol_t *e)
{
    int          same;
    const char  *key;

    if (invitation == NULL) {
        return "unknown token";
    }

    if (!invitation_for(invitation, e->request.name, strlen(e->request.name)))
    {
        return "token for another name";
    }

    if (invitation->expires <= set->now) {
        return "expired token";
    }

    key = enrol_node_key(set, e->request.name);
    same = key && strncmp(key, e->request.key, KEY_TEXT - 1) == 0;

    switch (invitation->kind) {

    case INVITATION_OPEN:
        return key == NULL || same ? NULL : "the node is there already";

    case INVITATION_ROTATE:
        return key ? NULL : "the node is gone";

    default:
        return same && enrol_key_is(&invitation->key, e) ? NULL : "used token";
    }
}


/* as it is in the text by now; the base64 is not ended */

static const char *
enrol_node_key(const enrol_set_t *set, const char *name)
{
    const char             *key;
    const enrol_t          *e;
    const ngx_prom_node_t  *node;

    node = ngx_prom_nodes_find(nodes_file_nodes(set->state.nodes), name,
                               strlen(name));
    key = node ? node->key.data : NULL;

    for (e = set->list; e; e = e->next) {
        if (e->taken && strcmp(e->request.name, name) == 0) {
            key = e->request.key;
        }
    }

    return key;
}


static int
enrol_key_taken(const enrol_set_t *set, const enrol_t *e)
{
    uint32_t                 i;
    const conf_t            *conf;
    const enrol_t           *other;
    const ngx_prom_nodes_t  *pn;

    conf = set->state.conf;
    pn = nodes_file_nodes(set->state.nodes);

    if (strcmp(conf->public_key, e->request.key) == 0) {
        return 1;
    }

    for (i = 0; i < conf->npeers; i++) {
        if (enrol_key_is(&conf->peers[i].public_key, e)) {
            return 1;
        }
    }

    for (i = 0; i < pn->count; i++) {
        if (enrol_key_is(&pn->nodes[i].key, e)
            && !ngx_prom_text_is(&pn->nodes[i].name, e->request.name))
        {
            return 1;
        }
    }

    for (other = set->list; other; other = other->next) {
        if (other->taken && strcmp(other->request.key, e->request.key) == 0
            && strcmp(other->request.name, e->request.name) != 0)
        {
            return 1;
        }
    }

    return 0;
}


static int
enrol_key_is(const ngx_prom_text_t *key, const enrol_t *e)
{
    return key->len == KEY_TEXT - 1
           && memcmp(key->data, e->request.key, KEY_TEXT - 1) == 0;
}


static int
enrol_change(enrol_set_t *set, const invitation_t *invitation,
    const enrol_t *e)
{
    char    *text;
    FILE    *out;
    size_t   len;

    out = open_memstream(&text, &len);
    if (out == NULL) {
        return -1;
    }

    if (invitation->kind == INVITATION_ROTATE) {
        lines_rekey(out, set->text, set->len, &invitation->name,
                    e->request.key);

    } else {
        lines_whole(out, set->text, set->len);
        lines_node(out, invitation, e->request.key);
    }

    if (fclose(out) == EOF) {
        free(text);
        return -1;
    }

    free(set->text);

    set->text = text;
    set->len = len;

    return 0;
}


static int
enrol_set_check(enrol_set_t *set)
{
    nodes_beside_t  beside;

    beside.conf = set->state.conf;
    beside.targets = set->options->targets;
    beside.hosts = set->options->hosts;

    set->nodes = nodes_file_parse(set->state.nodes_path, set->text, set->len,
                                  &beside, set->state.told);

    return set->nodes ? 0 : -1;
}


/* both or none */

static int
enrol_set_write(enrol_set_t *set)
{
    state_t  *state;

    if (!set->burnt) {
        return 0;
    }

    state = &set->state;

    if (state_write(state, state->nodes_path, 0644, set->text, set->len) == -1)
    {
        return -1;
    }

    if (state_write_invitations(state, set->now) == 0) {
        return 0;
    }

    (void) state_write(state, state->nodes_path, 0644, state->text,
                       state->len);
    return -1;
}


static void
enrol_set_answer(enrol_set_t *set)
{
    char                    version[KEY_DIGEST];
    enrol_t                *e;
    const ngx_prom_node_t  *node;

    key_digest(version, set->text, set->len);
    enrol_changes++;

    for (e = set->list; e; e = e->next) {

        if (e->status) {
            continue;
        }

        node = ngx_prom_nodes_find(nodes_file_nodes(set->nodes),
                                   e->request.name, strlen(e->request.name));

        if (node == NULL || !enrol_key_is(&node->key, e)) {
            enrol_refuse(e, 403, ENROL_TOKEN, "another key came with it");
            continue;
        }

        enrol_answer(set, e, node);

        memcpy(e->version, version, sizeof(version));
        e->change = enrol_changes;
    }
}


static void
enrol_answer(const enrol_set_t *set, enrol_t *e, const ngx_prom_node_t *node)
{
    int               ipv6;
    size_t            pos;
    buffer_t         *b;
    uint16_t          port;
    const char       *host;
    const conf_t     *conf;
    ngx_prom_text_t   name;

    b = &e->answer;
    conf = set->state.conf;
    host = set->options->host;
    ipv6 = strchr(host, ':') != NULL;

    e->status = 200;

    buffer_format(b, "name %s\n", e->request.name);

    if (node->address4.len) {
        enrol_answer_ip(e, "address", node->ip4, 4);
    }

    if (node->address6.len) {
        enrol_answer_ip(e, "address", node->ip6, 16);
    }

    buffer_format(b, "peer %s\nendpoint %s%s%s:%u\n", conf->public_key,
                  ipv6 ? "[" : "", host, ipv6 ? "]" : "", conf->port);

    if (node->address4.len) {
        enrol_answer_ip(e, "allowed", conf->net4.ip, 4);
    }

    if (node->address6.len) {
        enrol_answer_ip(e, "allowed", conf->net6.ip, 16);
    }

    pos = 0;

    while (ngx_prom_nodes_exporter(node, &pos, &name, &port)) {
        buffer_format(b, "port %u\n", (unsigned) port);
    }

    buffer_format(b, "keepalive %d\n", ENROL_KEEPALIVE);

    if (conf->mtu) {
        buffer_format(b, "mtu %u\n", conf->mtu);
    }

    log_line(LOG_INFO, "enrolled", "name", e->request.name, "key",
             e->request.key, "from", e->request.from, NULL);
}


/* a single address, however it is written in the file */

static void
enrol_answer_ip(enrol_t *e, const char *what, const uint8_t *ip,
    unsigned bytes)
{
    char  text[INET6_ADDRSTRLEN];

    (void) inet_ntop(bytes == 4 ? AF_INET : AF_INET6, ip, text, sizeof(text));

    buffer_format(&e->answer, "%s %s/%u\n", what, text, 8 * bytes);
}


static void
enrol_set_fail(enrol_set_t *set)
{
    enrol_t  *e;

    for (e = set->list; e; e = e->next) {

        if (e->status == 0) {
            enrol_refuse(e, 503, ENROL_FILES, "files");
        }
    }
}


static void
enrol_refuse(enrol_t *e, int status, const char *text, const char *why)
{
    log_line(LOG_WARN, "not enrolled", "name", e->request.name, "reason", why,
             "from", e->request.from, NULL);

    enrol_tell(e, status, text);
}


void
enrol_tell(enrol_t *e, int status, const char *text)
{
    e->status = status;

    buffer_clear(&e->answer);
    buffer_format(&e->answer, "%s\n", text);
}


static void
enrol_log_told(FILE *told, char **messages)
{
    char  *p, *line;

    fclose(told);

    p = *messages;

    while ((line = strsep(&p, "\n")) != NULL) {
        if (*line) {
            log_line(LOG_ERROR, line, NULL);
        }
    }

    free(*messages);
}
