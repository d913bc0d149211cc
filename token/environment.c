/*
 * The remote that the environment has, and the proxy's own settings.  Names
 * that others have chosen, AZURE_, AWS_ and GCE_, are no mistake where nothing
 * reads them: a cluster gives them to whoever it likes.
 */


#include <stdlib.h>
#include <string.h>

#include "settings.h"


#define OWN  "MONITORING_PROXY_QUERY_"


typedef struct {
    environment_t        *env;
    remote_t             *remote;
    auth_e                auth;
    remotes_mistake_pt    mistake;
    void                 *data;
    int                   wrong;
} reading_t;


static char *reading_get(const char *variable, const char *suffix);
static void reading_proxy(reading_t *r);
static const char *reading_level(const char *text);
static void reading_no_url(reading_t *r);
static int reading_is_again(const setting_t *setting);
static int reading_auth(reading_t *r);
static void reading_remote(reading_t *r);
static void reading_other(reading_t *r, const setting_t *setting);
static void reading_setting(reading_t *r, const setting_t *setting);
static void reading_secret(reading_t *r, const setting_t *setting);
static char *reading_take(reading_t *r, const setting_t *setting, char *text,
    int twin);
static void reading_free(char *text);
static void reading_mistake(void *data, int id, const char *what);
static void reading_wrong(reading_t *r, const setting_t *setting, int twin,
    const char *what);


int
environment_read(environment_t *env, remotes_t *remotes,
    remotes_mistake_pt mistake, void *data)
{
    char            *url;
    reading_t        r;
    remote_check_t   check;

    memset(env, 0, sizeof(environment_t));
    memset(&r, 0, sizeof(r));

    r.env = env;
    r.mistake = mistake;
    r.data = data;

    reading_proxy(&r);

    url = reading_get(setting_find(SETTING_URL, 0)->variable, "");

    if (url == NULL) {
        reading_no_url(&r);
        goto done;
    }

    /* by another AUTH than is meant, all else would be wrong */

    if (reading_auth(&r) == -1) {
        goto done;
    }

    r.remote = remotes_add(remotes);

    if (r.remote == NULL) {
        reading_wrong(&r, setting_find(SETTING_URL, 0), 0, "out of memory");
        goto done;
    }

    strcpy(r.remote->name, REMOTE_ENVIRONMENT);
    r.remote->auth = r.auth;
    r.remote->listen = env->port;
    r.remote->own = 1;

    reading_remote(&r);

    check.in_file = 0;
    check.mistake = reading_mistake;
    check.data = &r;

    if (!r.wrong) {
        (void) remote_finish(r.remote, &check);
    }

done:

    free(url);

    return r.wrong ? -1 : 0;
}


void
environment_free(environment_t *env)
{
    int  id;

    for (id = 0; id < SETTINGS; id++) {
        if (env->secret[id]) {
            explicit_bzero(env->secret[id], strlen(env->secret[id]));
            free(env->secret[id]);
        }
    }

    free(env->remotes);
    memset(env, 0, sizeof(environment_t));
}


/*
 * A copy to be freed; NULL if it is empty, which is as good as not set.  A
 * Secret of Kubernetes often has a newline at its end.
 */

static char *
reading_get(const char *variable, const char *suffix)
{
    char        *name;
    size_t       len;
    const char  *value;

    if (asprintf(&name, "%s%s", variable, suffix) == -1) {
        return NULL;
    }

    value = getenv(name);

    free(name);

    if (value == NULL) {
        return NULL;
    }

    len = strlen(value);

    while (len && (value[len - 1] == '\n' || value[len - 1] == '\r')) {
        len--;
    }

    return len ? strndup(value, len) : NULL;
}


static void
reading_proxy(reading_t *r)
{
    char             *text;
    const setting_t  *s;

    s = setting_find(SETTING_PORT, 0);
    text = reading_get(s->variable, "");

    /* by Kubernetes, where a Service is called "monitoring-proxy-query" */

    if (text && strncmp(text, "tcp://", 6) == 0) {
        free(text);
        text = NULL;
    }

    text = reading_take(r, s, text, 0);
    r->env->port = atoi(text ? text : s->preset);
    free(text);

    s = setting_find(SETTING_LOG_LEVEL, 0);
    text = reading_take(r, s, reading_get(s->variable, ""), 0);
    r->env->level = reading_level(text ? text : s->preset);
    free(text);

    s = setting_find(SETTING_REMOTES, 0);
    r->env->remotes = reading_take(r, s, reading_get(s->variable, ""), 0);
}


static const char *
reading_level(const char *text)
{
    switch (text[0]) {

    case 'D':
        return "debug";

    case 'W':
        return "warn";

    case 'E':
        return "error";

    default:
        return "info";
    }
}


/* what has no effect is a mistake */

static void
reading_no_url(reading_t *r)
{
    int               twin;
    char             *text;
    buffer_t          what = { NULL, 0, 0, 0 };
    const setting_t  *s, *url;

    url = setting_find(SETTING_URL, 0);

    buffer_text(&what, "is set, but ");
    setting_called(&what, url, 0);
    buffer_text(&what, " is not");

    for (s = settings_table; s->variable; s++) {

        if (s->id == SETTING_PORT || s->id >= SETTINGS
            || strncmp(s->variable, OWN, sizeof(OWN) - 1) != 0
            || reading_is_again(s))
        {
            continue;
        }

        for (twin = 0; twin <= (s->kind == KIND_SECRET); twin++) {
            text = reading_get(s->variable, twin ? "_FILE" : "");

            if (text) {
                reading_wrong(r, s, twin, what.failed ? "" : what.start);
            }

            reading_free(text);
        }
    }

    buffer_free(&what);
}


/* a variable of several AUTHs, that has been in the table before */

static int
reading_is_again(const setting_t *setting)
{
    const setting_t  *s;

    for (s = settings_table; s < setting; s++) {
        if (strcmp(s->variable, setting->variable) == 0) {
            return 1;
        }
    }

    return 0;
}


static int
reading_auth(reading_t *r)
{
    char             *text, *word;
    const setting_t  *s;

    s = setting_find(SETTING_AUTH, 0);
    text = reading_get(s->variable, "");

    if (text == NULL) {
        return 0;
    }

    word = reading_take(r, s, text, 0);

    if (word == NULL) {
        return -1;
    }

    r->auth = (auth_e) auth_find(word, strlen(word));
    free(word);

    return 0;
}


static void
reading_remote(reading_t *r)
{
    const setting_t  *s;

    for (s = settings_table; s->variable; s++) {

        if (s->id >= SETTINGS || s->id == SETTING_PORT) {
            continue;
        }

        if (!setting_is_of(s, r->auth)) {
            reading_other(r, s);

        } else if (r->remote->value[s->id] == NULL) {
            reading_setting(r, s);
        }
    }

    if (r->remote->value[SETTING_URL]
        && setting_split(r->remote, r->remote->value[SETTING_URL]) == -1)
    {
        reading_wrong(r, setting_find(SETTING_URL, 0), 0, "out of memory");
    }
}


/* a variable of ours that this AUTH has no use for, by any name */

static void
reading_other(reading_t *r, const setting_t *setting)
{
    int               twin;
    char             *text;
    buffer_t          what = { NULL, 0, 0, 0 };
    const setting_t  *s;

    for (s = settings_table; s->variable; s++) {
        if (strcmp(s->variable, setting->variable) == 0
            && setting_is_of(s, r->auth))
        {
            return;
        }
    }

    if (strncmp(setting->variable, OWN, sizeof(OWN) - 1) != 0
        || reading_is_again(setting))
    {
        return;
    }

    buffer_format(&what, "is set, but has no effect with %s",
                  auth_name(r->auth));

    for (twin = 0; twin <= (setting->kind == KIND_SECRET); twin++) {
        text = reading_get(setting->variable, twin ? "_FILE" : "");

        if (text) {
            reading_wrong(r, setting, twin, what.failed ? "" : what.start);
        }

        reading_free(text);
    }

    buffer_free(&what);
}


static void
reading_setting(reading_t *r, const setting_t *setting)
{
    char       *value;
    reason_t    why;

    if (setting->kind == KIND_SECRET) {
        reading_secret(r, setting);
        return;
    }

    value = reading_take(r, setting, reading_get(setting->variable, ""), 0);

    if (value && setting->kind == KIND_FILE
        && setting_readable(value, why) == -1)
    {
        reading_wrong(r, setting, 0, why);
    }

    r->remote->value[setting->id] = value;
}


/* itself, for which prepare makes a file, or that of the user's */

static void
reading_secret(reading_t *r, const setting_t *setting)
{
    char       *text, *path;
    reason_t    why;
    setting_t   plain;

    text = reading_get(setting->variable, "");
    path = reading_get(setting->variable, "_FILE");

    if (text && path) {
        reading_wrong(r, setting, 1, "is set, and so is what it would have;"
                      " one of both is allowed");
        reading_free(text);
        free(path);
        return;
    }

    if (path) {
        path = reading_take(r, setting, path, 1);

        if (path && setting_readable(path, why) == -1) {
            reading_wrong(r, setting, 1, why);
        }

        r->remote->value[setting->id] = path;
        return;
    }

    if (text == NULL) {
        return;
    }

    plain = *setting;
    plain.kind = KIND_TEXT;

    r->env->secret[setting->id] = reading_take(r, &plain, text, 0);
    r->remote->value[setting->id] = strdup("");
}


/* checks a text, which is freed */

static char *
reading_take(reading_t *r, const setting_t *setting, char *text, int twin)
{
    setting_value_t  v;

    if (text == NULL) {
        return NULL;
    }

    if (setting_take(&v, setting, text, strlen(text)) == -1) {
        reading_wrong(r, setting, twin, v.why);
    }

    reading_free(text);

    return v.value;
}


static void
reading_free(char *text)
{
    if (text) {
        explicit_bzero(text, strlen(text));
        free(text);
    }
}


static void
reading_mistake(void *data, int id, const char *what)
{
    reading_t  *r = data;

    reading_wrong(r, setting_find(id, r->auth), 0, what);
}


static void
reading_wrong(reading_t *r, const setting_t *setting, int twin,
    const char *what)
{
    buffer_t  where = { NULL, 0, 0, 0 };

    r->wrong = 1;

    setting_called(&where, setting, twin);
    r->mistake(r->data, where.failed ? setting->variable : where.start, what);
    buffer_free(&where);
}
