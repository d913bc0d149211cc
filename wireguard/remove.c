/*
 * The command that takes a node out, whatever else is in the file: a mistake
 * elsewhere must not keep a node in.
 */


#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "commands.h"
#include "raw.h"
#include "state.h"
#include "text.h"


static int remove_line(state_t *state, const ngx_prom_text_t *name);
static void remove_number(state_t *state);
static int remove_invitations(state_t *state, const ngx_prom_text_t *name);
static void remove_print(const state_t *state, const ngx_prom_text_t *name);


int
wireguard_remove(const wireguard_options_t *options, int argc, char **argv)
{
    int              lines, invitations;
    state_t          state;
    ngx_prom_text_t  name;

    (void) options;
    (void) argc;

    name.data = argv[1][0] == '/' ? argv[1] + 1 : argv[1];
    name.len = strlen(name.data);

    if (name.len && name.data[name.len - 1] == '/') {
        name.len--;
    }

    if (state_open(&state, argv[0], stderr) == -1
        || state_lock(&state) == -1)
    {
        return WIREGUARD_FAILED;
    }

    /* none of them keeps the other from going */

    lines = remove_line(&state, &name);
    invitations = remove_invitations(&state, &name);

    if (lines > 0) {
        remove_print(&state, &name);
    }

    state_close(&state);

    if (lines == -1 || invitations == -1) {
        return WIREGUARD_FAILED;
    }

    if (lines == 0 && invitations == 0) {
        fprintf(stderr, WIREGUARD " remove: no node \"%s\"\n", argv[1]);
        return WIREGUARD_NONE;
    }

    return WIREGUARD_OK;
}


/* how many there were, or -1 */

static int
remove_line(state_t *state, const ngx_prom_text_t *name)
{
    int        rc;
    char      *text;
    FILE      *out;
    size_t     len;
    unsigned   n;

    if (state_read_nodes(state) == -1) {
        return -1;
    }

    state->nodes = nodes_file_right(state->text, state->len);

    out = open_memstream(&text, &len);

    if (state->nodes == NULL || out == NULL) {
        text_fail(state->nodes_path, "out of memory", stderr);
        return -1;
    }

    n = raw_without(out, state->text, state->len, name->data, name->len);

    if (fclose(out) == EOF) {
        n = 0;
        text_fail(state->nodes_path, "out of memory", stderr);
        rc = -1;

    } else if (n == 0) {
        rc = 0;

    } else {
        remove_number(state);
        rc = state_write(state, state->nodes_path, 0644, text, len);
    }

    free(text);

    return rc == -1 ? -1 : (int) n;
}


/* no other one gets its address; it goes, even if that can't be written */

static void
remove_number(state_t *state)
{
    int64_t  number;

    state->conf = conf_load(state->dir, NULL);
    state->invitations = invitations_load(state->invitations_path, NULL);

    if (state->conf == NULL || state->invitations == NULL) {
        return;
    }

    number = state_number(state);

    if (number == 0) {
        number = (int64_t) conf_last(state->conf) + 1;
    }

    if (number > 0) {
        (void) state_write_next(state, (uint32_t) number);
    }
}


static int
remove_invitations(state_t *state, const ngx_prom_text_t *name)
{
    int            n;
    uint32_t       i;
    invitation_t  *invitation;

    if (state->invitations == NULL) {
        state->invitations = invitations_load(state->invitations_path,
                                              stderr);
    }

    if (state->invitations == NULL) {
        return -1;
    }

    n = 0;

    for (i = 0; i < state->invitations->count; i++) {
        invitation = &state->invitations->list[i];

        if (invitation_for(invitation, name->data, name->len)) {
            invitation->gone = 1;
            n++;
        }
    }

    if (n && state_write_invitations(state, (int64_t) time(NULL)) == -1) {
        return -1;
    }

    return n;
}


/* its key, for it to be cut off, also if the line was wrong otherwise */

static void
remove_print(const state_t *state, const ngx_prom_text_t *name)
{
    size_t             pos;
    uint8_t            key[KEY_BYTES];
    raw_line_t         line;
    const raw_text_t  *word;

    pos = 0;
    word = &line.words[1];

    while (raw_line(&line, state->text, state->len, &pos)) {

        if (raw_line_has(&line, name->data, name->len) && line.nwords > 1
            && ngx_prom_nodes_key(key, word->data, word->len))
        {
            printf("%.*s\n", (int) word->len, word->data);
        }
    }
}
