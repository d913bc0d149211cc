/*
 * The commands that invite: invite a new node, and rotate the key of one.
 */


#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "commands.h"
#include "lines.h"
#include "raw.h"
#include "state.h"
#include "token_url.h"


#define INVITE_TTL       3600
#define INVITE_TTL_MOST  (30 * 86400)
#define INVITE_HOST      253


typedef struct {
    const wireguard_options_t   *options;
    char                       **labels;
    int                          nlabels;

    state_t                      state;
    ngx_prom_text_t              name;
    token_url_t                  url;
    const char                  *ttl;         /* as given */
    int64_t                      now;
    int64_t                      expires;
    uint32_t                     number;      /* of a new address, or 0 */
    int                          replaced;    /* an open invitation */
    char                        *place;       /* ADDRESS[,ADDRESS] */
    char                        *words;       /* ports= and labels */
} invite_t;


static int invite_run(const wireguard_options_t *options, int argc,
    char **argv, int (*prepare)(invite_t *invite));
static int invite_arguments(invite_t *invite);
static int64_t invite_seconds(const char *ttl);
static void invite_name(ngx_prom_text_t *name, char *text);
static int invite_new(invite_t *invite);
static char *invite_words(const invite_t *invite);
static char *invite_former(invite_t *invite);
static int invite_fits(const invite_t *invite, const char *place, FILE *told);
static int invite_address(invite_t *invite);
static int invite_check(const invite_t *invite);
static nodes_file_t *invite_candidate(const invite_t *invite, int others,
    int own, FILE *told);
static void invite_told(const invite_t *invite, const char *messages);
static int invite_rotate(invite_t *invite);
static int invite_write(invite_t *invite);
static int invite_print(const invite_t *invite);
static const ngx_prom_node_t *invite_node(const invite_t *invite);
static void invite_say(const invite_t *invite, const char *what);


int
wireguard_invite(const wireguard_options_t *options, int argc, char **argv)
{
    return invite_run(options, argc, argv, invite_new);
}


int
wireguard_rotate(const wireguard_options_t *options, int argc, char **argv)
{
    return invite_run(options, argc, argv, invite_rotate);
}


static int
invite_run(const wireguard_options_t *options, int argc, char **argv,
    int (*prepare)(invite_t *invite))
{
    int       rc;
    invite_t  invite;

    memset(&invite, 0, sizeof(invite_t));

    invite.options = options;
    invite.labels = argv + 2;
    invite.nlabels = argc - 2;
    invite.now = (int64_t) time(NULL);

    invite_name(&invite.name, argv[1]);

    rc = invite_arguments(&invite);

    if (rc != WIREGUARD_OK) {
        return rc;
    }

    if (token_url_pin(&invite.url, argv[0]) == -1
        || state_open(&invite.state, argv[0], stderr) == -1)
    {
        return WIREGUARD_FAILED;
    }

    rc = WIREGUARD_FAILED;

    if (state_lock(&invite.state) == 0 && state_read(&invite.state) == 0) {
        rc = prepare(&invite);
    }

    if (rc == WIREGUARD_OK && invite_write(&invite) == -1) {
        rc = WIREGUARD_FAILED;
    }

    if (rc == WIREGUARD_OK && invite_print(&invite) == -1) {
        rc = WIREGUARD_FAILED;
    }

    state_close(&invite.state);

    free(invite.place);
    free(invite.words);

    return rc;
}


static int
invite_arguments(invite_t *invite)
{
    int          i;
    int64_t      seconds;
    const char  *label;

    invite->url.host = invite->options->host;

    if (invite->url.host == NULL) {
        invite_say(invite, "--host is missing: the name or address that nodes "
                   "reach the proxy by");
        return WIREGUARD_USAGE;
    }

    if (!wireguard_is_host(invite->url.host)) {
        invite_say(invite, "HOST is not a name, or an address without a port "
                   "or []");
        return WIREGUARD_FAILED;
    }

    invite->ttl = invite->options->ttl ? invite->options->ttl : "1h";
    seconds = invite_seconds(invite->ttl);

    if (seconds == -1) {
        invite_say(invite, "TIME is not from 1s to 30d, such as 90s, 10m, 1h "
                   "or 1d");
        return WIREGUARD_FAILED;
    }

    invite->expires = invite->now + seconds;

    for (i = 0; i < invite->nlabels; i++) {
        label = invite->labels[i];

        if (strchr(label, '=') == NULL || label[0] == '#'
            || strncmp(label, "ports=", 6) == 0
            || strcspn(label, " \t\r\n") < strcspn(label, "="))
        {
            invite_say(invite, "what comes behind NAME is LABEL=VALUE, and "
                       "options");
            return WIREGUARD_FAILED;
        }
    }

    if (invite->name.len == 0
        || strpbrk(invite->name.data, "# \t\r\n\"\\"))
    {
        invite_say(invite, "the name is not one word of letters, digits and "
                   "\"._~-/\"");
        return WIREGUARD_FAILED;
    }

    if (invite->options->ports
        && strpbrk(invite->options->ports, " \t\r\n\"\\#"))
    {
        invite_say(invite, "PORTS is not PORT or EXPORTER:PORT,...");
        return WIREGUARD_FAILED;
    }

    return WIREGUARD_OK;
}


static int64_t
invite_seconds(const char *ttl)
{
    int64_t      n, unit;
    const char  *p;

    n = 0;

    for (p = ttl; ngx_prom_digit(*p) && n <= INVITE_TTL_MOST; p++) {
        n = n * 10 + *p - '0';
    }

    unit = *p == 's' ? 1 : *p == 'm' ? 60 : *p == 'h' ? 3600
           : *p == 'd' ? 86400 : 0;

    if (p == ttl || unit == 0 || p[1] != '\0') {
        return -1;
    }

    return n > 0 && n * unit <= INVITE_TTL_MOST ? n * unit : -1;
}


/* an optional "/" at each end is no part of it, as in the files */

static void
invite_name(ngx_prom_text_t *name, char *text)
{
    name->data = text[0] == '/' ? text + 1 : text;
    name->len = strlen(name->data);

    if (name->len && name->data[name->len - 1] == '/') {
        name->data[--name->len] = '\0';
    }
}


static int
invite_new(invite_t *invite)
{
    if (invite_node(invite)) {
        fprintf(stderr, WIREGUARD " invite: \"%s\" is a node already; "
                "monitoring-proxy wg rotate %s changes its key, "
                "monitoring-proxy wg remove %s takes it out\n",
                invite->name.data, invite->name.data, invite->name.data);
        return WIREGUARD_FAILED;
    }

    invite->words = invite_words(invite);

    if (invite->words == NULL) {
        perror(WIREGUARD);
        return WIREGUARD_FAILED;
    }

    invite->place = invite_former(invite);

    if (invite->place == NULL && invite_address(invite) == -1) {
        return WIREGUARD_FAILED;
    }

    return invite_check(invite) == 0 ? WIREGUARD_OK : WIREGUARD_FAILED;
}


static char *
invite_words(const invite_t *invite)
{
    int      i;
    char    *text;
    FILE    *out;
    size_t   len;

    out = open_memstream(&text, &len);

    if (out == NULL) {
        return NULL;
    }

    if (invite->options->ports) {
        fprintf(out, "ports=%s%s", invite->options->ports,
                invite->nlabels ? " " : "");
    }

    for (i = 0; i < invite->nlabels; i++) {
        raw_word_print(out, invite->labels[i]);

        if (i + 1 < invite->nlabels) {
            putc(' ', out);
        }
    }

    if (fclose(out) == EOF) {
        free(text);
        return NULL;
    }

    return text;
}


/*
 * An open invitation of the same name goes, and what it has is free for this
 * one, as nobody ever used it: that is its addresses, or NULL.
 */

static char *
invite_former(invite_t *invite)
{
    char           *place;
    uint32_t        i;
    invitation_t   *former;
    invitations_t  *invitations;

    place = NULL;
    invitations = invite->state.invitations;

    for (i = 0; i < invitations->count; i++) {
        former = &invitations->list[i];

        if (!invitation_for(former, invite->name.data, invite->name.len)) {
            continue;
        }

        invite->replaced |= invitation_open(former, invite->now);

        if (former->kind == INVITATION_OPEN && place == NULL
            && former->expires > invite->now)
        {
            place = strndup(former->place.data, former->place.len);
        }

        former->gone = 1;
    }

    if (place && !invite_fits(invite, place, NULL)) {
        free(place);
        place = NULL;
    }

    return place;
}


/* the network may have changed since */

static int
invite_fits(const invite_t *invite, const char *place, FILE *told)
{
    char             line[256];
    int              n;
    nodes_file_t    *nodes;
    nodes_beside_t   beside;

    n = snprintf(line, sizeof(line), "a "
                 "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= %s", place);

    if ((size_t) n >= sizeof(line)) {
        return 0;
    }

    memset(&beside, 0, sizeof(beside));
    beside.conf = invite->state.conf;

    nodes = nodes_file_parse("", line, (size_t) n, &beside, told);

    if (nodes == NULL) {
        return 0;
    }

    nodes_file_free(nodes);

    return 1;
}


static int
invite_address(invite_t *invite)
{
    int64_t  number;

    number = state_number(&invite->state);

    if (number == -1) {
        return -1;
    }

    if (number == 0) {
        fprintf(stderr, WIREGUARD " invite: no address is left in the network "
                "of %s, as none is given twice; one with a shorter prefix has "
                "more\n", invite->state.conf->path);
        return -1;
    }

    invite->place = state_place(&invite->state, (uint32_t) number);

    if (invite->place == NULL) {
        perror(WIREGUARD);
        return -1;
    }

    invite->number = (uint32_t) number;

    return 0;
}


/*
 * The line that will be written is right, beside all nodes and those that are
 * invited.  What is wrong without it is told elsewhere.
 */

static int
invite_check(const invite_t *invite)
{
    int            others;
    char          *messages;
    FILE          *told;
    size_t         len;
    nodes_file_t  *nodes;

    nodes = invite_candidate(invite, 1, 0, NULL);
    others = nodes != NULL;

    if (nodes) {
        nodes_file_free(nodes);
    }

    told = open_memstream(&messages, &len);
    if (told == NULL) {
        perror(WIREGUARD);
        return -1;
    }

    nodes = invite_candidate(invite, others, 1, told);

    fclose(told);

    if (nodes == NULL) {
        invite_told(invite, messages);

    } else {
        nodes_file_free(nodes);
    }

    free(messages);

    return nodes ? 0 : -1;
}


/* in place of keys, which there aren't yet, are hashes of tokens */

static nodes_file_t *
invite_candidate(const invite_t *invite, int others, int own, FILE *told)
{
    char             key[KEY_TEXT], *text;
    FILE            *out;
    size_t           len;
    uint8_t          bytes[KEY_BYTES];
    uint32_t         i;
    nodes_file_t    *nodes;
    invitation_t    *list, line;
    nodes_beside_t   beside;

    out = open_memstream(&text, &len);
    if (out == NULL) {
        return NULL;
    }

    lines_whole(out, invite->state.text, invite->state.len);

    list = invite->state.invitations->list;

    for (i = 0; others && i < invite->state.invitations->count; i++) {

        if (!invitation_open(&list[i], invite->now)
            || list[i].kind != INVITATION_OPEN)
        {
            continue;
        }

        memcpy(bytes, list[i].hash.data, KEY_BYTES);
        key_text(key, bytes);
        lines_node(out, &list[i], key);
    }

    if (own) {
        memset(&line, 0, sizeof(line));

        line.name = invite->name;
        line.place.data = invite->place;
        line.place.len = strlen(invite->place);
        line.words.data = invite->words;
        line.words.len = strlen(invite->words);

        lines_node(out, &line, "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    }

    if (fclose(out) == EOF) {
        free(text);
        return NULL;
    }

    beside.conf = invite->state.conf;
    beside.targets = invite->options->targets;
    beside.hosts = invite->options->hosts;

    nodes = nodes_file_parse("", text, len, &beside, told);

    free(text);

    return nodes;
}


/* without a place, as there is no such line yet */

static void
invite_told(const invite_t *invite, const char *messages)
{
    size_t  len;

    while (*messages) {
        len = strcspn(messages, "\n");

        messages += strspn(messages, ":0123456789");
        len = strcspn(messages, "\n");

        fprintf(stderr, WIREGUARD " %s:%.*s\n", invite->options->command,
                (int) len, messages);

        messages += len + (messages[len] == '\n');
    }
}


static int
invite_rotate(invite_t *invite)
{
    if (invite_node(invite) == NULL) {
        fprintf(stderr, WIREGUARD " rotate: no node \"%s\"; monitoring-proxy "
                "wg invite %s invites one\n", invite->name.data,
                invite->name.data);
        return WIREGUARD_NONE;
    }

    free(invite_former(invite));

    invite->place = strdup("rotate");
    invite->words = strdup("");

    if (invite->place == NULL || invite->words == NULL) {
        perror(WIREGUARD);
        return WIREGUARD_FAILED;
    }

    return WIREGUARD_OK;
}


static int
invite_write(invite_t *invite)
{
    invitation_t   *line;
    invitations_t  *invitations;

    if (token_url_make(&invite->url) == -1) {
        invite_say(invite, "no token can be made");
        return -1;
    }

    /* there is room for one more */

    invitations = invite->state.invitations;
    line = &invitations->list[invitations->count++];

    memset(line, 0, sizeof(invitation_t));

    line->hash.data = invite->url.hash;
    line->hash.len = KEY_DIGEST - 1;
    line->name = invite->name;
    line->expires = invite->expires;
    line->place.data = invite->place;
    line->place.len = strlen(invite->place);
    line->words.data = invite->words;
    line->words.len = strlen(invite->words);

    if (invite->number
        && state_write_next(&invite->state, invite->number + 1) == -1)
    {
        return -1;
    }

    return state_write_invitations(&invite->state, invite->now);
}


static int
invite_print(const invite_t *invite)
{
    char        *url, at[32];
    time_t       expires;
    struct tm    tm;

    url = token_url_text(&invite->url, &invite->name);

    if (url == NULL) {
        perror(WIREGUARD);
        return -1;
    }

    expires = (time_t) invite->expires;
    (void) gmtime_r(&expires, &tm);
    (void) strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%SZ", &tm);

    if (invite->options->json) {
        printf("{\"name\": \"%s\", \"url\": \"%s\", \"expires\": \"%s\"",
               invite->name.data, url, at);

        if (strcmp(invite->place, "rotate") != 0) {
            printf(", \"address\": \"%s\"", invite->place);
        }

        puts("}");

    } else {
        puts(url);

        if (invite->replaced) {
            invite_say(invite, "the former invitation of this name is no "
                       "longer valid");
        }

        fprintf(stderr, "%s: good for one key, until %s (%s); on the node, as "
                "root:\n  sh monitoring-proxy-join --wireguard URL\n",
                invite->name.data, at, invite->ttl);
    }

    free(url);

    return 0;
}


static const ngx_prom_node_t *
invite_node(const invite_t *invite)
{
    return ngx_prom_nodes_find(nodes_file_nodes(invite->state.nodes),
                               invite->name.data, invite->name.len);
}


static void
invite_say(const invite_t *invite, const char *what)
{
    fprintf(stderr, WIREGUARD " %s: %s\n", invite->options->command, what);
}


int
wireguard_is_host(const char *host)
{
    size_t   i, len;
    uint8_t  ip[16];

    len = strlen(host);

    if (inet_pton(AF_INET6, host, ip) == 1) {
        return 1;
    }

    for (i = 0; i < len; i++) {
        if (!ngx_prom_char_in(host[i], ".-_")) {
            return 0;
        }
    }

    return len > 0 && len <= INVITE_HOST;
}
