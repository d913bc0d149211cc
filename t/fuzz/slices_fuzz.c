/*
 * Feeds what reads a list of EndpointSlices, and the events of a watch, with
 * anything: places are such that can be asked, a slice is there once, and a
 * reason is fit for a log.  The first line is a list, those behind it are
 * events.  t/01-fuzz.t builds and runs it.
 */


#include "fuzz.h"
#include "slices.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_slices(str_t text, const char *port);
static void fuzz_event(slices_t *slices, slices_at_t *at, str_t line,
    const char *port);
static void fuzz_check_slices(const slices_t *slices);
static void fuzz_check_places(const slices_t *slices);
static str_t fuzz_line(str_t *text);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_text_t  copy;

    fuzz_text_init(&copy, data, size);

    fuzz_slices((str_t) { copy.data, copy.len }, "http");
    fuzz_slices((str_t) { copy.data, copy.len }, "8080");

    fuzz_text_free(&copy);

    return 0;
}


static void
fuzz_slices(str_t text, const char *port)
{
    slices_t     slices, listed;
    reason_t     why;
    status_t     status;
    slices_at_t  at;

    memset(&slices, 0, sizeof(slices));
    memset(&listed, 0, sizeof(listed));
    memset(&at, 0, sizeof(at));

    status_parse(&status, text);
    FUZZ_CHECK(status.code >= 0 && status.code < 1000);

    why[0] = '\0';

    if (slices_page(&slices, &at, fuzz_line(&text), port, why) == 0) {
        FUZZ_CHECK(at.version.len && at.version.len <= SLICES_VERSION);
        FUZZ_CHECK(at.next.len <= SLICES_CONTINUE);

    } else {
        fuzz_reason(why, sizeof(reason_t));
    }

    fuzz_check_slices(&slices);

    while (text.len) {
        fuzz_event(&slices, &at, fuzz_line(&text), port);
    }

    slices_replace(&listed, &slices);
    FUZZ_CHECK(slices.n == 0);
    fuzz_check_slices(&listed);

    slices_free(&listed);
    buffer_free(&at.version);
    buffer_free(&at.next);
}


static void
fuzz_event(slices_t *slices, slices_at_t *at, str_t line, const char *port)
{
    event_t   event;
    reason_t  why;

    why[0] = '\0';

    if (slices_event(slices, at, line, port, &event, why) == -1) {
        fuzz_reason(why, sizeof(reason_t));

    } else if (event.type != EVENT_ERROR) {
        FUZZ_CHECK(str_is_visible((str_t) { at->version.start,
                                            at->version.len }));
    }

    fuzz_check_slices(slices);
}


static void
fuzz_check_slices(const slices_t *slices)
{
    size_t          i, j;
    const slice_t  *slice;

    for (i = 0; i < slices->n; i++) {
        slice = slices->slice[i];

        FUZZ_CHECK(str_is_visible(str_of(slice->name)));
        FUZZ_CHECK(slice->places.n <= slice->endpoints);
        FUZZ_CHECK(slice->skipped == 0 || slice->why[0]);

        if (slice->why[0]) {
            fuzz_reason(slice->why, sizeof(reason_t));
        }

        for (j = 0; j < i; j++) {
            FUZZ_CHECK(strcmp(slice->name, slices->slice[j]->name) != 0);
        }
    }

    fuzz_check_places(slices);
}


static void
fuzz_check_places(const slices_t *slices)
{
    size_t     i;
    places_t   places;
    reason_t   why;

    memset(&places, 0, sizeof(places));

    FUZZ_CHECK(slices_places(slices, &places) == 0);

    for (i = 0; i < places.n; i++) {
        FUZZ_CHECK(place_address(places.place[i].address, why) == 0);
        FUZZ_CHECK(str_is_visible(str_of(places.place[i].name)));
    }

    places_free(&places);
}


static str_t
fuzz_line(str_t *text)
{
    str_t        line;
    const char  *lf;

    lf = text->len ? memchr(text->start, '\n', text->len) : NULL;

    line = (str_t) { text->start,
                     lf ? (size_t) (lf - text->start) : text->len };

    text->start += line.len + (lf != NULL);
    text->len -= line.len + (lf != NULL);

    return line;
}
