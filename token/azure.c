/*
 * Azure's identities: an application's with a secret, one that Kubernetes
 * vouches for (a workload identity), or the machine's (a managed identity).
 */


#include <string.h>

#include "fetch.h"
#include "wipe.h"


#define AZURE_ASSERTION                                                       \
    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


static step_e azure_secret(fetch_t *f);
static step_e azure_workload(fetch_t *f);
static step_e azure_managed(fetch_t *f);
static void azure_ask(fetch_t *f);


static const source_t  azure_secret_source = {
    "azure, client secret", azure_secret, 0
};

static const source_t  azure_workload_source = {
    "azure, workload identity", azure_workload, 0
};

static const source_t  azure_managed_source = {
    "azure, managed identity", azure_managed, 0
};


const source_t *
azure_source(const remote_t *remote)
{
    if (remote->value[SETTING_CLIENT_SECRET_FILE]) {
        return &azure_secret_source;
    }

    if (remote->value[SETTING_FEDERATED_TOKEN_FILE]) {
        return &azure_workload_source;
    }

    return &azure_managed_source;
}


static step_e
azure_secret(fetch_t *f)
{
    if (fetch_secret(f, SETTING_CLIENT_SECRET_FILE, "client secret", &f->kept)
        == STEP_FAILED)
    {
        return STEP_FAILED;
    }

    azure_ask(f);
    fetch_form(f, "client_secret", f->kept.start);

    return STEP_ASK;
}


static step_e
azure_workload(fetch_t *f)
{
    if (fetch_secret(f, SETTING_FEDERATED_TOKEN_FILE, "federated token",
                     &f->kept)
        == STEP_FAILED)
    {
        return STEP_FAILED;
    }

    azure_ask(f);
    fetch_form(f, "client_assertion_type", AZURE_ASSERTION);
    fetch_form(f, "client_assertion", f->kept.start);

    return STEP_ASK;
}


static void
azure_ask(fetch_t *f)
{
    fetch_ask(f, "the token endpoint", fetch_bearer, "POST",
              fetch_setting(f, SETTING_AUTHORITY), "/");

    fetch_escaped(f, fetch_setting(f, SETTING_TENANT_ID));
    wipe_text(&f->url, "/oauth2/v2.0/token");

    fetch_header(f, "Accept", "application/json");

    fetch_form(f, "grant_type", "client_credentials");
    fetch_form(f, "client_id", fetch_setting(f, SETTING_CLIENT_ID));
    fetch_form(f, "scope", fetch_setting(f, SETTING_SCOPE));
}


/* it wants the resource, which is the scope without its end */

static step_e
azure_managed(fetch_t *f)
{
    size_t       len;
    const char  *scope, *id;

    static const char  end[] = "/.default";

    scope = fetch_setting(f, SETTING_SCOPE);
    len = strlen(scope);

    if (len > sizeof(end) - 1
        && strcmp(scope + len - (sizeof(end) - 1), end) == 0)
    {
        len -= sizeof(end) - 1;
    }

    wipe_clear(&f->kept);
    wipe_add(&f->kept, scope, len);

    if (f->kept.failed) {
        return fetch_fail(f, FAILURE_INVALID, "out of memory", NULL);
    }

    fetch_ask(f, "the metadata server", fetch_bearer, "GET",
              fetch_setting(f, SETTING_POD_IDENTITY_AUTHORITY),
              "/metadata/identity/oauth2/token");

    fetch_param(f, "api-version", "2018-02-01");
    fetch_param(f, "resource", f->kept.start);

    id = fetch_setting(f, SETTING_CLIENT_ID);

    if (id) {
        fetch_param(f, "client_id", id);
    }

    fetch_header(f, "Metadata", "true");

    return STEP_ASK;
}
