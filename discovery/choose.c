/*
 * All lists are sorted, as is what was chosen last: they are merged, by a heap
 * of the lists' heads, so that the work grows with the targets and hardly with
 * the proxies.
 */


#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "choose.h"


#define CHOOSE_NONE  SIZE_MAX


typedef struct {
    const choose_from_t   *from;
    size_t                 n;

    size_t                *pos;       /* in each list */
    size_t                *heap;      /* of lists that aren't at their end */
    size_t                 heaped;
    size_t                *with;      /* lists that have the name, in order */
    size_t                 nwith;

    const choose_last_t   *last;
    size_t                *known;     /* each last proxy's place in from */
    size_t                 at;        /* in what was chosen last */

    choose_last_t          now;
} choose_t;


static int choose_open(choose_t *c);
static int choose_names(choose_t *c);
static str_t choose_head(const choose_t *c, size_t i);
static const group_t *choose_group(const choose_t *c, size_t i);
static int choose_before(const choose_t *c, size_t i, size_t j);
static void choose_push(choose_t *c, size_t i);
static size_t choose_pop(choose_t *c);
static str_t choose_gather(choose_t *c);
static size_t choose_had(choose_t *c, str_t name);
static size_t choose_best(const choose_t *c, str_t name, size_t had);
static size_t choose_all(const choose_t *c, size_t had, choose_pt chosen,
    void *data);
static unsigned choose_rank(const choose_t *c, size_t i);
static uint64_t choose_hash(str_t name, const char *proxy);
static int choose_keep(choose_t *c, str_t name, size_t i);


int
choose(choose_last_t *last, const choose_from_t *from, size_t n, int once,
    choose_pt chosen, void *data)
{
    int       rc;
    size_t    i, had;
    str_t     name;
    choose_t  c;

    memset(&c, 0, sizeof(c));

    c.from = from;
    c.n = n;
    c.last = last;

    rc = choose_open(&c);

    while (rc == 0 && c.heaped) {
        name = choose_gather(&c);
        had = choose_had(&c, name);

        if (once) {
            i = choose_best(&c, name, had);
            chosen(data, i, list_line(from[i].list, choose_group(&c, i)));

        } else {
            i = choose_all(&c, had, chosen, data);
        }

        rc = choose_keep(&c, name, i);

        for (i = 0; i < c.nwith; i++) {
            c.pos[c.with[i]]++;

            if (c.pos[c.with[i]] < from[c.with[i]].list->n) {
                choose_push(&c, c.with[i]);
            }
        }
    }

    if (rc == 0) {
        choose_forget(last);
        *last = c.now;

    } else {
        choose_forget(&c.now);
    }

    free(c.pos);
    free(c.heap);
    free(c.with);
    free(c.known);

    return rc;
}


static int
choose_open(choose_t *c)
{
    size_t  i;

    c->pos = calloc(c->n + 1, sizeof(size_t));
    c->heap = calloc(c->n + 1, sizeof(size_t));
    c->with = calloc(c->n + 1, sizeof(size_t));
    c->known = calloc(c->last->nnames + 1, sizeof(size_t));

    if (c->pos == NULL || c->heap == NULL || c->with == NULL
        || c->known == NULL)
    {
        return -1;
    }

    for (i = 0; i < c->n; i++) {
        if (c->from[i].list->n) {
            choose_push(c, i);
        }
    }

    return choose_names(c);
}


/* the proxies of the last time are in the order of their names, too */

static int
choose_names(choose_t *c)
{
    int          order;
    size_t       i, k;
    const char  *name;

    name = c->last->names.start;
    i = 0;

    for (k = 0; k < c->last->nnames; k++) {
        order = 1;

        while (i < c->n) {
            order = strcmp(c->from[i].name, name);

            if (order >= 0) {
                break;
            }

            i++;
        }

        c->known[k] = i < c->n && order == 0 ? i : CHOOSE_NONE;
        name += strlen(name) + 1;
    }

    for (i = 0; i < c->n; i++) {
        buffer_add(&c->now.names, c->from[i].name,
                   strlen(c->from[i].name) + 1);
    }

    c->now.nnames = c->n;

    return c->now.names.failed ? -1 : 0;
}


static const group_t *
choose_group(const choose_t *c, size_t i)
{
    return &c->from[i].list->group[c->pos[i]];
}


static str_t
choose_head(const choose_t *c, size_t i)
{
    return list_name(c->from[i].list, choose_group(c, i));
}


static int
choose_before(const choose_t *c, size_t i, size_t j)
{
    int  order;

    order = list_compare(choose_head(c, i), choose_head(c, j));

    return order ? order < 0 : i < j;
}


static void
choose_push(choose_t *c, size_t i)
{
    size_t  at, above;

    for (at = c->heaped++; at; at = above) {
        above = (at - 1) / 2;

        if (!choose_before(c, i, c->heap[above])) {
            break;
        }

        c->heap[at] = c->heap[above];
    }

    c->heap[at] = i;
}


static size_t
choose_pop(choose_t *c)
{
    size_t  at, below, first, moved;

    first = c->heap[0];
    moved = c->heap[--c->heaped];

    for (at = 0; at * 2 + 1 < c->heaped; at = below) {
        below = at * 2 + 1;

        if (below + 1 < c->heaped
            && choose_before(c, c->heap[below + 1], c->heap[below]))
        {
            below++;
        }

        if (!choose_before(c, c->heap[below], moved)) {
            break;
        }

        c->heap[at] = c->heap[below];
    }

    c->heap[at] = moved;

    return first;
}


/* takes all that list the first name off the heap */

static str_t
choose_gather(choose_t *c)
{
    str_t  name;

    name = choose_head(c, c->heap[0]);
    c->nwith = 0;

    do {
        c->with[c->nwith++] = choose_pop(c);

    } while (c->heaped
             && list_compare(choose_head(c, c->heap[0]), name) == 0);

    return name;
}


/* who had it last, if it still lists it */

static size_t
choose_had(choose_t *c, str_t name)
{
    int     order;
    size_t  i, start, had;
    str_t   old;

    for (/* void */; c->at < c->last->n; c->at++) {
        start = c->at ? c->last->target[c->at - 1].end : 0;

        old.start = c->last->text.start + start;
        old.len = c->last->target[c->at].end - start;

        order = list_compare(old, name);

        if (order > 0) {
            break;
        }

        if (order < 0) {
            continue;
        }

        had = c->known[c->last->target[c->at].from];

        for (i = 0; i < c->nwith; i++) {
            if (c->with[i] == had) {
                return had;
            }
        }

        break;
    }

    return CHOOSE_NONE;
}


/* with nothing else between them, targets are spread, as evenly as by lot */

static size_t
choose_best(const choose_t *c, str_t name, size_t had)
{
    size_t    i, best;
    uint64_t  lot, best_lot;
    unsigned  rank, best_rank;

    best = c->with[0];
    best_rank = 0;
    best_lot = 0;

    for (i = 0; i < c->nwith; i++) {
        rank = choose_rank(c, c->with[i]) * 2 + (c->with[i] == had);

        if (rank < best_rank) {
            continue;
        }

        lot = choose_hash(name, c->from[c->with[i]].name);

        if (rank > best_rank || lot >= best_lot) {
            best = c->with[i];
            best_rank = rank;
            best_lot = lot;
        }
    }

    return best;
}


/* what is connected nowhere is listed, as it should be, where it was last */

static size_t
choose_all(const choose_t *c, size_t had, choose_pt chosen, void *data)
{
    size_t          i, first;
    const group_t  *group;

    first = CHOOSE_NONE;

    for (i = 0; i < c->nwith; i++) {
        group = choose_group(c, c->with[i]);

        if (group->connected == CONNECTED_NO) {
            continue;
        }

        chosen(data, c->with[i], list_line(c->from[c->with[i]].list, group));

        if (first == CHOOSE_NONE || c->with[i] == had) {
            first = c->with[i];
        }
    }

    if (first == CHOOSE_NONE) {
        first = had == CHOOSE_NONE ? c->with[0] : had;
        chosen(data, first, list_line(c->from[first].list,
                                      choose_group(c, first)));
    }

    return first;
}


static unsigned
choose_rank(const choose_t *c, size_t i)
{
    return (unsigned) choose_group(c, i)->connected * 2 + !c->from[i].stale;
}


/* FNV-1a, and the end of MurmurHash3, as names may differ in a byte only */

static uint64_t
choose_hash(str_t name, const char *proxy)
{
    size_t    i;
    uint64_t  hash;

    hash = 0xcbf29ce484222325;

    for (i = 0; i < name.len; i++) {
        hash = (hash ^ (unsigned char) name.start[i]) * 0x100000001b3;
    }

    for (hash *= 0x100000001b3; *proxy; proxy++) {
        hash = (hash ^ (unsigned char) *proxy) * 0x100000001b3;
    }

    hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccd;
    hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53;

    return hash ^ hash >> 33;
}


static int
choose_keep(choose_t *c, str_t name, size_t i)
{
    size_t          size;
    void           *bigger;
    choose_last_t  *now;

    now = &c->now;

    if (now->n == now->size) {
        size = now->size ? now->size * 2 : 64;
        bigger = realloc(now->target, size * sizeof(now->target[0]));

        if (bigger == NULL) {
            return -1;
        }

        now->target = bigger;
        now->size = size;
    }

    buffer_str(&now->text, name);

    now->target[now->n].end = now->text.len;
    now->target[now->n++].from = i;

    return now->text.failed ? -1 : 0;
}


void
choose_forget(choose_last_t *last)
{
    buffer_free(&last->text);
    buffer_free(&last->names);
    free(last->target);

    memset(last, 0, sizeof(*last));
}
