/*
 * Credentials that somebody else keeps fresh, in a file, and none at all.
 */


#include <string.h>

#include "fetch.h"
#include "wipe.h"


static step_e static_bearer(fetch_t *f);
static step_e static_basic(fetch_t *f);
static step_e static_none(fetch_t *f);


const source_t  bearer_file_source = { "bearer-file", static_bearer, 1 };
const source_t  basic_file_source = { "basic-file", static_basic, 1 };
const source_t  none_source = { "none", static_none, 0 };


static step_e
static_bearer(fetch_t *f)
{
    if (fetch_secret(f, SETTING_FILE, "token", &f->kept) == STEP_FAILED) {
        return STEP_FAILED;
    }

    if (!str_is_visible((str_t) { f->kept.start, f->kept.len })) {
        return fetch_unusable(f, "token", "it has other than visible ASCII");
    }

    f->credential.kind = CREDENTIAL_TOKEN;

    wipe_text(&f->credential.value, "Bearer ");
    wipe_add(&f->credential.value, f->kept.start, f->kept.len);

    return STEP_DONE;
}


static step_e
static_basic(fetch_t *f)
{
    if (fetch_secret(f, SETTING_FILE, "password", &f->kept) == STEP_FAILED) {
        return STEP_FAILED;
    }

    if (strchr(f->kept.start, ':') == NULL) {
        return fetch_unusable(f, "password", "it isn't USER:PASSWORD");
    }

    f->credential.kind = CREDENTIAL_TOKEN;

    wipe_text(&f->credential.value, "Basic ");
    wipe_base64(&f->credential.value, f->kept.start, f->kept.len);

    return STEP_DONE;
}


static step_e
static_none(fetch_t *f)
{
    f->credential.kind = CREDENTIAL_PLAIN;

    return STEP_DONE;
}
