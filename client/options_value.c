/*
 * What is wrong with a value is said at once, and not when it is used.
 */


#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "options_value.h"


static int options_add(char ***list, unsigned *n, const char *text);


int
options_set_text(options_t *options, const options_flag_t *flag,
    const char *value, reason_t why)
{
    (void) why;

    *(const char **) ((char *) options + flag->offset) = value;

    return 0;
}


/* as Go writes them: 1m30s, 500ms, 1.5h */

int
options_set_duration(options_t *options, const options_flag_t *flag,
    const char *value, reason_t why)
{
    char        *end;
    double       n, total;
    unsigned     i;
    const char  *p;

    static const struct {
        const char  *name;
        double       msec;
    } units[] = {
        { "ms", 1 }, { "us", 0.001 }, { "ns", 0.000001 },
        { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }
    };

    total = 0;
    p = strcmp(value, "0") == 0 ? "0s" : value;

    do {
        if (strspn(p, "0123456789.") == 0) {
            goto invalid;
        }

        n = strtod(p, &end);

        for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
            if (strncmp(end, units[i].name, strlen(units[i].name)) == 0) {
                break;
            }
        }

        if (i == sizeof(units) / sizeof(units[0])) {
            goto invalid;
        }

        total += n * units[i].msec;
        p = end + strlen(units[i].name);

    } while (*p);

    if (!(total <= 24 * 3600000.0)) {
        return reason(why, "\"%.*s\" is longer than a day", REASON_TEXT,
                      value);
    }

    *(long *) (void *) ((char *) options + flag->offset)
        = (long) (total + 0.999);

    return 0;

invalid:

    return reason(why, "\"%.*s\" is no duration, as 1m30s or 500ms",
                  REASON_TEXT, value);
}


int
options_set_fqdn(options_t *options, const options_flag_t *flag,
    const char *value, reason_t why)
{
    (void) flag;

    free(options->fqdn);
    options->fqdn = strdup(value);

    return options->fqdn ? 0 : reason(why, "out of memory");
}


int
options_set_proxy(options_t *options, const options_flag_t *flag,
    const char *value, reason_t why)
{
    char       *url;
    size_t      len;
    CURLU      *u;
    unsigned    i;
    CURLUcode   rc;

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

    if (options_add(&options->proxies, &options->nproxies, value) == -1) {
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
options_set_pin(options_t *options, const options_flag_t *flag,
    const char *value, reason_t why)
{
    (void) flag;

    if (options_add(&options->pins, &options->npins, value) == -1) {
        return reason(why, "out of memory");
    }

    return 0;
}


int
options_set_port(options_t *options, const options_flag_t *flag,
    const char *value, reason_t why)
{
    long        port;
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
options_set_label(options_t *options, const options_flag_t *flag,
    const char *value, reason_t why)
{
    size_t          len;
    const char     *p;

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


int
options_set_level(options_t *options, const options_flag_t *flag,
    const char *value, reason_t why)
{
    (void) options;
    (void) flag;

    return log_set_level(value) == 0 ? 0
           : reason(why, "\"%.*s\" isn't debug, info, warn or error",
                    REASON_TEXT, value);
}


int
options_set_format(options_t *options, const options_flag_t *flag,
    const char *value, reason_t why)
{
    (void) options;
    (void) flag;

    return log_set_format(value) == 0 ? 0
           : reason(why, "\"%.*s\" isn't logfmt or json", REASON_TEXT, value);
}


static int
options_add(char ***list, unsigned *n, const char *text)
{
    char  **bigger;

    bigger = realloc(*list, (*n + 1) * sizeof(char *));

    if (bigger == NULL) {
        return -1;
    }

    *list = bigger;
    bigger[*n] = strdup(text);

    if (bigger[*n] == NULL) {
        return -1;
    }

    (*n)++;

    return 0;
}
