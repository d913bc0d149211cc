/*
 * A target of a PushProx proxy is another one than that of the same name at a
 * proxy of ours, as it is scraped in another way.
 */


#include <stdlib.h>
#include <string.h>

#include "choose.h"
#include "exposition.h"
#include "log.h"
#include "merged.h"
#include "output.h"
#include "proxies.h"


typedef struct {
    member_t *const   *members;
    size_t             n;
    choose_from_t     *from;
    size_t            *place;     /* of each of these among the members */
    buffer_t          *text;      /* of each member, or one of all */
    int                one;
    size_t             targets;
} merged_t;


static int merged_kind(merged_t *merged, int pushprox);
static void merged_chosen(void *data, size_t i, str_t line);
static void merged_end(buffer_t *text);
static int merged_serve(merged_t *merged);
static int merged_put(merged_t *merged);


static const options_t  *merged_options;
static choose_last_t     merged_last[2];      /* of ours, and of PushProx's */
static server_text_t    *merged_served;
static size_t            merged_targets;


void
merged_open(const options_t *options)
{
    merged_options = options;
}


void
merged_make(void)
{
    int        rc;
    size_t     i;
    merged_t   merged;

    memset(&merged, 0, sizeof(merged));

    merged.members = proxies_members(&merged.n);
    merged.one = merged_options->sd_listen[0] != '\0';

    merged.from = calloc(merged.n + 1, sizeof(choose_from_t));
    merged.place = calloc(merged.n + 1, sizeof(size_t));
    merged.text = calloc(merged.n + 1, sizeof(buffer_t));

    rc = merged.from && merged.place && merged.text
         && merged_kind(&merged, 0) == 0 && merged_kind(&merged, 1) == 0
         ? 0 : -1;

    for (i = 0; rc == 0 && i <= merged.n; i++) {
        merged_end(&merged.text[i]);
        rc = merged.text[i].failed ? -1 : 0;
    }

    if (rc == 0) {
        rc = merged.one ? merged_serve(&merged) : merged_put(&merged);
    }

    if (rc == -1) {
        log_line(LOG_ERROR, "the lists can't be merged, those from before"
                 " stay", "err", "out of memory", NULL);

    } else {
        merged_targets = merged.targets;
    }

    for (i = 0; merged.text && i <= merged.n; i++) {
        buffer_free(&merged.text[i]);
    }

    free(merged.from);
    free(merged.place);
    free(merged.text);
}


static int
merged_kind(merged_t *merged, int pushprox)
{
    size_t     i, n;
    member_t  *m;

    n = 0;

    for (i = 0; i < merged->n; i++) {
        m = merged->members[i];

        if (m->pushprox == pushprox) {
            merged->place[n] = i;
            merged->from[n].name = m->name;
            merged->from[n].list = &m->list;
            merged->from[n++].stale = m->failing;
        }
    }

    return choose(&merged_last[pushprox], merged->from, n,
                  merged_options->dedupe, merged_chosen, merged);
}


static void
merged_chosen(void *data, size_t i, str_t line)
{
    buffer_t  *text;
    merged_t  *merged = data;

    text = &merged->text[merged->one ? 0 : merged->place[i]];

    buffer_text(text, text->len ? ",\n" : "[\n");
    buffer_str(text, line);

    merged->targets++;
}


static void
merged_end(buffer_t *text)
{
    buffer_text(text, text->len ? "\n]\n" : "[]\n");
}


/* nothing, while nothing is known, would have Prometheus forget its targets */

static int
merged_serve(merged_t *merged)
{
    size_t          i;
    server_text_t  *text;

    for (i = 0; i < merged->n && !merged->members[i]->known; i++) {
        /* void */
    }

    if (merged->n && i == merged->n) {
        return 0;
    }

    text = server_text(&merged->text[0]);

    if (text == NULL) {
        return -1;
    }

    server_text_free(merged_served);
    merged_served = text;

    return 0;
}


static int
merged_put(merged_t *merged)
{
    size_t          i;
    member_t       *m;
    output_list_t  *lists;

    lists = calloc(merged->n + 1, sizeof(output_list_t));

    if (lists == NULL) {
        return -1;
    }

    for (i = 0; i < merged->n; i++) {
        m = merged->members[i];

        lists[i].name = m->name;
        lists[i].address = m->address;
        lists[i].pushprox = m->pushprox;

        if (m->known) {
            lists[i].text.start = merged->text[i].start;
            lists[i].text.len = merged->text[i].len;
        }
    }

    output_put(lists, merged->n);

    free(lists);

    return 0;
}


server_text_t *
merged_text(void)
{
    return merged_served;
}


void
merged_metrics(buffer_t *page)
{
    exposition_head(page, "monitoring_proxy_discovery_targets", "gauge",
                    "Targets that Prometheus is told of.");
    buffer_format(page, "monitoring_proxy_discovery_targets %zu\n",
                  merged_targets);
}


void
merged_close(void)
{
    choose_forget(&merged_last[0]);
    choose_forget(&merged_last[1]);
    server_text_free(merged_served);
    merged_served = NULL;
}
