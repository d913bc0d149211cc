/*
 * The grammar of the file of tokens; see the header.
 */


#include <string.h>

#include "ngx_prom_targets_line.h"
#include "ngx_prom_tokens.h"


#define NGX_PROM_TOKEN_TYPE  "sha256:"
#define NGX_PROM_TOKEN_HEX   (2 * NGX_PROM_TOKEN_HASH)
#define NGX_PROM_TOKEN_MIN   (sizeof("a " NGX_PROM_TOKEN_TYPE) - 1            \
                              + NGX_PROM_TOKEN_HEX)

#define NGX_PROM_TOKEN_FORM  "NAME " NGX_PROM_TOKEN_TYPE "HEX"


static void ngx_prom_token_parse(ngx_prom_tokens_t *pt, ngx_prom_line_t *pl,
    ngx_prom_seen_t *hashes);
static void ngx_prom_token_name(ngx_prom_line_t *pl, ngx_prom_text_t *name);
static void ngx_prom_token_hash(ngx_prom_line_t *pl, ngx_prom_token_t *token,
    ngx_prom_text_t *word, ngx_prom_seen_t *hashes);
static void ngx_prom_token_lower(ngx_prom_text_t *text);
static uint8_t ngx_prom_token_digit(char ch);


int
ngx_prom_tokens_parse(ngx_prom_tokens_t *pt, char *text, size_t len)
{
    size_t            bound;
    ngx_prom_line_t   pl;
    ngx_prom_seen_t   hashes;

    pt->tokens = NULL;
    pt->count = 0;
    pt->errors = 0;

    if (!ngx_prom_lines_start(&pl, text, len, pt->error, pt->data,
                              &pt->errors))
    {
        return 1;
    }

    /* a line that is shorter is a mistake anyway */

    bound = ngx_prom_lines_bound(&pl, NGX_PROM_TOKEN_MIN);

    pt->tokens = ngx_prom_lines_array(pt->alloc, pt->data, bound,
                                      sizeof(ngx_prom_token_t));

    if ((pt->tokens == NULL && bound)
        || ngx_prom_seen_init(&hashes, pt->alloc, pt->data, bound) == -1)
    {
        return -1;
    }

    while (ngx_prom_line_next(&pl)) {
        ngx_prom_token_parse(pt, &pl, &hashes);
    }

    return pt->errors ? 1 : 0;
}


static void
ngx_prom_token_parse(ngx_prom_tokens_t *pt, ngx_prom_line_t *pl,
    ngx_prom_seen_t *hashes)
{
    ngx_prom_text_t   name, hash;
    ngx_prom_token_t  token;

    if (!ngx_prom_line_token(pl, &name)) {
        return;
    }

    if (ngx_prom_starts(name.data, name.data + name.len,
                        NGX_PROM_TOKEN_TYPE))
    {
        ngx_prom_line_error(pl, name.data, "no NAME in front of the hash; a "
                            "line is " NGX_PROM_TOKEN_FORM);
        return;
    }

    if (!ngx_prom_line_token(pl, &hash)) {
        ngx_prom_line_error(pl, name.data, "no hash behind the name; a line "
                            "is " NGX_PROM_TOKEN_FORM);
        return;
    }

    ngx_prom_token_name(pl, &name);
    ngx_prom_token_hash(pl, &token, &hash, hashes);

    if (ngx_prom_line_more(pl)) {
        ngx_prom_line_error(pl, pl->pos, "more than a name and a hash; a "
                            "line is " NGX_PROM_TOKEN_FORM);
    }

    if (!pl->wrong) {
        ngx_prom_token_lower(&name);

        token.name = name;
        pt->tokens[pt->count++] = token;
    }
}


static void
ngx_prom_token_name(ngx_prom_line_t *pl, ngx_prom_text_t *name)
{
    size_t              i;
    ngx_prom_excerpt_t  buf;

    if (name->len > NGX_PROM_NAME_MAX) {
        ngx_prom_line_error(pl, name->data, "name of %zu bytes; %d are "
                            "allowed", name->len, NGX_PROM_NAME_MAX);
        return;
    }

    for (i = 0; i < name->len; i++) {

        if (ngx_prom_char_in(name->data[i], "._-")) {
            continue;
        }

        /* with the two in the wrong order, it may be a token */

        ngx_prom_line_error(pl, name->data + i, "name has \"%s\" in it; a "
                            "client's name is letters, digits and \"._-\", "
                            "without a port",
                            ngx_prom_excerpt(buf, name->data + i, 1));
        return;
    }
}


static void
ngx_prom_token_hash(ngx_prom_line_t *pl, ngx_prom_token_t *token,
    ngx_prom_text_t *word, ngx_prom_seen_t *hashes)
{
    size_t            i;
    uint32_t          other;
    ngx_prom_text_t   hex;

    if (!ngx_prom_starts(word->data, word->data + word->len,
                         NGX_PROM_TOKEN_TYPE))
    {
        ngx_prom_line_error(pl, word->data, "not a token's hash; expected "
                            NGX_PROM_TOKEN_TYPE "HEX, never the token itself");
        return;
    }

    hex.data = word->data + sizeof(NGX_PROM_TOKEN_TYPE) - 1;
    hex.len = word->len - (sizeof(NGX_PROM_TOKEN_TYPE) - 1);

    for (i = 0; i < hex.len; i++) {
        if (!ngx_prom_hex(hex.data[i])) {
            ngx_prom_line_error(pl, hex.data + i, "no hexadecimal digit; "
                                "the hash is %d of them", NGX_PROM_TOKEN_HEX);
            return;
        }
    }

    if (hex.len != NGX_PROM_TOKEN_HEX) {
        ngx_prom_line_error(pl, hex.data, "hash of %zu digits; it has %d",
                            hex.len, NGX_PROM_TOKEN_HEX);
        return;
    }

    ngx_prom_token_lower(&hex);

    for (i = 0; i < NGX_PROM_TOKEN_HASH; i++) {
        token->hash[i] = (uint8_t) (ngx_prom_token_digit(hex.data[2 * i]) << 4
                                    | ngx_prom_token_digit(hex.data[2 * i + 1]
                                                           ));
    }

    other = ngx_prom_seen_add(hashes, hex.data, hex.len, pl->number);

    if (other) {
        ngx_prom_line_error(pl, word->data, "token is on line %u already; "
                            "each client has one of its own",
                            (unsigned) other);
    }
}


static void
ngx_prom_token_lower(ngx_prom_text_t *text)
{
    size_t  i;

    for (i = 0; i < text->len; i++) {
        if (text->data[i] >= 'A' && text->data[i] <= 'Z') {
            text->data[i] |= 0x20;
        }
    }
}


static uint8_t
ngx_prom_token_digit(char ch)
{
    return (uint8_t) (ngx_prom_digit(ch) ? ch - '0' : ch - 'a' + 10);
}
