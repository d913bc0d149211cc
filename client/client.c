#include "client.h"


int
header_add(struct curl_slist **headers, const char *line)
{
    struct curl_slist  *longer;

    longer = curl_slist_append(*headers, line);

    if (longer == NULL) {
        return -1;
    }

    *headers = longer;

    return 0;
}


int
proxy_authorize(const proxy_t *proxy, struct curl_slist **headers)
{
    int        rc;
    buffer_t   line = { NULL, 0, 0, 0 };

    if (proxy->client->token == NULL) {
        return 0;
    }

    buffer_format(&line, "Authorization: Bearer %s",
                  secret_value(proxy->client->token));

    rc = line.failed ? -1 : header_add(headers, line.start);

    buffer_free(&line);

    return rc;
}
