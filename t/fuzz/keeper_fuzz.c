/*
 * Feeds the parser of the keeper's lines with anything: what is taken lies in
 * the line, and is what a header or a log may hold.  t/01-fuzz.t builds and
 * runs it.
 */


#include "fuzz.h"
#include "ngx_prom_token_line.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_inside(const ngx_prom_token_text_t *text, const char *data,
    size_t len, int spaces);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_text_t             text;
    const char             *mistake;
    ngx_prom_token_line_t   line;

    fuzz_text_init(&text, data, size);

    mistake = ngx_prom_token_line(&line, text.data, size);

    if (mistake) {
        fuzz_reason(mistake, 80);
        fuzz_text_free(&text);
        return 0;
    }

    FUZZ_CHECK(size < NGX_PROM_TOKEN_LINE_MAX);
    FUZZ_CHECK(ngx_prom_token_name(line.name.data, line.name.len));

    fuzz_inside(&line.name, text.data, size, 0);
    fuzz_inside(&line.value, text.data, size, 1);
    fuzz_inside(&line.region, text.data, size, 0);
    fuzz_inside(&line.access_key, text.data, size, 0);
    fuzz_inside(&line.secret_key, text.data, size, 0);
    fuzz_inside(&line.session, text.data, size, 0);

    switch (line.kind) {

    case NGX_PROM_TOKEN_VALUE:
        FUZZ_CHECK(line.value.len > 0 && line.version > 0);
        break;

    case NGX_PROM_TOKEN_AWS:
        FUZZ_CHECK(line.region.len > 0 && line.access_key.len > 0
                   && line.secret_key.len > 0 && line.version > 0);
        break;

    case NGX_PROM_TOKEN_PLAIN:
        FUZZ_CHECK(line.value.len == 0 && line.version > 0);
        break;

    case NGX_PROM_TOKEN_NOTHING:
        FUZZ_CHECK(line.value.len > 0
                   && line.value.len <= NGX_PROM_TOKEN_REASON_MAX);
        break;

    case NGX_PROM_TOKEN_STATS:
        FUZZ_CHECK(line.value.len == 0);
        break;
    }

    fuzz_text_free(&text);

    return 0;
}


static void
fuzz_inside(const ngx_prom_token_text_t *text, const char *data, size_t len,
    int spaces)
{
    size_t  i;

    if (text->len == 0) {
        return;
    }

    FUZZ_CHECK(text->data >= data && text->data + text->len <= data + len);
    FUZZ_CHECK(text->data[0] != ' ' && text->data[text->len - 1] != ' ');

    for (i = 0; i < text->len; i++) {
        FUZZ_CHECK(text->data[i] >= (spaces ? 0x20 : 0x21)
                   && text->data[i] < 0x7f);
    }
}
