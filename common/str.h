/*
 * Pieces of text: one that lies elsewhere, one that grows, and the reason why
 * something failed.
 */


#ifndef _COMMON_STR_H_INCLUDED_
#define _COMMON_STR_H_INCLUDED_


#include <stddef.h>


typedef struct {
    const char  *start;
    size_t       len;
} str_t;


typedef struct {
    char        *start;           /* ends with '\0', unless it is NULL */
    size_t       len;
    size_t       size;
    int          failed;          /* out of memory, once or more */
} buffer_t;


/* one line, without a full stop; cut off where it is too long */

typedef char  reason_t[512];

#define REASON_TEXT  ((int) sizeof(reason_t) / 4)   /* of one part of it */


#define str(text)  ((str_t) { text, sizeof(text) - 1 })

str_t str_of(const char *text);
int str_is(str_t s, const char *text);               /* in whatever case */
int str_equal(str_t a, str_t b);                     /* in whatever case */
str_t str_trim(str_t s);                             /* spaces and tabs */

/* whether all of its bytes are, and there is one */

int str_is_token(str_t s);                           /* of RFC 9110 */
int str_is_visible(str_t s);                         /* ASCII, no space */

/* a decimal number of at most max, or -1 */

long str_number(str_t s, long max);

/* the size it needs to append so much: that it has, if this is enough */

size_t buffer_size(const buffer_t *b, size_t len);

/*
 * What these append is lost once there is no memory, which buffer->failed
 * then says.
 */

void buffer_add(buffer_t *b, const void *data, size_t len);
void buffer_str(buffer_t *b, str_t s);
void buffer_text(buffer_t *b, const char *text);
void buffer_format(buffer_t *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void buffer_url(buffer_t *b, const char *url);       /* no credentials of it */
void buffer_clear(buffer_t *b);                      /* keeps its memory */
void buffer_fit(buffer_t *b);                        /* keeps no more */
void buffer_free(buffer_t *b);

/* -1, for the caller to return */

int reason(reason_t reason, const char *format, ...)
    __attribute__((format(printf, 2, 3)));


#endif /* _COMMON_STR_H_INCLUDED_ */
