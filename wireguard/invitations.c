/*
 * The file of invitations; see the header.
 */


#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "invitations.h"
#include "key.h"
#include "ngx_prom_targets_line.h"
#include "text.h"


#define INVITATIONS_HASH     (KEY_DIGEST - 1)
#define INVITATIONS_EXPIRES  12       /* digits at most */

#define INVITATIONS_FORM                                                      \
    "HASH NAME EXPIRES ADDRESS[,ADDRESS] [ports=PORTS] [LABEL=VALUE ...]"


static void invitation_parse(invitations_t *invitations, ngx_prom_line_t *pl);
static int invitation_hash(ngx_prom_line_t *pl, const ngx_prom_text_t *hash);
static int invitation_expires(invitation_t *invitation,
    const ngx_prom_text_t *word);
static void invitation_place(invitation_t *invitation, ngx_prom_line_t *pl);
static void invitation_words(invitation_t *invitation, ngx_prom_line_t *pl);
static void invitations_error(void *data, uint32_t line, uint32_t column,
    const char *reason);


invitations_t *
invitations_load(const char *path, FILE *told)
{
    char           *text;
    size_t          len;
    struct stat     st;
    invitations_t  *invitations;

    if (lstat(path, &st) == -1 && errno == ENOENT) {
        return invitations_parse(path, "", 0, told);
    }

    text = text_read(path, &len, told);
    if (text == NULL) {
        return NULL;
    }

    invitations = invitations_parse(path, text, len, told);

    free(text);

    return invitations;
}


invitations_t *
invitations_parse(const char *path, const char *text, size_t len, FILE *told)
{
    size_t            bound;
    invitations_t    *invitations;
    ngx_prom_line_t   pl;

    invitations = calloc(1, sizeof(invitations_t));
    if (invitations == NULL) {
        text_fail(path, "out of memory", told);
        return NULL;
    }

    invitations->path = path;
    invitations->told = told;
    invitations->text = malloc(len + 1);

    if (invitations->text == NULL) {
        goto memory;
    }

    memcpy(invitations->text, text, len);

    if (ngx_prom_lines_start(&pl, invitations->text, len, invitations_error,
                             invitations, &invitations->errors))
    {
        bound = ngx_prom_lines_bound(&pl, 1);

        invitations->list = calloc(bound + 1, sizeof(invitation_t));
        if (invitations->list == NULL) {
            goto memory;
        }

        while (ngx_prom_line_next(&pl)) {
            invitation_parse(invitations, &pl);
        }
    }

    if (invitations->errors == 0) {
        return invitations;
    }

    invitations_free(invitations);

    return NULL;

memory:

    text_fail(path, "out of memory", told);
    invitations_free(invitations);

    return NULL;
}


void
invitations_free(invitations_t *invitations)
{
    free(invitations->list);
    free(invitations->text);
    free(invitations);
}


static void
invitation_parse(invitations_t *invitations, ngx_prom_line_t *pl)
{
    ngx_prom_text_t      name, expires;
    invitation_t        *invitation;
    ngx_prom_excerpt_t   buf;

    invitation = &invitations->list[invitations->count];
    memset(invitation, 0, sizeof(invitation_t));

    if (!ngx_prom_line_token(pl, &invitation->hash)) {
        return;
    }

    if (!invitation_hash(pl, &invitation->hash)) {
        return;
    }

    if (!ngx_prom_line_token(pl, &name)
        || !ngx_prom_line_token(pl, &expires)
        || !ngx_prom_line_token(pl, &invitation->place))
    {
        ngx_prom_line_error(pl, pl->start, "the line is not "
                            INVITATIONS_FORM);
        return;
    }

    if (!ngx_prom_name_parse(pl, &name)) {
        return;
    }

    if (!invitation_expires(invitation, &expires)) {
        ngx_prom_line_error(pl, expires.data, "\"%s\" is not a time in "
                            "seconds since 1970",
                            ngx_prom_excerpt(buf, expires.data, expires.len));
        return;
    }

    invitation->name = name;
    invitation->line = pl->number;

    invitation_place(invitation, pl);
    invitation_words(invitation, pl);

    if (!pl->wrong) {
        invitations->count++;
    }
}


static int
invitation_hash(ngx_prom_line_t *pl, const ngx_prom_text_t *hash)
{
    size_t  i;

    for (i = 0; i < hash->len; i++) {
        if (!ngx_prom_digit(hash->data[i])
            && (hash->data[i] < 'a' || hash->data[i] > 'f'))
        {
            break;
        }
    }

    if (i != INVITATIONS_HASH || hash->len != INVITATIONS_HASH) {
        ngx_prom_line_error(pl, hash->data, "not the SHA-256 of a token, in "
                            "hex; a line is " INVITATIONS_FORM);
        return 0;
    }

    return 1;
}


static int
invitation_expires(invitation_t *invitation, const ngx_prom_text_t *word)
{
    size_t  i;

    if (word->len > INVITATIONS_EXPIRES) {
        return 0;
    }

    for (i = 0; i < word->len; i++) {
        if (!ngx_prom_digit(word->data[i])) {
            return 0;
        }

        invitation->expires = invitation->expires * 10 + word->data[i] - '0';
    }

    return 1;
}


/* its addresses and words are the nodes grammar's, once there is a key */

static void
invitation_place(invitation_t *invitation, ngx_prom_line_t *pl)
{
    char             *end;
    uint8_t           key[NGX_PROM_NODE_KEY];
    ngx_prom_text_t  *place;

    place = &invitation->place;
    end = place->data + place->len;

    if (ngx_prom_text_is(place, "rotate")) {
        invitation->kind = INVITATION_ROTATE;
        return;
    }

    if (!ngx_prom_starts(place->data, end, "used=")) {
        return;
    }

    invitation->kind = INVITATION_USED;
    invitation->key.data = place->data + sizeof("used=") - 1;
    invitation->key.len = end - invitation->key.data;

    if (!ngx_prom_nodes_key(key, invitation->key.data, invitation->key.len)) {
        ngx_prom_line_error(pl, invitation->key.data, "not a public key");
    }
}


static void
invitation_words(invitation_t *invitation, ngx_prom_line_t *pl)
{
    char  *end;

    end = pl->end;

    if (!ngx_prom_line_more(pl)) {
        end = pl->pos;
    }

    while (end > pl->pos && ngx_prom_blank(end[-1])) {
        end--;
    }

    invitation->words.data = pl->pos;
    invitation->words.len = end - pl->pos;

    if (invitation->words.len && invitation->kind != INVITATION_OPEN) {
        ngx_prom_line_error(pl, pl->pos, "more words than the line may have");
    }
}


static void
invitations_error(void *data, uint32_t line, uint32_t column,
    const char *reason)
{
    invitations_t  *invitations = data;

    if (invitations->told) {
        fprintf(invitations->told, "%s:%u:%u: %s\n", invitations->path,
                (unsigned) line, (unsigned) column, reason);
    }
}


invitation_t *
invitations_find(const invitations_t *invitations, const char *hash)
{
    uint32_t       i;
    invitation_t  *invitation, *found;

    found = NULL;

    for (i = 0; i < invitations->count; i++) {
        invitation = &invitations->list[i];

        if (CRYPTO_memcmp(invitation->hash.data, hash, INVITATIONS_HASH) == 0)
        {
            found = invitation;
        }
    }

    return found && found->gone ? NULL : found;
}


int
invitation_for(const invitation_t *invitation, const char *name, size_t len)
{
    return invitation->name.len == len
           && memcmp(invitation->name.data, name, len) == 0;
}


int
invitation_open(const invitation_t *invitation, int64_t now)
{
    return !invitation->gone && invitation->kind != INVITATION_USED
           && invitation->expires > now;
}


void
invitations_print(FILE *out, const invitations_t *invitations, int64_t now)
{
    uint32_t             i;
    const invitation_t  *invitation;

    for (i = 0; i < invitations->count; i++) {
        invitation = &invitations->list[i];

        if (invitation->gone || invitation->expires <= now) {
            continue;
        }

        fprintf(out, "%.*s %.*s %lld ", INVITATIONS_HASH,
                invitation->hash.data, (int) invitation->name.len,
                invitation->name.data, (long long) invitation->expires);

        if (invitation->kind == INVITATION_USED) {
            fprintf(out, "used=%.*s\n", (int) invitation->key.len,
                    invitation->key.data);
            continue;
        }

        fprintf(out, "%.*s%s%.*s\n", (int) invitation->place.len,
                invitation->place.data, invitation->words.len ? " " : "",
                (int) invitation->words.len, invitation->words.data);
    }
}
