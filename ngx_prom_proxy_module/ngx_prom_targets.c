/*
 * The grammar of /etc/monitoring/targets; see the header.
 *
 * One pass over the text.  Labels are unescaped and packed to the left where
 * they stand, which always fits: the "=" and the byte behind a value make
 * room for the two zeros.
 */


#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "ngx_prom_targets.h"


#define NGX_PROM_LABELS_MAX      64     /* labels of a line */
#define NGX_PROM_LINE_MIN        3      /* bytes of a line with a NAME */
#define NGX_PROM_HOST_MAX        253    /* bytes of a DNS name */
#define NGX_PROM_HOST_LABEL_MAX  63     /* bytes between two of its dots */
#define NGX_PROM_PATH_MAX                                                     \
    (sizeof(((struct sockaddr_un *) 0)->sun_path) - 1)

/* Prometheus keeps durations as nanoseconds in an int64 */

#define NGX_PROM_DURATION_MAX    9223372036854ULL

#define NGX_PROM_BOM             "\xef\xbb\xbf"
#define NGX_PROM_EXCERPT         48     /* bytes of the file in a message */
#define NGX_PROM_REASON          512

#if (defined __GNUC__)
#define NGX_PROM_FORMAT          __attribute__((format(printf, 3, 4)))
#else
#define NGX_PROM_FORMAT
#endif


typedef char  ngx_prom_excerpt_t[NGX_PROM_EXCERPT * 4 + sizeof("...")];


/* a slot of the hash that finds duplicates; empty if name is NULL */

typedef struct {
    const char          *name;
    uint32_t             line;
    uint16_t             len;
    uint16_t             tag;         /* bits of the hash, to compare first */
} ngx_prom_seen_t;


typedef struct {
    ngx_prom_targets_t  *pt;
    ngx_prom_target_t   *target;      /* being filled in */
    ngx_prom_seen_t     *seen;
    uint32_t             seen_mask;

    uint32_t             number;
    char                *start;
    char                *pos;         /* next byte to parse */
    char                *end;         /* behind the last, no line end */
    unsigned             wrong:1;

    char                *out;         /* where packed labels end */
    ngx_prom_text_t      label[NGX_PROM_LABELS_MAX];
    unsigned             nlabels;
    uint64_t             interval;    /* milliseconds; 0 if not given */
    uint64_t             timeout;
} ngx_prom_line_t;


typedef struct {
    const char          *name;
    uint64_t             msec;
} ngx_prom_unit_t;


static size_t ngx_prom_targets_bound(const char *text, const char *last);
static int ngx_prom_targets_init(ngx_prom_line_t *pl, size_t bound);
static void ngx_prom_line_parse(ngx_prom_line_t *pl);
static int ngx_prom_line_check(ngx_prom_line_t *pl);
static int ngx_prom_line_more(ngx_prom_line_t *pl);
static int ngx_prom_line_token(ngx_prom_line_t *pl, ngx_prom_text_t *token);
static void ngx_prom_line_error(ngx_prom_line_t *pl, const char *at,
    const char *fmt, ...) NGX_PROM_FORMAT;
static const char *ngx_prom_excerpt(ngx_prom_excerpt_t buf, const char *data,
    size_t len);

static void ngx_prom_address_parse(ngx_prom_line_t *pl);
static char *ngx_prom_unix_parse(ngx_prom_line_t *pl, char *p, char *end);
static char *ngx_prom_authority_parse(ngx_prom_line_t *pl, char *p, char *end);
static char *ngx_prom_ipv6_parse(ngx_prom_line_t *pl, char *p, char *end);
static char *ngx_prom_host_parse(ngx_prom_line_t *pl, char *p, char *end);
static int ngx_prom_host_check(ngx_prom_line_t *pl,
    const ngx_prom_text_t *host);
static int ngx_prom_number(const char *p, const char *end);
static int ngx_prom_localhost(const char *p, const char *end);
static int ngx_prom_ipv4_parse(const ngx_prom_text_t *host, uint8_t *ip);
static int ngx_prom_port_parse(ngx_prom_line_t *pl, const char *colon,
    const char *end);
static void ngx_prom_base_parse(ngx_prom_line_t *pl, char *base, char *end);

static void ngx_prom_name_parse(ngx_prom_line_t *pl, ngx_prom_text_t *name);
static void ngx_prom_name_seen(ngx_prom_line_t *pl,
    const ngx_prom_text_t *name);
static const char *ngx_prom_segments_check(const char *p, size_t len);

static void ngx_prom_labels_parse(ngx_prom_line_t *pl);
static int ngx_prom_label_parse(ngx_prom_line_t *pl);
static void ngx_prom_label_check(ngx_prom_line_t *pl,
    const ngx_prom_text_t *name);
static int ngx_prom_value_bare(ngx_prom_line_t *pl,
    const ngx_prom_text_t *name);
static int ngx_prom_value_quoted(ngx_prom_line_t *pl,
    const ngx_prom_text_t *name);
static void ngx_prom_value_check(ngx_prom_line_t *pl, char *at,
    const ngx_prom_text_t *name, const ngx_prom_text_t *value);
static uint64_t ngx_prom_duration_parse(const ngx_prom_text_t *value);
static int ngx_prom_utf8_check(const ngx_prom_text_t *text);

static int ngx_prom_text_is(const ngx_prom_text_t *text, const char *s);
static int ngx_prom_starts(const char *p, const char *end, const char *s);
static int ngx_prom_char_in(char ch, const char *others);
static int ngx_prom_blank(char ch);
static int ngx_prom_digit(char ch);
static int ngx_prom_hex(char ch);


static const ngx_prom_unit_t  ngx_prom_units[] = {
    { "y",  31536000000ULL },
    { "w",  604800000ULL },
    { "d",  86400000ULL },
    { "h",  3600000ULL },
    { "m",  60000ULL },
    { "s",  1000ULL },
    { "ms", 1ULL },
    { NULL, 0ULL }
};


int
ngx_prom_targets_parse(ngx_prom_targets_t *pt, char *text, size_t len)
{
    char             *p, *last, *eol;
    ngx_prom_line_t   pl;

    pt->targets = NULL;
    pt->count = 0;
    pt->errors = 0;

    memset(&pl, 0, sizeof(ngx_prom_line_t));
    pl.pt = pt;

    p = text;
    last = text + len;

    if (ngx_prom_starts(p, last, NGX_PROM_BOM)) {
        p += sizeof(NGX_PROM_BOM) - 1;
    }

    if (len >= UINT32_MAX) {
        pl.number = 1;
        pl.start = p;
        ngx_prom_line_error(&pl, p, "more than 4 GB; less is allowed");
        return 1;
    }

    if (ngx_prom_targets_init(&pl, ngx_prom_targets_bound(p, last)) == -1) {
        return -1;
    }

    while (p < last) {
        eol = memchr(p, '\n', last - p);

        pl.number++;
        pl.start = p;
        pl.pos = p;
        pl.end = eol ? eol : last;

        if (eol && pl.end > p && pl.end[-1] == '\r') {
            pl.end--;
        }

        /* labels may overwrite the line's end */

        p = eol ? eol + 1 : last;

        ngx_prom_line_parse(&pl);
    }

    return pt->errors ? 1 : 0;
}


int
ngx_prom_targets_label(const ngx_prom_target_t *target, size_t *pos,
    const char **name, const char **value)
{
    const char  *p;

    if (*pos >= target->labels.len) {
        return 0;
    }

    p = target->labels.data + *pos;
    *name = p;

    p += strlen(p) + 1;
    *value = p;

    p += strlen(p) + 1;
    *pos = p - target->labels.data;

    return 1;
}


/* counts the lines that may have a NAME, so that arrays never grow */

static size_t
ngx_prom_targets_bound(const char *text, const char *last)
{
    size_t       n;
    const char  *p, *eol;

    n = 0;

    for (p = text; p < last; p = eol + 1) {
        eol = memchr(p, '\n', last - p);

        if (eol == NULL) {
            eol = last;
        }

        if (eol - p >= NGX_PROM_LINE_MIN && *p != '#') {
            n++;
        }

        if (eol == last) {
            break;
        }
    }

    return n;
}


static int
ngx_prom_targets_init(ngx_prom_line_t *pl, size_t bound)
{
    size_t               size;
    ngx_prom_targets_t  *pt;

    if (bound == 0) {
        return 0;
    }

    /* at most half full; bound is under 2^30, as LINE_MIN + 1 is 4 */

    for (size = 4; size < 2 * bound; size *= 2) { /* void */ }

    if (size > SIZE_MAX / sizeof(ngx_prom_seen_t)
        || bound > SIZE_MAX / sizeof(ngx_prom_target_t))
    {
        return -1;
    }

    pt = pl->pt;

    pt->targets = pt->alloc(pt->data, bound * sizeof(ngx_prom_target_t));
    if (pt->targets == NULL) {
        return -1;
    }

    pl->seen = pt->alloc(pt->data, size * sizeof(ngx_prom_seen_t));
    if (pl->seen == NULL) {
        return -1;
    }

    memset(pl->seen, 0, size * sizeof(ngx_prom_seen_t));
    pl->seen_mask = (uint32_t) (size - 1);

    return 0;
}


static void
ngx_prom_line_parse(ngx_prom_line_t *pl)
{
    ngx_prom_text_t      address, name;
    ngx_prom_targets_t  *pt;

    pl->wrong = 0;

    if (!ngx_prom_line_check(pl)) {
        return;
    }

    if (!ngx_prom_line_token(pl, &address)) {
        return;
    }

    if (!ngx_prom_line_token(pl, &name)) {
        ngx_prom_line_error(pl, address.data, "no NAME after the address; "
                            "a line is ADDRESS NAME [LABEL=VALUE ...]");
        return;
    }

    pt = pl->pt;

    pl->target = &pt->targets[pt->count];
    memset(pl->target, 0, sizeof(ngx_prom_target_t));

    pl->target->line = pl->number;
    pl->target->address = address;

    /* each goes on behind the other's mistakes */

    ngx_prom_address_parse(pl);
    ngx_prom_name_parse(pl, &name);
    ngx_prom_labels_parse(pl);

    if (!pl->wrong) {
        pt->count++;
    }
}


static int
ngx_prom_line_check(ngx_prom_line_t *pl)
{
    char           *p;
    unsigned char   ch;

    if (pl->end - pl->start > NGX_PROM_LINE_MAX) {
        ngx_prom_line_error(pl, pl->start + NGX_PROM_LINE_MAX,
                            "line of %zu bytes; %d are allowed",
                            (size_t) (pl->end - pl->start), NGX_PROM_LINE_MAX);
        return 0;
    }

    for (p = pl->start; p < pl->end; p++) {
        ch = (unsigned char) *p;

        if (ch == '\r') {
            ngx_prom_line_error(pl, p, "carriage return within the line; "
                                "lines end with LF or CRLF");
            return 0;
        }

        if ((ch < 0x20 && ch != '\t') || ch == 0x7f) {
            ngx_prom_line_error(pl, p, "control character 0x%02x; "
                                "the only one allowed is tab", ch);
            return 0;
        }

        if (ch == 0xef && ngx_prom_starts(p, pl->end, NGX_PROM_BOM)) {
            ngx_prom_line_error(pl, p, "byte order mark; it is allowed only "
                                "at the start of the file");
            return 0;
        }
    }

    return 1;
}


/* skips white space: is there anything but a comment left? */

static int
ngx_prom_line_more(ngx_prom_line_t *pl)
{
    while (pl->pos < pl->end && ngx_prom_blank(*pl->pos)) {
        pl->pos++;
    }

    return pl->pos < pl->end && *pl->pos != '#';
}


static int
ngx_prom_line_token(ngx_prom_line_t *pl, ngx_prom_text_t *token)
{
    if (!ngx_prom_line_more(pl)) {
        return 0;
    }

    token->data = pl->pos;

    while (pl->pos < pl->end && !ngx_prom_blank(*pl->pos)) {
        pl->pos++;
    }

    token->len = pl->pos - token->data;

    return 1;
}


static void
ngx_prom_line_error(ngx_prom_line_t *pl, const char *at, const char *fmt, ...)
{
    char                 reason[NGX_PROM_REASON];
    va_list              args;
    ngx_prom_targets_t  *pt;

    pl->wrong = 1;
    pt = pl->pt;

    if (pt->errors++ >= NGX_PROM_ERRORS_MAX) {
        return;
    }

    va_start(args, fmt);
    (void) vsnprintf(reason, sizeof(reason), fmt, args);
    va_end(args);

    pt->error(pt->data, pl->number, (uint32_t) (at - pl->start + 1), reason);
}


/* makes bytes of the file fit for a log: printable, short and quotable */

static const char *
ngx_prom_excerpt(ngx_prom_excerpt_t buf, const char *data, size_t len)
{
    char           *out;
    size_t          i;
    unsigned char   ch;

    static const char  hex[] = "0123456789abcdef";

    out = buf;

    for (i = 0; i < len && i < NGX_PROM_EXCERPT; i++) {
        ch = (unsigned char) data[i];

        if (ch < 0x20 || ch > 0x7e) {
            *out++ = '\\';
            *out++ = 'x';
            *out++ = hex[ch >> 4];
            *out++ = hex[ch & 0xf];
            continue;
        }

        if (ch == '"' || ch == '\\') {
            *out++ = '\\';
        }

        *out++ = (char) ch;
    }

    memcpy(out, i < len ? "..." : "", i < len ? 4 : 1);

    return buf;
}


static void
ngx_prom_address_parse(ngx_prom_line_t *pl)
{
    char                *p, *end, *scheme;
    ngx_prom_target_t   *target;
    ngx_prom_excerpt_t   buf;

    target = pl->target;

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

static int
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


static int
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


static void
ngx_prom_name_parse(ngx_prom_line_t *pl, ngx_prom_text_t *name)
{
    size_t               i;
    const char          *mistake;
    ngx_prom_text_t      whole;
    ngx_prom_excerpt_t   buf, byte;

    whole = *name;

    for (i = 0; i < name->len; i++) {
        if (!ngx_prom_char_in(name->data[i], "/._~-")) {
            ngx_prom_line_error(pl, &name->data[i], "name \"%s\" has \"%s\" "
                                "in it; segments are letters, digits and "
                                "\"._~-\"",
                                ngx_prom_excerpt(buf, whole.data, whole.len),
                                ngx_prom_excerpt(byte, &name->data[i], 1));
            return;
        }
    }

    if (name->data[0] == '/') {
        name->data++;
        name->len--;
    }

    if (name->len && name->data[name->len - 1] == '/') {
        name->len--;
    }

    mistake = ngx_prom_segments_check(name->data, name->len);

    if (mistake) {
        ngx_prom_line_error(pl, whole.data, "name \"%s\" has %s in it; "
                            "segments are letters, digits and \"._~-\"",
                            ngx_prom_excerpt(buf, whole.data, whole.len),
                            mistake);
        return;
    }

    if (name->len > NGX_PROM_NAME_MAX) {
        ngx_prom_line_error(pl, whole.data, "name of %zu bytes; "
                            "%d are allowed", name->len, NGX_PROM_NAME_MAX);
        return;
    }

    pl->target->name = *name;

    ngx_prom_name_seen(pl, name);
}


/* says what is wrong in "segment/segment", or returns NULL */

static const char *
ngx_prom_segments_check(const char *p, size_t len)
{
    const char  *end, *slash;

    for (end = p + len; p <= end; p = slash + 1) {
        slash = memchr(p, '/', end - p);

        if (slash == NULL) {
            slash = end;
        }

        if (slash == p) {
            return "an empty segment";
        }

        if (slash - p == 1 && p[0] == '.') {
            return "\".\"";
        }

        if (slash - p == 2 && p[0] == '.' && p[1] == '.') {
            return "\"..\"";
        }
    }

    return NULL;
}


/* FNV-1a; names of lines with other mistakes count too */

static void
ngx_prom_name_seen(ngx_prom_line_t *pl, const ngx_prom_text_t *name)
{
    size_t               i;
    uint16_t             tag;
    uint64_t             hash;
    ngx_prom_seen_t     *seen;
    ngx_prom_excerpt_t   buf;

    hash = 14695981039346656037ULL;

    for (i = 0; i < name->len; i++) {
        hash = (hash ^ (unsigned char) name->data[i]) * 1099511628211ULL;
    }

    hash ^= hash >> 32;
    tag = (uint16_t) (hash >> 48);

    for (i = hash & pl->seen_mask; ; i = (i + 1) & pl->seen_mask) {
        seen = &pl->seen[i];

        if (seen->name == NULL) {
            break;
        }

        if (seen->tag == tag && seen->len == name->len
            && memcmp(seen->name, name->data, name->len) == 0)
        {
            ngx_prom_line_error(pl, name->data, "name \"%s\" is on line %u "
                                "already", ngx_prom_excerpt(buf, name->data,
                                                            name->len),
                                (unsigned) seen->line);
            return;
        }
    }

    seen->name = name->data;
    seen->line = pl->number;
    seen->len = (uint16_t) name->len;
    seen->tag = tag;
}


static void
ngx_prom_labels_parse(ngx_prom_line_t *pl)
{
    ngx_prom_target_t  *target;

    target = pl->target;

    pl->out = pl->pos;
    pl->nlabels = 0;
    pl->interval = 0;
    pl->timeout = 0;

    target->labels.data = pl->pos;

    while (ngx_prom_line_more(pl)) {

        if (pl->nlabels == NGX_PROM_LABELS_MAX) {
            ngx_prom_line_error(pl, pl->pos, "more than %d labels in the "
                                "line", NGX_PROM_LABELS_MAX);
            return;
        }

        if (!ngx_prom_label_parse(pl)) {
            return;
        }
    }

    target->labels.len = pl->out - target->labels.data;
}


/* returns 0 where the rest of the line can't be told apart any more */

static int
ngx_prom_label_parse(ngx_prom_line_t *pl)
{
    int                  found;
    char                *p, *at;
    ngx_prom_text_t     *name, value;
    ngx_prom_excerpt_t   buf;

    name = &pl->label[pl->nlabels];
    name->data = pl->pos;

    for (p = pl->pos; p < pl->end && *p != '=' && !ngx_prom_blank(*p); p++) {
        /* void */
    }

    name->len = p - name->data;

    if (p == pl->end || *p != '=') {
        ngx_prom_line_error(pl, name->data, "\"%s\" has no \"=\"; after NAME "
                            "come LABEL=VALUE, with spaces LABEL=\"VALUE\"",
                            ngx_prom_excerpt(buf, name->data, name->len));
        return 0;
    }

    ngx_prom_label_check(pl, name);

    memmove(pl->out, name->data, name->len);
    name->data = pl->out;
    pl->nlabels++;

    pl->out += name->len;
    *pl->out++ = '\0';
    pl->pos = p + 1;

    at = pl->pos;
    value.data = pl->out;

    if (at < pl->end && *at == '"') {
        found = ngx_prom_value_quoted(pl, name);

    } else {
        found = ngx_prom_value_bare(pl, name);
    }

    if (!found) {
        return 0;
    }

    value.len = pl->out - value.data;

    /* steps over the blank, or the line's end, that becomes the zero */

    if (pl->pos < pl->end) {
        pl->pos++;
    }

    *pl->out++ = '\0';

    ngx_prom_value_check(pl, at, name, &value);

    return 1;
}


static void
ngx_prom_label_check(ngx_prom_line_t *pl, const ngx_prom_text_t *name)
{
    size_t               i;
    ngx_prom_text_t     *other;
    ngx_prom_excerpt_t   buf, byte;

    ngx_prom_excerpt(buf, name->data, name->len);

    for (i = 0; i < name->len; i++) {
        if (!ngx_prom_char_in(name->data[i], "_")) {
            ngx_prom_line_error(pl, &name->data[i], "label \"%s\" has \"%s\" "
                                "in it; a label is letters, digits and \"_\"",
                                buf,
                                ngx_prom_excerpt(byte, &name->data[i], 1));
            return;
        }
    }

    if (name->len == 0 || ngx_prom_digit(name->data[0])) {
        ngx_prom_line_error(pl, name->data, "label \"%s\" does not begin "
                            "with a letter or \"_\"", buf);
        return;
    }

    if (ngx_prom_text_is(name, "job") || ngx_prom_text_is(name, "instance")) {
        ngx_prom_line_error(pl, name->data, "label \"%s\" is set by "
                            "Prometheus; names other than job and instance "
                            "are allowed", buf);
        return;
    }

    if (ngx_prom_starts(name->data, name->data + name->len, "__")
        && !ngx_prom_text_is(name, "__metrics_path__")
        && !ngx_prom_text_is(name, "__scrape_interval__")
        && !ngx_prom_text_is(name, "__scrape_timeout__")
        && (!ngx_prom_starts(name->data, name->data + name->len, "__param_")
            || name->len == sizeof("__param_") - 1))
    {
        ngx_prom_line_error(pl, name->data, "label \"%s\" is reserved by "
                            "\"__\"; __metrics_path__, __scrape_interval__, "
                            "__scrape_timeout__ and __param_NAME are allowed",
                            buf);
        return;
    }

    for (i = 0; i < pl->nlabels; i++) {
        other = &pl->label[i];

        if (other->len == name->len
            && memcmp(other->data, name->data, name->len) == 0)
        {
            ngx_prom_line_error(pl, name->data, "label \"%s\" is in the line "
                                "already", buf);
            return;
        }
    }
}


static int
ngx_prom_value_bare(ngx_prom_line_t *pl, const ngx_prom_text_t *name)
{
    char                *p;
    ngx_prom_excerpt_t   buf, byte;

    for (p = pl->pos; p < pl->end && !ngx_prom_blank(*p); p++) {

        if (*p == '"' || *p == '\'' || *p == '\\') {
            ngx_prom_line_error(pl, p, "value of \"%s\" has \"%s\" in it; "
                                "that is allowed only in double quotes",
                                ngx_prom_excerpt(buf, name->data, name->len),
                                ngx_prom_excerpt(byte, p, 1));
            return 0;
        }

        *pl->out++ = *p;
    }

    if (p == pl->pos) {
        ngx_prom_line_error(pl, p - 1, "label \"%s\" has no value; an empty "
                            "one is written as \"\"",
                            ngx_prom_excerpt(buf, name->data, name->len));
        return 0;
    }

    pl->pos = p;

    return 1;
}


static int
ngx_prom_value_quoted(ngx_prom_line_t *pl, const ngx_prom_text_t *name)
{
    char                *p;
    ngx_prom_excerpt_t   buf, byte;

    ngx_prom_excerpt(buf, name->data, name->len);

    for (p = pl->pos + 1; p < pl->end && *p != '"'; p++) {

        if (*p != '\\') {
            *pl->out++ = *p;
            continue;
        }

        if (++p == pl->end) {
            break;
        }

        if (*p != '\\' && *p != '"' && *p != 'n') {
            ngx_prom_line_error(pl, p - 1, "value of \"%s\" has \"\\\" before "
                                "\"%s\"; \\\\, \\\" and \\n are allowed", buf,
                                ngx_prom_excerpt(byte, p, 1));
            return 0;
        }

        *pl->out++ = (*p == 'n') ? '\n' : *p;
    }

    if (p == pl->end) {
        ngx_prom_line_error(pl, pl->pos, "value of \"%s\" has no closing "
                            "quote in its line", buf);
        return 0;
    }

    pl->pos = p + 1;

    if (pl->pos < pl->end && !ngx_prom_blank(*pl->pos)) {
        ngx_prom_line_error(pl, pl->pos, "\"%s\" right after the closing "
                            "quote of \"%s\"; white space is allowed",
                            ngx_prom_excerpt(byte, pl->pos, 1), buf);
        return 0;
    }

    return 1;
}


static void
ngx_prom_value_check(ngx_prom_line_t *pl, char *at,
    const ngx_prom_text_t *name, const ngx_prom_text_t *value)
{
    uint64_t             msec;
    ngx_prom_excerpt_t   buf;

    ngx_prom_excerpt(buf, name->data, name->len);

    if (value->len > NGX_PROM_VALUE_MAX) {
        ngx_prom_line_error(pl, at, "value of \"%s\" is %zu bytes; "
                            "%d are allowed", buf, value->len,
                            NGX_PROM_VALUE_MAX);
        return;
    }

    if (!ngx_prom_utf8_check(value)) {
        ngx_prom_line_error(pl, at, "value of \"%s\" is not valid UTF-8", buf);
        return;
    }

    if (ngx_prom_text_is(name, "__metrics_path__")) {

        if (value->len == 0 || value->data[0] != '/') {
            ngx_prom_line_error(pl, at, "value of \"%s\" does not begin with "
                                "\"/\"", buf);
        }

        return;
    }

    if (!ngx_prom_text_is(name, "__scrape_interval__")
        && !ngx_prom_text_is(name, "__scrape_timeout__"))
    {
        return;
    }

    msec = ngx_prom_duration_parse(value);

    if (msec == 0) {
        ngx_prom_line_error(pl, at, "value of \"%s\" is not a duration over "
                            "zero, such as 30s or 1m30s", buf);
        return;
    }

    if (ngx_prom_text_is(name, "__scrape_interval__")) {
        pl->interval = msec;

    } else {
        pl->timeout = msec;
    }

    if (pl->interval && pl->timeout > pl->interval) {
        ngx_prom_line_error(pl, at, "__scrape_timeout__ is over "
                            "__scrape_interval__; up to it is allowed");
    }
}


/* as Prometheus: units from large to small, each once; 0 if it isn't one */

static uint64_t
ngx_prom_duration_parse(const ngx_prom_text_t *value)
{
    uint64_t                n, msec;
    const char             *p, *end, *first;
    ngx_prom_text_t         text;
    const ngx_prom_unit_t  *unit;

    msec = 0;
    unit = ngx_prom_units;

    p = value->data;
    end = p + value->len;

    while (p < end) {
        n = 0;

        for (first = p; p < end && ngx_prom_digit(*p); p++) {
            n = n * 10 + (*p - '0');

            if (n > NGX_PROM_DURATION_MAX) {
                return 0;
            }
        }

        if (p == first) {
            return 0;
        }

        text.data = (char *) p;

        while (p < end && !ngx_prom_digit(*p)) {
            p++;
        }

        text.len = p - text.data;

        while (unit->name && !ngx_prom_text_is(&text, unit->name)) {
            unit++;
        }

        if (unit->name == NULL || n > NGX_PROM_DURATION_MAX / unit->msec) {
            return 0;
        }

        msec += n * unit->msec;
        unit++;

        if (msec > NGX_PROM_DURATION_MAX) {
            return 0;
        }
    }

    return msec;
}


static int
ngx_prom_utf8_check(const ngx_prom_text_t *text)
{
    size_t          i, n;
    uint32_t        code, least;
    unsigned char   ch;

    for (i = 0; i < text->len; i++) {
        ch = (unsigned char) text->data[i];

        if (ch < 0x80) {
            continue;
        }

        if (ch >= 0xf0 && ch <= 0xf4) {
            n = 3;
            code = ch & 0x07;
            least = 0x10000;

        } else if (ch >= 0xe0 && ch < 0xf0) {
            n = 2;
            code = ch & 0x0f;
            least = 0x800;

        } else if (ch >= 0xc2 && ch < 0xe0) {
            n = 1;
            code = ch & 0x1f;
            least = 0x80;

        } else {
            return 0;
        }

        if (n >= text->len - i) {
            return 0;
        }

        while (n--) {
            ch = (unsigned char) text->data[++i];

            if ((ch & 0xc0) != 0x80) {
                return 0;
            }

            code = (code << 6) | (ch & 0x3f);
        }

        if (code < least || code > 0x10ffff
            || (code >= 0xd800 && code <= 0xdfff))
        {
            return 0;
        }
    }

    return 1;
}


static int
ngx_prom_text_is(const ngx_prom_text_t *text, const char *s)
{
    size_t  len;

    len = strlen(s);

    return text->len == len && memcmp(text->data, s, len) == 0;
}


static int
ngx_prom_starts(const char *p, const char *end, const char *s)
{
    size_t  len;

    len = strlen(s);

    return (size_t) (end - p) >= len && memcmp(p, s, len) == 0;
}


/* an ASCII letter or digit, or one of the others */

static int
ngx_prom_char_in(char ch, const char *others)
{
    unsigned char  c;

    c = (unsigned char) (ch | 0x20);

    return (c >= 'a' && c <= 'z') || ngx_prom_digit(ch)
           || (ch && strchr(others, ch) != NULL);
}


static int
ngx_prom_blank(char ch)
{
    return ch == ' ' || ch == '\t';
}


static int
ngx_prom_digit(char ch)
{
    return ch >= '0' && ch <= '9';
}


static int
ngx_prom_hex(char ch)
{
    return ngx_prom_digit(ch) || (ch >= 'a' && ch <= 'f')
           || (ch >= 'A' && ch <= 'F');
}
