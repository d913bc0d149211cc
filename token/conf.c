/*
 * The servers of nginx's configuration: one a port, with a location for each
 * remote, and another for a request that the remote has answered with 401.
 */


#include <string.h>
#include <unistd.h>

#include "prepare.h"


#define CONF_SYSTEM_CA  "/etc/ssl/certs/ca-certificates.crt"


static void conf_server(buffer_t *out, const remotes_t *remotes,
    const char *level, int port);
static void conf_remote(buffer_t *out, const remote_t *remote);
static void conf_location(buffer_t *out, const remote_t *remote);


void
conf_servers(buffer_t *out, const remotes_t *remotes, const char *level)
{
    unsigned  n, before;

    for (n = 0; n < remotes->n; n++) {

        for (before = 0; before < n; before++) {
            if (remotes->remote[before].listen == remotes->remote[n].listen) {
                break;
            }
        }

        if (before == n) {
            conf_server(out, remotes, level, remotes->remote[n].listen);
        }
    }
}


static void
conf_server(buffer_t *out, const remotes_t *remotes, const char *level,
    int port)
{
    int              root;
    unsigned         n;
    const remote_t  *remote;

    root = 0;

    buffer_format(out, "server {\n"
                  "    listen      %d;\n", port);

    if (access("/proc/net/if_inet6", F_OK) == 0) {
        buffer_format(out, "    listen      [::]:%d;\n", port);
    }

    /* a line for each query is no warning; it is written once a second */

    if (strcmp(level, "warn") == 0 || strcmp(level, "error") == 0) {
        buffer_text(out, "    access_log  off;\n");

    } else {
        buffer_text(out, "    access_log  /dev/stdout query buffer=16k"
                    " flush=1s;\n");
    }

    buffer_text(out, "    include     /etc/nginx/query-server.conf;\n");

    for (n = 0; n < remotes->n; n++) {
        remote = &remotes->remote[n];

        if (remote->listen == port) {
            conf_remote(out, remote);
            root |= remote->own;
        }
    }

    if (!root) {
        buffer_text(out, "\n"
                    "    location / {\n"
                    "        include  /etc/nginx/query-none.conf;\n"
                    "    }\n");
    }

    buffer_text(out, "}\n");
}


static void
conf_remote(buffer_t *out, const remote_t *remote)
{
    if (remote->own) {
        buffer_text(out, "\n    location / {\n");

    } else {
        buffer_format(out, "\n    location /%s/ {\n", remote->name);
    }

    conf_location(out, remote);

    buffer_format(out, "        error_page         401 = @%s_again;\n"
                  "        include            /etc/nginx/query-remote.conf;\n"
                  "    }\n", remote->name);

    buffer_format(out, "\n    location @%s_again {\n", remote->name);

    conf_location(out, remote);

    buffer_text(out,
                "        include            /etc/nginx/query-remote.conf;\n"
                "    }\n");
}


/* no value has a quote or a backslash in it, see value.c */

static void
conf_location(buffer_t *out, const remote_t *remote)
{
    const char  *p, *ca;

    buffer_format(out, "        prom_token         %s;\n"
                  "        prom_token_remote  \"%s\"", remote->name,
                  remote->value[SETTING_URL]);

    if (!remote->own) {
        buffer_format(out, " prefix=/%s", remote->name);
    }

    if (remote->https) {
        ca = remote->value[SETTING_CA];

        if (strcmp(remote->value[SETTING_VERIFY], "off") == 0) {
            buffer_text(out, " verify=off");

        } else {
            buffer_format(out, " ca=%s", ca ? ca : CONF_SYSTEM_CA);
        }
    }

    buffer_text(out, ";\n        prom_token_api     ");

    for (p = remote->value[SETTING_ALLOW]; *p; p++) {
        buffer_add(out, *p == ',' ? " " : p, 1);
    }

    buffer_text(out, ";\n");

    /* it is held to be signed, where one of an unknown length has no end */

    if (remote->auth == AUTH_AWS) {
        buffer_text(out, "        client_max_body_size  1m;\n");
    }

    if (remote->value[SETTING_CERT]) {
        buffer_format(out, "        proxy_ssl_certificate      %s;\n"
                      "        proxy_ssl_certificate_key  %s;\n",
                      remote->value[SETTING_CERT], remote->value[SETTING_KEY]);
    }
}
