/*
 * The owners of tokens; see the header.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_prom_owners.h"


typedef struct {
    u_char                   hash[NGX_PROM_TOKEN_HASH];
    uint32_t                 name;        /* its place in the piece */
    uint32_t                 len;
} ngx_prom_owner_t;


/* index is by the first bytes of a hash: an owner's number from 1 on, or 0 */

struct ngx_prom_owners_s {
    uint32_t                *index;
    uint32_t                 mask;
    ngx_prom_owner_t         owner[1];
};


static ngx_uint_t ngx_prom_owners_same(const u_char *a, const u_char *b);


ngx_prom_owners_t *
ngx_prom_owners_create(ngx_slab_pool_t *shpool,
    const ngx_prom_tokens_t *tokens)
{
    size_t                   size, slots, names;
    u_char                  *p;
    uint32_t                 i, n;
    ngx_prom_owner_t        *owner;
    ngx_prom_owners_t       *owners;
    const ngx_prom_token_t  *token;

    names = 0;

    for (i = 0; i < tokens->count; i++) {
        names += tokens->tokens[i].name.len;
    }

    /* at most half full */

    for (slots = 4; slots < 2 * (size_t) tokens->count; slots *= 2) {
        /* void */
    }

    size = sizeof(ngx_prom_owners_t)
           + tokens->count * sizeof(ngx_prom_owner_t)
           + slots * sizeof(uint32_t) + names;

    owners = ngx_slab_alloc(shpool, size);
    if (owners == NULL) {
        return NULL;
    }

    owners->index = (uint32_t *) &owners->owner[tokens->count];
    owners->mask = (uint32_t) (slots - 1);

    ngx_memzero(owners->index, slots * sizeof(uint32_t));

    p = (u_char *) &owners->index[slots];

    for (i = 0; i < tokens->count; i++) {
        token = &tokens->tokens[i];
        owner = &owners->owner[i];

        ngx_memcpy(owner->hash, token->hash, NGX_PROM_TOKEN_HASH);

        owner->name = (uint32_t) (p - (u_char *) owners);
        owner->len = (uint32_t) token->name.len;

        p = ngx_cpymem(p, token->name.data, token->name.len);

        ngx_memcpy(&n, token->hash, sizeof(uint32_t));

        for (n &= owners->mask; owners->index[n]; n = (n + 1) & owners->mask) {
            /* void */
        }

        owners->index[n] = i + 1;
    }

    return owners;
}


/*
 * What takes its time by the token is the way to those few that share the
 * first bits of its hash; who knew these would be no nearer to a token.
 */

void
ngx_prom_owners_find(const ngx_prom_owners_t *owners, const u_char *hash,
    ngx_str_t *name)
{
    uint32_t                 n;
    const ngx_prom_owner_t  *owner;

    ngx_str_null(name);

    ngx_memcpy(&n, hash, sizeof(uint32_t));

    for (n &= owners->mask; owners->index[n]; n = (n + 1) & owners->mask) {

        owner = &owners->owner[owners->index[n] - 1];

        if (ngx_prom_owners_same(owner->hash, hash)) {
            name->data = (u_char *) owners + owner->name;
            name->len = owner->len;
            return;
        }
    }
}


/* in a time that is the same wherever they differ */

static ngx_uint_t
ngx_prom_owners_same(const u_char *a, const u_char *b)
{
    ngx_uint_t        i;
    volatile u_char   differ;

    differ = 0;

    for (i = 0; i < NGX_PROM_TOKEN_HASH; i++) {
        differ |= a[i] ^ b[i];
    }

    return differ == 0;
}
