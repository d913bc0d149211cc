/*
 * The text of a nodes file; all but the one line stays, byte for byte.
 */


#include "lines.h"
#include "raw.h"


void
lines_whole(FILE *out, const char *text, size_t len)
{
    fwrite(text, 1, len, out);

    if (len && text[len - 1] != '\n') {
        putc('\n', out);
    }
}


void
lines_node(FILE *out, const invitation_t *invitation, const char *key)
{
    fprintf(out, "%.*s %s %.*s%s%.*s\n", (int) invitation->name.len,
            invitation->name.data, key, (int) invitation->place.len,
            invitation->place.data, invitation->words.len ? " " : "",
            (int) invitation->words.len, invitation->words.data);
}


void
lines_rekey(FILE *out, const char *text, size_t len,
    const ngx_prom_text_t *name, const char *key)
{
    size_t       pos, start;
    raw_line_t   line;
    const char  *old;

    for (pos = 0, start = 0; raw_line(&line, text, len, &pos); start = pos) {

        if (line.nwords > 1 && raw_line_has(&line, name->data, name->len)) {
            old = line.words[1].data;

            fwrite(text + start, 1, (size_t) (old - text) - start, out);
            fputs(key, out);

            start = (size_t) (old - text) + line.words[1].len;
        }

        fwrite(text + start, 1, pos - start, out);
    }
}
