/*
 * Strict, as the one who has sent it may be hostile, or a load balancer with a
 * page of its own: lines end with CR LF, and nothing follows the body.
 */


#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "request.h"


static int request_line(str_t *rest, str_t *line, reason_t why);
static int request_start(request_t *r, str_t line, reason_t why);
static int request_uri(request_t *r, reason_t why);
static int request_host(request_t *r, str_t authority, reason_t why);
static int request_body(request_t *r, str_t rest, reason_t why);
static double request_timeout(str_t value);
static str_t request_parameter(str_t *query);
static void request_scheme(request_t *r);
static str_t request_until(str_t s, const char *set);


int
request_parse(request_t *r, const char *text, size_t len, reason_t why)
{
    str_t  rest, line, timeout;

    memset(r, 0, sizeof(*r));

    rest = (str_t) { text, len };

    if (request_line(&rest, &line, why) == -1
        || request_start(r, line, why) == -1
        || request_uri(r, why) == -1)
    {
        return -1;
    }

    for ( ;; ) {
        if (request_line(&rest, &line, why) == -1) {
            return -1;
        }

        if (line.len == 0) {
            break;
        }

        if (headers_line(&r->headers, line, why) == -1) {
            return -1;
        }
    }

    if (request_body(r, rest, why) == -1) {
        return -1;
    }

    request_scheme(r);

    timeout = headers_find(&r->headers, "X-Prometheus-Scrape-Timeout-Seconds");

    r->timeout = request_timeout(timeout);
    r->id = headers_find(&r->headers, "Id");

    if (r->id.len > REQUEST_ID_MAX || !str_is_visible(r->id)) {
        return reason(why, "it is no scrape: it has no \"Id\"");
    }

    return 0;
}


static int
request_line(str_t *rest, str_t *line, reason_t why)
{
    const char  *lf;

    lf = rest->len ? memchr(rest->start, '\n', rest->len) : NULL;

    if (lf == NULL || lf == rest->start || lf[-1] != '\r') {
        return reason(why, "it is no scrape: a line of it has no end");
    }

    *line = (str_t) { rest->start, (size_t) (lf - 1 - rest->start) };

    rest->len -= (size_t) (lf + 1 - rest->start);
    rest->start = lf + 1;

    return 0;
}


static int
request_start(request_t *r, str_t line, reason_t why)
{
    str_t  version;

    r->method = request_until(line, " ");

    if (r->method.len == line.len) {
        return reason(why, "it is no scrape: its first line is \"%.*s\"",
                      line.len > 64 ? 64 : (int) line.len, line.start);
    }

    line.start += r->method.len + 1;
    line.len -= r->method.len + 1;

    r->uri = request_until(line, " ");

    version = (str_t) { line.start + r->uri.len, line.len - r->uri.len };

    if (!str_is_token(r->method) || !str_is_visible(r->uri)
        || version.len != sizeof(" HTTP/1.1") - 1
        || memcmp(version.start, " HTTP/1.", sizeof(" HTTP/1.") - 1) != 0
        || (version.start[8] != '0' && version.start[8] != '1'))
    {
        return reason(why, "it is no scrape: its first line isn't METHOD URI"
                      " HTTP/1.1");
    }

    return 0;
}


/* http://HOST[:PORT][/PATH][?QUERY] */

static int
request_uri(request_t *r, reason_t why)
{
    str_t  uri, authority;

    uri = r->uri;

    if (uri.len > 7 && strncasecmp(uri.start, "http://", 7) == 0) {
        uri.start += 7;
        uri.len -= 7;

    } else if (uri.len > 8 && strncasecmp(uri.start, "https://", 8) == 0) {
        uri.start += 8;
        uri.len -= 8;
        r->https = 1;

    } else {
        return reason(why, "it is no scrape: its URI isn't absolute");
    }

    if (memchr(uri.start, '#', uri.len)) {
        return reason(why, "its URI has a fragment");
    }

    authority = request_until(uri, "/?");

    if (request_host(r, authority, why) == -1) {
        return -1;
    }

    uri.start += authority.len;
    uri.len -= authority.len;

    r->path = request_until(uri, "?");

    if (r->path.len < uri.len) {
        r->query = (str_t) { uri.start + r->path.len + 1,
                             uri.len - r->path.len - 1 };
    }

    return 0;
}


static int
request_host(request_t *r, str_t authority, reason_t why)
{
    str_t  host, port;

    if (authority.len && authority.start[0] == '[') {
        host = request_until(authority, "]");
        host.len += host.len < authority.len;

        if (host.len < 4
            || host.start[host.len - 1] != ']'
            || strspn(host.start + 1, "0123456789abcdefABCDEF:.")
               != host.len - 2)
        {
            return reason(why, "its URI has no valid host");
        }

    } else {
        host = request_until(authority, ":");

        if (host.len == 0 || host.len > 255
            || strspn(host.start, "abcdefghijklmnopqrstuvwxyz"
                      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") < host.len)
        {
            return reason(why, "its URI has no valid host");
        }
    }

    r->host = host;
    port = (str_t) { authority.start + host.len, authority.len - host.len };

    if (port.len == 0) {
        return 0;
    }

    if (port.start[0] == ':') {
        r->port = (int) str_number((str_t) { port.start + 1, port.len - 1 },
                                   65535);
    }

    if (r->port <= 0) {
        return reason(why, "its URI has no valid port");
    }

    return 0;
}


static int
request_body(request_t *r, str_t rest, reason_t why)
{
    long   len;
    str_t  value;

    if (headers_find(&r->headers, "Transfer-Encoding").start) {
        return reason(why, "its body is chunked");
    }

    value = headers_find(&r->headers, "Content-Length");
    len = value.start ? str_number(value, REQUEST_MAX) : 0;

    if (len < 0 || (size_t) len != rest.len) {
        return reason(why, "its body isn't as long as its header says");
    }

    r->body = rest;

    return 0;
}


static double
request_timeout(str_t value)
{
    char     text[32], *end;
    double   timeout;

    /* nothing but digits and a point, so that it isn't "nan", or "1e9" */

    if (value.len == 0 || value.len >= sizeof(text)) {
        return 0;
    }

    memcpy(text, value.start, value.len);
    text[value.len] = '\0';

    if (strspn(text, "0123456789.") != value.len) {
        return 0;
    }

    timeout = strtod(text, &end);

    return *end == '\0' && isfinite(timeout) && timeout > 0 ? timeout : 0;
}


static void
request_scheme(request_t *r)
{
    str_t  query, parameter;

    query = r->query;

    while (query.len) {
        parameter = request_parameter(&query);

        if (parameter.len >= 8 && memcmp(parameter.start, "_scheme=", 8) == 0)
        {
            r->https |= parameter.len == 13
                        && memcmp(parameter.start + 8, "https", 5) == 0;
            break;
        }
    }

    if (r->port == 0) {
        r->port = r->https ? 443 : 80;
    }
}


void
request_query(const request_t *r, buffer_t *query)
{
    str_t   rest, parameter;
    size_t  n;

    rest = r->query;
    n = query->len;

    while (rest.len) {
        parameter = request_parameter(&rest);

        if ((parameter.len >= 8 && memcmp(parameter.start, "_scheme=", 8) == 0)
            || parameter.len == 0)
        {
            continue;
        }

        buffer_text(query, query->len == n ? "?" : "&");
        buffer_str(query, parameter);
    }
}


/* takes the first parameter off a query */

static str_t
request_parameter(str_t *query)
{
    size_t  n;
    str_t   parameter;

    parameter = request_until(*query, "&");

    n = parameter.len + (parameter.len < query->len);

    query->start += n;
    query->len -= n;

    return parameter;
}


/* what is before the first of these characters, or all of it */

static str_t
request_until(str_t s, const char *set)
{
    size_t  i;

    for (i = 0; i < s.len; i++) {
        if (s.start[i] != '\0' && strchr(set, s.start[i])) {
            break;
        }
    }

    return (str_t) { s.start, i };
}
