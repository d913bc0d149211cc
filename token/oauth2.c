/*
 * The client credentials of OAuth 2 (RFC 6749, 4.4), of any endpoint.
 */


#include <string.h>

#include "fetch.h"
#include "wipe.h"


static step_e oauth2_start(fetch_t *f);
static void oauth2_basic(fetch_t *f, const char *id);


const source_t  oauth2_source = { "oauth2", oauth2_start, 0 };


static step_e
oauth2_start(fetch_t *f)
{
    unsigned     i;
    const char  *id, *value;

    static const struct {
        const char  *name;
        setting_e    setting;
    } params[] = {
        { "scope", SETTING_SCOPE },
        { "audience", SETTING_AUDIENCE }
    };

    if (fetch_secret(f, SETTING_CLIENT_SECRET_FILE, "client secret", &f->kept)
        == STEP_FAILED)
    {
        return STEP_FAILED;
    }

    id = fetch_setting(f, SETTING_CLIENT_ID);
    value = fetch_setting(f, SETTING_CLIENT_AUTH);

    fetch_ask(f, "the token endpoint", fetch_bearer, "POST",
              fetch_setting(f, SETTING_TOKEN_URL), NULL);

    fetch_header(f, "Accept", "application/json");
    fetch_form(f, "grant_type", "client_credentials");

    if (value && strcmp(value, "body") == 0) {
        fetch_form(f, "client_id", id);
        fetch_form(f, "client_secret", f->kept.start);

    } else {
        oauth2_basic(f, id);
    }

    for (i = 0; i < sizeof(params) / sizeof(params[0]); i++) {
        value = fetch_setting(f, params[i].setting);

        if (value) {
            fetch_form(f, params[i].name, value);
        }
    }

    return STEP_ASK;
}


/* both are encoded as in a form, so that a ":" in them is none between them */

static void
oauth2_basic(fetch_t *f, const char *id)
{
    buffer_t  pair, value;

    memset(&pair, 0, sizeof(pair));
    memset(&value, 0, sizeof(value));

    wipe_escaped(&pair, id);
    wipe_text(&pair, ":");
    wipe_escaped(&pair, f->kept.start);

    wipe_text(&value, "Basic ");

    if (!pair.failed) {
        wipe_base64(&value, pair.start, pair.len);
    }

    if (pair.failed || value.failed) {
        f->url.failed = 1;

    } else {
        fetch_hide(f, value.start + strlen("Basic "));
        fetch_header(f, "Authorization", value.start);
    }

    wipe_free(&pair);
    wipe_free(&value);
}
