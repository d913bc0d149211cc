/*
 * Feeds what reads the answers of token endpoints with anything: what is
 * taken as a credential is fit for a header, and a reason for a log.
 * t/01-fuzz.t builds and runs it.
 */


#include "answer.h"
#include "fuzz.h"
#include "wipe.h"


#define FUZZ_NOW  1800000000


typedef int (*fuzz_parse_pt)(answer_t *a, str_t text, time_t now,
    reason_t why);


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_parse(fuzz_parse_pt parse, int aws, str_t text);
static void fuzz_value(const buffer_t *value, size_t max);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str_t        text;
    buffer_t     error;
    fuzz_text_t  copy;

    static int  started;

    if (!started) {
        started = 1;
        answer_init();
    }

    fuzz_text_init(&copy, data, size);

    text = (str_t) { copy.data, copy.len };

    fuzz_parse(answer_token, 0, text);
    fuzz_parse(answer_aws, 1, text);
    fuzz_parse(answer_sts, 1, text);

    memset(&error, 0, sizeof(error));

    answer_error(&error, text);
    FUZZ_CHECK(error.start == NULL || error.start[error.len] == '\0');

    wipe_free(&error);
    fuzz_text_free(&copy);

    return 0;
}


static void
fuzz_parse(fuzz_parse_pt parse, int aws, str_t text)
{
    answer_t  a;
    reason_t  why;

    memset(&a, 0, sizeof(a));
    why[0] = '\0';

    if (parse(&a, text, FUZZ_NOW, why) == 0) {
        FUZZ_CHECK(a.left > 0 && a.left <= 10LL * 366 * 24 * 3600 * 1000);
        fuzz_value(&a.token, ANSWER_TOKEN_MAX);

        if (aws) {
            fuzz_value(&a.access_key, ANSWER_KEY_MAX);
            fuzz_value(&a.secret_key, ANSWER_KEY_MAX);
        }

    } else {
        fuzz_reason(why, sizeof(reason_t));
    }

    answer_free(&a);
}


static void
fuzz_value(const buffer_t *value, size_t max)
{
    FUZZ_CHECK(!value->failed && value->len <= max);
    FUZZ_CHECK(str_is_visible((str_t) { value->start, value->len }));
}
