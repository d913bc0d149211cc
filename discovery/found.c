/*
 * Places are told once each time that they change, and a slice of which
 * something is skipped once, until that is another thing.
 */


#include <stdio.h>
#include <string.h>

#include "exposition.h"
#include "found.h"
#include "log.h"
#include "loop.h"


#define FOUND_GATHER  100         /* ms: changes are told at once */


static void found_tell(void *data);
static void found_tell_skipped(void);
static void found_tell_none(void);


static const options_t  *found_options;
static const char       *found_namespace;
static slices_t         *found_slices;
static places_pt         found_handler;

static places_t          found_told;
static int               found_known;             /* they were told once */
static loop_timer_t      found_timer = { .handler = found_tell };


void
found_open(const options_t *options, const char *namespace, slices_t *slices,
    places_pt told)
{
    found_options = options;
    found_namespace = namespace;
    found_slices = slices;
    found_handler = told;
}


void
found_close(void)
{
    loop_unset(&found_timer);
    places_free(&found_told);
}


/* a rollout, or many pods that start, make many events */

void
found_changed(void)
{
    if (found_timer.prev == NULL) {
        loop_set(&found_timer, FOUND_GATHER);
    }
}


static void
found_tell(void *data)
{
    places_t  places, told;

    (void) data;

    memset(&places, 0, sizeof(places));
    memset(&told, 0, sizeof(told));

    found_tell_skipped();

    if (slices_places(found_slices, &places) == -1
        || slices_places(found_slices, &told) == -1)
    {
        places_free(&places);
        places_free(&told);
        return;
    }

    if (found_known && places_equal(&told, &found_told)) {
        places_free(&places);
        places_free(&told);
        return;
    }

    found_known = 1;

    places_free(&found_told);
    found_told = told;

    if (told.n == 0) {
        found_tell_none();
    }

    found_handler(&places);
}


static void
found_tell_skipped(void)
{
    size_t    i;
    char      number[16];
    slice_t  *slice;

    for (i = 0; i < found_slices->n; i++) {
        slice = found_slices->slice[i];

        if (slice->why[0] == '\0' || slice->told) {
            continue;
        }

        slice->told = 1;

        if (slice->portless) {
            log_line(LOG_INFO, "an EndpointSlice is of other ports",
                     "endpointslice", slice->name, "reason", slice->why, NULL);
            continue;
        }

        (void) snprintf(number, sizeof(number), "%u", slice->skipped);

        log_line(LOG_WARN, "endpoints are skipped", "endpointslice",
                 slice->name, "n", number, "err", slice->why, NULL);
    }
}


/* a namespace that isn't there is no error to the API server */

static void
found_tell_none(void)
{
    char      number[32];
    size_t    i, endpoints;
    buffer_t  selector;

    endpoints = 0;

    for (i = 0; i < found_slices->n; i++) {
        endpoints += found_slices->slice[i]->endpoints;
    }

    memset(&selector, 0, sizeof(selector));

    buffer_format(&selector, "%s=%s", found_options->label_name,
                  found_options->label_value);
    (void) snprintf(number, sizeof(number), "%zu", found_slices->n);

    log_line(LOG_WARN, found_slices->n == 0
                       ? "there is no EndpointSlice with that label, or no"
                         " such namespace"
                       : endpoints == 0
                         ? "there are no endpoints with that label"
                         : "there are no endpoints that serve with that label"
                           " and port",
             "namespace", found_namespace, "label",
             selector.failed ? "" : selector.start, "port",
             found_options->port, "endpointslices", number, NULL);

    buffer_free(&selector);
}


void
found_metrics(buffer_t *page)
{
    size_t  i, skipped;

    skipped = 0;

    for (i = 0; i < found_slices->n; i++) {
        skipped += found_slices->slice[i]->skipped;
    }

    exposition_head(page, KUBERNETES_PREFIX "endpointslices", "gauge",
                    "EndpointSlices that have the label.");
    buffer_format(page, KUBERNETES_PREFIX "endpointslices %zu\n",
                  found_slices->n);

    exposition_head(page, KUBERNETES_PREFIX "skipped_endpoints", "gauge",
                    "Endpoints that can't be understood.");
    buffer_format(page, KUBERNETES_PREFIX "skipped_endpoints %zu\n", skipped);
}
