/*
 * Feeds the grammar of targets with anything, and checks what must hold of
 * whatever comes out.  t/01-fuzz.t builds and runs it.
 */


#include "ngx_prom_targets.h"
#include "fuzz.h"


#define FUZZ_UNIQUE    64


typedef struct {
    ngx_prom_targets_t   pt;
    fuzz_text_t          text;
    uint32_t             line;        /* of the last mistake */
    uint32_t             column;
} fuzz_parse_t;


typedef struct {
    char                *data;
    size_t               len;
} fuzz_out_t;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int fuzz_parse(fuzz_parse_t *parse, const char *data, size_t len);
static void *fuzz_alloc(void *data, size_t size);
static void fuzz_error(void *data, uint32_t line, uint32_t column,
    const char *reason);

static void fuzz_target(const fuzz_parse_t *parse,
    const ngx_prom_target_t *target);
static void fuzz_address(const ngx_prom_target_t *target);
static void fuzz_labels(const ngx_prom_target_t *target);
static void fuzz_label(const char *name, const char *value);
static void fuzz_unique(const fuzz_parse_t *parse);
static void fuzz_inside(const ngx_prom_text_t *outer,
    const ngx_prom_text_t *inner);

static void fuzz_again(const fuzz_parse_t *parse);
static void fuzz_write_target(fuzz_out_t *out,
    const ngx_prom_target_t *target);
static void fuzz_write(fuzz_out_t *out, const char *data, size_t len);
static void fuzz_same(const ngx_prom_text_t *a, const ngx_prom_text_t *b);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int           rc;
    uint32_t      i;
    fuzz_parse_t  parse;

    rc = fuzz_parse(&parse, (const char *) data, size);

    FUZZ_CHECK(rc == (parse.pt.errors ? 1 : 0));
    FUZZ_CHECK(parse.text.told == (parse.pt.errors < NGX_PROM_ERRORS_MAX
                                   ? parse.pt.errors : NGX_PROM_ERRORS_MAX));

    for (i = 0; i < parse.pt.count; i++) {
        fuzz_target(&parse, &parse.pt.targets[i]);

        FUZZ_CHECK(i == 0 || parse.pt.targets[i].line
                             > parse.pt.targets[i - 1].line);
    }

    fuzz_unique(&parse);
    fuzz_again(&parse);
    fuzz_text_free(&parse.text);

    return 0;
}


static int
fuzz_parse(fuzz_parse_t *parse, const char *data, size_t len)
{
    memset(parse, 0, sizeof(fuzz_parse_t));

    fuzz_text_init(&parse->text, data, len);

    parse->pt.alloc = fuzz_alloc;
    parse->pt.error = fuzz_error;
    parse->pt.data = parse;

    return ngx_prom_targets_parse(&parse->pt, parse->text.data, len);
}


static void *
fuzz_alloc(void *data, size_t size)
{
    fuzz_parse_t  *parse = data;

    return fuzz_text_alloc(&parse->text, size);
}


/* mistakes are told from top to bottom and left to right, fit for a log */

static void
fuzz_error(void *data, uint32_t line, uint32_t column, const char *reason)
{
    fuzz_parse_t  *parse = data;

    FUZZ_CHECK(line > parse->line
               || (line == parse->line && column >= parse->column));
    fuzz_text_error(&parse->text, line, column, reason);

    parse->line = line;
    parse->column = column;
}


static void
fuzz_target(const fuzz_parse_t *parse, const ngx_prom_target_t *target)
{
    ngx_prom_text_t  text;

    text.data = parse->text.data;
    text.len = parse->text.len;

    fuzz_inside(&text, &target->address);
    fuzz_inside(&text, &target->name);
    fuzz_inside(&target->address, &target->authority);
    fuzz_inside(&target->authority, &target->host);
    fuzz_inside(&target->address, &target->base);

    fuzz_inside(&text, &target->labels);

    FUZZ_CHECK(target->name.data > target->address.data + target->address.len);
    FUZZ_CHECK(target->labels.data >= target->name.data + target->name.len);

    fuzz_address(target);
    fuzz_target_name(target->name.data, target->name.len);
    fuzz_labels(target);
}


static void
fuzz_address(const ngx_prom_target_t *target)
{
    size_t                  i;
    const ngx_prom_text_t  *base;

    for (i = 0; i < target->address.len; i++) {
        FUZZ_CHECK(target->address.data[i] > 0x20
                   && target->address.data[i] < 0x7f);
    }

    FUZZ_CHECK(target->kind <= NGX_PROM_ADDRESS_UNIX);
    FUZZ_CHECK((target->port == 0) == (target->kind == NGX_PROM_ADDRESS_UNIX));
    FUZZ_CHECK(target->tls == (target->address.len > 8
                         && memcmp(target->address.data, "https://", 8) == 0));
    FUZZ_CHECK(target->host.len > 0 && target->host.len <= 254);
    FUZZ_CHECK(target->kind != NGX_PROM_ADDRESS_UNIX
               || (target->host.data[0] == '/' && target->host.len < 108));
    FUZZ_CHECK(memchr(target->authority.data, '@', target->authority.len)
               == NULL || target->kind == NGX_PROM_ADDRESS_UNIX);

    base = &target->base;

    if (base->len) {
        FUZZ_CHECK(base->data[0] == '/');
        FUZZ_CHECK(base->data[base->len - 1] != '/');

        for (i = 1; i < base->len; i++) {
            FUZZ_CHECK(base->data[i] != '/' || base->data[i - 1] != '/');
            FUZZ_CHECK(strchr("?#\"\\<>", base->data[i]) == NULL);
        }
    }
}


static void
fuzz_labels(const ngx_prom_target_t *target)
{
    size_t       pos, other;
    const char  *name, *value, *other_name, *other_value;

    pos = 0;

    while (ngx_prom_targets_label(target, &pos, &name, &value)) {
        FUZZ_CHECK(pos <= target->labels.len);
        fuzz_label(name, value);

        other = pos;

        while (ngx_prom_targets_label(target, &other, &other_name,
                                      &other_value))
        {
            FUZZ_CHECK(strcmp(name, other_name) != 0);
        }
    }

    FUZZ_CHECK(pos == target->labels.len);
}


static void
fuzz_label(const char *name, const char *value)
{
    FUZZ_CHECK(*name != '\0' && strchr("0123456789", *name) == NULL);
    FUZZ_CHECK(strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                      "abcdefghijklmnopqrstuvwxyz0123456789_")
               == strlen(name));
    FUZZ_CHECK(strcmp(name, "job") != 0 && strcmp(name, "instance") != 0);
    FUZZ_CHECK(strncmp(name, "__", 2) != 0
               || strcmp(name, "__metrics_path__") == 0
               || strcmp(name, "__scrape_interval__") == 0
               || strcmp(name, "__scrape_timeout__") == 0
               || (strncmp(name, "__param_", 8) == 0 && name[8] != '\0'));

    FUZZ_CHECK(strlen(value) <= NGX_PROM_VALUE_MAX);
    FUZZ_CHECK(strcmp(name, "__metrics_path__") != 0 || *value == '/');
    FUZZ_CHECK(strcmp(name, "__scrape_interval__") != 0
               || strpbrk(value, "123456789") != NULL);

    /* the bytes that are in no valid UTF-8 */

    FUZZ_CHECK(strpbrk(value, "\xc0\xc1\xf5\xf6\xf7\xf8\xf9\xfa\xfb\xfc\xfd"
                       "\xfe\xff") == NULL);
}


/* a comparison of all with all, so of the first ones only */

static void
fuzz_unique(const fuzz_parse_t *parse)
{
    uint32_t                i, j;
    const ngx_prom_text_t  *a, *b;

    for (i = 0; i < parse->pt.count && i < FUZZ_UNIQUE; i++) {
        a = &parse->pt.targets[i].name;

        for (j = 0; j < i; j++) {
            b = &parse->pt.targets[j].name;

            FUZZ_CHECK(a->len != b->len
                       || memcmp(a->data, b->data, a->len) != 0);
        }
    }
}


static void
fuzz_inside(const ngx_prom_text_t *outer, const ngx_prom_text_t *inner)
{
    FUZZ_CHECK(inner->data >= outer->data);
    FUZZ_CHECK(inner->data + inner->len <= outer->data + outer->len);
}


/* what was right, written anew, is right and the same */

static void
fuzz_again(const fuzz_parse_t *parse)
{
    int                 rc;
    size_t              i, pos, again_pos;
    fuzz_out_t          out;
    const char         *name, *value, *again_name, *again_value;
    fuzz_parse_t        again;
    ngx_prom_target_t  *a, *b;

    out.len = 0;
    out.data = malloc(parse->text.len * 4 + 64);
    FUZZ_CHECK(out.data != NULL);

    for (i = 0; i < parse->pt.count; i++) {
        fuzz_write_target(&out, &parse->pt.targets[i]);
    }

    rc = fuzz_parse(&again, out.data, out.len);

    FUZZ_CHECK(rc == 0);
    FUZZ_CHECK(again.pt.count == parse->pt.count);

    for (i = 0; i < parse->pt.count; i++) {
        a = &parse->pt.targets[i];
        b = &again.pt.targets[i];

        fuzz_same(&a->name, &b->name);
        fuzz_same(&a->address, &b->address);
        fuzz_same(&a->authority, &b->authority);
        fuzz_same(&a->host, &b->host);
        fuzz_same(&a->base, &b->base);

        FUZZ_CHECK(b->line == i + 1);
        FUZZ_CHECK(a->port == b->port && a->tls == b->tls);
        FUZZ_CHECK(a->kind == b->kind);
        FUZZ_CHECK(memcmp(a->ip, b->ip, sizeof(a->ip)) == 0);

        pos = 0;
        again_pos = 0;

        while (ngx_prom_targets_label(a, &pos, &name, &value)) {
            FUZZ_CHECK(ngx_prom_targets_label(b, &again_pos, &again_name,
                                              &again_value));
            FUZZ_CHECK(strcmp(name, again_name) == 0);
            FUZZ_CHECK(strcmp(value, again_value) == 0);
        }

        FUZZ_CHECK(again_pos == b->labels.len);
    }

    fuzz_text_free(&again.text);
    free(out.data);
}


static void
fuzz_write_target(fuzz_out_t *out, const ngx_prom_target_t *target)
{
    size_t       pos;
    const char  *name, *value;

    fuzz_write(out, target->address.data, target->address.len);
    fuzz_write(out, " ", 1);
    fuzz_write(out, target->name.data, target->name.len);

    pos = 0;

    while (ngx_prom_targets_label(target, &pos, &name, &value)) {
        fuzz_write(out, " ", 1);
        fuzz_write(out, name, strlen(name));
        fuzz_write(out, "=\"", 2);

        for ( /* void */ ; *value; value++) {
            if (*value == '\n') {
                fuzz_write(out, "\\n", 2);
                continue;
            }

            if (*value == '"' || *value == '\\') {
                fuzz_write(out, "\\", 1);
            }

            fuzz_write(out, value, 1);
        }

        fuzz_write(out, "\"", 1);
    }

    fuzz_write(out, "\n", 1);
}


static void
fuzz_write(fuzz_out_t *out, const char *data, size_t len)
{
    memcpy(out->data + out->len, data, len);
    out->len += len;
}


static void
fuzz_same(const ngx_prom_text_t *a, const ngx_prom_text_t *b)
{
    FUZZ_CHECK(a->len == b->len && memcmp(a->data, b->data, a->len) == 0);
}
