/*
 * Anything else may be answered in an API server's name, such as a load
 * balancer's page: nothing is taken for granted.  A NUL in a text is let
 * through by the parser, as what has one is refused where it is looked at, and
 * that alone.
 */


#include <stdlib.h>
#include <string.h>

#include "slices.h"


static json_t *slices_load(str_t text, const char *what, reason_t why);
static int slices_version(slices_at_t *at, const json_t *metadata,
    reason_t why);
static int slices_next(slices_at_t *at, const json_t *metadata,
    reason_t why);
static int slices_take(slices_t *slices, const json_t *object,
    const char *port, reason_t why);
static int slices_put(slices_t *slices, slice_t *slice, reason_t why);
static size_t slices_place(const slices_t *slices, const slice_t *slice,
    int *found);
static slice_t *slices_named(const slices_t *slices, const char *name);
static void slices_drop(slices_t *slices, const char *name);
static int slices_order(const slice_t *a, const slice_t *b);
static void slices_remember(slice_t *slice, const slice_t *before);
static int slices_changed(slices_t *slices, const json_t *object,
    const char *port, event_t *event, reason_t why);
static void status_take(status_t *status, const json_t *object);


static const char  *slices_events[EVENTS] = {
    "ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"
};


int
slices_page(slices_t *slices, slices_at_t *at, str_t text, const char *port,
    reason_t why)
{
    int            rc;
    size_t         i;
    json_t        *list;
    const char    *kind;
    const json_t  *items, *item, *metadata;

    rc = -1;
    list = slices_load(text, "the list", why);

    if (list == NULL) {
        return -1;
    }

    kind = slice_text(list, "kind", 64);
    items = json_object_get(list, "items");
    metadata = json_object_get(list, "metadata");

    if (kind == NULL || strcmp(kind, "EndpointSliceList") != 0) {
        (void) reason(why, "the list is of the kind \"%s\", not"
                      " \"EndpointSliceList\"", kind ? kind : "");
        goto done;
    }

    if (items && !json_is_null(items) && !json_is_array(items)) {
        (void) reason(why, "the list's \"items\" are no array");
        goto done;
    }

    if (slices_version(at, metadata, why) == -1
        || slices_next(at, metadata, why) == -1)
    {
        goto done;
    }

    json_array_foreach (items, i, item) {

        if (slices_take(slices, item, port, why) == -1) {
            goto done;
        }
    }

    rc = 0;

done:

    json_decref(list);

    return rc;
}


static json_t *
slices_load(str_t text, const char *what, reason_t why)
{
    json_t        *json;
    json_error_t   error;

    json = json_loadb(text.len ? text.start : "", text.len, JSON_ALLOW_NUL,
                      &error);

    if (json == NULL) {
        (void) reason(why, "%s isn't JSON, or not whole (line %d, column %d)",
                      what, error.line, error.column);
    }

    return json;
}


static int
slices_version(slices_at_t *at, const json_t *metadata, reason_t why)
{
    const char  *version;

    version = slice_text(metadata, "resourceVersion", SLICES_VERSION);

    if (version == NULL) {
        return reason(why, "it has no \"resourceVersion\"");
    }

    buffer_clear(&at->version);
    buffer_text(&at->version, version);

    return at->version.failed ? reason(why, "out of memory") : 0;
}


static int
slices_next(slices_at_t *at, const json_t *metadata, reason_t why)
{
    const char    *text;
    const json_t  *next;

    buffer_clear(&at->next);

    next = json_object_get(metadata, "continue");

    if (next == NULL || json_is_null(next)
        || (json_is_string(next) && json_string_length(next) == 0))
    {
        return 0;
    }

    text = slice_text(metadata, "continue", SLICES_CONTINUE);

    if (text == NULL) {
        return reason(why, "the list's \"continue\" is no visible text of at"
                      " most %d bytes", SLICES_CONTINUE);
    }

    buffer_text(&at->next, text);

    return at->next.failed ? reason(why, "out of memory") : 0;
}


static int
slices_take(slices_t *slices, const json_t *object, const char *port,
    reason_t why)
{
    slice_t  *slice;

    slice = slice_parse(object, port, why);

    if (slice == NULL) {
        return -1;
    }

    return slices_put(slices, slice, why);
}


/* takes the slice, in the place of the one with its name */

static int
slices_put(slices_t *slices, slice_t *slice, reason_t why)
{
    int         found;
    size_t      i, size;
    slice_t   **bigger, *before;

    before = slices_named(slices, slice->name);

    if (before) {
        slices_remember(slice, before);
        slices_drop(slices, slice->name);
    }

    if (slices->n == SLICES_MAX) {
        slice_free(slice);
        return reason(why, "there are more than %d EndpointSlices",
                      SLICES_MAX);
    }

    if (slices->n == slices->size) {
        size = slices->size ? slices->size * 2 : 16;
        bigger = realloc(slices->slice, size * sizeof(slice_t *));

        if (bigger == NULL) {
            slice_free(slice);
            return reason(why, "out of memory");
        }

        slices->slice = bigger;
        slices->size = size;
    }

    i = slices_place(slices, slice, &found);

    memmove(&slices->slice[i + 1], &slices->slice[i],
            (slices->n - i) * sizeof(slice_t *));

    slices->slice[i] = slice;
    slices->n++;

    return 0;
}


/* where it is, or would be */

static size_t
slices_place(const slices_t *slices, const slice_t *slice, int *found)
{
    int     order;
    size_t  low, high, middle;

    *found = 0;
    low = 0;
    high = slices->n;

    while (low < high) {
        middle = low + (high - low) / 2;
        order = slices_order(slices->slice[middle], slice);

        if (order == 0) {
            *found = 1;
            return middle;
        }

        if (order < 0) {
            low = middle + 1;

        } else {
            high = middle;
        }
    }

    return low;
}


/* of whatever type, as a slice that isn't understood has none */

static slice_t *
slices_named(const slices_t *slices, const char *name)
{
    int      i, found;
    size_t   at;
    slice_t  wanted;

    for (i = SLICE_IPV4; i <= SLICE_FQDN; i++) {
        wanted.name = (char *) name;
        wanted.type = (slice_type_e) i;

        at = slices_place(slices, &wanted, &found);

        if (found) {
            return slices->slice[at];
        }
    }

    return NULL;
}


static void
slices_drop(slices_t *slices, const char *name)
{
    int       found;
    size_t    i;
    slice_t  *slice;

    slice = slices_named(slices, name);

    if (slice == NULL) {
        return;
    }

    i = slices_place(slices, slice, &found);

    slices->n--;
    memmove(&slices->slice[i], &slices->slice[i + 1],
            (slices->n - i) * sizeof(slice_t *));

    slice_free(slice);
}


static int
slices_order(const slice_t *a, const slice_t *b)
{
    if (a->type != b->type) {
        return a->type < b->type ? -1 : 1;
    }

    return strcmp(a->name, b->name);
}


/* what was told of a slice isn't told again, while it is the same */

static void
slices_remember(slice_t *slice, const slice_t *before)
{
    slice->told = before->told && strcmp(slice->why, before->why) == 0;
}


int
slices_event(slices_t *slices, slices_at_t *at, str_t line, const char *port,
    event_t *event, reason_t why)
{
    int            i, rc;
    json_t        *json;
    const char    *type;
    const json_t  *object;

    rc = -1;
    memset(event, 0, sizeof(*event));

    json = slices_load(line, "the event", why);

    if (json == NULL) {
        return -1;
    }

    type = slice_text(json, "type", 64);
    object = json_object_get(json, "object");

    for (i = 0; i < EVENTS; i++) {
        if (type && strcmp(type, slices_events[i]) == 0) {
            break;
        }
    }

    if (i == EVENTS || !json_is_object(object)) {
        (void) reason(why, "it is no event: its type is \"%s\"",
                      type ? type : "");
        goto done;
    }

    event->type = (event_e) i;

    if (event->type == EVENT_ERROR) {
        status_take(&event->status, object);
        rc = 0;

    } else if (event->type == EVENT_BOOKMARK
               || slices_changed(slices, object, port, event, why) == 0)
    {
        rc = slices_version(at, json_object_get(object, "metadata"), why);
    }

done:

    json_decref(json);

    return rc;
}


static int
slices_changed(slices_t *slices, const json_t *object, const char *port,
    event_t *event, reason_t why)
{
    slice_t  *slice;

    slice = slice_parse(object, port, why);

    if (slice == NULL) {
        return -1;
    }

    event->changed = 1;

    if (event->type == EVENT_DELETED) {
        slices_drop(slices, slice->name);
        slice_free(slice);
        return 0;
    }

    return slices_put(slices, slice, why);
}


void
slices_replace(slices_t *slices, slices_t *by)
{
    size_t          i;
    const slice_t  *before;

    for (i = 0; i < by->n; i++) {
        before = slices_named(slices, by->slice[i]->name);

        if (before) {
            slices_remember(by->slice[i], before);
        }
    }

    slices_free(slices);

    *slices = *by;
    memset(by, 0, sizeof(*by));
}


int
slices_places(const slices_t *slices, places_t *places)
{
    size_t          i, j;
    const place_t  *place;

    for (i = 0; i < slices->n; i++) {

        for (j = 0; j < slices->slice[i]->places.n; j++) {
            place = &slices->slice[i]->places.place[j];

            if (places_add(places, str_of(place->name),
                           str_of(place->address))
                == -1)
            {
                return -1;
            }
        }
    }

    return 0;
}


void
slices_free(slices_t *slices)
{
    size_t  i;

    for (i = 0; i < slices->n; i++) {
        slice_free(slices->slice[i]);
    }

    free(slices->slice);
    memset(slices, 0, sizeof(*slices));
}


void
status_parse(status_t *status, str_t text)
{
    size_t    i;
    json_t   *json;
    reason_t  why;

    memset(status, 0, sizeof(*status));

    json = slices_load(text, "the answer", why);

    if (json) {
        status_take(status, json);
        json_decref(json);
        return;
    }

    /* a load balancer's, maybe: its first line, unless that is a page */

    for (i = 0; i < text.len && text.start[i] >= ' '; i++) {
        /* void */
    }

    if (i && text.start[0] != '<') {
        (void) reason(status->message, "%.*s",
                      i > REASON_TEXT ? REASON_TEXT : (int) i, text.start);
    }
}


static void
status_take(status_t *status, const json_t *object)
{
    json_int_t     code;
    const json_t  *message;

    code = json_integer_value(json_object_get(object, "code"));
    message = json_object_get(object, "message");

    status->code = code > 0 && code < 1000 ? (long) code : 0;

    if (json_is_string(message)) {
        (void) reason(status->message, "%s", json_string_value(message));
    }
}
