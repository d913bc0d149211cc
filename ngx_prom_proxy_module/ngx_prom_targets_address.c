/*
 * ADDRESS of a target: HOST:PORT[/BASE], unix:PATH[:/BASE], or either of them
 * behind a scheme.
 */


#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "ngx_prom_targets_line.h"


#define NGX_PROM_HOST_MAX        253    /* bytes of a DNS name */
#define NGX_PROM_HOST_LABEL_MAX  63     /* bytes between two of its dots */

#define NGX_PROM_PATH_MAX                                                     \
    (sizeof(((struct sockaddr_un *) 0)->sun_path) - 1)


static char *ngx_prom_unix_parse(ngx_prom_line_t *pl, char *p, char *end);
static char *ngx_prom_authority_parse(ngx_prom_line_t *pl, char *p, char *end);
static char *ngx_prom_ipv6_parse(ngx_prom_line_t *pl, char *p, char *end);
static char *ngx_prom_host_parse(ngx_prom_line_t *pl, char *p, char *end);
static int ngx_prom_host_check(ngx_prom_line_t *pl,
    const ngx_prom_text_t *host);
static int ngx_prom_localhost(const char *p, const char *end);
static int ngx_prom_port_parse(ngx_prom_line_t *pl, const char *colon,
    const char *end);
static void ngx_prom_base_parse(ngx_prom_line_t *pl, char *base, char *end);


void
ngx_prom_address_parse(ngx_prom_line_t *pl, ngx_prom_target_t *target)
{
    char                *p, *end, *scheme;
    ngx_prom_excerpt_t   buf;

    pl->target = target;

    p = target->address.data;
    end = p + target->address.len;

    if (ngx_prom_starts(p, end, "http://")) {
        target->port = 80;
        p += sizeof("http://") - 1;

    } else if (ngx_prom_starts(p, end, "https://")) {
        target->port = 443;
        target->tls = 1;
        p += sizeof("https://") - 1;

    } else {
        scheme = p;

        while (p < end && ngx_prom_char_in(*p, "+-.")) {
            p++;
        }

        if (ngx_prom_starts(p, end, "://")) {
            ngx_prom_line_error(pl, scheme, "scheme \"%s\" is not allowed; "
                                "\"http://\" and \"https://\" are, in lower "
                                "case",
                                ngx_prom_excerpt(buf, scheme, p - scheme));
            return;
        }

        p = scheme;
    }

    if (ngx_prom_starts(p, end, "unix:")) {
        p = ngx_prom_unix_parse(pl, p, end);

    } else {
        p = ngx_prom_authority_parse(pl, p, end);
    }

    if (p) {
        ngx_prom_base_parse(pl, p, end);
    }
}


/* this and the next two return where BASE starts, or NULL after a mistake */

static char *
ngx_prom_unix_parse(ngx_prom_line_t *pl, char *p, char *end)
{
    char                *path, *colon, *last;
    ngx_prom_target_t   *target;
    ngx_prom_excerpt_t   buf;

    path = p + sizeof("unix:") - 1;
    colon = memchr(path, ':', end - path);
    last = colon ? colon : end;

    if (path == last || *path != '/') {
        ngx_prom_line_error(pl, p, "unix path \"%s\" does not begin with "
                            "\"/\"; it is unix:PATH[:/BASE]",
                            ngx_prom_excerpt(buf, path, last - path));
        return NULL;
    }

    if ((size_t) (last - path) > NGX_PROM_PATH_MAX) {
        ngx_prom_line_error(pl, p, "unix path of %zu bytes; %zu are allowed",
                            (size_t) (last - path), NGX_PROM_PATH_MAX);
        return NULL;
    }

    target = pl->target;

    target->kind = NGX_PROM_ADDRESS_UNIX;
    target->port = 0;
    target->authority.data = p;
    target->authority.len = last - p;
    target->host.data = path;
    target->host.len = last - path;

    for (p = path; p < last; p++) {
        if ((unsigned char) *p > 0x7e) {
            ngx_prom_line_error(pl, p, "unix path has \"%s\" in it; "
                                "printable ASCII is allowed",
                                ngx_prom_excerpt(buf, p, 1));
            return NULL;
        }
    }

    if (colon == NULL) {
        return end;
    }

    if (colon + 1 == end || colon[1] != '/') {
        ngx_prom_line_error(pl, colon, "\":\" after a unix path is not "
                            "followed by \"/\"; it is unix:PATH[:/BASE]");
        return NULL;
    }

    return colon + 1;
}


static char *
ngx_prom_authority_parse(ngx_prom_line_t *pl, char *p, char *end)
{
    char                *at, *last, *port;
    ngx_prom_target_t   *target;
    ngx_prom_excerpt_t   buf;

    target = pl->target;

    for (last = p; last < end; last++) {
        if (*last == '/' || *last == '?' || *last == '#') {
            break;
        }
    }

    /* the message doesn't quote what may be a password */

    at = memchr(p, '@', last - p);
    if (at) {
        ngx_prom_line_error(pl, at, "user information before \"@\"; "
                            "ADDRESS is HOST:PORT without it");
        return NULL;
    }

    target->authority.data = p;
    target->authority.len = last - p;

    if (p < last && *p == '[') {
        port = ngx_prom_ipv6_parse(pl, p, last);

    } else {
        port = ngx_prom_host_parse(pl, p, last);
    }

    if (port == NULL) {
        return NULL;
    }

    if (port < last) {
        return ngx_prom_port_parse(pl, port, last) ? last : NULL;
    }

    if (target->port == 0) {
        ngx_prom_line_error(pl, p, "address \"%s\" has no port; it may be "
                            "left out only after http:// or https://",
                            ngx_prom_excerpt(buf, p, end - p));
        return NULL;
    }

    return last;
}


/* this and the next return where ":PORT" starts, or NULL after a mistake */

static char *
ngx_prom_ipv6_parse(ngx_prom_line_t *pl, char *p, char *end)
{
    char                *close;
    char                 text[INET6_ADDRSTRLEN];
    size_t               len;
    ngx_prom_target_t   *target;
    ngx_prom_excerpt_t   buf;

    target = pl->target;
    close = memchr(p, ']', end - p);

    if (close == NULL) {
        ngx_prom_line_error(pl, p, "\"[\" is not closed; an IPv6 address is "
                            "written as in [::1]:9100");
        return NULL;
    }

    target->kind = NGX_PROM_ADDRESS_IPV6;
    target->host.data = p + 1;
    target->host.len = close - p - 1;

    len = target->host.len;

    if (len < sizeof(text)) {
        memcpy(text, target->host.data, len);
        text[len] = '\0';
    }

    if (len >= sizeof(text) || inet_pton(AF_INET6, text, target->ip) != 1) {
        ngx_prom_line_error(pl, p, "\"%s\" is not an IPv6 address; "
                            "it is written as in [::1]:9100",
                            ngx_prom_excerpt(buf, p, close + 1 - p));
        return NULL;
    }

    if (close + 1 < end && close[1] != ':') {
        ngx_prom_line_error(pl, close + 1, "\"%s\" after \"]\"; "
                            "\":PORT\" is allowed",
                            ngx_prom_excerpt(buf, close + 1, end - close - 1));
        return NULL;
    }

    return close + 1;
}


static char *
ngx_prom_host_parse(ngx_prom_line_t *pl, char *p, char *end)
{
    char                *colon, *last;
    ngx_prom_text_t     *host;
    ngx_prom_excerpt_t   buf;

    colon = memchr(p, ':', end - p);
    last = colon ? colon : end;

    if (colon && memchr(colon + 1, ':', end - colon - 1)) {
        ngx_prom_line_error(pl, p, "\"%s\" has several \":\"; an IPv6 address "
                            "is written as in [::1]:9100",
                            ngx_prom_excerpt(buf, p, end - p));
        return NULL;
    }

    if (last == p) {
        ngx_prom_line_error(pl, p, "no host; ADDRESS is HOST:PORT[/BASE] or "
                            "unix:PATH[:/BASE]");
        return NULL;
    }

    host = &pl->target->host;

    host->data = p;
    host->len = last - p;

    return ngx_prom_host_check(pl, host) ? last : NULL;
}


static int
ngx_prom_host_check(ngx_prom_line_t *pl, const ngx_prom_text_t *host)
{
    int                  number;
    char                *p, *last, *dot;
    ngx_prom_target_t   *target;
    ngx_prom_excerpt_t   buf, byte;

    target = pl->target;
    last = host->data + host->len;

    for (p = host->data; p < last; p++) {
        if (!ngx_prom_char_in(*p, ".-_")) {
            ngx_prom_line_error(pl, p, "host \"%s\" has \"%s\" in it; a host "
                                "is letters, digits and \".-_\"",
                                ngx_prom_excerpt(buf, host->data, host->len),
                                ngx_prom_excerpt(byte, p, 1));
            return 0;
        }
    }

    /* a dot at the end only says that the name is complete */

    if (last[-1] == '.') {
        last--;
    }

    if (last - host->data > NGX_PROM_HOST_MAX) {
        ngx_prom_line_error(pl, host->data, "host of %zu bytes; %d are "
                            "allowed", (size_t) (last - host->data),
                            NGX_PROM_HOST_MAX);
        return 0;
    }

    number = 1;

    for (p = host->data; p <= last; p = dot + 1) {
        dot = memchr(p, '.', last - p);

        if (dot == NULL) {
            dot = last;
        }

        if (dot == p || dot - p > NGX_PROM_HOST_LABEL_MAX) {
            ngx_prom_line_error(pl, host->data, "host \"%s\" has a part of "
                                "%zu bytes between dots; 1 to %d are allowed",
                                ngx_prom_excerpt(buf, host->data, host->len),
                                (size_t) (dot - p), NGX_PROM_HOST_LABEL_MAX);
            return 0;
        }

        number = number && ngx_prom_number(p, dot);
    }

    if (number) {
        target->kind = NGX_PROM_ADDRESS_IPV4;

        if (!ngx_prom_ipv4_parse(host, target->ip)) {
            ngx_prom_line_error(pl, host->data, "\"%s\" is not an IPv4 "
                                "address; it is four numbers from 0 to 255 "
                                "without leading zeros",
                                ngx_prom_excerpt(buf, host->data, host->len));
            return 0;
        }

        return 1;
    }

    target->kind = ngx_prom_localhost(host->data, last)
                   ? NGX_PROM_ADDRESS_LOCALHOST : NGX_PROM_ADDRESS_DNS;
    return 1;
}


/* resolvers take 127.1, 017700000001 and 0x7f.1 for addresses; we don't */

int
ngx_prom_number(const char *p, const char *end)
{
    if (ngx_prom_starts(p, end, "0x") || ngx_prom_starts(p, end, "0X")) {
        for (p += 2; p < end && ngx_prom_hex(*p); p++) { /* void */ }

        return p == end;
    }

    while (p < end && ngx_prom_digit(*p)) {
        p++;
    }

    return p == end;
}


static int
ngx_prom_localhost(const char *p, const char *end)
{
    const char  *s;

    for (s = "localhost"; p < end && (*p | 0x20) == *s; p++, s++) {
        /* void */
    }

    return p == end && *s == '\0';
}


int
ngx_prom_ipv4_parse(const ngx_prom_text_t *host, uint8_t *ip)
{
    int          octet, i;
    const char  *p, *first, *end;

    p = host->data;
    end = p + host->len;

    for (i = 0; i < 4; i++) {
        octet = 0;

        for (first = p; p < end && ngx_prom_digit(*p); p++) {
            octet = octet * 10 + (*p - '0');

            if (octet > 255 || (*first == '0' && p > first)) {
                return 0;
            }
        }

        if (p == first || (i < 3 && (p == end || *p++ != '.'))) {
            return 0;
        }

        ip[i] = (uint8_t) octet;
    }

    return p == end;
}


static int
ngx_prom_port_parse(ngx_prom_line_t *pl, const char *colon, const char *end)
{
    int                  port;
    const char          *p;
    ngx_prom_excerpt_t   buf;

    port = 0;

    for (p = colon + 1; p < end && ngx_prom_digit(*p); p++) {
        port = port * 10 + (*p - '0');

        if (port == 0 || port > 65535) {
            break;
        }
    }

    if (port == 0 || p != end) {
        ngx_prom_line_error(pl, colon + 1 < end ? colon + 1 : colon,
                            "port \"%s\" is not a number from 1 to 65535 "
                            "without leading zeros",
                            ngx_prom_excerpt(buf, colon + 1, end - colon - 1));
        return 0;
    }

    pl->target->port = (uint16_t) port;

    return 1;
}


static void
ngx_prom_base_parse(ngx_prom_line_t *pl, char *base, char *end)
{
    char                *p;
    const char          *mistake;
    ngx_prom_excerpt_t   buf, byte;

    ngx_prom_excerpt(buf, base, end - base);

    for (p = base; p < end; p++) {
        if (ngx_prom_char_in(*p, "/-._~!$&'()*+,;=:@")) {
            continue;
        }

        if (*p == '%' && end - p > 2
            && ngx_prom_hex(p[1]) && ngx_prom_hex(p[2]))
        {
            continue;
        }

        ngx_prom_line_error(pl, p, "path \"%s\" has \"%s\" in it; a query or "
                            "fragment is not allowed, other bytes are "
                            "written as %%XX", buf,
                            ngx_prom_excerpt(byte, p, 1));
        return;
    }

    if (base < end && end[-1] == '/') {
        end--;
    }

    pl->target->base.data = base;
    pl->target->base.len = end - base;

    if (base < end) {
        mistake = ngx_prom_segments_check(base + 1, end - base - 1);

        if (mistake) {
            ngx_prom_line_error(pl, base, "path \"%s\" has %s in it; it is "
                                "/SEGMENT[/SEGMENT ...]", buf, mistake);
        }
    }
}
