/*
 * The table of clients: see ngx_prom_poll_table.h.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_prom_lock.h"
#include "ngx_prom_poll_table.h"


/* what is written before it is there before it, for whoever comes after a
   kill: the kernel's own barriers do the rest */

#define ngx_prom_poll_set_kind(cell, k)                                       \
    __atomic_store_n(&(cell)->kind, k, __ATOMIC_RELEASE)


static void ngx_prom_poll_repair(ngx_prom_poll_zone_t *zone);
static void ngx_prom_poll_link(ngx_prom_poll_zone_t *zone,
    ngx_prom_poll_entry_t *client);
static void ngx_prom_poll_insert(ngx_rbtree_node_t *temp,
    ngx_rbtree_node_t *node, ngx_rbtree_node_t *sentinel);
static void ngx_prom_poll_tree(ngx_prom_poll_zone_t *zone,
    ngx_rbtree_t *tree);
static ngx_rbtree_key_t ngx_prom_poll_key(const u_char *name, size_t len);
static ngx_int_t ngx_prom_poll_compare(const ngx_str_t *name,
    ngx_rbtree_key_t key, const ngx_rbtree_node_t *node);
static ngx_uint_t ngx_prom_poll_differs(const ngx_prom_poll_text_t *text,
    size_t offset, size_t len, const ngx_str_t *other);
static ngx_prom_poll_cell_t *ngx_prom_poll_alloc(ngx_prom_poll_zone_t *zone);
static void ngx_prom_poll_free(ngx_prom_poll_zone_t *zone, void *cell);
static ngx_prom_poll_text_t *ngx_prom_poll_add_text(
    ngx_prom_poll_zone_t *zone, const ngx_prom_poll_hello_t *hello);
static ngx_prom_poll_text_t *ngx_prom_poll_more_text(
    ngx_prom_poll_zone_t *zone);
static void ngx_prom_poll_remove_text(ngx_prom_poll_zone_t *zone,
    ngx_prom_poll_text_t *text);


typedef char  ngx_prom_poll_cell_has_its_size[
    sizeof(ngx_prom_poll_cell_t) == NGX_PROM_POLL_CELL ? 1 : -1];


const uint32_t  ngx_prom_poll_bounds[NGX_PROM_POLL_BUCKETS - 1] = {
    5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000
};


ngx_int_t
ngx_prom_poll_zone_init(ngx_slab_pool_t *shpool,
    const ngx_prom_poll_limits_t *limits)
{
    size_t                 size;
    struct timeval         tv;
    ngx_prom_poll_zone_t  *zone;

    size = shpool->pfree * ngx_pagesize;

    /* no less than the largest client there may be */

    if (size < sizeof(ngx_prom_poll_zone_t) + 32 * NGX_PROM_POLL_CELL) {
        return NGX_ERROR;
    }

    zone = ngx_slab_alloc(shpool, size);
    if (zone == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(zone, sizeof(ngx_prom_poll_zone_t));

    /* cells are zero, and not touched until they are used */

    zone->cells = (ngx_prom_poll_cell_t *)
                      ngx_align_ptr(zone + 1, NGX_PROM_POLL_CELL);
    zone->ncells = ((u_char *) zone + size - (u_char *) zone->cells)
                   / NGX_PROM_POLL_CELL;

#if (NGX_DEBUG_MALLOC)
    /* but for the junk that nginx fills it with then */
    ngx_memzero(zone->cells, zone->ncells * NGX_PROM_POLL_CELL);
#endif

    zone->shpool = shpool;
    zone->limits = *limits;

    /* a zone in the place of another has workers with other tags */

    ngx_gettimeofday(&tv);

    zone->version = (ngx_uint_t) tv.tv_sec * 1000 + tv.tv_usec / 1000;
    zone->moves = zone->version;
    zone->tag = zone->version & 0xffff;

    ngx_rbtree_sentinel_init(&zone->sentinel);
    zone->root = &zone->sentinel;

    ngx_queue_init(&zone->gone);
    ngx_queue_init(&zone->between);

    shpool->data = zone;

    return NGX_OK;
}


/* the master lets go of the lock of a worker that died with it */

void
ngx_prom_poll_lock(ngx_prom_poll_zone_t *zone)
{
    ngx_prom_lock(&zone->shpool->mutex);

    if (zone->busy) {
        ngx_prom_poll_repair(zone);
    }

    __atomic_store_n(&zone->busy, 1, __ATOMIC_SEQ_CST);
}


void
ngx_prom_poll_unlock(ngx_prom_poll_zone_t *zone)
{
    __atomic_store_n(&zone->busy, 0, __ATOMIC_SEQ_CST);

    ngx_prom_unlock(&zone->shpool->mutex);
}


/*
 * Takes cells for what their kind says, and makes all else anew.  May itself
 * be broken off anywhere, and begun again.
 */

static void
ngx_prom_poll_repair(ngx_prom_poll_zone_t *zone)
{
    ngx_uint_t              i, n;
    ngx_prom_poll_cell_t   *cell;
    ngx_prom_poll_text_t   *text;
    ngx_prom_poll_place_t  *place;

    zone->count = 0;
    zone->free = NULL;
    zone->root = &zone->sentinel;

    ngx_rbtree_sentinel_init(&zone->sentinel);
    ngx_queue_init(&zone->gone);
    ngx_queue_init(&zone->between);

    n = zone->fresh;

    for (i = 0; i < n; i++) {
        cell = &zone->cells[i];

        if (cell->kind == NGX_PROM_POLL_TEXT) {
            cell->text.lost = 1;
        }

        if (cell->kind == NGX_PROM_POLL_CLIENT) {
            cell->client.places = NULL;
        }
    }

    for (i = 0; i < n; i++) {
        cell = &zone->cells[i];

        switch (cell->kind) {

        case NGX_PROM_POLL_CLIENT:
            for (text = cell->client.text; text; text = text->next) {
                text->lost = 0;
            }

            ngx_prom_poll_link(zone, &cell->client);
            break;

        case NGX_PROM_POLL_PLACE:
            place = &cell->place;

            if (place->client->kind == NGX_PROM_POLL_CLIENT
                && ngx_prom_poll_there(zone, &place->at))
            {
                place->next = place->client->places;
                place->client->places = place;

            } else {
                ngx_prom_poll_set_kind(cell, NGX_PROM_POLL_FREE);
            }

            break;
        }
    }

    for (i = n; i-- > 0; /* void */ ) {
        cell = &zone->cells[i];

        if (cell->kind == NGX_PROM_POLL_FREE
            || (cell->kind == NGX_PROM_POLL_TEXT && cell->text.lost))
        {
            ngx_prom_poll_free(zone, cell);
        }

        if (cell->kind == NGX_PROM_POLL_CLIENT) {
            ngx_prom_poll_unpin(zone, &cell->client);
        }
    }

    zone->version++;
    zone->moves++;
}


ngx_uint_t
ngx_prom_poll_there(ngx_prom_poll_zone_t *zone, const ngx_prom_poll_at_t *at)
{
    return (at->slot < NGX_PROM_POLL_SLOTS
            && zone->slots[at->slot].pid
            && zone->slots[at->slot].tag == at->tag);
}


ngx_prom_poll_entry_t *
ngx_prom_poll_lookup(ngx_prom_poll_zone_t *zone, const ngx_str_t *name)
{
    ngx_int_t           rc;
    ngx_rbtree_key_t    key;
    ngx_rbtree_node_t  *node;

    key = ngx_prom_poll_key(name->data, name->len);
    node = zone->root;

    while (node != &zone->sentinel) {
        rc = ngx_prom_poll_compare(name, key, node);

        if (rc == 0) {
            return ngx_prom_poll_entry(node);
        }

        node = (rc < 0) ? node->left : node->right;
    }

    return NULL;
}


ngx_prom_poll_entry_t *
ngx_prom_poll_behind(ngx_prom_poll_zone_t *zone, const ngx_str_t *name)
{
    ngx_rbtree_key_t    key;
    ngx_rbtree_node_t  *node, *found;

    key = ngx_prom_poll_key(name->data, name->len);
    node = zone->root;
    found = NULL;

    while (node != &zone->sentinel) {

        if (ngx_prom_poll_compare(name, key, node) < 0) {
            found = node;
            node = node->left;

        } else {
            node = node->right;
        }
    }

    return found ? ngx_prom_poll_entry(found) : NULL;
}


ngx_prom_poll_entry_t *
ngx_prom_poll_add(ngx_prom_poll_zone_t *zone,
    const ngx_prom_poll_hello_t *hello)
{
    ngx_prom_poll_cell_t  *cell;
    ngx_prom_poll_text_t  *text;

    text = ngx_prom_poll_add_text(zone, hello);
    if (text == NULL) {
        return NULL;
    }

    cell = ngx_prom_poll_alloc(zone);
    if (cell == NULL) {
        ngx_prom_poll_remove_text(zone, text);
        return NULL;
    }

    ngx_memzero(cell, sizeof(ngx_prom_poll_cell_t));

    /* no poll was held yet, so it isn't there */

    cell->client.gone = NGX_PROM_POLL_AWAY;
    cell->client.last = ngx_current_msec;
    cell->client.since = ngx_prom_poll_time();
    cell->client.seen = cell->client.since;
    cell->client.text = text;

    ngx_prom_poll_set_kind(cell, NGX_PROM_POLL_CLIENT);

    ngx_prom_poll_link(zone, &cell->client);
    ngx_prom_poll_unpin(zone, &cell->client);

    zone->version++;

    return &cell->client;
}


ngx_int_t
ngx_prom_poll_retext(ngx_prom_poll_zone_t *zone,
    ngx_prom_poll_entry_t *client, const ngx_prom_poll_hello_t *hello)
{
    size_t                 len;
    ngx_uint_t             labels;
    ngx_prom_poll_text_t  *text, *old;

    old = client->text;
    len = old->name_len + old->address_len;

    labels = ngx_prom_poll_differs(old, len, old->labels_len, &hello->labels);

    if (!labels
        && !ngx_prom_poll_differs(old, old->name_len, old->address_len,
                                  &hello->address))
    {
        return NGX_OK;
    }

    text = ngx_prom_poll_add_text(zone, hello);
    if (text == NULL) {
        return NGX_ERROR;
    }

    __atomic_store_n(&client->text, text, __ATOMIC_RELEASE);

    ngx_prom_poll_remove_text(zone, old);

    zone->version += labels;

    return NGX_OK;
}


void
ngx_prom_poll_remove(ngx_prom_poll_zone_t *zone,
    ngx_prom_poll_entry_t *client)
{
    ngx_rbtree_t  tree;

    ngx_prom_poll_set_kind(client, NGX_PROM_POLL_FREE);

    ngx_queue_remove(&client->queue);

    ngx_prom_poll_tree(zone, &tree);
    ngx_rbtree_delete(&tree, &client->node);
    zone->root = tree.root;

    ngx_prom_poll_remove_text(zone, client->text);
    ngx_prom_poll_free(zone, client);

    zone->count--;
    zone->version++;
}


ngx_prom_poll_place_t *
ngx_prom_poll_add_place(ngx_prom_poll_zone_t *zone,
    ngx_prom_poll_entry_t *client, const ngx_prom_poll_at_t *at)
{
    ngx_prom_poll_cell_t  *cell;

    cell = ngx_prom_poll_alloc(zone);
    if (cell == NULL) {
        return NULL;
    }

    ngx_memzero(cell, sizeof(ngx_prom_poll_cell_t));

    cell->place.at = *at;
    cell->place.client = client;
    cell->place.next = client->places;

    ngx_prom_poll_set_kind(cell, NGX_PROM_POLL_PLACE);

    ngx_prom_poll_pin(client);

    client->places = &cell->place;

    return &cell->place;
}


void
ngx_prom_poll_remove_place(ngx_prom_poll_zone_t *zone,
    ngx_prom_poll_place_t *place)
{
    ngx_prom_poll_entry_t   *client;
    ngx_prom_poll_place_t  **next;

    client = place->client;

    ngx_prom_poll_set_kind(place, NGX_PROM_POLL_FREE);

    for (next = &client->places; *next != place; next = &(*next)->next) {
        /* void */
    }

    *next = place->next;

    ngx_prom_poll_free(zone, place);

    ngx_prom_poll_unpin(zone, client);
}


void
ngx_prom_poll_text(const ngx_prom_poll_text_t *text, size_t offset,
    u_char *buf, size_t len)
{
    size_t  n;

    while (len) {

        if (offset >= sizeof(text->data)) {
            offset -= sizeof(text->data);
            text = text->next;
            continue;
        }

        n = ngx_min(len, sizeof(text->data) - offset);

        buf = ngx_cpymem(buf, &text->data[offset], n);
        len -= n;
        offset += n;
    }
}


void
ngx_prom_poll_pin(ngx_prom_poll_entry_t *client)
{
    if (client->places == NULL) {
        ngx_queue_remove(&client->queue);
        ngx_queue_init(&client->queue);
    }
}


void
ngx_prom_poll_unpin(ngx_prom_poll_zone_t *zone, ngx_prom_poll_entry_t *client)
{
    if (client->places == NULL) {
        ngx_queue_insert_tail((client->gone == NGX_PROM_POLL_AWAY)
                              ? &zone->gone : &zone->between,
                              &client->queue);
    }
}


uint64_t
ngx_prom_poll_time(void)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    return (uint64_t) tp->sec * 1000 + tp->msec;
}


static void
ngx_prom_poll_link(ngx_prom_poll_zone_t *zone, ngx_prom_poll_entry_t *client)
{
    size_t        len;
    u_char        buf[sizeof(ngx_rbtree_key_t)];
    ngx_rbtree_t  tree;

    len = ngx_min(client->text->name_len, sizeof(buf));
    ngx_prom_poll_text(client->text, 0, buf, len);

    client->node.key = ngx_prom_poll_key(buf, len);

    ngx_prom_poll_tree(zone, &tree);
    ngx_rbtree_insert(&tree, &client->node);
    zone->root = tree.root;

    zone->count++;
}


static void
ngx_prom_poll_insert(ngx_rbtree_node_t *temp, ngx_rbtree_node_t *node,
    ngx_rbtree_node_t *sentinel)
{
    u_char                 buf[NGX_PROM_POLL_NAME];
    ngx_str_t              name;
    ngx_rbtree_node_t    **p;
    ngx_prom_poll_text_t  *text;

    text = ngx_prom_poll_entry(node)->text;

    name.len = text->name_len;
    name.data = buf;
    ngx_prom_poll_text(text, 0, buf, name.len);

    for ( ;; ) {
        p = (ngx_prom_poll_compare(&name, node->key, temp) < 0)
            ? &temp->left : &temp->right;

        if (*p == sentinel) {
            break;
        }

        temp = *p;
    }

    *p = node;
    node->parent = temp;
    node->left = sentinel;
    node->right = sentinel;
    ngx_rbt_red(node);
}


/* the function's address is this process' own, and so not in the zone */

static void
ngx_prom_poll_tree(ngx_prom_poll_zone_t *zone, ngx_rbtree_t *tree)
{
    tree->root = zone->root;
    tree->sentinel = &zone->sentinel;
    tree->insert = ngx_prom_poll_insert;
}


/* the first bytes of a name, so that few names are read for a look-up */

static ngx_rbtree_key_t
ngx_prom_poll_key(const u_char *name, size_t len)
{
    size_t            n;
    ngx_rbtree_key_t  key;

    key = 0;

    for (n = 0; n < sizeof(ngx_rbtree_key_t); n++) {
        key = key << 8 | (n < len ? name[n] : 0);
    }

    return key;
}


static ngx_int_t
ngx_prom_poll_compare(const ngx_str_t *name, ngx_rbtree_key_t key,
    const ngx_rbtree_node_t *node)
{
    u_char                 buf[NGX_PROM_POLL_NAME];
    ngx_prom_poll_text_t  *text;

    if (key != node->key) {
        return (key < node->key) ? -1 : 1;
    }

    text = ngx_prom_poll_entry(node)->text;
    ngx_prom_poll_text(text, 0, buf, text->name_len);

    return ngx_memn2cmp(name->data, buf, name->len, text->name_len);
}


static ngx_uint_t
ngx_prom_poll_differs(const ngx_prom_poll_text_t *text, size_t offset,
    size_t len, const ngx_str_t *other)
{
    u_char  buf[NGX_PROM_POLL_LABELS];

    if (len != other->len) {
        return 1;
    }

    ngx_prom_poll_text(text, offset, buf, len);

    return (len && ngx_memcmp(buf, other->data, len) != 0);
}


static ngx_prom_poll_cell_t *
ngx_prom_poll_alloc(ngx_prom_poll_zone_t *zone)
{
    ngx_prom_poll_text_t  *text;

    text = zone->free;

    if (text) {
        zone->free = text->next;
        return (ngx_prom_poll_cell_t *) text;
    }

    if (zone->fresh == zone->ncells) {
        return NULL;
    }

    return &zone->cells[zone->fresh++];
}


static void
ngx_prom_poll_free(ngx_prom_poll_zone_t *zone, void *cell)
{
    ngx_prom_poll_text_t  *text = cell;

    ngx_prom_poll_set_kind(text, NGX_PROM_POLL_FREE);

    text->next = zone->free;
    zone->free = text;
}


static ngx_prom_poll_text_t *
ngx_prom_poll_add_text(ngx_prom_poll_zone_t *zone,
    const ngx_prom_poll_hello_t *hello)
{
    size_t                 n, left;
    u_char                *p;
    ngx_uint_t             i;
    const ngx_str_t       *parts[3];
    ngx_prom_poll_text_t  *first, *text;

    parts[0] = &hello->name;
    parts[1] = &hello->address;
    parts[2] = &hello->labels;

    first = ngx_prom_poll_more_text(zone);
    if (first == NULL) {
        return NULL;
    }

    text = first;
    p = text->data;

    for (i = 0; i < 3; i++) {

        for (left = parts[i]->len; left; left -= n) {

            if (p == text->data + sizeof(text->data)) {
                text->next = ngx_prom_poll_more_text(zone);

                if (text->next == NULL) {
                    ngx_prom_poll_remove_text(zone, first);
                    return NULL;
                }

                text = text->next;
                p = text->data;
            }

            n = ngx_min(left, (size_t) (text->data + sizeof(text->data) - p));
            p = ngx_cpymem(p, parts[i]->data + parts[i]->len - left, n);
        }
    }

    first->name_len = hello->name.len;
    first->address_len = hello->address.len;
    first->labels_len = hello->labels.len;

    return first;
}


static ngx_prom_poll_text_t *
ngx_prom_poll_more_text(ngx_prom_poll_zone_t *zone)
{
    ngx_prom_poll_cell_t  *cell;

    cell = ngx_prom_poll_alloc(zone);

    if (cell) {
        ngx_memzero(cell, sizeof(ngx_prom_poll_cell_t));
        ngx_prom_poll_set_kind(cell, NGX_PROM_POLL_TEXT);
    }

    return (ngx_prom_poll_text_t *) cell;
}


static void
ngx_prom_poll_remove_text(ngx_prom_poll_zone_t *zone,
    ngx_prom_poll_text_t *text)
{
    ngx_prom_poll_text_t  *next;

    for ( /* void */ ; text; text = next) {
        next = text->next;
        ngx_prom_poll_free(zone, text);
    }
}
