/*
 * Feeds the grammar of users with anything, and checks what must hold of
 * whatever comes out.  t/01-fuzz.t builds and runs it.
 */


#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ngx_prom_users.h"


#define FUZZ_ALLOCS    2
#define FUZZ_CHECK(e)  fuzz_check(e, #e, __LINE__)


typedef struct {
    ngx_prom_users_t     pu;
    char                *text;
    size_t               len;
    void                *allocs[FUZZ_ALLOCS];
    unsigned             nallocs;
    unsigned             told;
} fuzz_parse_t;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void *fuzz_alloc(void *data, size_t size);
static void fuzz_error(void *data, uint32_t line, uint32_t column,
    const char *reason);
static void fuzz_user(const fuzz_parse_t *parse, const ngx_prom_user_t *user);
static int fuzz_order(const ngx_prom_text_t *one, const ngx_prom_text_t *two);
static void fuzz_check(int holds, const char *what, int line);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int                     rc;
    uint32_t                i;
    fuzz_parse_t            parse;
    const ngx_prom_user_t  *user;

    memset(&parse, 0, sizeof(fuzz_parse_t));

    /* memory of just the size, so that ASan sees a step outside */

    parse.text = malloc(size + 1);
    FUZZ_CHECK(parse.text != NULL);

    if (size) {
        memcpy(parse.text, data, size);
    }

    parse.len = size;
    parse.pu.alloc = fuzz_alloc;
    parse.pu.error = fuzz_error;
    parse.pu.data = &parse;

    rc = ngx_prom_users_parse(&parse.pu, parse.text, size);

    FUZZ_CHECK(rc == (parse.pu.errors ? 1 : 0));
    FUZZ_CHECK(parse.told == (parse.pu.errors < NGX_PROM_ERRORS_MAX
                              ? parse.pu.errors : NGX_PROM_ERRORS_MAX));

    for (i = 0; i < parse.pu.count; i++) {
        user = &parse.pu.users[i];

        fuzz_user(&parse, user);

        FUZZ_CHECK(i == 0 || fuzz_order(&user[-1].name, &user->name) < 0);
        FUZZ_CHECK(ngx_prom_users_find(&parse.pu, user->name.data,
                                       user->name.len)
                   == user);
    }

    user = ngx_prom_users_find(&parse.pu, (const char *) data, size);

    FUZZ_CHECK(user == NULL || (user->name.len == size
                                && memcmp(user->name.data, data, size) == 0));

    while (parse.nallocs) {
        free(parse.allocs[--parse.nallocs]);
    }

    free(parse.text);

    return 0;
}


static void *
fuzz_alloc(void *data, size_t size)
{
    fuzz_parse_t *parse = data;

    FUZZ_CHECK(parse->nallocs < FUZZ_ALLOCS);

    parse->allocs[parse->nallocs] = malloc(size);
    FUZZ_CHECK(parse->allocs[parse->nallocs] != NULL);

    return parse->allocs[parse->nallocs++];
}


static void
fuzz_error(void *data, uint32_t line, uint32_t column, const char *reason)
{
    fuzz_parse_t *parse = data;

    parse->told++;

    FUZZ_CHECK(line > 0 && column > 0);
    FUZZ_CHECK(*reason && strchr(reason, '\n') == NULL);
}


static void
fuzz_user(const fuzz_parse_t *parse, const ngx_prom_user_t *user)
{
    FUZZ_CHECK(user->name.data >= parse->text);
    FUZZ_CHECK(user->name.len > 0 && user->name.len <= NGX_PROM_NAME_MAX);
    FUZZ_CHECK(memchr(user->name.data, ':', user->name.len) == NULL);

    FUZZ_CHECK(user->hash.data == user->name.data + user->name.len + 1);
    FUZZ_CHECK(user->hash.data + user->hash.len <= parse->text + parse->len);
    FUZZ_CHECK(strlen(user->hash.data) == user->hash.len);
    FUZZ_CHECK(user->hash.data[0] == '$');
}


static int
fuzz_order(const ngx_prom_text_t *one, const ngx_prom_text_t *two)
{
    int  rc;

    rc = memcmp(one->data, two->data,
                one->len < two->len ? one->len : two->len);

    return rc ? rc : (one->len > two->len) - (one->len < two->len);
}


static void
fuzz_check(int holds, const char *what, int line)
{
    if (!holds) {
        fprintf(stderr, "users_fuzz.c:%d: does not hold: %s\n", line, what);
        abort();
    }
}
