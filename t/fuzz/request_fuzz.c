/*
 * Feeds the poll client with anything in the place of a scrape, as a hostile
 * proxy could: whatever it asks for, it never gets the client anywhere but to
 * the host of its name, or the pinned URL.  t/01-fuzz.t builds and runs it.
 */


#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "request.h"
#include "rules.h"


#define FUZZ_CHECK(e)  fuzz_check(e, #e, __LINE__)


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_inside(str_t s, const char *text, size_t len);
static void fuzz_headers(const request_t *r, const char *text, size_t len);
static void fuzz_host(const request_t *r, const rule_t *rule, int port);
static void fuzz_pinned(const request_t *r, const rule_t *rule);
static void fuzz_target(const target_t *target);
static void fuzz_check(int holds, const char *what, int line);


static char  fuzz_name[] = "c1.example";
static char  fuzz_base[] = "http://127.0.0.1:9100";
static char  fuzz_path[] = "/metrics";
static char  fuzz_query[] = "/metrics?a=b";

static const rule_t  fuzz_open = { .name = fuzz_name, .host = fuzz_name };

static const rule_t  fuzz_ported = {
    .name = fuzz_name, .host = fuzz_name, .port = 9100
};

static const rule_t  fuzz_pin = {
    .name = fuzz_name, .host = fuzz_name, .pinned = 1, .base = fuzz_base,
    .path = fuzz_path
};

static const rule_t  fuzz_fixed = {
    .name = fuzz_name, .host = fuzz_name, .pinned = 1, .base = fuzz_base,
    .path = fuzz_query, .fixed = 1
};


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char       *text;
    reason_t    why;
    request_t   r;

    /* memory of just the size, so that ASan sees a step outside */

    text = malloc(size);
    FUZZ_CHECK(text != NULL || size == 0);

    if (size) {
        memcpy(text, data, size);
    }

    why[0] = '\0';

    if (request_parse(&r, text, size, why) == -1) {
        FUZZ_CHECK(why[0] != '\0');
        free(text);
        return 0;
    }

    fuzz_inside(r.method, text, size);
    fuzz_inside(r.uri, text, size);
    fuzz_inside(r.host, text, size);
    fuzz_inside(r.path, text, size);
    fuzz_inside(r.query, text, size);
    fuzz_inside(r.id, text, size);
    fuzz_inside(r.body, text, size);
    fuzz_headers(&r, text, size);

    FUZZ_CHECK(str_is_token(r.method));
    FUZZ_CHECK(str_is_visible(r.id) && r.id.len <= REQUEST_ID_MAX);
    FUZZ_CHECK(r.port > 0 && r.port <= 65535);
    FUZZ_CHECK(r.path.len == 0 || r.path.start[0] == '/');
    FUZZ_CHECK(isfinite(r.timeout) && r.timeout >= 0);

    fuzz_host(&r, &fuzz_open, r.port);
    fuzz_host(&r, &fuzz_ported, 9100);
    fuzz_pinned(&r, &fuzz_pin);
    fuzz_pinned(&r, &fuzz_fixed);

    free(text);

    return 0;
}


static void
fuzz_inside(str_t s, const char *text, size_t len)
{
    FUZZ_CHECK(s.len == 0
               || (s.start >= text && s.start + s.len <= text + len));
}


static void
fuzz_headers(const request_t *r, const char *text, size_t len)
{
    unsigned         i;
    const header_t  *header;

    for (i = 0; i < r->headers.n; i++) {
        header = &r->headers.line[i];

        fuzz_inside(header->name, text, len);
        fuzz_inside(header->value, text, len);

        FUZZ_CHECK(str_is_token(header->name));
        FUZZ_CHECK(header->value.len == 0
                   || (memchr(header->value.start, '\n', header->value.len)
                       == NULL
                       && memchr(header->value.start, '\r',
                                 header->value.len)
                          == NULL
                       && memchr(header->value.start, '\0',
                                 header->value.len)
                          == NULL));

        (void) headers_is_hop(&r->headers, header);
    }
}


static void
fuzz_host(const request_t *r, const rule_t *rule, int port)
{
    int             n;
    char            base[128];
    reason_t        why;
    target_t        target;
    rules_ports_t   ports;

    memset(&target, 0, sizeof(target));

    ports.n = 0;

    if (rule_apply(rule, &ports, r, &target, why) == 0) {

        n = snprintf(base, sizeof(base), "%s://%s",
                     r->https ? "https" : "http", rule->host);

        if (port != (r->https ? 443 : 80)) {
            (void) snprintf(base + n, sizeof(base) - (size_t) n, ":%d", port);
        }

        FUZZ_CHECK(str_is(str_of(target.base.start), base));
        FUZZ_CHECK(target.socket == NULL);

        fuzz_target(&target);

        ports.n = 1;
        ports.port[0] = port == 22 ? 23 : 22;

        FUZZ_CHECK(rule_apply(rule, &ports, r, &target, why) == -1);
    }

    target_free(&target);
}


static void
fuzz_pinned(const request_t *r, const rule_t *rule)
{
    size_t          len;
    reason_t        why;
    target_t        target;
    rules_ports_t   ports;

    memset(&target, 0, sizeof(target));

    ports.n = 0;

    if (rule_apply(rule, &ports, r, &target, why) == 0) {
        len = strlen(rule->path);

        FUZZ_CHECK(strcmp(target.base.start, rule->base) == 0);
        FUZZ_CHECK(strncmp(target.path.start, rule->path, len) == 0);
        FUZZ_CHECK(target.path.start[len] == '\0'
                   || (target.path.start[len] == '?' && !rule->fixed));

        fuzz_target(&target);
    }

    target_free(&target);
}


static void
fuzz_target(const target_t *target)
{
    const char  *query;

    FUZZ_CHECK(target->path.start[0] == '/');
    FUZZ_CHECK(strlen(target->path.start) == target->path.len);
    FUZZ_CHECK(str_is_visible(str_of(target->path.start)));
    FUZZ_CHECK(strchr(target->path.start, '#') == NULL);

    query = strchr(target->path.start, '?');

    FUZZ_CHECK(query == NULL || strncmp(query, "?_scheme=", 9) != 0);
}


static void
fuzz_check(int holds, const char *what, int line)
{
    if (!holds) {
        fprintf(stderr, "request_fuzz.c:%d: does not hold: %s\n", line, what);
        abort();
    }
}
