/*
 * What fuzzers share: a check that ends the run, and a text with the memory
 * that its grammar takes, for which ASan sees each step outside.  A header
 * with code, as a fuzzer is one file.
 */


#ifndef _FUZZ_H_INCLUDED_
#define _FUZZ_H_INCLUDED_


#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define FUZZ_ALLOCS    8
#define FUZZ_NAME      255
#define FUZZ_REASON    512
#define FUZZ_CHECK(e)  fuzz_check(e, #e, __FILE__, __LINE__)


typedef struct {
    char                *data;
    size_t               len;
    void                *allocs[FUZZ_ALLOCS];
    unsigned             nallocs;
    unsigned             told;            /* mistakes */
} fuzz_text_t;


static inline void
fuzz_check(int holds, const char *what, const char *file, int line)
{
    if (!holds) {
        fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
        abort();
    }
}


/* a copy in memory of just the size */

static inline void
fuzz_text_init(fuzz_text_t *text, const void *data, size_t len)
{
    memset(text, 0, sizeof(fuzz_text_t));

    text->data = malloc(len + 1);
    FUZZ_CHECK(text->data != NULL);

    if (len) {
        memcpy(text->data, data, len);
    }

    text->len = len;
}


static inline void
fuzz_text_free(fuzz_text_t *text)
{
    while (text->nallocs) {
        free(text->allocs[--text->nallocs]);
    }

    free(text->data);
}


/* memory that is never zero by chance */

static inline void *
fuzz_text_alloc(void *data, size_t size)
{
    fuzz_text_t *text = data;

    void  *p;

    FUZZ_CHECK(text->nallocs < FUZZ_ALLOCS);

    p = malloc(size);
    FUZZ_CHECK(p != NULL);

    memset(p, 0xa5, size);
    text->allocs[text->nallocs++] = p;

    return p;
}


/* the reason of a mistake is fit for a log */

static inline void
fuzz_reason(const char *reason, size_t max)
{
    const char  *p;

    FUZZ_CHECK(*reason != '\0' && strlen(reason) < max);

    for (p = reason; *p; p++) {
        FUZZ_CHECK(*p >= 0x20 && *p <= 0x7e);
    }
}


/* a mistake of the text */

static inline void
fuzz_text_error(void *data, uint32_t line, uint32_t column, const char *reason)
{
    fuzz_text_t *text = data;

    text->told++;

    FUZZ_CHECK(line > 0 && column > 0 && column <= text->len + 1);
    fuzz_reason(reason, FUZZ_REASON);
}


/* a target's name is fit for a path */

static inline void
fuzz_target_name(const char *name, size_t len)
{
    char   copy[FUZZ_NAME + 3];

    FUZZ_CHECK(len > 0 && len <= FUZZ_NAME);

    /* between slashes, so that every segment looks alike */

    copy[0] = '/';
    memcpy(&copy[1], name, len);
    memcpy(&copy[1 + len], "/", 2);

    FUZZ_CHECK(strspn(copy, "/ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                      "abcdefghijklmnopqrstuvwxyz0123456789._~-")
               == len + 2);
    FUZZ_CHECK(strstr(copy, "//") == NULL);
    FUZZ_CHECK(strstr(copy, "/./") == NULL);
    FUZZ_CHECK(strstr(copy, "/../") == NULL);
}


#endif /* _FUZZ_H_INCLUDED_ */
