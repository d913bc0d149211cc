/*
 * Poll clients in shared memory: see ngx_prom_poll_zone.h; how they lie there
 * is in ngx_prom_poll_table.c.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_prom_poll_table.h"


/* a client that was answered so long ago may give way to a new one */

#define NGX_PROM_POLL_GRACE   30000

/* so long one whose worker was killed is expected to poll again, in ms */

#define NGX_PROM_POLL_BACK    5000

/* clients that one call takes out */

#define NGX_PROM_POLL_EXPIRE  32


static ngx_prom_poll_state_e ngx_prom_poll_held_at(
    ngx_prom_poll_entry_t *client, const ngx_prom_poll_at_t *own,
    ngx_prom_poll_at_t *at);
static ngx_prom_poll_state_e ngx_prom_poll_awaited_at(
    ngx_prom_poll_entry_t *client, const ngx_prom_poll_at_t *own,
    ngx_prom_poll_at_t *at);
static void ngx_prom_poll_held(ngx_prom_poll_zone_t *zone,
    ngx_prom_poll_place_t *place);
static ngx_prom_poll_entry_t *ngx_prom_poll_since(ngx_prom_poll_zone_t *zone,
    const ngx_prom_poll_turn_t *turn);
static void ngx_prom_poll_leaves(ngx_prom_poll_zone_t *zone,
    ngx_prom_poll_entry_t *client);
static void ngx_prom_poll_set_gone(ngx_prom_poll_zone_t *zone,
    ngx_prom_poll_entry_t *client, ngx_prom_poll_gone_e gone);
static ngx_uint_t ngx_prom_poll_away(ngx_prom_poll_entry_t *client);
static ngx_prom_poll_entry_t *ngx_prom_poll_make(ngx_prom_poll_zone_t *zone,
    const ngx_prom_poll_hello_t *hello, ngx_int_t *rc);
static ngx_uint_t ngx_prom_poll_evict(ngx_prom_poll_zone_t *zone);
static ngx_uint_t ngx_prom_poll_expired(ngx_prom_poll_zone_t *zone,
    ngx_prom_poll_entry_t *client);
static ngx_prom_poll_entry_t *ngx_prom_poll_oldest(ngx_queue_t *queue);
static void ngx_prom_poll_copy(ngx_prom_poll_entry_t *client,
    ngx_prom_poll_client_t *copy);


void
ngx_prom_poll_zone_limit(ngx_prom_poll_zone_t *zone,
    const ngx_prom_poll_limits_t *limits)
{
    ngx_prom_poll_lock(zone);

    zone->limits = *limits;

    ngx_prom_poll_unlock(zone);
}


ngx_prom_poll_counters_t *
ngx_prom_poll_zone_counters(ngx_prom_poll_zone_t *zone)
{
    return &zone->counters;
}


u_char *
ngx_prom_poll_zone_replica(ngx_prom_poll_zone_t *zone)
{
    return zone->replica;
}


ngx_prom_poll_state_e
ngx_prom_poll_find(ngx_prom_poll_zone_t *zone, const ngx_str_t *name,
    const ngx_prom_poll_at_t *own, ngx_prom_poll_at_t *at)
{
    ngx_prom_poll_entry_t  *client;
    ngx_prom_poll_state_e   state;

    ngx_prom_poll_lock(zone);

    state = NGX_PROM_POLL_ABSENT;
    client = ngx_prom_poll_lookup(zone, name);

    if (client) {
        state = ngx_prom_poll_held_at(client, own, at);

        if (state == NGX_PROM_POLL_ABSENT
            && !ngx_prom_poll_away(client)
            && !ngx_prom_poll_expired(zone, client))
        {
            state = NGX_PROM_POLL_BETWEEN;
        }
    }

    ngx_prom_poll_unlock(zone);

    return state;
}


static ngx_prom_poll_state_e
ngx_prom_poll_held_at(ngx_prom_poll_entry_t *client,
    const ngx_prom_poll_at_t *own, ngx_prom_poll_at_t *at)
{
    ngx_prom_poll_place_t  *place;
    ngx_prom_poll_state_e   state;

    state = NGX_PROM_POLL_ABSENT;

    for (place = client->places; place; place = place->next) {

        if (place->polls == 0) {
            continue;
        }

        if (place->at.slot == own->slot && place->at.tag == own->tag) {
            return NGX_PROM_POLL_HERE;
        }

        *at = place->at;
        state = NGX_PROM_POLL_THERE;
    }

    return state;
}


ngx_prom_poll_state_e
ngx_prom_poll_find_wait(ngx_prom_poll_zone_t *zone, const ngx_str_t *name,
    const ngx_prom_poll_at_t *own, ngx_prom_poll_at_t *at)
{
    ngx_prom_poll_entry_t  *client;
    ngx_prom_poll_state_e   state;

    ngx_prom_poll_lock(zone);

    client = ngx_prom_poll_lookup(zone, name);

    state = client ? ngx_prom_poll_awaited_at(client, own, at)
                   : NGX_PROM_POLL_ABSENT;

    ngx_prom_poll_unlock(zone);

    return state;
}


static ngx_prom_poll_state_e
ngx_prom_poll_awaited_at(ngx_prom_poll_entry_t *client,
    const ngx_prom_poll_at_t *own, ngx_prom_poll_at_t *at)
{
    ngx_prom_poll_place_t  *place;
    ngx_prom_poll_state_e   state;

    state = NGX_PROM_POLL_ABSENT;

    for (place = client->places; place; place = place->next) {

        if (place->waits == 0) {
            continue;
        }

        if (place->at.slot == own->slot && place->at.tag == own->tag) {
            return NGX_PROM_POLL_HERE;
        }

        *at = place->at;
        state = NGX_PROM_POLL_THERE;
    }

    return state;
}


ngx_prom_poll_place_t *
ngx_prom_poll_enter(ngx_prom_poll_zone_t *zone, const ngx_prom_poll_at_t *own,
    const ngx_prom_poll_hello_t *hello, ngx_int_t *rc)
{
    ngx_uint_t              made;
    ngx_prom_poll_entry_t  *client;
    ngx_prom_poll_place_t  *place;

    *rc = NGX_ERROR;

    if (hello->name.len == 0
        || hello->name.len > NGX_PROM_POLL_NAME
        || hello->address.len > NGX_PROM_POLL_ADDRESS
        || hello->labels.len > NGX_PROM_POLL_LABELS)
    {
        return NULL;
    }

    ngx_prom_poll_lock(zone);

    place = NULL;

    if (!ngx_prom_poll_there(zone, own)) {
        goto done;
    }

    client = ngx_prom_poll_lookup(zone, &hello->name);
    made = (client == NULL);

    if (made) {
        client = ngx_prom_poll_make(zone, hello, rc);

        if (client == NULL) {
            goto done;
        }
    }

    /* room for it mustn't be its own */

    ngx_prom_poll_pin(client);

    if (!made && (hello->address.len || hello->labels.len)) {

        while (ngx_prom_poll_retext(zone, client, hello) != NGX_OK) {
            if (!ngx_prom_poll_evict(zone)) {
                goto failed;
            }
        }
    }

    for (place = client->places; place; place = place->next) {
        if (place->at.slot == own->slot && place->at.tag == own->tag) {
            goto found;
        }
    }

    do {
        place = ngx_prom_poll_add_place(zone, client, own);
    } while (place == NULL && ngx_prom_poll_evict(zone));

    if (place == NULL) {
        goto failed;
    }

found:

    if (hello->kept) {
        client->habit = NGX_PROM_POLL_KEEPS;
    }

    place->refs++;
    *rc = NGX_OK;

    goto done;

failed:

    if (made) {
        ngx_prom_poll_remove(zone, client);

    } else {
        ngx_prom_poll_unpin(zone, client);
    }

done:

    ngx_prom_poll_unlock(zone);

    return place;
}


static ngx_prom_poll_entry_t *
ngx_prom_poll_make(ngx_prom_poll_zone_t *zone,
    const ngx_prom_poll_hello_t *hello, ngx_int_t *rc)
{
    ngx_prom_poll_entry_t  *client;

    while (zone->count >= zone->limits.clients) {

        if (!ngx_prom_poll_evict(zone)) {
            *rc = NGX_DECLINED;
            return NULL;
        }
    }

    do {
        client = ngx_prom_poll_add(zone, hello);
    } while (client == NULL && ngx_prom_poll_evict(zone));

    return client;
}


/* the one that is gone for the longest, or else has been away for a while */

static ngx_uint_t
ngx_prom_poll_evict(ngx_prom_poll_zone_t *zone)
{
    ngx_prom_poll_entry_t  *client;

    client = ngx_prom_poll_oldest(&zone->gone);

    if (client == NULL) {
        client = ngx_prom_poll_oldest(&zone->between);

        if (client == NULL
            || ngx_current_msec - client->last < NGX_PROM_POLL_GRACE)
        {
            return 0;
        }
    }

    ngx_prom_poll_remove(zone, client);

    return 1;
}


void
ngx_prom_poll_exit(ngx_prom_poll_zone_t *zone, ngx_prom_poll_place_t *place)
{
    ngx_prom_poll_lock(zone);

    if (--place->refs == 0) {
        ngx_prom_poll_remove_place(zone, place);
    }

    ngx_prom_poll_unlock(zone);
}


void
ngx_prom_poll_hold(ngx_prom_poll_zone_t *zone, ngx_prom_poll_place_t *place)
{
    ngx_prom_poll_lock(zone);

    ngx_prom_poll_held(zone, place);

    ngx_prom_poll_unlock(zone);
}


ngx_int_t
ngx_prom_poll_offer(ngx_prom_poll_zone_t *zone, ngx_prom_poll_place_t *place,
    ngx_prom_poll_at_t *at)
{
    ngx_int_t  rc;

    ngx_prom_poll_lock(zone);

    rc = NGX_DECLINED;

    if (ngx_prom_poll_awaited_at(place->client, &place->at, at)
        != NGX_PROM_POLL_THERE)
    {
        ngx_prom_poll_held(zone, place);
        rc = NGX_OK;
    }

    ngx_prom_poll_unlock(zone);

    return rc;
}


static void
ngx_prom_poll_held(ngx_prom_poll_zone_t *zone, ngx_prom_poll_place_t *place)
{
    ngx_prom_poll_entry_t  *client;

    client = place->client;

    if (ngx_prom_poll_away(client) || ngx_prom_poll_expired(zone, client)) {
        client->since = ngx_prom_poll_time();
    }

    if (client->habit == NGX_PROM_POLL_CLOSED) {
        client->habit = NGX_PROM_POLL_CLOSES;
    }

    ngx_prom_poll_set_gone(zone, client, NGX_PROM_POLL_PRESENT);
    client->turn = ++zone->turn;
    client->last = ngx_current_msec;
    client->seen = ngx_prom_poll_time();

    place->polls++;
}


void
ngx_prom_poll_unhold(ngx_prom_poll_zone_t *zone, ngx_prom_poll_place_t *place,
    ngx_prom_poll_end_e end)
{
    ngx_prom_poll_at_t      at;
    ngx_prom_poll_entry_t  *client;

    ngx_prom_poll_lock(zone);

    client = place->client;

    place->polls--;

    client->last = ngx_current_msec;
    client->seen = ngx_prom_poll_time();

    if (end == NGX_PROM_POLL_ANSWERED) {
        client->handed++;
    }

    ngx_prom_poll_set_gone(zone, client,
                           (end == NGX_PROM_POLL_GONE
                            && ngx_prom_poll_held_at(client, &place->at, &at)
                               == NGX_PROM_POLL_ABSENT)
                           ? NGX_PROM_POLL_AWAY : NGX_PROM_POLL_PRESENT);

    ngx_prom_poll_unlock(zone);
}


void
ngx_prom_poll_wait(ngx_prom_poll_zone_t *zone, ngx_prom_poll_place_t *place)
{
    ngx_prom_poll_lock(zone);

    place->waits++;

    ngx_prom_poll_unlock(zone);
}


ngx_int_t
ngx_prom_poll_await(ngx_prom_poll_zone_t *zone, ngx_prom_poll_place_t *place,
    ngx_prom_poll_at_t *at)
{
    ngx_int_t  rc;

    ngx_prom_poll_lock(zone);

    rc = NGX_DECLINED;

    if (ngx_prom_poll_held_at(place->client, &place->at, at)
        != NGX_PROM_POLL_THERE)
    {
        place->waits++;
        rc = NGX_OK;
    }

    ngx_prom_poll_unlock(zone);

    return rc;
}


void
ngx_prom_poll_unwait(ngx_prom_poll_zone_t *zone, ngx_prom_poll_place_t *place)
{
    ngx_prom_poll_lock(zone);

    place->waits--;

    ngx_prom_poll_unlock(zone);
}


void
ngx_prom_poll_turn(ngx_prom_poll_zone_t *zone, const ngx_str_t *name,
    ngx_prom_poll_turn_t *turn)
{
    ngx_prom_poll_entry_t  *client;

    ngx_prom_poll_lock(zone);

    client = ngx_prom_poll_lookup(zone, name);

    turn->client = client;
    turn->turn = client ? client->turn : 0;

    ngx_prom_poll_unlock(zone);
}


void
ngx_prom_poll_closed(ngx_prom_poll_zone_t *zone,
    const ngx_prom_poll_turn_t *turn)
{
    ngx_prom_poll_entry_t  *client;

    ngx_prom_poll_lock(zone);

    client = ngx_prom_poll_since(zone, turn);

    if (client && client->habit != NGX_PROM_POLL_CLOSES) {
        client->habit = NGX_PROM_POLL_CLOSED;
        ngx_prom_poll_leaves(zone, client);
    }

    ngx_prom_poll_unlock(zone);
}


void
ngx_prom_poll_late(ngx_prom_poll_zone_t *zone,
    const ngx_prom_poll_turn_t *turn)
{
    ngx_prom_poll_entry_t  *client;

    ngx_prom_poll_lock(zone);

    client = ngx_prom_poll_since(zone, turn);

    if (client) {
        ngx_prom_poll_leaves(zone, client);
    }

    ngx_prom_poll_unlock(zone);
}


/*
 * The client if it has not polled since.  Its cell may be another's by now,
 * but no two polls have the same turn.
 */

static ngx_prom_poll_entry_t *
ngx_prom_poll_since(ngx_prom_poll_zone_t *zone,
    const ngx_prom_poll_turn_t *turn)
{
    ngx_prom_poll_at_t      own, at;
    ngx_prom_poll_entry_t  *client;

    client = turn->client;

    if (client == NULL
        || client->kind != NGX_PROM_POLL_CLIENT
        || client->turn != turn->turn
        || turn->turn == 0)
    {
        return NULL;
    }

    /* an older one may be held still, anywhere */

    ngx_memzero(&own, sizeof(ngx_prom_poll_at_t));

    if (ngx_prom_poll_held_at(client, &own, &at) != NGX_PROM_POLL_ABSENT) {
        return NULL;
    }

    return client;
}


static void
ngx_prom_poll_leaves(ngx_prom_poll_zone_t *zone,
    ngx_prom_poll_entry_t *client)
{
    /* it may be in the wrong queue then */

    ngx_prom_poll_pin(client);

    ngx_prom_poll_set_gone(zone, client, NGX_PROM_POLL_AWAY);

    ngx_prom_poll_unpin(zone, client);
}


static void
ngx_prom_poll_set_gone(ngx_prom_poll_zone_t *zone,
    ngx_prom_poll_entry_t *client, ngx_prom_poll_gone_e gone)
{
    zone->moves += (client->gone != gone);
    client->gone = gone;
}


/* true once it isn't expected to poll again */

static ngx_uint_t
ngx_prom_poll_away(ngx_prom_poll_entry_t *client)
{
    switch (client->gone) {

    case NGX_PROM_POLL_AWAY:
        return 1;

    case NGX_PROM_POLL_LOST:
        return ngx_current_msec - client->last > NGX_PROM_POLL_BACK;

    default: /* NGX_PROM_POLL_PRESENT */
        return 0;
    }
}


ngx_int_t
ngx_prom_poll_next(ngx_prom_poll_zone_t *zone, const ngx_str_t *after,
    ngx_prom_poll_client_t *copy)
{
    ngx_prom_poll_entry_t  *client;

    ngx_prom_poll_lock(zone);

    for ( ;; ) {
        client = ngx_prom_poll_behind(zone, after);

        if (client == NULL
            || client->places
            || !ngx_prom_poll_expired(zone, client))
        {
            break;
        }

        ngx_prom_poll_remove(zone, client);
    }

    if (client) {
        ngx_prom_poll_copy(client, copy);
    }

    ngx_prom_poll_unlock(zone);

    return client ? NGX_OK : NGX_DONE;
}


ngx_int_t
ngx_prom_poll_get(ngx_prom_poll_zone_t *zone, const ngx_str_t *name,
    ngx_prom_poll_client_t *copy)
{
    ngx_prom_poll_entry_t  *client;

    ngx_prom_poll_lock(zone);

    client = ngx_prom_poll_lookup(zone, name);

    if (client) {
        ngx_prom_poll_copy(client, copy);
    }

    ngx_prom_poll_unlock(zone);

    return client ? NGX_OK : NGX_DECLINED;
}


ngx_uint_t
ngx_prom_poll_count(ngx_prom_poll_zone_t *zone)
{
    ngx_uint_t  count;

    ngx_prom_poll_lock(zone);

    count = zone->count;

    ngx_prom_poll_unlock(zone);

    return count;
}


ngx_uint_t
ngx_prom_poll_limit(ngx_prom_poll_zone_t *zone)
{
    return zone->limits.clients;
}


ngx_uint_t
ngx_prom_poll_version(ngx_prom_poll_zone_t *zone)
{
    return zone->version;
}


/* those that a worker has lost are away some time after that */

ngx_uint_t
ngx_prom_poll_moves(ngx_prom_poll_zone_t *zone)
{
    ngx_uint_t  moves;

    ngx_prom_poll_lock(zone);

    moves = 2 * zone->moves
            + (ngx_current_msec - zone->lost > NGX_PROM_POLL_BACK);

    ngx_prom_poll_unlock(zone);

    return moves;
}


void
ngx_prom_poll_expire(ngx_prom_poll_zone_t *zone)
{
    ngx_uint_t              i, n;
    ngx_queue_t            *queues[2];
    ngx_prom_poll_entry_t  *client;

    queues[0] = &zone->gone;
    queues[1] = &zone->between;

    ngx_prom_poll_lock(zone);

    for (i = 0; i < 2; i++) {

        for (n = 0; n < NGX_PROM_POLL_EXPIRE; n++) {
            client = ngx_prom_poll_oldest(queues[i]);

            if (client == NULL || !ngx_prom_poll_expired(zone, client)) {
                break;
            }

            ngx_prom_poll_remove(zone, client);
        }
    }

    ngx_prom_poll_unlock(zone);
}


/* false while it has a poll, however old that is */

static ngx_uint_t
ngx_prom_poll_expired(ngx_prom_poll_zone_t *zone,
    ngx_prom_poll_entry_t *client)
{
    ngx_msec_int_t          passed;
    ngx_prom_poll_place_t  *place;

    for (place = client->places; place; place = place->next) {
        if (place->polls) {
            return 0;
        }
    }

    passed = (ngx_msec_int_t) (ngx_current_msec - client->last);

    return (passed > (ngx_msec_int_t) zone->limits.timeout);
}


static ngx_prom_poll_entry_t *
ngx_prom_poll_oldest(ngx_queue_t *queue)
{
    if (ngx_queue_empty(queue)) {
        return NULL;
    }

    return ngx_queue_data(ngx_queue_head(queue), ngx_prom_poll_entry_t,
                          queue);
}


static void
ngx_prom_poll_copy(ngx_prom_poll_entry_t *client,
    ngx_prom_poll_client_t *copy)
{
    ngx_prom_poll_text_t   *text;
    ngx_prom_poll_place_t  *place;

    text = client->text;

    copy->name_len = text->name_len;
    copy->address_len = text->address_len;
    copy->labels_len = text->labels_len;

    ngx_prom_poll_text(text, 0, copy->name, copy->name_len);
    ngx_prom_poll_text(text, copy->name_len, copy->address,
                       copy->address_len);
    ngx_prom_poll_text(text, copy->name_len + copy->address_len, copy->labels,
                       copy->labels_len);

    copy->since = client->since;
    copy->seen = client->seen;
    copy->handed = client->handed;
    copy->gone = ngx_prom_poll_away(client);
    copy->polls = 0;

    for (place = client->places; place; place = place->next) {
        copy->polls += place->polls;
    }
}
