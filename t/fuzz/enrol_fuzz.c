/*
 * Feeds what reads a request to enrol with anything, and checks what must hold
 * of whatever comes out.  t/01-fuzz.t builds and runs it.
 */


#include <ctype.h>

#include "enrol_request.h"
#include "fuzz.h"
#include "ngx_prom_nodes.h"


#define FUZZ_MOST  (REQUEST_HEADER + REQUEST_BODY + 4)


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_request(const enrol_request_t *request);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int               status, whole;
    size_t            len;
    reason_t          why;
    fuzz_text_t       text;
    enrol_request_t   request, same;

    if (size > FUZZ_MOST) {
        size = FUZZ_MOST;
    }

    fuzz_text_init(&text, data, size);
    text.data[size] = '\0';

    why[0] = '\0';
    memset(&request, 0, sizeof(request));
    whole = enrol_request_parse(&request, text.data, size, why);

    FUZZ_CHECK(whole == 0 || whole == 200 || whole == 400 || whole == 404
               || whole == 413 || whole == 415);

    if (whole == 200) {
        fuzz_request(&request);

    } else if (whole) {
        fuzz_reason(why, sizeof(why));
    }

    /* a part of a request that is right is never wrong, nor right */

    for (len = 0; whole == 200 && len < size; len += 1 + size / 16) {
        fuzz_text_free(&text);
        fuzz_text_init(&text, data, len);
        text.data[len] = '\0';

        status = enrol_request_parse(&same, text.data, len, why);
        FUZZ_CHECK(status == 0);
    }

    fuzz_text_free(&text);

    return 0;
}


static void
fuzz_request(const enrol_request_t *request)
{
    size_t       i;
    uint8_t      key[NGX_PROM_NODE_KEY];
    const char  *p;

    FUZZ_CHECK(request->name[0] != '\0');
    FUZZ_CHECK(strlen(request->name) <= NGX_PROM_NAME_MAX);
    FUZZ_CHECK(strstr(request->name, "//") == NULL);

    for (p = request->name; *p; p++) {
        FUZZ_CHECK(isalnum((unsigned char) *p) || strchr("/._~-", *p));
    }

    FUZZ_CHECK(strlen(request->hash) == KEY_DIGEST - 1);

    for (i = 0; i < KEY_DIGEST - 1; i++) {
        FUZZ_CHECK(strchr("0123456789abcdef", request->hash[i]) != NULL);
    }

    FUZZ_CHECK(strlen(request->key) == KEY_TEXT - 1);
    FUZZ_CHECK(ngx_prom_nodes_key(key, request->key, KEY_TEXT - 1));

    FUZZ_CHECK(strlen(request->from) < REQUEST_FROM);

    for (p = request->from; *p; p++) {
        FUZZ_CHECK(*p > ' ' && *p <= '~');
    }
}
