/*
 * What is wrong with a value is said at once, and not when it is used.
 */


#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "options_value.h"


int
options_set_fqdn(void *data, const flag_t *flag, const char *value,
    reason_t why)
{
    options_t  *options = data;

    (void) flag;

    free(options->fqdn);
    options->fqdn = strdup(value);

    return options->fqdn ? 0 : reason(why, "out of memory");
}


int
options_set_proxy(void *data, const flag_t *flag, const char *value,
    reason_t why)
{
    char       *url;
    size_t      len;
    CURLU      *u;
    unsigned    i;
    CURLUcode   rc;
    options_t  *options = data;

    (void) flag;

    if (strncmp(value, "http://", 7) != 0
        && strncmp(value, "https://", 8) != 0)
    {
        return reason(why, "\"%.*s\" doesn't begin with http:// or https://",
                      REASON_TEXT, value);
    }

    if (strpbrk(value, "?#")) {
        return reason(why, "the URL has a query or a fragment");
    }

    u = curl_url();
    rc = u ? curl_url_set(u, CURLUPART_URL, value, 0) : CURLUE_OUT_OF_MEMORY;
    curl_url_cleanup(u);

    if (rc != CURLUE_OK) {
        return reason(why, "it is no valid URL: %s", curl_url_strerror(rc));
    }

    if (flag_add(&options->proxies, &options->nproxies, value) == -1) {
        return reason(why, "out of memory");
    }

    url = options->proxies[options->nproxies - 1];

    for (len = strlen(url); url[len - 1] == '/'; len--) {
        url[len - 1] = '\0';
    }

    for (i = 0; i + 1 < options->nproxies; i++) {
        if (strcmp(options->proxies[i], url) == 0) {
            return reason(why, "it is given twice");
        }
    }

    return 0;
}


int
options_set_pin(void *data, const flag_t *flag, const char *value,
    reason_t why)
{
    options_t  *options = data;

    (void) flag;

    if (flag_add(&options->pins, &options->npins, value) == -1) {
        return reason(why, "out of memory");
    }

    return 0;
}


int
options_set_port(void *data, const flag_t *flag, const char *value,
    reason_t why)
{
    long        port;
    options_t  *options = data;
    static int  any;

    (void) flag;

    if (strcmp(value, "*") == 0) {
        any = 1;
        options->ports.n = 0;
        return 0;
    }

    port = str_number(str_of(value), 65535);

    if (port <= 0) {
        return reason(why, "\"%.*s\" is no port", REASON_TEXT, value);
    }

    if (any) {
        return 0;
    }

    if (options->ports.n == RULES_PORTS) {
        return reason(why, "it is given more than %d times", RULES_PORTS);
    }

    options->ports.port[options->ports.n++] = (int) port;

    return 0;
}


int
options_set_label(void *data, const flag_t *flag, const char *value,
    reason_t why)
{
    size_t       len;
    options_t   *options = data;
    const char  *p;

    (void) flag;

    len = strcspn(value, "=");

    if (value[len] != '=' || len == 0
        || strspn(value, "abcdefghijklmnopqrstuvwxyz"
                         "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") != len
        || (value[0] >= '0' && value[0] <= '9'))
    {
        return reason(why, "\"%.*s\" isn't NAME=VALUE with letters, digits"
                      " and \"_\" in NAME", REASON_TEXT, value);
    }

    if (strncmp(value, "__", 2) == 0
        || str_is((str_t) { value, len }, "job")
        || str_is((str_t) { value, len }, "instance"))
    {
        return reason(why, "\"%.*s\" is Prometheus' own", (int) len, value);
    }

    buffer_format(&options->labels, "%s%.*s=\"",
                  options->labels.len ? "," : "", (int) len, value);

    for (p = value + len + 1; *p; p++) {

        if (*p == '"' || *p == '\\') {
            buffer_format(&options->labels, "\\%c", *p);

        } else if (*p == '\n') {
            buffer_text(&options->labels, "\\n");

        } else if ((unsigned char) *p < ' ' || *p == 0x7f) {
            return reason(why, "\"%.*s\" has control characters",
                          (int) len, value);

        } else {
            buffer_add(&options->labels, p, 1);
        }
    }

    buffer_text(&options->labels, "\"");

    return options->labels.failed ? reason(why, "out of memory") : 0;
}
