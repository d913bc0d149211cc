/*
 * Text is bytes; whether a byte may be somewhere is never a question of the
 * locale.
 */


#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "str.h"


static int buffer_room(buffer_t *b, size_t len);


str_t
str_of(const char *text)
{
    return (str_t) { text, strlen(text) };
}


int
str_is(str_t s, const char *text)
{
    return strlen(text) == s.len && strncasecmp(s.start, text, s.len) == 0;
}


int
str_equal(str_t a, str_t b)
{
    return a.len == b.len
           && (a.len == 0 || strncasecmp(a.start, b.start, a.len) == 0);
}


str_t
str_trim(str_t s)
{
    while (s.len && (*s.start == ' ' || *s.start == '\t')) {
        s.start++;
        s.len--;
    }

    while (s.len
           && (s.start[s.len - 1] == ' ' || s.start[s.len - 1] == '\t'))
    {
        s.len--;
    }

    return s;
}


int
str_is_token(str_t s)
{
    char    c;
    size_t  i;

    for (i = 0; i < s.len; i++) {
        c = s.start[i];

        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z')
            || (c >= 'A' && c <= 'Z'))
        {
            continue;
        }

        if (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL) {
            return 0;
        }
    }

    return s.len != 0;
}


int
str_is_visible(str_t s)
{
    size_t  i;

    for (i = 0; i < s.len; i++) {
        if (s.start[i] <= ' ' || s.start[i] > '~') {
            return 0;
        }
    }

    return s.len != 0;
}


long
str_number(str_t s, long max)
{
    long    n;
    size_t  i;

    n = 0;

    for (i = 0; i < s.len; i++) {
        if (s.start[i] < '0' || s.start[i] > '9') {
            return -1;
        }

        n = n * 10 + (s.start[i] - '0');

        if (n > max) {
            return -1;
        }
    }

    return s.len ? n : -1;
}


size_t
buffer_size(const buffer_t *b, size_t len)
{
    size_t  size;

    size = b->size ? b->size : 256;

    while (size - b->len <= len) {
        size *= 2;
    }

    return size;
}


void
buffer_add(buffer_t *b, const void *data, size_t len)
{
    if (buffer_room(b, len) == -1) {
        return;
    }

    if (len) {
        memcpy(b->start + b->len, data, len);
        b->len += len;
    }

    b->start[b->len] = '\0';
}


void
buffer_str(buffer_t *b, str_t s)
{
    buffer_add(b, s.start, s.len);
}


void
buffer_text(buffer_t *b, const char *text)
{
    buffer_add(b, text, strlen(text));
}


void
buffer_format(buffer_t *b, const char *format, ...)
{
    int      n;
    va_list  args;

    va_start(args, format);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);

    if (n < 0 || buffer_room(b, (size_t) n) == -1) {
        b->failed = 1;
        return;
    }

    va_start(args, format);
    (void) vsnprintf(b->start + b->len, (size_t) n + 1, format, args);
    va_end(args);

    b->len += (size_t) n;
}


void
buffer_url(buffer_t *b, const char *url)
{
    size_t       n;
    const char  *host, *at;

    host = strstr(url, "://");

    if (host == NULL) {
        buffer_text(b, url);
        return;
    }

    host += 3;
    at = NULL;

    for (n = 0; host[n] && host[n] != '/'; n++) {
        if (host[n] == '@') {
            at = host + n;
        }
    }

    buffer_add(b, url, (size_t) (host - url));
    buffer_text(b, at ? at + 1 : host);
}


void
buffer_clear(buffer_t *b)
{
    b->len = 0;
    b->failed = 0;

    if (b->start) {
        b->start[0] = '\0';
    }
}


void
buffer_fit(buffer_t *b)
{
    char  *start;

    if (b->start == NULL) {
        return;
    }

    start = realloc(b->start, b->len + 1);

    if (start) {
        b->start = start;
        b->size = b->len + 1;
    }
}


void
buffer_free(buffer_t *b)
{
    free(b->start);
    memset(b, 0, sizeof(*b));
}


static int
buffer_room(buffer_t *b, size_t len)
{
    char    *start;
    size_t   size;

    size = buffer_size(b, len);

    if (size == b->size) {
        return 0;
    }

    start = realloc(b->start, size);

    if (start == NULL) {
        b->failed = 1;
        return -1;
    }

    b->start = start;
    b->size = size;

    return 0;
}


int
reason(reason_t reason, const char *format, ...)
{
    va_list  args;

    va_start(args, format);
    (void) vsnprintf(reason, sizeof(reason_t), format, args);
    va_end(args);

    return -1;
}
