/*
 * Names and their pins, as flags have them.
 */


#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "rules.h"


#define RULES_PATH  "/metrics"    /* of a pinned URL that has none */


static int rule_pin_socket(rule_t *rule, const char *url, reason_t why);
static int rule_pin_url(rule_t *rule, const char *url, reason_t why);
static int rule_pin_parts(rule_t *rule, CURLU *u, const char *url,
    reason_t why);


int
rule_name(rule_t *rule, const char *name, reason_t why)
{
    long         port;
    size_t       len;
    const char  *p;

    if (name[0] == '[') {
        len = strspn(name + 1, "0123456789abcdefABCDEF:.") + 2;
        p = name[len - 1] == ']' ? name + len : NULL;

    } else {
        len = strspn(name, "abcdefghijklmnopqrstuvwxyz"
                           "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
        p = name + len;
    }

    if (p == NULL || len == 0 || strlen(name) > 255
        || (*p != '\0' && *p != ':'))
    {
        return reason(why, "\"%.*s\" is no name: it has letters, digits and"
                      " \"._-\", at most 255", REASON_TEXT, name);
    }

    if (*p == ':') {
        port = str_number(str_of(p + 1), 65535);

        if (port <= 0) {
            return reason(why, "\"%.*s\" has no valid port", REASON_TEXT,
                          name);
        }

        rule->port = (int) port;
    }

    rule->name = strdup(name);
    rule->host = strndup(name, len);

    if (rule->name == NULL || rule->host == NULL) {
        return reason(why, "out of memory");
    }

    return 0;
}


int
rule_pin(rule_t *rule, const char *url, reason_t why)
{
    rule->pinned = 1;

    if (strncmp(url, "unix:", 5) == 0) {
        return rule_pin_socket(rule, url, why);
    }

    return rule_pin_url(rule, url, why);
}


static int
rule_pin_socket(rule_t *rule, const char *url, reason_t why)
{
    size_t       len;
    const char  *socket, *path;

    socket = url + 5;
    len = strcspn(socket, ":");
    path = socket[len] == ':' ? socket + len + 1 : RULES_PATH;

    if (socket[0] != '/'
        || len >= sizeof(((struct sockaddr_un *) 0)->sun_path))
    {
        return reason(why, "\"%.*s\" isn't unix:SOCKET[:PATH], with an"
                      " absolute SOCKET of at most 107 bytes", REASON_TEXT,
                      url);
    }

    if (path[0] != '/' || !str_is_visible(str_of(path)) || strchr(path, '#')) {
        return reason(why, "\"%.*s\" has no valid path", REASON_TEXT, url);
    }

    rule->fixed = strchr(path, '?') != NULL;
    rule->base = strdup("http://localhost");
    rule->path = strdup(path);
    rule->socket = strndup(socket, len);

    if (rule->base == NULL || rule->path == NULL || rule->socket == NULL) {
        return reason(why, "out of memory");
    }

    return 0;
}


static int
rule_pin_url(rule_t *rule, const char *url, reason_t why)
{
    int     rc;
    CURLU  *u;

    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
        return reason(why, "\"%.*s\" doesn't begin with http://, https:// or"
                      " unix:", REASON_TEXT, url);
    }

    u = curl_url();

    if (u == NULL) {
        return reason(why, "out of memory");
    }

    rc = rule_pin_parts(rule, u, url, why);

    curl_url_cleanup(u);

    return rc;
}


static int
rule_pin_parts(rule_t *rule, CURLU *u, const char *url, reason_t why)
{
    size_t       len;
    char        *base;
    const char  *path;
    CURLUcode    rc;

    rc = curl_url_set(u, CURLUPART_URL, url, CURLU_PATH_AS_IS);

    if (rc != CURLUE_OK) {
        return reason(why, "it is no valid URL: %s", curl_url_strerror(rc));
    }

    path = strstr(url, "://") + 3;
    len = strcspn(path, "/?#");
    path += len;

    if (strchr(path, '#') || (*path && !str_is_visible(str_of(path)))) {
        return reason(why, "its path has a fragment, or characters that must"
                      " be encoded");
    }

    if (curl_url_set(u, CURLUPART_PATH, "/", 0) != CURLUE_OK
        || curl_url_set(u, CURLUPART_QUERY, NULL, 0) != CURLUE_OK
        || curl_url_get(u, CURLUPART_URL, &base, 0) != CURLUE_OK)
    {
        return reason(why, "out of memory");
    }

    rule->base = strdup(base);
    curl_free(base);

    rule->fixed = strchr(path, '?') != NULL;

    if (path[0] == '/') {
        rule->path = strdup(path);

    } else {
        len = sizeof(RULES_PATH) + strlen(path);
        rule->path = malloc(len);

        if (rule->path) {
            memcpy(rule->path, RULES_PATH, sizeof(RULES_PATH));
            strcat(rule->path, path);
        }
    }

    if (rule->base == NULL || rule->path == NULL) {
        return reason(why, "out of memory");
    }

    /* without its "/" */

    rule->base[strlen(rule->base) - 1] = '\0';

    return 0;
}
