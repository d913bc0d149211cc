/*
 * Feeds the grammar of hosts with anything, and checks what must hold of
 * whatever comes out.  t/01-fuzz.t builds and runs it.
 */


#define _POSIX_C_SOURCE  200809L

#include "ngx_prom_hosts.h"
#include "ngx_prom_hosts_key.h"
#include "fuzz.h"


#define FUZZ_UNIQUE    64


typedef struct {
    ngx_prom_hosts_t     ph;
    fuzz_text_t          text;
} fuzz_parse_t;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int fuzz_parse(fuzz_parse_t *parse, const char *data, size_t len);
static void fuzz_host(const fuzz_parse_t *parse, const ngx_prom_host_t *host);
static void fuzz_key(const ngx_prom_host_t *host);
static void fuzz_ports(const fuzz_parse_t *parse);
static void fuzz_merge(fuzz_parse_t *parse);
static void fuzz_again(const fuzz_parse_t *parse);
static void fuzz_write_host(FILE *out, const ngx_prom_host_t *host);
static void fuzz_inside(const fuzz_parse_t *parse,
    const ngx_prom_text_t *text);
static void fuzz_same(const ngx_prom_text_t *a, const ngx_prom_text_t *b);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int           rc;
    uint32_t      i;
    fuzz_parse_t  parse;

    rc = fuzz_parse(&parse, (const char *) data, size);

    FUZZ_CHECK(rc == (parse.ph.errors ? 1 : 0));
    FUZZ_CHECK(parse.text.told == (parse.ph.errors < NGX_PROM_ERRORS_MAX
                                   ? parse.ph.errors : NGX_PROM_ERRORS_MAX));

    for (i = 0; i < parse.ph.count; i++) {
        fuzz_host(&parse, &parse.ph.hosts[i]);

        FUZZ_CHECK(i == 0 || parse.ph.hosts[i].line
                             > parse.ph.hosts[i - 1].line);
    }

    if (rc == 0) {
        fuzz_ports(&parse);
        fuzz_merge(&parse);
        fuzz_again(&parse);
    }

    fuzz_text_free(&parse.text);

    return 0;
}


static int
fuzz_parse(fuzz_parse_t *parse, const char *data, size_t len)
{
    memset(parse, 0, sizeof(fuzz_parse_t));

    fuzz_text_init(&parse->text, data, len);

    parse->ph.alloc = fuzz_text_alloc;
    parse->ph.error = fuzz_text_error;
    parse->ph.data = &parse->text;

    return ngx_prom_hosts_parse(&parse->ph, parse->text.data, len);
}


static void
fuzz_host(const fuzz_parse_t *parse, const ngx_prom_host_t *host)
{
    size_t           pos;
    unsigned         n;
    uint16_t         port;
    ngx_prom_text_t  name, whole;

    fuzz_inside(parse, &host->name);
    fuzz_target_name(host->name.data, host->name.len);

    if (host->key.len) {
        fuzz_inside(parse, &host->key);
        fuzz_inside(parse, &host->type);
        fuzz_key(host);
    }

    FUZZ_CHECK(host->column >= 1 && host->port_column >= host->column);
    FUZZ_CHECK(host->port >= NGX_PROM_PORT_LEAST);
    FUZZ_CHECK(host->ports >= 1 && host->ports <= NGX_PROM_EXPORTERS_MAX);
    FUZZ_CHECK(host->port + host->ports <= NGX_PROM_PORTS);
    FUZZ_CHECK(host->given
               || (host->port >= NGX_PROM_PORT_FIRST
                   && host->port + host->ports - 1 <= NGX_PROM_PORT_LAST));

    whole.data = host->labels.data;
    whole.len = host->labels.len;
    fuzz_inside(parse, &whole);

    pos = 0;

    for (n = 0; ngx_prom_hosts_exporter(host, &pos, &name, &port); n++) {
        FUZZ_CHECK(port > 0);
        FUZZ_CHECK((name.len == 0) == (host->exporters.len == 0));

        if (name.len) {
            fuzz_inside(parse, &name);
            fuzz_target_name(name.data, name.len);
            FUZZ_CHECK(memchr(name.data, '/', name.len) == NULL);
        }
    }

    FUZZ_CHECK(n == host->ports);
}


static void
fuzz_key(const ngx_prom_host_t *host)
{
    size_t                      i;
    ngx_prom_key_reason_t       reason;
    const ngx_prom_key_type_t  *type;

    type = ngx_prom_key_type(host->type.data, host->type.len);

    FUZZ_CHECK(type != NULL);
    FUZZ_CHECK(ngx_prom_key_check(type, host->key.data, host->key.len, reason)
               == NULL);

    /* nothing of it means more to sshd than base64 */

    for (i = 0; i < host->key.len; i++) {
        FUZZ_CHECK(strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                          "abcdefghijklmnopqrstuvwxyz0123456789+/=",
                          host->key.data[i]) != NULL);
    }
}


/* no port, name or key is there twice */

static void
fuzz_ports(const fuzz_parse_t *parse)
{
    uint32_t                i, j, port;
    static uint8_t          used[NGX_PROM_PORTS];
    const ngx_prom_host_t  *host, *other;

    memset(used, 0, sizeof(used));

    for (i = 0; i < parse->ph.count; i++) {
        host = &parse->ph.hosts[i];

        for (port = 0; port < host->ports; port++) {
            FUZZ_CHECK(!used[host->port + port]);
            used[host->port + port] = 1;
        }

        for (j = 0; j < i && j < FUZZ_UNIQUE; j++) {
            other = &parse->ph.hosts[j];

            FUZZ_CHECK(host->name.len != other->name.len
                       || memcmp(host->name.data, other->name.data,
                                 host->name.len) != 0);
            FUZZ_CHECK(host->key.len == 0 || host->key.len != other->key.len
                       || memcmp(host->key.data, other->key.data,
                                 host->key.len) != 0);
        }
    }
}


/* each port makes one target, whose name no other has */

static void
fuzz_merge(fuzz_parse_t *parse)
{
    size_t               pos;
    uint32_t             i, j, ports;
    const char          *name, *value;
    ngx_prom_target_t   *target, *other;
    ngx_prom_targets_t   pt;

    memset(&pt, 0, sizeof(pt));
    pt.alloc = fuzz_text_alloc;
    pt.error = fuzz_text_error;
    pt.data = &parse->text;

    FUZZ_CHECK(ngx_prom_hosts_merge(&parse->ph, &pt) == 0);

    ports = 0;

    for (i = 0; i < parse->ph.count; i++) {
        ports += parse->ph.hosts[i].ports;
    }

    FUZZ_CHECK(pt.count == ports);

    for (i = 0; i < pt.count; i++) {
        target = &pt.targets[i];
        fuzz_target_name(target->name.data, target->name.len);

        FUZZ_CHECK(target->tunnel && target->port >= target->tunnel);
        FUZZ_CHECK(target->port - target->tunnel < NGX_PROM_EXPORTERS_MAX);
        FUZZ_CHECK(target->address.len <= sizeof("localhost:65535") - 1);

        pos = 0;

        while (ngx_prom_targets_label(target, &pos, &name, &value)) {
            FUZZ_CHECK(pos <= target->labels.len && *name != '\0');
            FUZZ_CHECK(strlen(value) <= NGX_PROM_VALUE_MAX);
        }

        FUZZ_CHECK(pos == target->labels.len);

        for (j = 0; j < i && j < FUZZ_UNIQUE; j++) {
            other = &pt.targets[j];

            FUZZ_CHECK(target->name.len != other->name.len
                       || memcmp(target->name.data, other->name.data,
                                 target->name.len) != 0);
        }
    }
}


/* what was right, written anew, is right and the same */

static void
fuzz_again(const fuzz_parse_t *parse)
{
    char          *text;
    FILE          *out;
    size_t         len;
    uint32_t       i;
    fuzz_parse_t   again;

    out = open_memstream(&text, &len);
    FUZZ_CHECK(out != NULL);

    for (i = 0; i < parse->ph.count; i++) {
        fuzz_write_host(out, &parse->ph.hosts[i]);
    }

    FUZZ_CHECK(fclose(out) == 0);
    FUZZ_CHECK(fuzz_parse(&again, text, len) == 0);
    FUZZ_CHECK(again.ph.count == parse->ph.count);

    for (i = 0; i < parse->ph.count; i++) {
        fuzz_same(&parse->ph.hosts[i].name, &again.ph.hosts[i].name);
        fuzz_same(&parse->ph.hosts[i].type, &again.ph.hosts[i].type);
        fuzz_same(&parse->ph.hosts[i].key, &again.ph.hosts[i].key);
        fuzz_same(&parse->ph.hosts[i].exporters, &again.ph.hosts[i].exporters);

        FUZZ_CHECK(parse->ph.hosts[i].port == again.ph.hosts[i].port);
        FUZZ_CHECK(parse->ph.hosts[i].ports == again.ph.hosts[i].ports);
    }

    fuzz_text_free(&again.text);
    free(text);
}


static void
fuzz_write_host(FILE *out, const ngx_prom_host_t *host)
{
    fprintf(out, "%.*s ", (int) host->name.len, host->name.data);

    if (host->key.len) {
        fprintf(out, "%.*s %.*s", (int) host->type.len, host->type.data,
                (int) host->key.len, host->key.data);

    } else {
        putc('-', out);
    }

    if (host->given) {
        fprintf(out, " port=%u", (unsigned) host->port);
    }

    if (host->exporters.len) {
        fprintf(out, " ports=%.*s", (int) host->exporters.len,
                host->exporters.data);
    }

    putc('\n', out);
}


static void
fuzz_inside(const fuzz_parse_t *parse, const ngx_prom_text_t *text)
{
    FUZZ_CHECK(text->data >= parse->text.data);
    FUZZ_CHECK(text->data + text->len
               <= parse->text.data + parse->text.len + 1);
}


static void
fuzz_same(const ngx_prom_text_t *a, const ngx_prom_text_t *b)
{
    FUZZ_CHECK(a->len == b->len
               && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0));
}
