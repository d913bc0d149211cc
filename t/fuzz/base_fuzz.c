/*
 * Feeds the discovery with anything as its base: what is made of it says all
 * that the base does, and has its job.  t/01-fuzz.t builds and runs it.
 */


#include <yaml.h>

#include "config.h"
#include "fuzz.h"


#define FUZZ_KEY     ".scrape_configs\n"
#define FUZZ_JOB     "{\n.job_name\n.monitoring-proxy\n.file_sd_configs\n"   \
                     "[\n{\n.files\n[\n.l/*.json\n]\n}\n]\n}\n"
#define FUZZ_LIST    "[\n" FUZZ_JOB "]\n"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_made(const base_t *base, const buffer_t *made);
static int fuzz_is_same(const buffer_t *was, const buffer_t *is,
    const char *added, const char *instead);
static int fuzz_events(const char *text, size_t len, buffer_t *events);
static void fuzz_event(const yaml_event_t *event, buffer_t *events);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    base_t       base;
    buffer_t     text, made;
    reason_t     why;
    fuzz_text_t  copy;

    memset(&base, 0, sizeof(base));
    memset(&text, 0, sizeof(text));
    memset(&made, 0, sizeof(made));

    buffer_add(&text, data, size);

    /* memory of just the size, so that ASan sees a step outside */

    fuzz_text_init(&copy, data, size);

    if (base_scan(&base.scan, "base", (str_t) { copy.data, size }, why)
        == -1)
    {
        fuzz_reason(why, sizeof(reason_t));

    } else {
        FUZZ_CHECK(base.scan.at <= size);
        FUZZ_CHECK(base.scan.blanks == 0
                   || base.scan.blank + base.scan.blanks <= base.scan.at);
    }

    base_scan_free(&base.scan);
    fuzz_text_free(&copy);

    memset(&base, 0, sizeof(base));

    if (base_set(&base, "base", &text, why) == 0) {
        config_write(&base, "l", NULL, 0, &made);
        fuzz_made(&base, &made);
    }

    base_free(&base);
    buffer_free(&text);
    buffer_free(&made);

    return 0;
}


static void
fuzz_made(const base_t *base, const buffer_t *made)
{
    int       same;
    base_t    again;
    buffer_t  was, is, text;
    reason_t  why;

    memset(&again, 0, sizeof(again));
    memset(&was, 0, sizeof(was));
    memset(&is, 0, sizeof(is));
    memset(&text, 0, sizeof(text));

    FUZZ_CHECK(fuzz_events(base->text.start, base->text.len, &was) == 0);
    FUZZ_CHECK(fuzz_events(made->start, made->len, &is) == 0);

    if (base_has_job(base, "monitoring-proxy")) {
        same = made->len == base->text.len
               && memcmp(made->start, base->text.start, made->len) == 0;

    } else {
        same = fuzz_is_same(&was, &is, FUZZ_JOB, "")
               || fuzz_is_same(&was, &is, FUZZ_KEY FUZZ_LIST, "")
               || fuzz_is_same(&was, &is, FUZZ_LIST, "[\n]\n")
               || fuzz_is_same(&was, &is, FUZZ_LIST, ".\n")
               || fuzz_is_same(&was, &is, FUZZ_LIST, ".~\n")
               || fuzz_is_same(&was, &is, FUZZ_LIST, ".null\n")
               || fuzz_is_same(&was, &is, FUZZ_LIST, ".Null\n")
               || fuzz_is_same(&was, &is, FUZZ_LIST, ".NULL\n");
    }

    /* a text of lines at the end gets the newline that it didn't have */

    FUZZ_CHECK(same || base->text.start[base->text.len - 1] != '\n');

    buffer_add(&text, made->start, made->len);

    FUZZ_CHECK(base_set(&again, "again", &text, why) == 0);
    FUZZ_CHECK(base_has_job(&again, "monitoring-proxy"));

    base_free(&again);
    buffer_free(&was);
    buffer_free(&is);
    buffer_free(&text);
}


/* whether it is what it was, with what was added instead of something else */

static int
fuzz_is_same(const buffer_t *was, const buffer_t *is, const char *added,
    const char *instead)
{
    size_t       len, before, after;
    const char  *at;

    len = strlen(added);

    for (at = is->start;
         (at = memmem(at, (size_t) (is->start + is->len - at), added, len));
         at++)
    {
        before = (size_t) (at - is->start);
        after = is->len - before - len;

        if (was->len == before + strlen(instead) + after
            && memcmp(was->start, is->start, before) == 0
            && memcmp(was->start + before, instead, strlen(instead)) == 0
            && memcmp(was->start + was->len - after, at + len, after) == 0)
        {
            return 1;
        }
    }

    return 0;
}


static int
fuzz_events(const char *text, size_t len, buffer_t *events)
{
    int                  ended;
    yaml_event_t         event;
    yaml_parser_t        parser;
    static const char    bom[] = "\xef\xbb\xbf";

    if (len >= 3 && memcmp(text, bom, 3) == 0) {
        text += 3;
        len -= 3;
    }

    FUZZ_CHECK(yaml_parser_initialize(&parser));

    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *) text, len);

    do {
        if (!yaml_parser_parse(&parser, &event)) {
            yaml_parser_delete(&parser);
            return -1;
        }

        ended = event.type == YAML_STREAM_END_EVENT;

        fuzz_event(&event, events);
        yaml_event_delete(&event);
    } while (!ended);

    yaml_parser_delete(&parser);

    return 0;
}


static void
fuzz_event(const yaml_event_t *event, buffer_t *events)
{
    switch (event->type) {

    case YAML_SCALAR_EVENT:
        buffer_text(events, ".");
        buffer_add(events, event->data.scalar.value,
                   event->data.scalar.length);
        buffer_text(events, "\n");
        break;

    case YAML_ALIAS_EVENT:
        buffer_format(events, "*%s\n", (char *) event->data.alias.anchor);
        break;

    case YAML_MAPPING_START_EVENT:
        buffer_text(events, "{\n");
        break;

    case YAML_MAPPING_END_EVENT:
        buffer_text(events, "}\n");
        break;

    case YAML_SEQUENCE_START_EVENT:
        buffer_text(events, "[\n");
        break;

    case YAML_SEQUENCE_END_EVENT:
        buffer_text(events, "]\n");
        break;

    default:
        break;
    }
}
