/*
 * The lines of a file of hosts or nodes as they are written, to be edited.
 */


#ifndef _COMMON_RAW_H_INCLUDED_
#define _COMMON_RAW_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>
#include <stdio.h>


#define RAW_WORDS  128


/* slices of the file */

typedef struct {
    const char          *data;
    size_t               len;
} raw_text_t;


typedef struct {
    raw_text_t           line;        /* without its end */
    raw_text_t           end;         /* LF, CRLF, or nothing */
    unsigned             nwords;      /* up to a comment */
    raw_text_t           words[RAW_WORDS];
} raw_line_t;


/* reads the next line; *pos is 0 at first; returns 0 behind the last */

int raw_line(raw_line_t *line, const char *text, size_t len, size_t *pos);

/* is its first word this name, which has no "/" at its ends */

int raw_line_has(const raw_line_t *line, const char *name, size_t len);

/* writes the text without the lines that are; returns how many there were */

unsigned raw_without(FILE *out, const char *text, size_t len, const char *name,
    size_t name_len);

/* is the word LABEL=VALUE with the label, and the value, of another one */

int raw_word_label(const raw_text_t *word, const char *other);
int raw_word_same(const raw_text_t *word, const char *other);

/*
 * Writes LABEL=VALUE: a shell has taken the quotes off, and a value gets some
 * where it needs them.
 */

void raw_word_print(FILE *out, const char *word);


#endif /* _COMMON_RAW_H_INCLUDED_ */
