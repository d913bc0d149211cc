/*
 * Feeds the grammar of users with anything, and checks what must hold of
 * whatever comes out.  t/01-fuzz.t builds and runs it.
 */


#include "fuzz.h"
#include "ngx_prom_users.h"


typedef struct {
    ngx_prom_users_t     pu;
    fuzz_text_t          text;
} fuzz_parse_t;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_user(const fuzz_parse_t *parse, const ngx_prom_user_t *user);
static int fuzz_order(const ngx_prom_text_t *one, const ngx_prom_text_t *two);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int                     rc;
    uint32_t                i;
    fuzz_parse_t            parse;
    const ngx_prom_user_t  *user;

    memset(&parse, 0, sizeof(fuzz_parse_t));
    fuzz_text_init(&parse.text, data, size);

    parse.pu.alloc = fuzz_text_alloc;
    parse.pu.error = fuzz_text_error;
    parse.pu.data = &parse.text;

    rc = ngx_prom_users_parse(&parse.pu, parse.text.data, size);

    FUZZ_CHECK(rc == (parse.pu.errors ? 1 : 0));
    FUZZ_CHECK(parse.text.told == (parse.pu.errors < NGX_PROM_ERRORS_MAX
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

    fuzz_text_free(&parse.text);

    return 0;
}


static void
fuzz_user(const fuzz_parse_t *parse, const ngx_prom_user_t *user)
{
    FUZZ_CHECK(user->name.data >= parse->text.data);
    FUZZ_CHECK(user->name.len > 0 && user->name.len <= NGX_PROM_NAME_MAX);
    FUZZ_CHECK(memchr(user->name.data, ':', user->name.len) == NULL);

    FUZZ_CHECK(user->hash.data == user->name.data + user->name.len + 1);
    FUZZ_CHECK(user->hash.data + user->hash.len
               <= parse->text.data + parse->text.len);
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
