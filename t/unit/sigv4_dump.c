/*
 * Signs requests, for t/03-sigv4.t.  stdin has fields, "NAME LENGTH" on a line
 * and the value on what follows:
 *
 *     method path query header... payload date region service key secret
 *
 * "header" is "name:value"; after "secret" the request is signed.  Printed
 * are in the same form its canonical query, canonical request, string to sign
 * and value of Authorization.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ngx_prom_sigv4.h"


#define DUMP_HEADERS  16


typedef struct {
    ngx_prom_sigv4_t        request;
    ngx_prom_sigv4_pair_t   headers[DUMP_HEADERS];
    ngx_prom_sigv4_text_t   payload;
    ngx_prom_sigv4_text_t   date;
    ngx_prom_sigv4_text_t   secret;
    ngx_prom_sigv4_text_t   lines[DUMP_HEADERS];
} dump_t;


static int dump_field(char *name, ngx_prom_sigv4_text_t *value);
static void dump_set(dump_t *dump, const char *name,
    ngx_prom_sigv4_text_t *value);
static void dump_sign(dump_t *dump);
static char *dump_query(ngx_prom_sigv4_text_t *query);
static void dump_print(const char *name, const char *data, size_t len);
static void *dump_alloc(size_t size);
static void dump_done(dump_t *dump);


int
main(void)
{
    char                   name[16];
    dump_t                 dump;
    ngx_prom_sigv4_text_t  value;

    memset(&dump, 0, sizeof(dump_t));

    while (dump_field(name, &value)) {
        dump_set(&dump, name, &value);

        if (strcmp(name, "secret") == 0) {
            dump_sign(&dump);
            dump_done(&dump);
        }
    }

    return 0;
}


/* the value has memory of just its size, so that ASan sees a step outside */

static int
dump_field(char *name, ngx_prom_sigv4_text_t *value)
{
    char  *data;

    if (scanf("%15s %zu", name, &value->len) != 2 || getchar() != '\n') {
        return 0;
    }

    data = dump_alloc(value->len);

    if (fread(data, 1, value->len, stdin) != value->len) {
        exit(2);
    }

    value->data = data;

    return 1;
}


static void
dump_set(dump_t *dump, const char *name, ngx_prom_sigv4_text_t *value)
{
    size_t                  i;
    const char             *colon;
    ngx_prom_sigv4_pair_t  *header;

    struct {
        const char             *name;
        ngx_prom_sigv4_text_t  *text;
    } fields[] = {
        { "method", &dump->request.method },
        { "path", &dump->request.path },
        { "query", &dump->request.query },
        { "payload", &dump->payload },
        { "date", &dump->date },
        { "region", &dump->request.region },
        { "service", &dump->request.service },
        { "key", &dump->request.access_key },
        { "secret", &dump->secret },
    };

    for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {

        if (strcmp(name, fields[i].name) == 0) {
            *fields[i].text = *value;
            return;
        }
    }

    colon = memchr(value->data, ':', value->len);

    if (dump->request.nheaders == DUMP_HEADERS || colon == NULL) {
        exit(2);
    }

    dump->lines[dump->request.nheaders] = *value;

    header = &dump->headers[dump->request.nheaders++];
    header->name.data = value->data;
    header->name.len = (size_t) (colon - value->data);
    header->value.data = colon + 1;
    header->value.len = value->len - header->name.len - 1;
}


static void
dump_sign(dump_t *dump)
{
    char              *query, *canonical, *string, *authorization;
    size_t             room, len, string_len;
    unsigned char     *key;
    ngx_prom_sigv4_t  *request;

    request = &dump->request;

    request->headers = dump->headers;
    request->payload = dump->payload.data;
    request->date = dump->date.data;

    query = dump_query(&request->query);
    dump_print("query", request->query.data, request->query.len);

    room = ngx_prom_sigv4_room(request);

    canonical = dump_alloc(room);
    string = dump_alloc(room);
    authorization = dump_alloc(room);
    key = dump_alloc(NGX_PROM_SIGV4_KEY);

    if (ngx_prom_sigv4_key(key, dump->secret.data, dump->secret.len,
                           request->date, &request->region,
                           &request->service)
        == -1)
    {
        exit(3);
    }

    len = ngx_prom_sigv4_request(canonical, request);
    dump_print("canonical", canonical, len);

    string_len = ngx_prom_sigv4_string(string, request, canonical, len);
    dump_print("string", string, string_len);

    len = ngx_prom_sigv4_authorization(authorization, request, key, string,
                                       string_len);
    dump_print("authorization", authorization, len);

    free(query);
    free(canonical);
    free(string);
    free(authorization);
    free(key);
}


/* the canonical form takes the place of the query, which is freed */

static char *
dump_query(ngx_prom_sigv4_text_t *query)
{
    char                   *dst;
    size_t                  n;
    ngx_prom_sigv4_pair_t  *params;

    n = ngx_prom_sigv4_params(query->data, query->len);

    params = dump_alloc(n * sizeof(ngx_prom_sigv4_pair_t));
    dst = dump_alloc(ngx_prom_sigv4_query_room(query->len, n));

    n = ngx_prom_sigv4_query(dst, query->data, query->len, params);

    free(params);
    free((void *) query->data);

    query->data = dst;
    query->len = n;

    return dst;
}


static void
dump_print(const char *name, const char *data, size_t len)
{
    printf("%s %zu\n", name, len);
    fwrite(data, 1, len, stdout);
    putchar('\n');
}


static void *
dump_alloc(size_t size)
{
    void  *p;

    p = malloc(size ? size : 1);

    if (p == NULL) {
        exit(2);
    }

    return p;
}


static void
dump_done(dump_t *dump)
{
    size_t  i;

    for (i = 0; i < dump->request.nheaders; i++) {
        free((void *) dump->lines[i].data);
    }

    free((void *) dump->request.method.data);
    free((void *) dump->request.path.data);
    free((void *) dump->request.region.data);
    free((void *) dump->request.service.data);
    free((void *) dump->request.access_key.data);
    free((void *) dump->payload.data);
    free((void *) dump->date.data);
    free((void *) dump->secret.data);

    memset(dump, 0, sizeof(dump_t));
}
