/*
 * What a request and an answer have in common.
 */


#include <stdio.h>
#include <strings.h>

#include "headers.h"


static int headers_is_value(str_t value);
static int headers_is_named(str_t list, str_t name);


static const char  *headers_hop[] = {
    "Connection",
    "Keep-Alive",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "HTTP2-Settings",
    "Content-Length",
    "Id",
    NULL
};


int
headers_line(headers_t *headers, str_t line, reason_t why)
{
    size_t     n;
    header_t  *header;

    for (n = 0; n < line.len && line.start[n] != ':'; n++) {
        /* void */
    }

    if (n == line.len || !str_is_token((str_t) { line.start, n })) {
        return reason(why, "a line of its header is none");
    }

    if (headers->n == HEADERS_MAX) {
        return reason(why, "its header has more than %d lines", HEADERS_MAX);
    }

    header = &headers->line[headers->n];

    header->name = (str_t) { line.start, n };
    header->value = str_trim((str_t) { line.start + n + 1, line.len - n - 1 });

    if (!headers_is_value(header->value)) {
        return reason(why, "its header \"%.*s\" has control characters",
                      n > 64 ? 64 : (int) n, line.start);
    }

    headers->n++;

    return 0;
}


static int
headers_is_value(str_t value)
{
    size_t         i;
    unsigned char  c;

    for (i = 0; i < value.len; i++) {
        c = (unsigned char) value.start[i];

        if ((c < ' ' && c != '\t') || c == 0x7f) {
            return 0;
        }
    }

    return 1;
}


str_t
headers_find(const headers_t *headers, const char *name)
{
    unsigned  i;

    for (i = 0; i < headers->n; i++) {
        if (str_is(headers->line[i].name, name)) {
            return headers->line[i].value;
        }
    }

    return (str_t) { NULL, 0 };
}


int
headers_is_hop(const headers_t *headers, const header_t *header)
{
    str_t         name;
    unsigned      i;
    const char  **hop;

    name = header->name;

    for (hop = headers_hop; *hop; hop++) {
        if (str_is(name, *hop)) {
            return 1;
        }
    }

    if (name.len > 6 && strncasecmp(name.start, "Proxy-", 6) == 0) {
        return 1;
    }

    for (i = 0; i < headers->n; i++) {
        if (str_is(headers->line[i].name, "Connection")
            && headers_is_named(headers->line[i].value, name))
        {
            return 1;
        }
    }

    return 0;
}


static int
headers_is_named(str_t list, str_t name)
{
    str_t   item;
    size_t  n;

    while (list.len) {

        for (n = 0; n < list.len && list.start[n] != ','; n++) {
            /* void */
        }

        item = str_trim((str_t) { list.start, n });

        if (str_equal(item, name)) {
            return 1;
        }

        n += n < list.len;
        list.start += n;
        list.len -= n;
    }

    return 0;
}
