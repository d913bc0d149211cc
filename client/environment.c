#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "environment.h"
#include "str.h"


typedef struct {
    str_t          host;          /* without brackets */
    long           port;
    int            family;        /* AF_UNSPEC: it is a name */
    unsigned char  bytes[16];
} environment_host_t;


static const char *environment_get(const char *upper, const char *lower);
static int environment_direct(const char *url);
static int environment_excepted(const environment_host_t *host, str_t item);
static void environment_address(environment_host_t *host);
static int environment_network(const environment_host_t *host, str_t item);


const char *
environment_proxy(const char *url)
{
    const char  *proxy;

    if (strncmp(url, "https:", 6) == 0) {
        proxy = environment_get("HTTPS_PROXY", "https_proxy");

    } else {
        proxy = environment_get("HTTP_PROXY", "http_proxy");
    }

    return proxy && !environment_direct(url) ? proxy : NULL;
}


static const char *
environment_get(const char *upper, const char *lower)
{
    const char  *value;

    value = getenv(upper);

    if (value == NULL || value[0] == '\0') {
        value = getenv(lower);
    }

    return value && value[0] ? value : NULL;
}


static int
environment_direct(const char *url)
{
    int                  direct;
    char                *name, *port;
    CURLU               *u;
    size_t               n;
    const char          *list;
    environment_host_t   host;

    direct = 0;
    name = NULL;
    port = NULL;
    u = curl_url();

    if (u == NULL
        || curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK
        || curl_url_get(u, CURLUPART_HOST, &name, 0) != CURLUE_OK
        || curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT)
           != CURLUE_OK)
    {
        goto done;
    }

    host.host = str_of(name);
    host.port = atol(port);

    environment_address(&host);

    direct = str_is(host.host, "localhost")
             || (host.family == AF_INET && host.bytes[0] == 127)
             || (host.family == AF_INET6 && str_is(host.host, "::1"));

    list = environment_get("NO_PROXY", "no_proxy");

    while (!direct && list && *list) {
        n = strcspn(list, ",");
        direct = environment_excepted(&host, str_trim((str_t) { list, n }));
        list += n + (list[n] == ',');
    }

done:

    curl_free(name);
    curl_free(port);
    curl_url_cleanup(u);

    return direct;
}


/* an address, a network, *, or a domain, which is in itself without "." */

static int
environment_excepted(const environment_host_t *host, str_t item)
{
    str_t        tail;
    const char  *colon;

    if (str_is(item, "*")) {
        return 1;
    }

    if (item.len && memchr(item.start, '/', item.len)) {
        return environment_network(host, item);
    }

    if (str_equal(item, host->host)) {
        return 1;
    }

    colon = item.len ? memchr(item.start, ':', item.len) : NULL;

    if (colon && memchr(colon + 1, ':',
                        item.len - (size_t) (colon + 1 - item.start)) == NULL)
    {
        tail = (str_t) { colon + 1,
                         item.len - (size_t) (colon + 1 - item.start) };

        if (str_number(tail, 65535) != host->port) {
            return 0;
        }

        item.len = (size_t) (colon - item.start);
    }

    if (item.len > 1 && item.start[0] == '*' && item.start[1] == '.') {
        item.start++;
        item.len--;

    } else if (str_equal(item, host->host)) {
        return 1;
    }

    if (item.len == 0 || host->family != AF_UNSPEC
        || host->host.len <= item.len)
    {
        return 0;
    }

    tail = (str_t) { host->host.start + host->host.len - item.len, item.len };

    return str_equal(tail, item)
           && (item.start[0] == '.' || tail.start[-1] == '.');
}


static void
environment_address(environment_host_t *host)
{
    char   text[INET6_ADDRSTRLEN];
    str_t  name;

    name = host->host;
    host->family = AF_UNSPEC;

    if (name.len > 2 && name.start[0] == '[') {
        name.start++;
        name.len -= 2;
    }

    host->host = name;

    if (name.len >= sizeof(text)) {
        return;
    }

    memcpy(text, name.start, name.len);
    text[name.len] = '\0';

    if (inet_pton(AF_INET, text, host->bytes) == 1) {
        host->family = AF_INET;

    } else if (inet_pton(AF_INET6, text, host->bytes) == 1) {
        host->family = AF_INET6;
    }
}


static int
environment_network(const environment_host_t *host, str_t item)
{
    long                 bits;
    size_t               n;
    unsigned char        mask;
    environment_host_t   network;

    n = (size_t) ((const char *) memchr(item.start, '/', item.len)
                  - item.start);

    network.host = (str_t) { item.start, n };
    environment_address(&network);

    bits = str_number((str_t) { item.start + n + 1, item.len - n - 1 },
                      network.family == AF_INET ? 32 : 128);

    if (network.family == AF_UNSPEC || network.family != host->family
        || bits == -1)
    {
        return 0;
    }

    n = (size_t) bits / 8;

    if (memcmp(network.bytes, host->bytes, n) != 0) {
        return 0;
    }

    mask = (unsigned char) (0xff00 >> (bits % 8));

    return bits % 8 == 0
           || (network.bytes[n] & mask) == (host->bytes[n] & mask);
}
