/*
 * Whether a remote is whole: what an AUTH needs, what goes with what, and what
 * is by default.
 */


#include <stdlib.h>
#include <string.h>

#include "settings.h"


#define AWS_HOST  "aps-workspaces"


typedef struct {
    remote_t              *remote;
    const remote_check_t  *check;
    int                    wrong;
} finish_t;


static void finish_azure(finish_t *f);
static void finish_aws(finish_t *f);
static void finish_region(finish_t *f);
static void finish_tls(finish_t *f);
static void finish_need(finish_t *f, int id, const char *why);
static void finish_pair(finish_t *f, int id, int other);
static void finish_with(finish_t *f, int id, int other);
static void finish_presets(finish_t *f);
static void finish_name(finish_t *f, buffer_t *name, int id);
static void finish_wrong(finish_t *f, int id, const char *what);


int
remote_finish(remote_t *remote, const remote_check_t *check)
{
    finish_t  f = { remote, check, 0 };

    switch (remote->auth) {

    case AUTH_AZURE:
        finish_azure(&f);
        break;

    case AUTH_OAUTH2:
        finish_need(&f, SETTING_TOKEN_URL, "oauth2 needs it");
        finish_need(&f, SETTING_CLIENT_ID, "oauth2 needs it");
        finish_need(&f, SETTING_CLIENT_SECRET_FILE, "oauth2 needs it");
        break;

    case AUTH_AWS:
        finish_aws(&f);
        break;

    case AUTH_BEARER_FILE:
        finish_need(&f, SETTING_FILE, "bearer-file needs it");
        break;

    case AUTH_BASIC_FILE:
        finish_need(&f, SETTING_FILE, "basic-file needs it");
        break;

    default:
        break;
    }

    finish_tls(&f);
    finish_presets(&f);

    return f.wrong ? -1 : 0;
}


/* a managed identity needs none of them, and may have a client ID */

static void
finish_azure(finish_t *f)
{
    char  **value;

    value = f->remote->value;

    if (value[SETTING_CLIENT_SECRET_FILE]) {
        finish_need(f, SETTING_TENANT_ID, "a client secret needs it");
        finish_need(f, SETTING_CLIENT_ID, "a client secret needs it");

    } else if (value[SETTING_FEDERATED_TOKEN_FILE]) {
        finish_need(f, SETTING_TENANT_ID, "workload identity needs it");
        finish_need(f, SETTING_CLIENT_ID, "workload identity needs it");
    }
}


static void
finish_aws(finish_t *f)
{
    finish_region(f);
    finish_need(f, SETTING_REGION, "the URL's host has none");
    finish_pair(f, SETTING_ACCESS_KEY_ID, SETTING_SECRET_ACCESS_KEY_FILE);
    finish_with(f, SETTING_SESSION_TOKEN_FILE, SETTING_ACCESS_KEY_ID);
    finish_pair(f, SETTING_ROLE_ARN, SETTING_WEB_IDENTITY_TOKEN_FILE);
    finish_with(f, SETTING_CONTAINER_TOKEN_FILE, SETTING_CONTAINER_URI);
}


/* aps-workspaces.REGION.amazonaws.com, and aps-workspaces-fips.REGION. */

static void
finish_region(finish_t *f)
{
    char  *region, **value;

    value = &f->remote->value[SETTING_REGION];

    if (*value || f->remote->host == NULL
        || strncmp(f->remote->host, AWS_HOST, sizeof(AWS_HOST) - 1) != 0)
    {
        return;
    }

    region = strchr(f->remote->host, '.');

    if (region && strncmp(region + 1 + strcspn(region + 1, "."),
                          ".amazonaws.com", 14) == 0)
    {
        *value = strndup(region + 1, strcspn(region + 1, "."));
    }
}


static void
finish_tls(finish_t *f)
{
    char  **value;

    value = f->remote->value;

    finish_pair(f, SETTING_CERT, SETTING_KEY);

    if (value[SETTING_CERT] && f->remote->host && !f->remote->https) {
        finish_wrong(f, SETTING_CERT, "is a certificate for an URL that"
                     " begins with http://");
    }

    if (value[SETTING_CA] && value[SETTING_VERIFY]
        && strcmp(value[SETTING_VERIFY], "off") == 0)
    {
        finish_wrong(f, SETTING_CA, "is set, but nothing is verified; one of"
                     " both is allowed");
    }
}


static void
finish_need(finish_t *f, int id, const char *why)
{
    buffer_t  what = { NULL, 0, 0, 0 };

    if (f->remote->value[id]) {
        return;
    }

    buffer_format(&what, "is not set; %s", why);
    finish_wrong(f, id, what.start);
    buffer_free(&what);
}


static void
finish_pair(finish_t *f, int id, int other)
{
    finish_with(f, id, other);
    finish_with(f, other, id);
}


static void
finish_with(finish_t *f, int id, int other)
{
    buffer_t  what = { NULL, 0, 0, 0 };

    if (f->remote->value[id] == NULL || f->remote->value[other]) {
        return;
    }

    buffer_text(&what, "is set, but ");
    finish_name(f, &what, other);
    buffer_text(&what, " is not; both are needed");

    finish_wrong(f, id, what.start);
    buffer_free(&what);
}


static void
finish_presets(finish_t *f)
{
    const setting_t  *s;

    for (s = settings_table; s->variable; s++) {

        if (s->id >= SETTINGS || s->preset == NULL
            || !setting_is_of(s, f->remote->auth)
            || f->remote->value[s->id])
        {
            continue;
        }

        f->remote->value[s->id] = strdup(s->preset);

        if (f->remote->value[s->id] == NULL) {
            finish_wrong(f, s->id, "out of memory");
        }
    }
}


static void
finish_name(finish_t *f, buffer_t *name, int id)
{
    const setting_t  *s;

    s = setting_find(id, f->remote->auth);

    if (f->check->in_file) {
        buffer_text(name, s->key);

    } else {
        setting_called(name, s, 0);
    }
}


static void
finish_wrong(finish_t *f, int id, const char *what)
{
    f->wrong = 1;
    f->check->mistake(f->check->data, id, what ? what : "out of memory");
}


remote_t *
remotes_add(remotes_t *remotes)
{
    remote_t  *remote;

    remote = reallocarray(remotes->remote, remotes->n + 1, sizeof(remote_t));

    if (remote == NULL) {
        return NULL;
    }

    remotes->remote = remote;
    remote = &remotes->remote[remotes->n++];
    memset(remote, 0, sizeof(remote_t));

    return remote;
}


void
remotes_free(remotes_t *remotes)
{
    int        id;
    unsigned   n;
    remote_t  *remote;

    for (n = 0; n < remotes->n; n++) {
        remote = &remotes->remote[n];

        for (id = 0; id < SETTINGS; id++) {
            free(remote->value[id]);
        }

        free(remote->host);
        free(remote->base);
    }

    free(remotes->remote);
    memset(remotes, 0, sizeof(remotes_t));
}
