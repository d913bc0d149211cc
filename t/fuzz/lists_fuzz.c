/*
 * Feeds what reads the lists of proxies with anything, and chooses among two
 * of them: what is handed on is a group in JSON, in one line, each target
 * once.  t/01-fuzz.t builds and runs it.
 */


#include <jansson.h>

#include "choose.h"
#include "fuzz.h"
#include "reader.h"


typedef int (*fuzz_read_pt)(const reader_t *reader, str_t text, list_t *list,
    reason_t why);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_read(fuzz_read_pt read, str_t text);
static void fuzz_list(const list_t *list);
static void fuzz_line(str_t line);
static void fuzz_choose(const list_t *one, const list_t *other);
static void fuzz_chosen(void *data, size_t i, str_t line);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str_t        text;
    fuzz_text_t  copy;

    fuzz_text_init(&copy, data, size);

    text = (str_t) { copy.data, copy.len };

    fuzz_read(reader_targets, text);
    fuzz_read(reader_clients, text);

    fuzz_text_free(&copy);

    return 0;
}


/* the second half may be a list, too */

static void
fuzz_read(fuzz_read_pt read, str_t text)
{
    int         second;
    list_t      one, other;
    const char *half;
    reader_t    reader = { "proxy:80", "proxy" };
    reason_t    why;

    why[0] = '\0';

    if (read(&reader, text, &one, why) == 0) {
        fuzz_list(&one);

    } else {
        fuzz_reason(why, sizeof(reason_t));
        FUZZ_CHECK(one.n == 0 && one.text.start == NULL);
    }

    reader.replica = NULL;
    half = memchr(text.start, '\f', text.len);
    second = 0;

    if (half) {
        list_free(&one);

        second = read(&reader, (str_t) { text.start,
                                         (size_t) (half - text.start) },
                      &one, why);
        half++;
        text.len -= (size_t) (half - text.start);
        text.start = half;
    }

    if (read(&reader, text, &other, why) == 0 && second == 0) {
        fuzz_list(&other);
        fuzz_choose(&one, &other);
    }

    list_free(&one);
    list_free(&other);
}


static void
fuzz_list(const list_t *list)
{
    size_t  i;

    for (i = 0; i < list->n; i++) {
        FUZZ_CHECK(list->group[i].name_len);
        FUZZ_CHECK(i == 0
                   || list_compare(list_name(list, &list->group[i - 1]),
                                   list_name(list, &list->group[i]))
                      < 0);

        fuzz_line(list_line(list, &list->group[i]));
    }
}


static void
fuzz_line(str_t line)
{
    size_t    i;
    json_t   *group;

    for (i = 0; i < line.len; i++) {
        FUZZ_CHECK((unsigned char) line.start[i] >= ' '
                   && line.start[i] != 0x7f);
    }

    group = json_loadb(line.start, line.len, JSON_REJECT_DUPLICATES, NULL);

    FUZZ_CHECK(group != NULL);
    FUZZ_CHECK(json_object_size(group) == 2);
    FUZZ_CHECK(json_array_size(json_object_get(group, "targets")) == 1);
    FUZZ_CHECK(json_object_get(json_object_get(group, "labels"), "job")
               == NULL);
    FUZZ_CHECK(json_object_get(json_object_get(group, "labels"),
                               "__address__")
               == NULL);

    json_decref(group);
}


static void
fuzz_choose(const list_t *one, const list_t *other)
{
    size_t         i, n, most;
    choose_from_t  from[] = { { "a", one, 1 }, { "b", other, 0 } };
    choose_last_t  last;

    memset(&last, 0, sizeof(last));

    most = one->n > other->n ? one->n : other->n;

    for (i = 0; i < 4; i++) {
        n = 0;
        from[0].stale = i & 1;

        FUZZ_CHECK(choose(&last, from, 2, i < 2, fuzz_chosen, &n) == 0);

        FUZZ_CHECK(n >= most && n <= one->n + other->n);
        FUZZ_CHECK(i >= 2 || n == last.n);
    }

    FUZZ_CHECK(choose(&last, from + 1, 1, 1, fuzz_chosen, &n) == 0);
    FUZZ_CHECK(last.n == other->n);

    choose_forget(&last);
}


static void
fuzz_chosen(void *data, size_t i, str_t line)
{
    size_t  *n = data;

    FUZZ_CHECK(i < 2 && line.len);

    (*n)++;
}
