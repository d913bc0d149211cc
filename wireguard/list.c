/*
 * The command that lists nodes, and those that are invited.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "commands.h"
#include "dump.h"
#include "state.h"


#define LIST_UP       180             /* s: a session is no older */
#define LIST_NUMBER   24              /* bytes of a number in text */
#define LIST_TIME     32


typedef struct {
    ngx_prom_text_t      name;
    ngx_prom_text_t      address;     /* all of them */
    ngx_prom_text_t      key;         /* empty: none yet */
    const char          *state;
    char                 handshake[LIST_NUMBER];     /* s ago; or "" */
    char                 ago[LIST_NUMBER + 2];       /* the same, " s" */
    char                 received[LIST_NUMBER];
    char                 sent[LIST_NUMBER];
    char                 until[LIST_TIME];
    const char          *endpoint;
} list_row_t;


static int list_read(state_t *state);
static list_row_t *list_rows(const state_t *state, const dump_t *dump,
    uint32_t *count);
static void list_node(list_row_t *row, const ngx_prom_node_t *node,
    const dump_t *dump, int64_t now);
static void list_invited(list_row_t *row, const invitation_t *invitation);
static void list_print(const list_row_t *rows, uint32_t count);
static int list_width(int width, const ngx_prom_text_t *text);
static const char *list_or_dash(const char *text);
static void list_print_json(const list_row_t *rows, uint32_t count);
static void list_json_addresses(const ngx_prom_text_t *text);
static void list_json_text(const char *name, const char *text, size_t len);
static void list_json_number(const char *name, const char *text);


int
wireguard_list(const wireguard_options_t *options, int argc, char **argv)
{
    int          rc;
    dump_t       dump;
    state_t      state;
    uint32_t     count;
    list_row_t  *rows;

    (void) argc;

    if (state_open(&state, argv[0], stderr) == -1) {
        return WIREGUARD_FAILED;
    }

    rc = list_read(&state);
    rows = NULL;

    if (dump_read(&dump, stdin) == -1
        || (state.nodes && state.invitations
            && (rows = list_rows(&state, &dump, &count)) == NULL))
    {
        perror(WIREGUARD);
    }

    if (rows == NULL) {
        rc = -1;

    } else if (options->json) {
        list_print_json(rows, count);

    } else {
        list_print(rows, count);
    }

    free(rows);
    dump_free(&dump);
    state_close(&state);

    return rc == 0 ? WIREGUARD_OK : WIREGUARD_FAILED;
}


/* what is right is shown, whatever is wrong elsewhere */

static int
list_read(state_t *state)
{
    int             rc;
    nodes_beside_t  beside;

    rc = 0;

    if (state_read_nodes(state) == -1) {
        return -1;
    }

    memset(&beside, 0, sizeof(beside));

    state->nodes = nodes_file_parse(state->nodes_path, state->text, state->len,
                                    &beside, stderr);
    if (state->nodes == NULL) {
        state->nodes = nodes_file_right(state->text, state->len);
        rc = -1;
    }

    state->invitations = invitations_load(state->invitations_path, stderr);

    if (state->invitations == NULL) {
        state->invitations = invitations_parse("", "", 0, stderr);
        rc = -1;
    }

    return rc;
}


static list_row_t *
list_rows(const state_t *state, const dump_t *dump, uint32_t *count)
{
    int64_t                  now;
    uint32_t                 i;
    list_row_t              *rows, *row;
    const invitation_t      *invitation;
    const ngx_prom_nodes_t  *pn;

    pn = nodes_file_nodes(state->nodes);
    now = (int64_t) time(NULL);

    rows = calloc((size_t) pn->count + state->invitations->count + 1,
                  sizeof(list_row_t));
    if (rows == NULL) {
        return NULL;
    }

    row = rows;

    for (i = 0; i < pn->count; i++) {
        list_node(row++, &pn->nodes[i], dump, now);
    }

    for (i = 0; i < state->invitations->count; i++) {
        invitation = &state->invitations->list[i];

        if (invitation->kind == INVITATION_OPEN
            && invitation_open(invitation, now))
        {
            list_invited(row++, invitation);
        }
    }

    *count = (uint32_t) (row - rows);

    return rows;
}


static void
list_node(list_row_t *row, const ngx_prom_node_t *node, const dump_t *dump,
    int64_t now)
{
    int64_t             ago;
    uint8_t             key[KEY_BYTES];
    const char         *first, *end;
    const dump_peer_t  *peer;

    row->name = node->name;
    row->key = node->key;
    row->state = "never";
    row->endpoint = "";

    /* as they stand in the file, in whatever order */

    first = node->address4.len ? node->address4.data : node->address6.data;
    end = first + (node->address4.len ? node->address4.len
                                      : node->address6.len);

    if (node->address4.len && node->address6.len) {
        first = node->address4.data < node->address6.data
                ? node->address4.data : node->address6.data;
        end = first + node->address4.len + 1 + node->address6.len;
    }

    row->address.data = (char *) first;
    row->address.len = end - first;

    (void) ngx_prom_nodes_key(key, node->key.data, node->key.len);
    peer = dump_find(dump, key);

    if (peer == NULL) {
        return;
    }

    snprintf(row->received, LIST_NUMBER, "%llu",
             (unsigned long long) peer->received);
    snprintf(row->sent, LIST_NUMBER, "%llu", (unsigned long long) peer->sent);

    row->endpoint = peer->endpoint;

    if (peer->handshake == 0) {
        return;
    }

    /* a clock that was set back */

    ago = now - (int64_t) peer->handshake;
    ago = ago < 0 ? 0 : ago;

    snprintf(row->handshake, LIST_NUMBER, "%lld", (long long) ago);
    snprintf(row->ago, sizeof(row->ago), "%s s", row->handshake);
    row->state = ago < LIST_UP ? "up" : "down";
}


static void
list_invited(list_row_t *row, const invitation_t *invitation)
{
    time_t     expires;
    struct tm  tm;

    row->name = invitation->name;
    row->address = invitation->place;
    row->state = "invited";
    row->endpoint = "";

    expires = (time_t) invitation->expires;

    if (gmtime_r(&expires, &tm)) {
        (void) strftime(row->until, LIST_TIME, "%Y-%m-%dT%H:%M:%SZ", &tm);
    }
}


static void
list_print(const list_row_t *rows, uint32_t count)
{
    int                name, address;
    uint32_t           i;
    const list_row_t  *row;

    name = sizeof("NAME") - 1;
    address = sizeof("ADDRESS") - 1;

    for (i = 0; i < count; i++) {
        name = list_width(name, &rows[i].name);
        address = list_width(address, &rows[i].address);
    }

    printf("%-*s  %-*s  %-7s  %-9s  %-12s  %-12s  %-44s  %s\n", name, "NAME",
           address, "ADDRESS", "STATE", "HANDSHAKE", "RECEIVED", "SENT", "KEY",
           "ENDPOINT");

    for (i = 0; i < count; i++) {
        row = &rows[i];

        printf("%-*.*s  %-*.*s  %-7s  ", name, (int) row->name.len,
               row->name.data, address, (int) row->address.len,
               row->address.data, row->state);

        if (row->until[0]) {
            printf("until %s\n", row->until);
            continue;
        }

        printf("%-9s  %-12s  %-12s  %.*s  %s\n",
               list_or_dash(row->ago), list_or_dash(row->received),
               list_or_dash(row->sent), (int) row->key.len, row->key.data,
               list_or_dash(row->endpoint));
    }
}


static int
list_width(int width, const ngx_prom_text_t *text)
{
    return (int) text->len > width ? (int) text->len : width;
}


static const char *
list_or_dash(const char *text)
{
    return text[0] ? text : "-";
}


/* nothing of it has what JSON would escape */

static void
list_print_json(const list_row_t *rows, uint32_t count)
{
    uint32_t           i;
    const list_row_t  *row;

    putchar('[');

    for (i = 0; i < count; i++) {
        row = &rows[i];

        printf("%s\n  {\"name\": \"%.*s\", \"addresses\": [", i ? "," : "",
               (int) row->name.len, row->name.data);

        list_json_addresses(&row->address);

        printf("], \"state\": \"%s\"", row->state);

        list_json_text("key", row->key.data, row->key.len);
        list_json_number("handshake", row->handshake);
        list_json_number("received", row->received);
        list_json_number("sent", row->sent);
        list_json_text("endpoint", row->endpoint, strlen(row->endpoint));
        list_json_text("until", row->until, strlen(row->until));

        putchar('}');
    }

    puts(count ? "\n]" : "]");
}


static void
list_json_addresses(const ngx_prom_text_t *text)
{
    size_t  i;

    putchar('"');

    for (i = 0; i < text->len; i++) {
        if (text->data[i] == ',') {
            fputs("\", \"", stdout);

        } else {
            putchar(text->data[i]);
        }
    }

    putchar('"');
}


static void
list_json_text(const char *name, const char *text, size_t len)
{
    if (len) {
        printf(", \"%s\": \"%.*s\"", name, (int) len, text);

    } else {
        printf(", \"%s\": null", name);
    }
}


static void
list_json_number(const char *name, const char *text)
{
    printf(", \"%s\": %s", name, text[0] ? text : "null");
}
