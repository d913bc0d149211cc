#include <stdlib.h>
#include <string.h>

#include "wipe.h"


static int wipe_room(buffer_t *b, size_t len);


void
wipe_add(buffer_t *b, const void *data, size_t len)
{
    if (wipe_room(b, len) == -1) {
        b->failed = 1;
        return;
    }

    buffer_add(b, data, len);
}


void
wipe_text(buffer_t *b, const char *text)
{
    wipe_add(b, text, strlen(text));
}


void
wipe_base64(buffer_t *b, const void *data, size_t len)
{
    char                  quad[4];
    size_t                n;
    unsigned long         bits;
    const unsigned char  *p;

    static const char  digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz0123456789+/";

    for (p = data; len; p += n, len -= n) {
        n = len < 3 ? len : 3;

        bits = (unsigned long) p[0] << 16
               | (n > 1 ? (unsigned long) p[1] << 8 : 0)
               | (n > 2 ? p[2] : 0);

        quad[0] = digits[bits >> 18 & 63];
        quad[1] = digits[bits >> 12 & 63];
        quad[2] = n > 1 ? digits[bits >> 6 & 63] : '=';
        quad[3] = n > 2 ? digits[bits & 63] : '=';

        wipe_add(b, quad, sizeof(quad));
    }

    explicit_bzero(quad, sizeof(quad));
}


void
wipe_escaped(buffer_t *b, const char *text)
{
    char           escaped[3];
    unsigned char  c;

    static const char  digits[] = "0123456789ABCDEF";

    for (/* void */; *text; text++) {
        c = (unsigned char) *text;

        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z')
            || (c >= 'A' && c <= 'Z') || strchr("-._~", c))
        {
            wipe_add(b, &c, 1);
            continue;
        }

        escaped[0] = '%';
        escaped[1] = digits[c >> 4];
        escaped[2] = digits[c & 15];

        wipe_add(b, escaped, sizeof(escaped));
    }
}


void
wipe_clear(buffer_t *b)
{
    if (b->start) {
        explicit_bzero(b->start, b->size);
    }

    buffer_clear(b);
}


void
wipe_free(buffer_t *b)
{
    wipe_clear(b);
    buffer_free(b);
}


/* so much that buffer_add() finds enough */

static int
wipe_room(buffer_t *b, size_t len)
{
    char    *start;
    size_t   size;

    size = buffer_size(b, len);

    if (size == b->size) {
        return 0;
    }

    start = calloc(1, size);

    if (start == NULL) {
        return -1;
    }

    if (b->start) {
        memcpy(start, b->start, b->len);
        explicit_bzero(b->start, b->size);
        free(b->start);
    }

    b->start = start;
    b->size = size;

    return 0;
}
