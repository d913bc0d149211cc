/*
 * Commands that look at the files: check, conf and addresses.
 */


#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "state.h"


static int show_check(const state_t *state, const nodes_beside_t *beside);
static int show_words(const state_t *state, const invitation_t *invitation);
static void show_conf(const conf_t *conf, const ngx_prom_nodes_t *pn);
static void show_peer(const conf_peer_t *peer);
static void show_text(const char *name, const ngx_prom_text_t *value);


int
wireguard_check(const wireguard_options_t *options, int argc, char **argv)
{
    int             rc;
    state_t         state;
    nodes_beside_t  beside;

    (void) options;

    if (state_open(&state, argv[0], stderr) == -1) {
        return WIREGUARD_FAILED;
    }

    state.conf = conf_load(argv[0], stderr);

    beside.conf = state.conf;
    beside.targets = argc > 1 ? argv[1] : NULL;
    beside.hosts = argc > 2 ? argv[2] : NULL;

    rc = show_check(&state, &beside);

    state_close(&state);

    return rc == 0 ? WIREGUARD_OK : WIREGUARD_FAILED;
}


/* each file's mistakes are told, whatever another one has */

static int
show_check(const state_t *state, const nodes_beside_t *beside)
{
    int             rc;
    uint32_t        i;
    nodes_file_t   *nodes;
    invitations_t  *invitations;

    rc = state->conf ? 0 : -1;

    nodes = nodes_file_load(state->nodes_path, beside, stderr);

    if (nodes) {
        nodes_file_free(nodes);

    } else {
        rc = -1;
    }

    invitations = invitations_load(state->invitations_path, stderr);

    if (invitations == NULL) {
        return -1;
    }

    for (i = 0; i < invitations->count; i++) {
        if (show_words(state, &invitations->list[i]) == -1) {
            rc = -1;
        }
    }

    invitations_free(invitations);

    return rc;
}


/* what an invitation has for the line of its node is right by itself */

static int
show_words(const state_t *state, const invitation_t *invitation)
{
    char             line[NGX_PROM_LINE_MAX + NGX_PROM_NAME_MAX];
    int              n;
    nodes_file_t    *nodes;
    nodes_beside_t   beside;

    if (invitation->kind != INVITATION_OPEN) {
        return 0;
    }

    n = snprintf(line, sizeof(line), "%.*s %s %.*s %.*s",
                 (int) invitation->name.len, invitation->name.data,
                 "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                 (int) invitation->place.len, invitation->place.data,
                 (int) invitation->words.len, invitation->words.data);

    memset(&beside, 0, sizeof(beside));

    nodes = nodes_file_parse("", line, (size_t) n, &beside, NULL);

    if (nodes == NULL) {
        fprintf(stderr, "%s:%u:1: no line of the nodes file can be made of "
                "this one; monitoring-proxy wg remove %.*s takes it out\n",
                state->invitations_path, (unsigned) invitation->line,
                (int) invitation->name.len, invitation->name.data);
        return -1;
    }

    nodes_file_free(nodes);

    return 0;
}


int
wireguard_conf(const wireguard_options_t *options, int argc, char **argv)
{
    conf_t          *conf;
    state_t          state;
    nodes_file_t    *nodes;
    nodes_beside_t   beside;

    (void) options;
    (void) argc;

    if (state_open(&state, argv[0], stderr) == -1) {
        return WIREGUARD_FAILED;
    }

    conf = conf_load(argv[0], stderr);

    memset(&beside, 0, sizeof(beside));
    beside.conf = conf;

    nodes = nodes_file_load(state.nodes_path, &beside, stderr);

    if (conf && nodes) {
        show_conf(conf, nodes_file_nodes(nodes));
    }

    state.conf = conf;
    state.nodes = nodes;
    state_close(&state);

    return conf && nodes ? WIREGUARD_OK : WIREGUARD_FAILED;
}


static void
show_conf(const conf_t *conf, const ngx_prom_nodes_t *pn)
{
    char                    key[KEY_TEXT];
    uint32_t                i;
    const ngx_prom_node_t  *node;

    key_text(key, conf->key);

    printf("[Interface]\nPrivateKey = %s\nListenPort = %u\n", key, conf->port);

    for (i = 0; i < conf->npeers; i++) {
        show_peer(&conf->peers[i]);
    }

    for (i = 0; i < pn->count; i++) {
        node = &pn->nodes[i];

        printf("\n[Peer]\nPublicKey = %.*s\nAllowedIPs = ",
               (int) node->key.len, node->key.data);

        if (node->address4.len) {
            printf("%.*s/32%s", (int) node->address4.len, node->address4.data,
                   node->address6.len ? ", " : "\n");
        }

        if (node->address6.len) {
            printf("%.*s/128\n", (int) node->address6.len,
                   node->address6.data);
        }
    }
}


static void
show_peer(const conf_peer_t *peer)
{
    uint32_t  i;

    printf("\n[Peer]\n");

    show_text("PublicKey", &peer->public_key);
    show_text("PresharedKey", &peer->preshared_key);
    show_text("Endpoint", &peer->endpoint);
    show_text("PersistentKeepalive", &peer->keepalive);

    for (i = 0; i < peer->nallowed; i++) {
        printf("%s", i ? ", " : "AllowedIPs = ");
        conf_net_print(stdout, &peer->allowed[i]);
    }

    if (i) {
        putchar('\n');
    }
}


static void
show_text(const char *name, const ngx_prom_text_t *value)
{
    if (value->len) {
        printf("%s = %.*s\n", name, (int) value->len, value->data);
    }
}


int
wireguard_addresses(const wireguard_options_t *options, int argc, char **argv)
{
    conf_t  *conf;

    (void) options;
    (void) argc;

    conf = conf_load(argv[0], stderr);

    if (conf == NULL) {
        return WIREGUARD_FAILED;
    }

    if (conf->net4.bytes) {
        conf_net_print(stdout, &conf->net4);
        putchar('\n');
    }

    if (conf->net6.bytes) {
        conf_net_print(stdout, &conf->net6);
        putchar('\n');
    }

    if (conf->mtu) {
        printf("mtu %u\n", conf->mtu);
    }

    conf_free(conf);

    return WIREGUARD_OK;
}
