/*
 * Workers of the poll zone: each has a slot while it is there, and what one
 * that was killed has counted is taken back by the next that comes.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_prom_poll_table.h"


#define NGX_PROM_POLL_STARTED  22     /* the field of /proc/PID/stat */


static void ngx_prom_poll_drop_slot(ngx_prom_poll_zone_t *zone,
    uint32_t slot);
static ngx_uint_t ngx_prom_poll_alive(const ngx_prom_poll_slot_t *slot);
static uint64_t ngx_prom_poll_started(ngx_pid_t pid);


ngx_int_t
ngx_prom_poll_zone_join(ngx_prom_poll_zone_t *zone, ngx_prom_poll_at_t *at,
    ngx_prom_poll_gone_pt gone, void *data)
{
    uint64_t              started;
    uint32_t              i, tags[NGX_PROM_POLL_SLOTS];
    ngx_int_t             rc;
    ngx_prom_poll_at_t    dead;
    ngx_prom_poll_slot_t  slots[NGX_PROM_POLL_SLOTS];

    started = ngx_prom_poll_started(ngx_pid);

    /* no file is read with the lock held */

    ngx_prom_poll_lock(zone);
    ngx_memcpy(slots, zone->slots, sizeof(slots));
    ngx_prom_poll_unlock(zone);

    for (i = 0; i < NGX_PROM_POLL_SLOTS; i++) {
        tags[i] = ngx_prom_poll_alive(&slots[i]) ? 0 : slots[i].tag;
    }

    rc = NGX_ERROR;

    ngx_prom_poll_lock(zone);

    for (i = 0; i < NGX_PROM_POLL_SLOTS; i++) {

        if (tags[i] == 0 || tags[i] != zone->slots[i].tag
            || zone->slots[i].pid == 0)
        {
            tags[i] = 0;
            continue;
        }

        ngx_prom_poll_drop_slot(zone, i);
    }

    for (i = 0; i < NGX_PROM_POLL_SLOTS; i++) {

        if (zone->slots[i].pid) {
            continue;
        }

        zone->tag = (zone->tag + 1) & 0xffff;

        if (zone->tag == 0) {
            zone->tag = 1;
        }

        zone->slots[i].tag = zone->tag;
        zone->slots[i].room = 0;
        zone->slots[i].started = started;
        zone->slots[i].pid = ngx_pid;

        at->slot = i;
        at->tag = zone->tag;

        rc = NGX_OK;
        break;
    }

    ngx_prom_poll_unlock(zone);

    for (i = 0; i < NGX_PROM_POLL_SLOTS; i++) {

        if (tags[i]) {
            dead.slot = i;
            dead.tag = tags[i];
            gone(&dead, data);
        }
    }

    return rc;
}


void
ngx_prom_poll_zone_leave(ngx_prom_poll_zone_t *zone,
    const ngx_prom_poll_at_t *at)
{
    ngx_prom_poll_lock(zone);

    if (ngx_prom_poll_there(zone, at)) {
        ngx_prom_poll_drop_slot(zone, at->slot);
    }

    ngx_prom_poll_unlock(zone);
}


/* its connections were refused: it is no use to wait for the next to join */

ngx_int_t
ngx_prom_poll_zone_lost(ngx_prom_poll_zone_t *zone,
    const ngx_prom_poll_at_t *at)
{
    ngx_prom_poll_slot_t  slot;

    ngx_prom_poll_lock(zone);
    slot = zone->slots[at->slot];
    ngx_prom_poll_unlock(zone);

    if (slot.pid == ngx_pid
        || slot.tag != at->tag
        || ngx_prom_poll_alive(&slot))
    {
        return NGX_DECLINED;
    }

    ngx_prom_poll_zone_leave(zone, at);

    return NGX_OK;
}


ngx_uint_t
ngx_prom_poll_zone_has(ngx_prom_poll_zone_t *zone,
    const ngx_prom_poll_at_t *at)
{
    ngx_uint_t  there;

    ngx_prom_poll_lock(zone);

    there = ngx_prom_poll_there(zone, at);

    ngx_prom_poll_unlock(zone);

    return there;
}


void
ngx_prom_poll_zone_set_room(ngx_prom_poll_zone_t *zone,
    const ngx_prom_poll_at_t *own, ngx_uint_t room)
{
    if (zone->slots[own->slot].room != room) {
        zone->slots[own->slot].room = room;
    }
}


ngx_uint_t
ngx_prom_poll_zone_room(ngx_prom_poll_zone_t *zone,
    const ngx_prom_poll_at_t *at)
{
    ngx_prom_poll_slot_t  *slot;

    slot = &zone->slots[at->slot];

    return slot->pid && slot->tag == at->tag && slot->room;
}


/* takes back what its worker has counted: connections end with a process */

static void
ngx_prom_poll_drop_slot(ngx_prom_poll_zone_t *zone, uint32_t slot)
{
    ngx_uint_t              i, polls;
    ngx_prom_poll_cell_t   *cell;
    ngx_prom_poll_entry_t  *client;
    ngx_prom_poll_place_t  *place;

    for (i = 0; i < zone->fresh; i++) {
        cell = &zone->cells[i];

        if (cell->kind != NGX_PROM_POLL_PLACE || cell->place.at.slot != slot)
        {
            continue;
        }

        client = cell->place.client;

        if (cell->place.polls) {
            cell->place.polls = 0;
            polls = 0;

            for (place = client->places; place; place = place->next) {
                polls += place->polls;
            }

            if (polls == 0) {
                client->gone = NGX_PROM_POLL_LOST;
                client->last = ngx_current_msec;

                zone->moves++;
                zone->lost = ngx_current_msec;
            }
        }

        ngx_prom_poll_remove_place(zone, &cell->place);
    }

    zone->slots[slot].pid = 0;
}


/* a process that has the number of one before it, started later than that */

static ngx_uint_t
ngx_prom_poll_alive(const ngx_prom_poll_slot_t *slot)
{
    uint64_t  started;

    if (slot->pid == 0) {
        return 1;
    }

    if (slot->pid == ngx_pid) {
        return 0;
    }

    if (kill(slot->pid, 0) == -1 && ngx_errno == NGX_ESRCH) {
        return 0;
    }

    started = ngx_prom_poll_started(slot->pid);

    return (started == 0 || slot->started == 0 || started == slot->started);
}


/* 0 if that can't be read */

static uint64_t
ngx_prom_poll_started(ngx_pid_t pid)
{
    int         fd;
    char       *p, buf[1024];
    ssize_t     n;
    ngx_uint_t  field;

    (void) ngx_snprintf((u_char *) buf, sizeof(buf), "/proc/%P/stat%Z", pid);

    fd = open(buf, O_RDONLY|O_CLOEXEC);
    if (fd == -1) {
        return 0;
    }

    n = read(fd, buf, sizeof(buf) - 1);

    (void) close(fd);

    if (n <= 0) {
        return 0;
    }

    buf[n] = '\0';

    /* the second field is a name in parentheses, with whatever is in it */

    p = strrchr(buf, ')');

    for (field = 2; p && field < NGX_PROM_POLL_STARTED; field++) {
        p = strchr(p + 1, ' ');
    }

    return p ? strtoull(p, NULL, 10) : 0;
}
