/*
 * The head of a request with CONNECT.
 *
 * What two readers could take in two ways is refused rather than mended, since
 * a client that asks so is mistaken, or hopes that somebody is.  Of a line,
 * nothing is said before it is whole: what a head is never depends on how it
 * came in pieces.
 */


#include <string.h>

#include "ngx_prom_connect.h"


#define NGX_PROM_CONNECT_METHOD  "CONNECT "
#define NGX_PROM_CONNECT_NAME    254          /* bytes of a host, with a dot */
#define NGX_PROM_CONNECT_IPV6    45           /* of eight groups, the last
                                                 two as IPv4 */
#define NGX_PROM_CONNECT_PORT    65535

/* headers that must be there once, or not at all */

#define NGX_PROM_CONNECT_HOST    0x01
#define NGX_PROM_CONNECT_LENGTH  0x02
#define NGX_PROM_CONNECT_USER    0x04


static const char *ngx_prom_connect_line(ngx_prom_connect_t *connect,
    const char *line, size_t len);
static const char *ngx_prom_connect_target(ngx_prom_connect_t *connect);
static const char *ngx_prom_connect_name(const char *p, size_t len);
static const char *ngx_prom_connect_brackets(const char *p, size_t len);
static const char *ngx_prom_connect_port(ngx_prom_connect_t *connect,
    const char *p, size_t len);
static const char *ngx_prom_connect_header(ngx_prom_connect_t *connect,
    unsigned *seen, const char *line, size_t len);
static const char *ngx_prom_connect_once(unsigned *seen, unsigned header,
    const char *reason);
static const char *ngx_prom_connect_authority(const char *p, size_t len);
static const char *ngx_prom_connect_length(const char *p, size_t len);

static int ngx_prom_connect_is(const char *name, size_t len,
    const char *lower);
static int ngx_prom_connect_digit(char ch);
static int ngx_prom_connect_letter(char ch);
static int ngx_prom_connect_token(char ch);
static int ngx_prom_connect_control(char ch);


ngx_prom_connect_e
ngx_prom_connect_parse(ngx_prom_connect_t *connect, const char *buf,
    size_t len)
{
    size_t       n;
    unsigned     seen;
    const char  *p, *lf, *last;

    memset(connect, 0, sizeof(ngx_prom_connect_t));

    n = sizeof(NGX_PROM_CONNECT_METHOD) - 1;

    if (memcmp(buf, NGX_PROM_CONNECT_METHOD, len < n ? len : n) != 0) {
        return NGX_PROM_CONNECT_OTHER;
    }

    last = buf + len;
    seen = 0;

    for (p = buf; p < last; p = lf + 1) {

        lf = memchr(p, '\n', last - p);
        if (lf == NULL) {
            break;
        }

        n = lf - p;

        if (n && p[n - 1] == '\r') {
            n--;
        }

        if (p == buf) {
            connect->reason = ngx_prom_connect_line(connect, p, n);

        } else if (n) {
            connect->reason = ngx_prom_connect_header(connect, &seen, p, n);

        } else if (connect->minor > 0 && !(seen & NGX_PROM_CONNECT_HOST)) {
            connect->reason = "there is no Host header";

        } else {
            connect->len = lf + 1 - buf;
            return NGX_PROM_CONNECT_DONE;
        }

        if (connect->reason) {
            return NGX_PROM_CONNECT_BAD;
        }
    }

    return NGX_PROM_CONNECT_AGAIN;
}


/* CONNECT host:port HTTP/1.1 */

static const char *
ngx_prom_connect_line(ngx_prom_connect_t *connect, const char *line,
    size_t len)
{
    size_t       i;
    const char  *p, *space, *last;

    for (i = 0; i < len; i++) {
        if (ngx_prom_connect_control(line[i])) {
            return "the first line has a control character";
        }
    }

    p = line + sizeof(NGX_PROM_CONNECT_METHOD) - 1;
    last = line + len;

    space = memchr(p, ' ', last - p);

    if (space == NULL || space == p) {
        return "the first line is not CONNECT HOST:PORT HTTP/1.1";
    }

    connect->target.data = p;
    connect->target.len = space - p;

    p = space + 1;

    if (last - p != sizeof("HTTP/1.1") - 1
        || memcmp(p, "HTTP/", sizeof("HTTP/") - 1) != 0
        || !ngx_prom_connect_digit(p[5])
        || p[6] != '.'
        || !ngx_prom_connect_digit(p[7]))
    {
        return "the first line is not CONNECT HOST:PORT HTTP/1.1";
    }

    if (p[5] != '1') {
        return "the version is none of HTTP/1";
    }

    connect->minor = p[7] - '0';

    return ngx_prom_connect_target(connect);
}


static const char *
ngx_prom_connect_target(ngx_prom_connect_t *connect)
{
    size_t       i;
    const char  *p, *end, *last, *reason;

    p = connect->target.data;
    last = p + connect->target.len;

    for (i = 0; i < connect->target.len; i++) {

        switch (p[i]) {

        case '@':
            return "the target has a user; it is HOST:PORT";

        case '/':
        case '?':
        case '#':
            return "the target has a path; it is HOST:PORT";
        }
    }

    if (*p == '[') {
        p++;
        end = memchr(p, ']', last - p);

        if (end == NULL) {
            return "the target has an opening bracket alone";
        }

        reason = ngx_prom_connect_brackets(p, end - p);
        last = end + 1;

    } else {
        end = memchr(p, ':', last - p);

        if (end == NULL) {
            end = last;
        }

        reason = ngx_prom_connect_name(p, end - p);
        last = end;
    }

    if (reason) {
        return reason;
    }

    connect->host.data = p;
    connect->host.len = end - p;

    p = last;
    last = connect->target.data + connect->target.len;

    if (p == last) {
        return "the target has no port; it is HOST:PORT";
    }

    if (*p != ':') {
        return "the target has more than a port behind its bracket";
    }

    if (memchr(p + 1, ':', last - p - 1)) {
        return "the target has several colons; IPv6 is [ADDRESS]:PORT";
    }

    return ngx_prom_connect_port(connect, p + 1, last - p - 1);
}


static const char *
ngx_prom_connect_name(const char *p, size_t len)
{
    size_t  i;

    if (len == 0) {
        return "the target has no host; it is HOST:PORT";
    }

    if (len > NGX_PROM_CONNECT_NAME) {
        return "the target's host is too long";
    }

    for (i = 0; i < len; i++) {
        if (!ngx_prom_connect_letter(p[i])
            && !ngx_prom_connect_digit(p[i])
            && p[i] != '.' && p[i] != '-' && p[i] != '_')
        {
            return "the target's host has other than letters, digits and "
                   "\"._-\"";
        }
    }

    return NULL;
}


/* what can only be IPv6; whether it is one, who looks at addresses says */

static const char *
ngx_prom_connect_brackets(const char *p, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {
        if (!ngx_prom_connect_digit(p[i])
            && !((p[i] | 0x20) >= 'a' && (p[i] | 0x20) <= 'f')
            && p[i] != ':' && p[i] != '.')
        {
            break;
        }
    }

    if (i < len
        || len > NGX_PROM_CONNECT_IPV6
        || memchr(p, ':', len) == NULL)
    {
        return "the target has no IPv6 address in its brackets";
    }

    return NULL;
}


static const char *
ngx_prom_connect_port(ngx_prom_connect_t *connect, const char *p, size_t len)
{
    size_t    i;
    unsigned  port;

    if (len == 0) {
        return "the target has no port; it is HOST:PORT";
    }

    port = 0;

    for (i = 0; i < len; i++) {

        if (!ngx_prom_connect_digit(p[i])) {
            return "the target's port is not a number";
        }

        port = port * 10 + (p[i] - '0');

        if (port > NGX_PROM_CONNECT_PORT) {
            return "the target's port is beyond 65535";
        }
    }

    if (port == 0) {
        return "the target's port is 0";
    }

    connect->port = port;

    return NULL;
}


static const char *
ngx_prom_connect_header(ngx_prom_connect_t *connect, unsigned *seen,
    const char *line, size_t len)
{
    size_t       i, name_len;
    const char  *p, *last, *reason;

    for (i = 0; i < len && ngx_prom_connect_token(line[i]); i++) {
        /* void */
    }

    /* that is also a line that is folded, or has a space before the colon */

    if (i == 0 || i == len || line[i] != ':') {
        return "a header is not NAME: VALUE";
    }

    name_len = i;

    for ( /* void */ ; i < len; i++) {
        if (line[i] != '\t' && ngx_prom_connect_control(line[i])) {
            return "a header has a control character";
        }
    }

    p = line + name_len + 1;
    last = line + len;

    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    while (last > p && (last[-1] == ' ' || last[-1] == '\t')) {
        last--;
    }

    if (ngx_prom_connect_is(line, name_len, "host")) {
        reason = ngx_prom_connect_once(seen, NGX_PROM_CONNECT_HOST,
                                       "there are two Host headers");

        return reason ? reason : ngx_prom_connect_authority(p, last - p);
    }

    if (ngx_prom_connect_is(line, name_len, "content-length")) {
        reason = ngx_prom_connect_once(seen, NGX_PROM_CONNECT_LENGTH,
                                       "there are two Content-Length headers");

        return reason ? reason : ngx_prom_connect_length(p, last - p);
    }

    if (ngx_prom_connect_is(line, name_len, "transfer-encoding")) {
        return "CONNECT has no body, and no Transfer-Encoding";
    }

    if (ngx_prom_connect_is(line, name_len, "proxy-authorization")) {
        connect->credentials.data = p;
        connect->credentials.len = last - p;

        return ngx_prom_connect_once(seen, NGX_PROM_CONNECT_USER,
                                     "there are two Proxy-Authorization "
                                     "headers");
    }

    return NULL;
}


static const char *
ngx_prom_connect_once(unsigned *seen, unsigned header, const char *reason)
{
    if (*seen & header) {
        return reason;
    }

    *seen |= header;

    return NULL;
}


/* what it says is no matter: the target is in the first line */

static const char *
ngx_prom_connect_authority(const char *p, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {
        if (p[i] == ' ' || p[i] == '\t' || p[i] == '/') {
            break;
        }
    }

    return len == 0 || i < len ? "the Host header is not a host" : NULL;
}


static const char *
ngx_prom_connect_length(const char *p, size_t len)
{
    size_t  i;

    for (i = 0; i < len && p[i] == '0'; i++) { /* void */ }

    return len == 0 || i < len ? "CONNECT has no body, and no Content-Length "
                                 "but 0"
                               : NULL;
}


static int
ngx_prom_connect_is(const char *name, size_t len, const char *lower)
{
    size_t  i;

    for (i = 0; i < len && lower[i]; i++) {
        if ((ngx_prom_connect_letter(name[i]) ? name[i] | 0x20 : name[i])
            != lower[i])
        {
            return 0;
        }
    }

    return i == len && lower[i] == '\0';
}


static int
ngx_prom_connect_digit(char ch)
{
    return ch >= '0' && ch <= '9';
}


static int
ngx_prom_connect_letter(char ch)
{
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z');
}


/* RFC 9110, 5.6.2 */

static int
ngx_prom_connect_token(char ch)
{
    return ngx_prom_connect_letter(ch) || ngx_prom_connect_digit(ch)
           || (ch != '\0' && strchr("!#$%&'*+-.^_`|~", ch) != NULL);
}


static int
ngx_prom_connect_control(char ch)
{
    return (unsigned char) ch < 0x20 || ch == 0x7f;
}
