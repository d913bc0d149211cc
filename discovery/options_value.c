/*
 * What is wrong with a value is said at once, and not when it is used.
 */


#include <curl/curl.h>
#include <string.h>

#include "dns.h"
#include "options_value.h"


#define OPTIONS_INTERVAL  1000    /* ms, at least */


static int options_each(const char *list, str_t *item, const char **rest);


int
options_set_url(void *data, const flag_t *flag, const char *value,
    reason_t why)
{
    CURLU      *u;
    CURLUcode   rc;

    if (strncmp(value, "http://", 7) != 0
        && strncmp(value, "https://", 8) != 0)
    {
        return reason(why, "\"%.*s\" doesn't begin with http:// or https://",
                      REASON_TEXT, value);
    }

    u = curl_url();
    rc = u ? curl_url_set(u, CURLUPART_URL, value, 0) : CURLUE_OUT_OF_MEMORY;
    curl_url_cleanup(u);

    if (rc != CURLUE_OK) {
        return reason(why, "it is no valid URL: %s", curl_url_strerror(rc));
    }

    return flag_set_text(data, flag, value, why);
}


/* empty: it isn't given */

int
options_set_apiserver(void *data, const flag_t *flag, const char *value,
    reason_t why)
{
    return value[0] ? options_set_url(data, flag, value, why)
                    : flag_set_text(data, flag, value, why);
}


/* a name is that of a port of a Service, as Kubernetes has them */

int
options_set_port(void *data, const flag_t *flag, const char *value,
    reason_t why)
{
    size_t  len;

    len = strlen(value);

    if (strspn(value, "0123456789") == len) {

        if (str_number(str_of(value), 65535) <= 0) {
            return reason(why, "\"%.*s\" is no port of 1 to 65535",
                          REASON_TEXT, value);
        }

    } else if (len > 63
               || strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789-")
                  != len)
    {
        return reason(why, "\"%.*s\" is no port: a number, or a name of"
                      " lower case letters, digits and \"-\"",
                      REASON_TEXT, value);
    }

    return flag_set_text(data, flag, value, why);
}


int
options_set_namespace(void *data, const flag_t *flag, const char *value,
    reason_t why)
{
    if (strlen(value) > 63
        || strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789-")
           != strlen(value))
    {
        return reason(why, "\"%.*s\" is no namespace: lower case letters,"
                      " digits and \"-\"", REASON_TEXT, value);
    }

    return flag_set_text(data, flag, value, why);
}


int
options_set_static(void *data, const flag_t *flag, const char *value,
    reason_t why)
{
    char          address[300];
    str_t         item;
    size_t        n;
    options_t    *options = data;
    const char   *rest;

    (void) flag;

    for (rest = value; options_each(rest, &item, &rest); /* void */) {

        if (item.len >= sizeof(address)) {
            return reason(why, "\"%.*s\" is too long for HOST:PORT",
                          REASON_TEXT, item.start);
        }

        memcpy(address, item.start, item.len);
        address[item.len] = '\0';

        if (place_address(address, why) == -1) {
            return -1;
        }

        n = options->fixed.n;

        if (places_add(&options->fixed, item, item) == -1) {
            return reason(why, "out of memory");
        }

        if (options->fixed.n == n) {
            return reason(why, "\"%s\" is given twice", address);
        }
    }

    return 0;
}


int
options_set_dns(void *data, const flag_t *flag, const char *value,
    reason_t why)
{
    char        name[300];
    str_t       item;
    unsigned    i;
    options_t  *options = data;
    const char *rest;

    (void) flag;

    for (rest = value; options_each(rest, &item, &rest); /* void */) {

        if (item.len >= sizeof(name)) {
            return reason(why, "\"%.*s\" is too long for NAME[:PORT]",
                          REASON_TEXT, item.start);
        }

        memcpy(name, item.start, item.len);
        name[item.len] = '\0';

        if (dns_name(name, why) == -1) {
            return -1;
        }

        for (i = 0; i < options->ndns; i++) {
            if (str_is(item, options->dns[i])) {
                return reason(why, "\"%s\" is given twice", name);
            }
        }

        if (flag_add(&options->dns, &options->ndns, name) == -1) {
            return reason(why, "out of memory");
        }
    }

    return 0;
}


int
options_set_interval(void *data, const flag_t *flag, const char *value,
    reason_t why)
{
    options_t  *options = data;

    if (flag_set_duration(data, flag, value, why) == -1) {
        return -1;
    }

    return options->interval >= OPTIONS_INTERVAL ? 0
           : reason(why, "\"%.*s\" is less than a second", REASON_TEXT,
                    value);
}


/* the first item of a list with commas, and what is behind it; 0: no more */

static int
options_each(const char *list, str_t *item, const char **rest)
{
    size_t  len;

    if (list == NULL) {
        return 0;
    }

    len = strcspn(list, ",");

    *item = (str_t) { list, len };
    *rest = list[len] ? list + len + 1 : NULL;

    return 1;
}
