/*
 * The grammar of the file of users; see the header.
 */


#include <stdlib.h>
#include <string.h>

#include "ngx_prom_targets_line.h"
#include "ngx_prom_users.h"


#define NGX_PROM_USER_MIN   (sizeof("u:$5$") - 1)

#define NGX_PROM_USER_BCRYPT  60      /* characters */

#define NGX_PROM_USER_FORM  "USER:HASH"


static void ngx_prom_user_parse(ngx_prom_users_t *users, ngx_prom_line_t *pl,
    ngx_prom_seen_t *names);
static int ngx_prom_user_name(ngx_prom_line_t *pl, ngx_prom_text_t *name);
static void ngx_prom_user_hash(ngx_prom_line_t *pl, ngx_prom_text_t *hash);
static int ngx_prom_user_order(const void *one, const void *two);
static int ngx_prom_user_compare(const ngx_prom_text_t *one,
    const ngx_prom_text_t *two);


/* crypt(5): those that take long enough to be worth their while */

static const char  *ngx_prom_user_hashes[] = {
    "$2a$", "$2b$", "$2y$", "$y$", "$gy$", "$7$", "$6$", "$5$", NULL
};


int
ngx_prom_users_parse(ngx_prom_users_t *users, char *text, size_t len)
{
    size_t           bound;
    ngx_prom_line_t  pl;
    ngx_prom_seen_t  names;

    users->users = NULL;
    users->count = 0;
    users->errors = 0;

    if (!ngx_prom_lines_start(&pl, text, len, users->error, users->data,
                              &users->errors))
    {
        return 1;
    }

    bound = ngx_prom_lines_bound(&pl, NGX_PROM_USER_MIN);

    users->users = ngx_prom_lines_array(users->alloc, users->data, bound,
                                        sizeof(ngx_prom_user_t));

    if ((users->users == NULL && bound)
        || ngx_prom_seen_init(&names, users->alloc, users->data, bound) == -1)
    {
        return -1;
    }

    while (ngx_prom_line_next(&pl)) {
        ngx_prom_user_parse(users, &pl, &names);
    }

    if (users->count) {
        qsort(users->users, users->count, sizeof(ngx_prom_user_t),
              ngx_prom_user_order);
    }

    return users->errors ? 1 : 0;
}


static void
ngx_prom_user_parse(ngx_prom_users_t *users, ngx_prom_line_t *pl,
    ngx_prom_seen_t *names)
{
    char                *colon;
    uint32_t             before;
    ngx_prom_text_t      word;
    ngx_prom_user_t      user;
    ngx_prom_excerpt_t   buf;

    if (!ngx_prom_line_token(pl, &word)) {
        return;
    }

    colon = memchr(word.data, ':', word.len);

    if (colon == NULL) {
        ngx_prom_line_error(pl, word.data, "no colon; a line is "
                            NGX_PROM_USER_FORM);
        return;
    }

    user.name.data = word.data;
    user.name.len = colon - word.data;

    user.hash.data = colon + 1;
    user.hash.len = word.data + word.len - (colon + 1);

    if (!ngx_prom_user_name(pl, &user.name)) {
        return;
    }

    ngx_prom_user_hash(pl, &user.hash);

    if (ngx_prom_line_more(pl)) {
        ngx_prom_line_error(pl, pl->pos, "more than a user and a hash; a line "
                            "is " NGX_PROM_USER_FORM ", without white space");
    }

    if (pl->wrong) {
        return;
    }

    /* there is room for as many names as lines may be right, and no more */

    before = ngx_prom_seen_add(names, user.name.data, user.name.len,
                               pl->number);

    if (before) {
        ngx_prom_line_error(pl, user.name.data, "user \"%s\" is in line %u, "
                            "too", ngx_prom_excerpt(buf, user.name.data,
                                                    user.name.len),
                            (unsigned) before);
        return;
    }

    /* what follows is white space, a line's end, or behind the text */

    word.data[word.len] = '\0';
    users->users[users->count++] = user;
}


static int
ngx_prom_user_name(ngx_prom_line_t *pl, ngx_prom_text_t *name)
{
    if (name->len == 0) {
        ngx_prom_line_error(pl, name->data, "no user in front of the colon; "
                            "a line is " NGX_PROM_USER_FORM);
        return 0;
    }

    if (name->len > NGX_PROM_NAME_MAX) {
        ngx_prom_line_error(pl, name->data, "user of %zu bytes; %d are "
                            "allowed", name->len, NGX_PROM_NAME_MAX);
        return 0;
    }

    return 1;
}


/* no part of it is repeated in a message: it may be a password */

static void
ngx_prom_user_hash(ngx_prom_line_t *pl, ngx_prom_text_t *hash)
{
    size_t  i;

    for (i = 0; i < hash->len; i++) {

        if (!ngx_prom_char_in(hash->data[i], "./$=,")) {
            ngx_prom_line_error(pl, hash->data + i, "the hash has characters "
                                "that crypt(3) doesn't use; a line is "
                                NGX_PROM_USER_FORM);
            return;
        }
    }

    for (i = 0; ngx_prom_user_hashes[i]; i++) {

        if (ngx_prom_starts(hash->data, hash->data + hash->len,
                            ngx_prom_user_hashes[i]))
        {
            break;
        }
    }

    if (ngx_prom_user_hashes[i] == NULL) {
        ngx_prom_line_error(pl, hash->data, "no hash of bcrypt, yescrypt, "
                            "scrypt or SHA-crypt; \"htpasswd -B\" makes one, "
                            "others are no protection");
        return;
    }

    /* one that was cut off would be nobody's for ever */

    if (hash->data[1] == '2' && hash->len != NGX_PROM_USER_BCRYPT) {
        ngx_prom_line_error(pl, hash->data, "hash of bcrypt with %zu "
                            "characters; it has %d", hash->len,
                            NGX_PROM_USER_BCRYPT);
    }
}


const ngx_prom_user_t *
ngx_prom_users_find(const ngx_prom_users_t *users, const char *name,
    size_t len)
{
    int              rc;
    uint32_t         low, high, middle;
    ngx_prom_text_t  key;

    key.data = (char *) name;
    key.len = len;

    low = 0;
    high = users->count;

    while (low < high) {
        middle = low + (high - low) / 2;
        rc = ngx_prom_user_compare(&key, &users->users[middle].name);

        if (rc == 0) {
            return &users->users[middle];
        }

        if (rc < 0) {
            high = middle;

        } else {
            low = middle + 1;
        }
    }

    return NULL;
}


static int
ngx_prom_user_order(const void *one, const void *two)
{
    const ngx_prom_user_t *first = one;
    const ngx_prom_user_t *second = two;

    return ngx_prom_user_compare(&first->name, &second->name);
}


static int
ngx_prom_user_compare(const ngx_prom_text_t *one, const ngx_prom_text_t *two)
{
    int  rc;

    rc = memcmp(one->data, two->data,
                (one->len < two->len) ? one->len : two->len);

    if (rc) {
        return rc;
    }

    return (one->len > two->len) - (one->len < two->len);
}
