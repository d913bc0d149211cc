/*
 * Feeds the grammar of tokens with anything, and checks what must hold of
 * whatever comes out.  t/01-fuzz.t builds and runs it.
 */


#include "fuzz.h"
#include "ngx_prom_tokens.h"


typedef struct {
    ngx_prom_tokens_t    pt;
    fuzz_text_t          text;
} fuzz_parse_t;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_token(const fuzz_parse_t *parse,
    const ngx_prom_token_t *token);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int           rc;
    uint32_t      i;
    fuzz_parse_t  parse;

    memset(&parse, 0, sizeof(fuzz_parse_t));
    fuzz_text_init(&parse.text, data, size);

    parse.pt.alloc = fuzz_text_alloc;
    parse.pt.error = fuzz_text_error;
    parse.pt.data = &parse.text;

    rc = ngx_prom_tokens_parse(&parse.pt, parse.text.data, size);

    FUZZ_CHECK(rc == (parse.pt.errors ? 1 : 0));
    FUZZ_CHECK(parse.text.told == (parse.pt.errors < NGX_PROM_ERRORS_MAX
                                   ? parse.pt.errors : NGX_PROM_ERRORS_MAX));

    for (i = 0; i < parse.pt.count; i++) {
        fuzz_token(&parse, &parse.pt.tokens[i]);

        FUZZ_CHECK(i == 0 || memcmp(parse.pt.tokens[i].hash,
                                    parse.pt.tokens[i - 1].hash,
                                    NGX_PROM_TOKEN_HASH)
                             != 0);
    }

    fuzz_text_free(&parse.text);

    return 0;
}


static void
fuzz_token(const fuzz_parse_t *parse, const ngx_prom_token_t *token)
{
    size_t  i;

    FUZZ_CHECK(token->name.data >= parse->text.data);
    FUZZ_CHECK(token->name.data + token->name.len
               <= parse->text.data + parse->text.len);
    FUZZ_CHECK(token->name.len > 0 && token->name.len <= NGX_PROM_NAME_MAX);

    for (i = 0; i < token->name.len; i++) {
        FUZZ_CHECK(strchr("abcdefghijklmnopqrstuvwxyz0123456789._-",
                          token->name.data[i])
                   && token->name.data[i]);
    }
}
