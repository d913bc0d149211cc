/*
 * A line of the keeper.  It may hold a secret, so that nothing of it is ever
 * part of a message.
 */


#include <string.h>

#include "ngx_prom_token_line.h"


#define NGX_PROM_TOKEN_TIME_MAX  UINT64_C(9007199254740991)


static const char *ngx_prom_token_credential(ngx_prom_token_line_t *line,
    const char *p, const char *last);
static const char *ngx_prom_token_nothing(ngx_prom_token_line_t *line,
    const char *p, const char *last);
static const char *ngx_prom_token_stats(ngx_prom_token_line_t *line,
    const char *p, const char *last);
static int ngx_prom_token_word(ngx_prom_token_text_t *word, const char **pos,
    const char *last);
static int ngx_prom_token_rest(ngx_prom_token_text_t *rest, const char *p,
    const char *last);
static int ngx_prom_token_number(uint64_t *number, const char **pos,
    const char *last);
static int ngx_prom_token_is(const ngx_prom_token_text_t *word,
    const char *s);


const char *
ngx_prom_token_line(ngx_prom_token_line_t *line, const char *text, size_t len)
{
    const char             *p, *last;
    ngx_prom_token_text_t   word;

    memset(line, 0, sizeof(ngx_prom_token_line_t));

    if (len >= NGX_PROM_TOKEN_LINE_MAX) {
        return "is too long";
    }

    p = text;
    last = text + len;

    if (!ngx_prom_token_word(&word, &p, last)) {
        return "begins with no word";
    }

    if (!ngx_prom_token_word(&line->name, &p, last)
        || !ngx_prom_token_name(line->name.data, line->name.len))
    {
        return "has no name of a remote";
    }

    if (ngx_prom_token_is(&word, "token")) {
        line->kind = NGX_PROM_TOKEN_VALUE;
        return ngx_prom_token_credential(line, p, last);
    }

    if (ngx_prom_token_is(&word, "aws")) {
        line->kind = NGX_PROM_TOKEN_AWS;
        return ngx_prom_token_credential(line, p, last);
    }

    if (ngx_prom_token_is(&word, "plain")) {
        line->kind = NGX_PROM_TOKEN_PLAIN;
        return ngx_prom_token_credential(line, p, last);
    }

    if (ngx_prom_token_is(&word, "nothing")) {
        line->kind = NGX_PROM_TOKEN_NOTHING;
        return ngx_prom_token_nothing(line, p, last);
    }

    if (ngx_prom_token_is(&word, "stats")) {
        line->kind = NGX_PROM_TOKEN_STATS;
        return ngx_prom_token_stats(line, p, last);
    }

    return "begins with a word that isn't known";
}


static const char *
ngx_prom_token_credential(ngx_prom_token_line_t *line, const char *p,
    const char *last)
{
    if (!ngx_prom_token_number(&line->version, &p, last)
        || line->version == 0)
    {
        return "has no version";
    }

    if (!ngx_prom_token_number(&line->left, &p, last)
        || line->left > NGX_PROM_TOKEN_TIME_MAX)
    {
        return "doesn't say how long it is valid";
    }

    switch (line->kind) {

    case NGX_PROM_TOKEN_VALUE:

        if (!ngx_prom_token_rest(&line->value, p, last)) {
            return "has no value, or one that no header could have";
        }

        return NULL;

    case NGX_PROM_TOKEN_AWS:

        if (!ngx_prom_token_word(&line->region, &p, last)
            || !ngx_prom_token_word(&line->access_key, &p, last)
            || !ngx_prom_token_word(&line->secret_key, &p, last)
            || !ngx_prom_token_word(&line->session, &p, last))
        {
            return "has not all that signing takes";
        }

        if (ngx_prom_token_is(&line->session, "-")) {
            line->session.len = 0;
        }

        break;

    default:
        break;
    }

    return (p == last) ? NULL : "goes on behind its end";
}


static const char *
ngx_prom_token_nothing(ngx_prom_token_line_t *line, const char *p,
    const char *last)
{
    const char             *start;
    ngx_prom_token_text_t   word;

    start = p;

    if (!ngx_prom_token_word(&word, &p, last)) {
        return "doesn't say since when";
    }

    if (!ngx_prom_token_is(&word, "-")) {
        p = start;

        if (!ngx_prom_token_number(&line->since, &p, last)
            || line->since > NGX_PROM_TOKEN_TIME_MAX)
        {
            return "doesn't say since when";
        }

        line->failed = 1;
    }

    if (!ngx_prom_token_rest(&line->value, p, last)
        || line->value.len > NGX_PROM_TOKEN_REASON_MAX)
    {
        return "has no reason, or one that is too long";
    }

    return NULL;
}


static const char *
ngx_prom_token_stats(ngx_prom_token_line_t *line, const char *p,
    const char *last)
{
    int  i;

    for (i = 0; i < NGX_PROM_TOKEN_COUNTS; i++) {

        if (!ngx_prom_token_number(&line->counts[i], &p, last)) {
            return "has not all counters";
        }
    }

    return (p == last) ? NULL : "goes on behind its end";
}


/*
 * The next word, which is visible ASCII, and the one space behind it: there
 * must be another word then.
 */

static int
ngx_prom_token_word(ngx_prom_token_text_t *word, const char **pos,
    const char *last)
{
    const char  *p;

    for (p = *pos; p < last && *p > ' ' && *p < 0x7f; p++) { /* void */ }

    word->data = *pos;
    word->len = p - *pos;

    if (word->len == 0 || (p < last && (*p != ' ' || p + 1 == last))) {
        return 0;
    }

    *pos = (p < last) ? p + 1 : p;

    return 1;
}


/* what is left: visible ASCII, with spaces inside */

static int
ngx_prom_token_rest(ngx_prom_token_text_t *rest, const char *p,
    const char *last)
{
    rest->data = p;
    rest->len = last - p;

    if (p == last || *p == ' ' || last[-1] == ' ') {
        return 0;
    }

    for ( /* void */ ; p < last; p++) {

        if (*p < ' ' || *p >= 0x7f) {
            return 0;
        }
    }

    return 1;
}


static int
ngx_prom_token_number(uint64_t *number, const char **pos, const char *last)
{
    size_t                  i;
    unsigned                digit;
    uint64_t                n;
    ngx_prom_token_text_t   word;

    if (!ngx_prom_token_word(&word, pos, last)) {
        return 0;
    }

    n = 0;

    for (i = 0; i < word.len; i++) {

        if (word.data[i] < '0' || word.data[i] > '9') {
            return 0;
        }

        digit = word.data[i] - '0';

        if (n > (UINT64_MAX - digit) / 10) {
            return 0;
        }

        n = n * 10 + digit;
    }

    *number = n;

    return 1;
}


int
ngx_prom_token_name(const char *name, size_t len)
{
    size_t  i;

    if (len == 0 || len > NGX_PROM_TOKEN_NAME_MAX) {
        return 0;
    }

    for (i = 0; i < len; i++) {

        if ((name[i] < 'a' || name[i] > 'z')
            && (name[i] < 'A' || name[i] > 'Z')
            && (name[i] < '0' || name[i] > '9')
            && name[i] != '_' && name[i] != '-')
        {
            return 0;
        }
    }

    return 1;
}


static int
ngx_prom_token_is(const ngx_prom_token_text_t *word, const char *s)
{
    return word->len == strlen(s) && memcmp(word->data, s, word->len) == 0;
}
