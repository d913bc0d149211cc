/*
 * The lines of a hosts file as they are written; see the header.
 */


#include <string.h>

#include "ngx_prom_targets_line.h"
#include "raw.h"


static void raw_words(raw_line_t *line);
static const char *raw_word_end(const char *p, const char *end);


int
raw_line(raw_line_t *line, const char *text, size_t len, size_t *pos)
{
    const char  *p, *eol, *last;

    if (*pos >= len) {
        return 0;
    }

    p = text + *pos;
    last = text + len;

    eol = memchr(p, '\n', last - p);

    line->line.data = p;
    line->end.data = eol ? eol : last;
    line->end.len = eol ? 1 : 0;

    if (eol && eol > p && eol[-1] == '\r') {
        line->end.data--;
        line->end.len++;
    }

    line->line.len = line->end.data - p;

    *pos = line->end.data + line->end.len - text;

    if (p == text && ngx_prom_starts(p, last, "\xef\xbb\xbf")) {
        line->line.data += 3;
        line->line.len -= 3;
    }

    raw_words(line);

    return 1;
}


static void
raw_words(raw_line_t *line)
{
    raw_text_t  *word;
    const char  *p, *end;

    p = line->line.data;
    end = p + line->line.len;

    line->nwords = 0;

    while (line->nwords < RAW_WORDS) {

        while (p < end && ngx_prom_blank(*p)) {
            p++;
        }

        if (p == end || *p == '#') {
            return;
        }

        word = &line->words[line->nwords++];
        word->data = p;

        p = raw_word_end(p, end);
        word->len = p - word->data;
    }
}


/* blanks may be in a value in quotes */

static const char *
raw_word_end(const char *p, const char *end)
{
    int          quoted;
    const char  *first;

    first = p;
    quoted = 0;

    for ( /* void */ ; p < end; p++) {

        if (quoted && *p == '\\' && p + 1 < end) {
            p++;

        } else if (*p == '"' && (quoted || (p > first && p[-1] == '='))) {
            quoted = !quoted;

        } else if (!quoted && ngx_prom_blank(*p)) {
            break;
        }
    }

    return p;
}


int
raw_line_has(const raw_line_t *line, const char *name, size_t len)
{
    raw_text_t  word;

    if (line->nwords == 0) {
        return 0;
    }

    word = line->words[0];

    if (word.len && word.data[0] == '/') {
        word.data++;
        word.len--;
    }

    if (word.len && word.data[word.len - 1] == '/') {
        word.len--;
    }

    return word.len == len && memcmp(word.data, name, len) == 0;
}


unsigned
raw_without(FILE *out, const char *text, size_t len, const char *name,
    size_t name_len)
{
    size_t      pos, start;
    unsigned    n;
    raw_line_t  line;

    n = 0;

    for (pos = 0, start = 0; raw_line(&line, text, len, &pos); start = pos) {

        if (!raw_line_has(&line, name, name_len)) {
            fwrite(text + start, 1, pos - start, out);
            continue;
        }

        /* a byte order mark stays */

        fwrite(text + start, 1, (size_t) (line.line.data - text) - start, out);
        n++;
    }

    return n;
}


int
raw_word_label(const raw_text_t *word, const char *other)
{
    size_t  len;

    len = strcspn(other, "=") + 1;

    return word->len >= len && memcmp(word->data, other, len) == 0;
}


int
raw_word_same(const raw_text_t *word, const char *other)
{
    char         ch;
    int          quoted;
    const char  *p, *end;

    p = memchr(word->data, '=', word->len);
    end = word->data + word->len;

    if (p == NULL) {
        return 0;
    }

    other += strcspn(other, "=") + 1;

    quoted = ++p < end && *p == '"';

    if (quoted) {
        p++;
        end--;
    }

    for ( /* void */ ; p < end; p++) {
        ch = *p;

        if (quoted && ch == '\\' && p + 1 < end) {
            ch = *++p == 'n' ? '\n' : *p;
        }

        if (*other++ != ch) {
            return 0;
        }
    }

    return *other == '\0';
}


void
raw_word_print(FILE *out, const char *word)
{
    const char  *p, *value;

    value = strchr(word, '=') + 1;

    if (*value && strpbrk(value, " \t\n\"'\\") == NULL) {
        fputs(word, out);
        return;
    }

    fwrite(word, 1, (size_t) (value - word), out);
    putc('"', out);

    for (p = value; *p; p++) {
        if (*p == '"' || *p == '\\') {
            putc('\\', out);
        }

        if (*p == '\n') {
            fputs("\\n", out);

        } else {
            putc(*p, out);
        }
    }

    putc('"', out);
}
