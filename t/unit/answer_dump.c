/*
 * Reads a pushed response on stdin and prints what is made of it, for
 * t/03-poll-answer.t:
 *
 *     answer_dump SIZE [BODILESS]
 *
 * SIZE is that of the header's buffer.  It is read in pieces of each length,
 * from one byte on, and must come out the same.  Each piece has memory of its
 * own, so that a sanitizer sees any step outside.
 */


#define _POSIX_C_SOURCE  200809L

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ngx_prom_poll_answer.h"


#define DUMP_MAX  (1024 * 1024)


static char *dump(const char *text, size_t len, size_t piece, uint32_t size,
    int bodiless);
static void dump_header(FILE *out, ngx_prom_poll_answer_t *a,
    const char *text);
static void dump_left(FILE *out, ngx_prom_poll_answer_t *a);


int
main(int argc, char **argv)
{
    int      bodiless;
    char    *text, *whole, *pieces;
    size_t   len, piece;

    text = malloc(DUMP_MAX);

    if (argc < 2 || text == NULL) {
        return 2;
    }

    len = fread(text, 1, DUMP_MAX, stdin);
    bodiless = argc > 2 ? atoi(argv[2]) : 0;

    whole = dump(text, len, len + 1, (uint32_t) atoi(argv[1]), bodiless);

    for (piece = 1; piece <= len && piece < 200; piece++) {
        pieces = dump(text, len, piece, (uint32_t) atoi(argv[1]), bodiless);

        if (strcmp(whole, pieces) != 0) {
            printf("in pieces of %zu:\n%s", piece, pieces);
            return 1;
        }

        free(pieces);
    }

    fputs(whole, stdout);
    free(whole);
    free(text);

    return 0;
}


static char *
dump(const char *text, size_t len, size_t piece, uint32_t size, int bodiless)
{
    char                     *told;
    FILE                     *out;
    size_t                    told_len, n, pos, body_len;
    unsigned char            *copy;
    const unsigned char      *p, *body;
    ngx_prom_poll_answer_e    rc;
    ngx_prom_poll_answer_t    a;

    memset(&a, 0, sizeof(a));
    a.buf = malloc(size);
    a.size = size;

    out = open_memstream(&told, &told_len);
    pos = 0;

    do {
        n = len - pos < piece ? len - pos : piece;
        copy = malloc(n ? n : 1);

        if (copy == NULL || a.buf == NULL || out == NULL) {
            abort();
        }

        memcpy(copy, text + pos, n);
        p = copy;

        do {
            rc = ngx_prom_poll_answer_feed(&a, bodiless, &p, copy + n, &body,
                                           &body_len);

            if (rc == NGX_PROM_POLL_ANSWER_HEADER) {
                dump_header(out, &a, text);
            }

            if (rc == NGX_PROM_POLL_ANSWER_BODY) {
                fwrite(body, 1, body_len, out);
            }

        } while (rc == NGX_PROM_POLL_ANSWER_HEADER
                 || rc == NGX_PROM_POLL_ANSWER_BODY);

        pos += p - copy;
        free(copy);

    } while (rc == NGX_PROM_POLL_ANSWER_MORE && pos < len);

    if (rc == NGX_PROM_POLL_ANSWER_MORE) {
        rc = ngx_prom_poll_answer_end(&a);
    }

    if (rc == NGX_PROM_POLL_ANSWER_ERROR) {
        fprintf(out, "\nerror: %s\n", a.reason);
        dump_left(out, &a);

    } else {
        fprintf(out, "\ndone, %zu bytes behind it\n", len - pos);
    }

    fclose(out);
    free(a.buf);

    return told;
}


static void
dump_header(FILE *out, ngx_prom_poll_answer_t *a, const char *text)
{
    static const char              *framings[] = { "length", "chunked",
                                                   "to end" };
    ngx_prom_poll_answer_header_t   header;

    if (memcmp(a->buf, text, a->used) != 0) {
        fputs("not as it came\n", out);
    }

    fprintf(out, "%u %s", (unsigned) a->status, framings[a->framing]);

    if (a->framing == NGX_PROM_POLL_ANSWER_LENGTH) {
        fprintf(out, " %" PRIu64, a->length);
    }

    putc('\n', out);

    while (ngx_prom_poll_answer_header(a, &header)) {
        fprintf(out, "%.*s=%.*s\n", (int) header.name_len, header.name,
                (int) header.value_len, header.value);
    }

    putc('\n', out);
}


/* what a header has in front of its mistake, which may have its Id */

static void
dump_left(FILE *out, ngx_prom_poll_answer_t *a)
{
    ngx_prom_poll_answer_header_t  header;

    while (ngx_prom_poll_answer_header(a, &header)) {
        if (header.name_len == 2) {
            fprintf(out, "its %.*s: %.*s\n", (int) header.name_len,
                    header.name, (int) header.value_len, header.value);
        }
    }
}
