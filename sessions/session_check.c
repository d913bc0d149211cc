/*
 * Has a session a right to be, by the files as they are now; and if not, why,
 * in words.
 */


#define _GNU_SOURCE

#include <stdio.h>
#include <string.h>

#include "session_local.h"


static int session_is_named(const ngx_prom_host_t *host, const char *name);


const char *
session_check(session_t *s, char *buf)
{
    access_e         error;
    access_login_t   found;
    const record_t  *record;

    memset(&found, 0, sizeof(found));

    record = &s->record;

    error = access_login(s->sessions->access, record->type, record->key,
                         loop_time() / 1000, &found);

    if (error != ACCESS_OK) {
        return session_denied(s, error, &found, buf);
    }

    if (record->name == NULL) {
        return found.host ? "its key is a host's now" : NULL;
    }

    if (found.host == NULL || !session_is_named(found.host, record->name)) {
        return session_denied(s, ACCESS_UNKNOWN, &found, buf);
    }

    if (found.host->port != record->first
        || found.host->ports != record->ports)
    {
        return "its ports were changed in the hosts file";
    }

    return NULL;
}


const char *
session_denied(const session_t *s, access_e error,
    const access_login_t *found, char *buf)
{
    uint32_t                 i;
    const char              *name;
    const ngx_prom_hosts_t  *hosts;

    switch (error) {

    case ACCESS_AMBIGUOUS:
        return "its certificate is for several hosts";

    case ACCESS_AUTHORITY:
        return "its certificate is not signed by a key of ssh_ca.pub";

    case ACCESS_EXPIRED:
        return "its certificate has expired, or is not valid yet";

    case ACCESS_BAD:
        return "its key can't be read";

    default:
        break;
    }

    name = s->record.name;

    if (name == NULL) {

        if (strstr(s->record.type, "-cert-")) {
            return "its certificate is for no host of the hosts file";
        }

        return "its key is no longer one that may log in";
    }

    if (found->host) {
        snprintf(buf, SESSION_REASON, "its key is that of %.*s now",
                 (int) found->host->name.len, found->host->name.data);
        return buf;
    }

    hosts = access_hosts(s->sessions->access);

    for (i = 0; i < hosts->count; i++) {

        if (session_is_named(&hosts->hosts[i], name)) {
            return "its key was changed in the hosts file";
        }
    }

    return "no longer in the hosts file";
}


ngx_prom_refused_e
session_refused_as(access_e error)
{
    switch (error) {

    case ACCESS_AMBIGUOUS:
    case ACCESS_AUTHORITY:
    case ACCESS_EXPIRED:
        return NGX_PROM_REFUSED_CERTIFICATE;

    default:
        return NGX_PROM_REFUSED_KEY;
    }
}


static int
session_is_named(const ngx_prom_host_t *host, const char *name)
{
    return host->name.len == strlen(name)
           && memcmp(host->name.data, name, host->name.len) == 0;
}
