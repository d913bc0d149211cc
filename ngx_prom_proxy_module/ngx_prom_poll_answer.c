/*
 * The HTTP response that a poll client pushes, read as it comes.
 *
 * What two readers could frame in two ways is refused rather than mended.  A
 * line of the header may end in a bare LF, as everywhere in nginx; those of
 * chunks may not.
 */


#include <string.h>

#include "ngx_prom_poll_answer.h"


#define NGX_PROM_POLL_CHUNK_LINE  256         /* bytes, its extensions too */
#define NGX_PROM_POLL_TRAILERS    4096
#define NGX_PROM_POLL_NAME_MAX    255         /* bytes of a header's name */
#define NGX_PROM_POLL_BODY_MAX    ((uint64_t) INT64_MAX)

/* what a header has said of its body */

#define NGX_PROM_POLL_SEEN_LENGTH   0x01
#define NGX_PROM_POLL_SEEN_CHUNKED  0x02
#define NGX_PROM_POLL_SEEN_1_1      0x04      /* or later */


enum {
    ngx_prom_poll_status = 0,
    ngx_prom_poll_headers,
    ngx_prom_poll_length,
    ngx_prom_poll_to_end,
    ngx_prom_poll_chunk_start,
    ngx_prom_poll_chunk_size,
    ngx_prom_poll_chunk_extension,
    ngx_prom_poll_chunk_lf,
    ngx_prom_poll_chunk_data,
    ngx_prom_poll_chunk_end,
    ngx_prom_poll_chunk_end_lf,
    ngx_prom_poll_trailer_start,
    ngx_prom_poll_trailer,
    ngx_prom_poll_trailer_lf,
    ngx_prom_poll_last_lf,
    ngx_prom_poll_done,
    ngx_prom_poll_failed
};


static ngx_prom_poll_answer_e ngx_prom_poll_answer_head(
    ngx_prom_poll_answer_t *a, int bodiless, const unsigned char **pos,
    const unsigned char *last);
static ngx_prom_poll_answer_e ngx_prom_poll_answer_whole(
    ngx_prom_poll_answer_t *a, int bodiless);
static int ngx_prom_poll_answer_status(ngx_prom_poll_answer_t *a,
    const unsigned char *p, size_t len);
static int ngx_prom_poll_answer_line(ngx_prom_poll_answer_t *a,
    const unsigned char *p, size_t len);
static int ngx_prom_poll_answer_length(ngx_prom_poll_answer_t *a,
    const ngx_prom_poll_answer_header_t *header);
static int ngx_prom_poll_answer_encoding(ngx_prom_poll_answer_t *a,
    const ngx_prom_poll_answer_header_t *header);
static ngx_prom_poll_answer_e ngx_prom_poll_answer_data(
    ngx_prom_poll_answer_t *a, const unsigned char **pos,
    const unsigned char *last, const unsigned char **body, size_t *len);
static int ngx_prom_poll_answer_framing(ngx_prom_poll_answer_t *a,
    unsigned char ch);
static int ngx_prom_poll_answer_size(ngx_prom_poll_answer_t *a,
    unsigned char ch);

static void ngx_prom_poll_answer_split(const unsigned char *p, size_t len,
    ngx_prom_poll_answer_header_t *header);
static int ngx_prom_poll_answer_is(const ngx_prom_poll_answer_header_t *header,
    const char *name);
static int ngx_prom_poll_answer_same(const unsigned char *p, size_t len,
    const char *lower);
static int ngx_prom_poll_answer_token(unsigned char ch);
static int ngx_prom_poll_answer_text(unsigned char ch);
static ngx_prom_poll_answer_e ngx_prom_poll_answer_fail(
    ngx_prom_poll_answer_t *a, const char *reason);


ngx_prom_poll_answer_e
ngx_prom_poll_answer_feed(ngx_prom_poll_answer_t *a, int bodiless,
    const unsigned char **pos, const unsigned char *last,
    const unsigned char **body, size_t *len)
{
    if (a->state <= ngx_prom_poll_headers) {
        return ngx_prom_poll_answer_head(a, bodiless, pos, last);
    }

    for ( ;; ) {

        switch (a->state) {

        case ngx_prom_poll_length:
        case ngx_prom_poll_to_end:
        case ngx_prom_poll_chunk_data:
            return ngx_prom_poll_answer_data(a, pos, last, body, len);

        case ngx_prom_poll_done:
            return NGX_PROM_POLL_ANSWER_DONE;

        case ngx_prom_poll_failed:
            return NGX_PROM_POLL_ANSWER_ERROR;
        }

        if (*pos == last) {
            return NGX_PROM_POLL_ANSWER_MORE;
        }

        if (!ngx_prom_poll_answer_framing(a, *(*pos)++)) {
            return NGX_PROM_POLL_ANSWER_ERROR;
        }
    }
}


ngx_prom_poll_answer_e
ngx_prom_poll_answer_end(ngx_prom_poll_answer_t *a)
{
    switch (a->state) {

    case ngx_prom_poll_to_end:
        a->state = ngx_prom_poll_done;

        /* fall through */

    case ngx_prom_poll_done:
        return NGX_PROM_POLL_ANSWER_DONE;

    case ngx_prom_poll_failed:
        return NGX_PROM_POLL_ANSWER_ERROR;

    case ngx_prom_poll_status:
    case ngx_prom_poll_headers:
        return ngx_prom_poll_answer_fail(a, a->used == 0
                                            ? "it is empty"
                                            : "it ends within its header");

    default:
        return ngx_prom_poll_answer_fail(a, "it ends within its body");
    }
}


int
ngx_prom_poll_answer_header(ngx_prom_poll_answer_t *a,
    ngx_prom_poll_answer_header_t *header)
{
    size_t                len;
    const unsigned char  *p, *lf;

    /* the status line is in front of them, and an empty one behind */

    if (a->next == 0 && a->line) {
        lf = memchr(a->buf, '\n', a->line);
        a->next = (uint32_t) (lf + 1 - a->buf);
    }

    if (a->next < a->line) {
        p = a->buf + a->next;
        lf = memchr(p, '\n', a->line - a->next);
        len = lf - p;

        if (len && p[len - 1] == '\r') {
            len--;
        }

        if (len) {
            a->next = (uint32_t) (lf + 1 - a->buf);
            ngx_prom_poll_answer_split(p, len, header);

            return 1;
        }
    }

    a->next = 0;

    return 0;
}


/* the header is kept as it came; each line is looked at once it is whole */

static ngx_prom_poll_answer_e
ngx_prom_poll_answer_head(ngx_prom_poll_answer_t *a, int bodiless,
    const unsigned char **pos, const unsigned char *last)
{
    size_t                size, len;
    const unsigned char  *lf, *line;

    while (*pos < last) {
        lf = memchr(*pos, '\n', last - *pos);
        size = (lf ? lf + 1 : last) - *pos;

        if (size > a->size - a->used) {
            return ngx_prom_poll_answer_fail(a, "its header is too long");
        }

        memcpy(a->buf + a->used, *pos, size);
        a->used += (uint32_t) size;
        *pos += size;

        if (lf == NULL) {
            break;
        }

        line = a->buf + a->line;
        len = a->used - a->line - 1;

        if (len && line[len - 1] == '\r') {
            len--;
        }

        if (a->state == ngx_prom_poll_status) {
            if (!ngx_prom_poll_answer_status(a, line, len)) {
                return NGX_PROM_POLL_ANSWER_ERROR;
            }

            a->state = ngx_prom_poll_headers;

        } else if (len == 0) {
            return ngx_prom_poll_answer_whole(a, bodiless);

        } else if (!ngx_prom_poll_answer_line(a, line, len)) {
            return NGX_PROM_POLL_ANSWER_ERROR;
        }

        a->line = a->used;
    }

    return NGX_PROM_POLL_ANSWER_MORE;
}


static ngx_prom_poll_answer_e
ngx_prom_poll_answer_whole(ngx_prom_poll_answer_t *a, int bodiless)
{
    switch (a->seen & (NGX_PROM_POLL_SEEN_LENGTH|NGX_PROM_POLL_SEEN_CHUNKED)) {

    case 0:
        a->framing = NGX_PROM_POLL_ANSWER_TO_END;
        a->state = ngx_prom_poll_to_end;
        break;

    case NGX_PROM_POLL_SEEN_LENGTH:
        a->framing = NGX_PROM_POLL_ANSWER_LENGTH;
        a->left = a->length;
        a->state = a->left ? ngx_prom_poll_length : ngx_prom_poll_done;
        break;

    case NGX_PROM_POLL_SEEN_CHUNKED:

        if (!(a->seen & NGX_PROM_POLL_SEEN_1_1)) {
            return ngx_prom_poll_answer_fail(a, "it has Transfer-Encoding, "
                                             "which HTTP/1.0 doesn't know");
        }

        a->framing = NGX_PROM_POLL_ANSWER_CHUNKED;
        a->state = ngx_prom_poll_chunk_start;
        break;

    default:
        return ngx_prom_poll_answer_fail(a, "it has both Content-Length and "
                                         "Transfer-Encoding");
    }

    if (bodiless || a->status == 204 || a->status == 304) {
        a->state = ngx_prom_poll_done;
    }

    return NGX_PROM_POLL_ANSWER_HEADER;
}


/* HTTP/1.1 200 OK */

static int
ngx_prom_poll_answer_status(ngx_prom_poll_answer_t *a, const unsigned char *p,
    size_t len)
{
    size_t    i;
    unsigned  status;

    for (i = 0; i < len; i++) {
        if (!ngx_prom_poll_answer_text(p[i])) {
            goto invalid;
        }
    }

    if (len < sizeof("HTTP/1.1 200") - 1
        || memcmp(p, "HTTP/", sizeof("HTTP/") - 1) != 0
        || p[5] < '0' || p[5] > '9' || p[6] != '.' || p[7] < '0' || p[7] > '9'
        || p[8] != ' '
        || (len > sizeof("HTTP/1.1 200") - 1 && p[12] != ' '))
    {
        goto invalid;
    }

    status = 0;

    for (i = 9; i < 12; i++) {
        if (p[i] < '0' || p[i] > '9') {
            goto invalid;
        }

        status = status * 10 + (p[i] - '0');
    }

    if (status < 200 || status > 599) {
        ngx_prom_poll_answer_fail(a, "its status is not from 200 to 599");
        return 0;
    }

    a->status = (uint16_t) status;

    if (p[5] > '1' || (p[5] == '1' && p[7] > '0')) {
        a->seen |= NGX_PROM_POLL_SEEN_1_1;
    }

    return 1;

invalid:

    ngx_prom_poll_answer_fail(a, "its first line is not an HTTP status");

    return 0;
}


static int
ngx_prom_poll_answer_line(ngx_prom_poll_answer_t *a, const unsigned char *p,
    size_t len)
{
    size_t                         i;
    ngx_prom_poll_answer_header_t  header;

    for (i = 0; i < len && ngx_prom_poll_answer_token(p[i]); i++) {
        /* void */
    }

    /* that is also a line that is folded, or has a space before the colon */

    if (i == 0 || i == len || p[i] != ':' || i > NGX_PROM_POLL_NAME_MAX) {
        ngx_prom_poll_answer_fail(a, "a line of its header is not NAME: "
                                  "VALUE");
        return 0;
    }

    for ( /* void */ ; i < len; i++) {
        if (!ngx_prom_poll_answer_text(p[i])) {
            ngx_prom_poll_answer_fail(a, "a header's value has a control "
                                      "character");
            return 0;
        }
    }

    ngx_prom_poll_answer_split(p, len, &header);

    if (ngx_prom_poll_answer_is(&header, "content-length")) {
        return ngx_prom_poll_answer_length(a, &header);
    }

    if (ngx_prom_poll_answer_is(&header, "transfer-encoding")) {
        return ngx_prom_poll_answer_encoding(a, &header);
    }

    return 1;
}


static int
ngx_prom_poll_answer_length(ngx_prom_poll_answer_t *a,
    const ngx_prom_poll_answer_header_t *header)
{
    unsigned   digit;
    uint32_t   i;
    uint64_t   length;

    length = 0;

    for (i = 0; i < header->value_len; i++) {
        digit = (unsigned) header->value[i] - '0';

        if (digit > 9 || length > (NGX_PROM_POLL_BODY_MAX - digit) / 10) {
            goto invalid;
        }

        length = length * 10 + digit;
    }

    if (header->value_len == 0) {
        goto invalid;
    }

    if ((a->seen & NGX_PROM_POLL_SEEN_LENGTH) && a->length != length) {
        ngx_prom_poll_answer_fail(a, "it has two Content-Lengths that "
                                  "differ");
        return 0;
    }

    a->seen |= NGX_PROM_POLL_SEEN_LENGTH;
    a->length = length;

    return 1;

invalid:

    ngx_prom_poll_answer_fail(a, "its Content-Length is not a number");

    return 0;
}


static int
ngx_prom_poll_answer_encoding(ngx_prom_poll_answer_t *a,
    const ngx_prom_poll_answer_header_t *header)
{
    if ((a->seen & NGX_PROM_POLL_SEEN_CHUNKED)
        || !ngx_prom_poll_answer_same(header->value, header->value_len,
                                      "chunked"))
    {
        ngx_prom_poll_answer_fail(a, "its Transfer-Encoding is not chunked "
                                  "alone");
        return 0;
    }

    a->seen |= NGX_PROM_POLL_SEEN_CHUNKED;

    return 1;
}


static ngx_prom_poll_answer_e
ngx_prom_poll_answer_data(ngx_prom_poll_answer_t *a,
    const unsigned char **pos, const unsigned char *last,
    const unsigned char **body, size_t *len)
{
    if (*pos == last) {
        return NGX_PROM_POLL_ANSWER_MORE;
    }

    *body = *pos;
    *len = last - *pos;

    if (a->state != ngx_prom_poll_to_end) {
        if (*len > a->left) {
            *len = (size_t) a->left;
        }

        a->left -= *len;

        if (a->left == 0) {
            a->state = a->state == ngx_prom_poll_length
                       ? ngx_prom_poll_done : ngx_prom_poll_chunk_end;
        }
    }

    *pos += *len;

    return NGX_PROM_POLL_ANSWER_BODY;
}


/* a byte between chunks, or behind the last one; 0 if it has no place there */

static int
ngx_prom_poll_answer_framing(ngx_prom_poll_answer_t *a, unsigned char ch)
{
    switch (a->state) {

    case ngx_prom_poll_chunk_start:
    case ngx_prom_poll_chunk_size:
    case ngx_prom_poll_chunk_extension:
        return ngx_prom_poll_answer_size(a, ch);

    case ngx_prom_poll_chunk_lf:

        if (ch != '\n') {
            break;
        }

        a->count = 0;
        a->state = a->left ? ngx_prom_poll_chunk_data
                           : ngx_prom_poll_trailer_start;
        return 1;

    case ngx_prom_poll_chunk_end:

        if (ch != '\r') {
            break;
        }

        a->state = ngx_prom_poll_chunk_end_lf;
        return 1;

    case ngx_prom_poll_chunk_end_lf:

        if (ch != '\n') {
            break;
        }

        a->state = ngx_prom_poll_chunk_start;
        return 1;

    case ngx_prom_poll_trailer_start:
    case ngx_prom_poll_trailer:

        if (++a->count > NGX_PROM_POLL_TRAILERS) {
            ngx_prom_poll_answer_fail(a, "its trailers are too long");
            return 0;
        }

        if (ch == '\r') {
            a->state = a->state == ngx_prom_poll_trailer
                       ? ngx_prom_poll_trailer_lf : ngx_prom_poll_last_lf;
            return 1;
        }

        if (!ngx_prom_poll_answer_text(ch)) {
            break;
        }

        a->state = ngx_prom_poll_trailer;
        return 1;

    case ngx_prom_poll_trailer_lf:
    case ngx_prom_poll_last_lf:

        if (ch != '\n') {
            break;
        }

        a->state = a->state == ngx_prom_poll_trailer_lf
                   ? ngx_prom_poll_trailer_start : ngx_prom_poll_done;
        return 1;
    }

    ngx_prom_poll_answer_fail(a, "its chunks are broken");

    return 0;
}


static int
ngx_prom_poll_answer_size(ngx_prom_poll_answer_t *a, unsigned char ch)
{
    unsigned  digit;

    if (++a->count > NGX_PROM_POLL_CHUNK_LINE) {
        ngx_prom_poll_answer_fail(a, "a chunk's size is too long");
        return 0;
    }

    if (a->state == ngx_prom_poll_chunk_start) {
        a->left = 0;
    }

    if (a->state != ngx_prom_poll_chunk_extension) {
        digit = ch >= '0' && ch <= '9' ? (unsigned) ch - '0'
              : ch >= 'a' && ch <= 'f' ? (unsigned) ch - 'a' + 10
              : ch >= 'A' && ch <= 'F' ? (unsigned) ch - 'A' + 10
              : 16;

        if (digit < 16) {
            if (a->left > NGX_PROM_POLL_BODY_MAX >> 4) {
                ngx_prom_poll_answer_fail(a, "a chunk's size is too large");
                return 0;
            }

            a->left = a->left << 4 | digit;
            a->state = ngx_prom_poll_chunk_size;
            return 1;
        }

        if (a->state == ngx_prom_poll_chunk_start
            || (ch != '\r' && ch != ';' && ch != ' ' && ch != '\t'))
        {
            goto invalid;
        }
    }

    if (ch == '\r') {
        a->state = ngx_prom_poll_chunk_lf;
        return 1;
    }

    if (!ngx_prom_poll_answer_text(ch)) {
        goto invalid;
    }

    a->state = ngx_prom_poll_chunk_extension;

    return 1;

invalid:

    ngx_prom_poll_answer_fail(a, "a chunk's size is not a number");

    return 0;
}


/* a line that has a colon; white space around its value is none of it */

static void
ngx_prom_poll_answer_split(const unsigned char *p, size_t len,
    ngx_prom_poll_answer_header_t *header)
{
    const unsigned char  *last, *colon;

    last = p + len;
    colon = memchr(p, ':', len);

    header->name = p;
    header->name_len = (uint16_t) (colon - p);

    p = colon + 1;

    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    while (last > p && (last[-1] == ' ' || last[-1] == '\t')) {
        last--;
    }

    header->value = p;
    header->value_len = (uint32_t) (last - p);
}


static int
ngx_prom_poll_answer_is(const ngx_prom_poll_answer_header_t *header,
    const char *name)
{
    return ngx_prom_poll_answer_same(header->name, header->name_len, name);
}


static int
ngx_prom_poll_answer_same(const unsigned char *p, size_t len,
    const char *lower)
{
    size_t         i;
    unsigned char  ch;

    if (len != strlen(lower)) {
        return 0;
    }

    for (i = 0; i < len; i++) {
        ch = p[i] >= 'A' && p[i] <= 'Z' ? p[i] | 0x20 : p[i];

        if (ch != (unsigned char) lower[i]) {
            return 0;
        }
    }

    return 1;
}


static int
ngx_prom_poll_answer_token(unsigned char ch)
{
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z')
           || (ch >= '0' && ch <= '9')
           || (ch != '\0' && strchr("!#$%&'*+-.^_`|~", ch) != NULL);
}


static int
ngx_prom_poll_answer_text(unsigned char ch)
{
    return (ch >= 0x20 && ch != 0x7f) || ch == '\t';
}


static ngx_prom_poll_answer_e
ngx_prom_poll_answer_fail(ngx_prom_poll_answer_t *a, const char *reason)
{
    a->state = ngx_prom_poll_failed;
    a->reason = reason;

    return NGX_PROM_POLL_ANSWER_ERROR;
}
