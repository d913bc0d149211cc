/*
 * Feeds the parser of pushed responses with anything: the first byte has the
 * length of the pieces, and whether there is a body at all.  Pieces must make
 * no difference, and what comes out must hold.  t/01-fuzz.t builds and runs
 * it.
 */


#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ngx_prom_poll_answer.h"


#define FUZZ_HEADER    512
#define FUZZ_CHECK(e)  fuzz_check(e, #e, __LINE__)


typedef struct {
    ngx_prom_poll_answer_t     a;
    ngx_prom_poll_answer_e     rc;
    unsigned                   headers;
    size_t                     used;
    uint64_t                   body_len;
    uint64_t                   body_sum;
} fuzz_read_t;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_read(fuzz_read_t *fr, const uint8_t *data, size_t size,
    size_t piece, int bodiless);
static void fuzz_piece(fuzz_read_t *fr, const uint8_t *data, size_t n,
    int bodiless);
static void fuzz_header(fuzz_read_t *fr, const uint8_t *data);
static void fuzz_value(const ngx_prom_poll_answer_t *a,
    const unsigned char *p, size_t len);
static void fuzz_check(int holds, const char *what, int line);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int          bodiless;
    size_t       piece;
    fuzz_read_t  whole, pieces;

    if (size == 0) {
        return 0;
    }

    bodiless = data[0] & 1;
    piece = (data[0] >> 1) + 1;

    fuzz_read(&whole, data + 1, size - 1, size, bodiless);
    fuzz_read(&pieces, data + 1, size - 1, piece, bodiless);

    FUZZ_CHECK(whole.rc == pieces.rc);
    FUZZ_CHECK(whole.a.reason == pieces.a.reason);
    FUZZ_CHECK(whole.headers == pieces.headers);
    FUZZ_CHECK(whole.body_len == pieces.body_len);
    FUZZ_CHECK(whole.body_sum == pieces.body_sum);
    FUZZ_CHECK(whole.rc != NGX_PROM_POLL_ANSWER_DONE
               || whole.used == pieces.used);

    free(whole.a.buf);
    free(pieces.a.buf);

    return 0;
}


static void
fuzz_read(fuzz_read_t *fr, const uint8_t *data, size_t size, size_t piece,
    int bodiless)
{
    size_t                         n;
    ngx_prom_poll_answer_header_t  header;

    memset(fr, 0, sizeof(fuzz_read_t));

    fr->a.buf = malloc(FUZZ_HEADER);
    fr->a.size = FUZZ_HEADER;
    FUZZ_CHECK(fr->a.buf != NULL);

    do {
        n = size - fr->used < piece ? size - fr->used : piece;
        fuzz_piece(fr, data, n, bodiless);

    } while (fr->rc == NGX_PROM_POLL_ANSWER_MORE && fr->used < size);

    if (fr->rc == NGX_PROM_POLL_ANSWER_MORE) {
        fr->rc = ngx_prom_poll_answer_end(&fr->a);
    }

    FUZZ_CHECK(fr->rc == NGX_PROM_POLL_ANSWER_DONE
               || fr->rc == NGX_PROM_POLL_ANSWER_ERROR);
    FUZZ_CHECK(fr->rc == ngx_prom_poll_answer_end(&fr->a));

    if (fr->rc == NGX_PROM_POLL_ANSWER_ERROR) {
        while (ngx_prom_poll_answer_header(&fr->a, &header)) {
            fuzz_value(&fr->a, header.value, header.value_len);
        }

        FUZZ_CHECK(fr->a.reason != NULL && *fr->a.reason != '\0');
        return;
    }

    FUZZ_CHECK(fr->headers == 1);

    if (bodiless || fr->a.status == 204 || fr->a.status == 304) {
        FUZZ_CHECK(fr->body_len == 0);

    } else if (fr->a.framing == NGX_PROM_POLL_ANSWER_LENGTH) {
        FUZZ_CHECK(fr->body_len == fr->a.length);

    } else if (fr->a.framing == NGX_PROM_POLL_ANSWER_TO_END) {
        FUZZ_CHECK(fr->used == size);
        FUZZ_CHECK(fr->body_len == size - fr->a.used);
    }
}


/* memory of just its size, so that ASan sees a step outside */

static void
fuzz_piece(fuzz_read_t *fr, const uint8_t *data, size_t n, int bodiless)
{
    size_t                len, i;
    unsigned char        *copy;
    const unsigned char  *p, *before, *body;

    copy = malloc(n ? n : 1);
    FUZZ_CHECK(copy != NULL);

    if (n) {
        memcpy(copy, data + fr->used, n);
    }

    p = copy;

    for ( ;; ) {
        before = p;
        fr->rc = ngx_prom_poll_answer_feed(&fr->a, bodiless, &p, copy + n,
                                           &body, &len);

        FUZZ_CHECK(p >= before && p <= copy + n);

        if (fr->rc == NGX_PROM_POLL_ANSWER_HEADER) {
            fuzz_header(fr, data);
            continue;
        }

        if (fr->rc != NGX_PROM_POLL_ANSWER_BODY) {
            break;
        }

        FUZZ_CHECK(fr->headers == 1);
        FUZZ_CHECK(len > 0 && body >= before && body + len == p);

        for (i = 0; i < len; i++) {
            fr->body_sum = fr->body_sum * 31 + body[i];
        }

        fr->body_len += len;
    }

    FUZZ_CHECK(fr->rc != NGX_PROM_POLL_ANSWER_MORE || p == copy + n);

    fr->used += p - copy;
    free(copy);
}


static void
fuzz_header(fuzz_read_t *fr, const uint8_t *data)
{
    unsigned                       i, headers, lengths, codings;
    ngx_prom_poll_answer_t        *a;
    ngx_prom_poll_answer_header_t  header;

    a = &fr->a;
    headers = 0;
    lengths = 0;
    codings = 0;

    FUZZ_CHECK(fr->headers++ == 0);
    FUZZ_CHECK(a->status >= 200 && a->status <= 599);
    FUZZ_CHECK(a->used <= a->size && memcmp(a->buf, data, a->used) == 0);

    while (ngx_prom_poll_answer_header(a, &header)) {
        FUZZ_CHECK(header.name_len > 0 && header.name_len <= 255);
        fuzz_value(a, header.name, header.name_len);
        fuzz_value(a, header.value, header.value_len);

        for (i = 0; i < header.name_len; i++) {
            FUZZ_CHECK(header.name[i] > 0x20 && header.name[i] < 0x7f);
            FUZZ_CHECK(header.name[i] != ':');
        }

        if (header.value_len) {
            FUZZ_CHECK(header.value[0] != ' ' && header.value[0] != '\t');
        }

        headers++;
        lengths += header.name_len == 14 && (header.name[0] | 0x20) == 'c'
                   && (header.name[7] | 0x20) == '-'
                   && (header.name[8] | 0x20) == 'l';
        codings += header.name_len == 17 && (header.name[0] | 0x20) == 't'
                   && (header.name[8] | 0x20) == '-'
                   && (header.name[9] | 0x20) == 'e';
    }

    /* behind the last is the first again */

    for (i = 0; ngx_prom_poll_answer_header(a, &header); i++) { /* void */ }

    FUZZ_CHECK(i == headers);

    /* no more than these can name a framing, which each does in one way */

    FUZZ_CHECK(a->framing != NGX_PROM_POLL_ANSWER_LENGTH || lengths > 0);
    FUZZ_CHECK(a->framing != NGX_PROM_POLL_ANSWER_CHUNKED || codings > 0);
}


static void
fuzz_value(const ngx_prom_poll_answer_t *a, const unsigned char *p,
    size_t len)
{
    size_t  i;

    FUZZ_CHECK(p >= a->buf && p + len <= a->buf + a->used);

    for (i = 0; i < len; i++) {
        FUZZ_CHECK(p[i] == '\t' || (p[i] >= 0x20 && p[i] != 0x7f));
    }
}


static void
fuzz_check(int holds, const char *what, int line)
{
    if (!holds) {
        fprintf(stderr, "answer_fuzz.c:%d: does not hold: %s\n", line, what);
        abort();
    }
}
