/*
 * The grammar of /etc/monitoring/hosts; see the header.  Here are its lines
 * and their keys; what stands behind a key, and hosts that meet, have files of
 * their own.
 */


#include <stdarg.h>
#include <string.h>

#include "ngx_prom_hosts_key.h"
#include "ngx_prom_hosts_line.h"


#define NGX_PROM_HOST_MIN     1      /* bytes of a line with a name */
#define NGX_PROM_BLOB_MIN     40     /* bytes that are no word but a key */

#define NGX_PROM_HOST_FORM                                                    \
    "NAME TYPE BASE64 [port=PORT] [ports=EXPORTER:PORT,...] [LABEL=VALUE ...]"


/* what all lines share */

typedef struct {
    ngx_prom_hosts_t    *ph;
    ngx_prom_line_t      line;
    ngx_prom_seen_t      names;
    ngx_prom_seen_t      keys;
    unsigned             block:1;     /* in a file of keys that was pasted */
} ngx_prom_hosts_ctx_t;


static void ngx_prom_host_parse(ngx_prom_hosts_ctx_t *ctx);
static int ngx_prom_host_block(ngx_prom_hosts_ctx_t *ctx);
static int ngx_prom_host_name(ngx_prom_hosts_ctx_t *ctx,
    ngx_prom_text_t *name);
static int ngx_prom_host_key(ngx_prom_hosts_ctx_t *ctx,
    ngx_prom_host_t *host);
static int ngx_prom_host_type_check(ngx_prom_line_t *pl,
    const ngx_prom_text_t *type);
static int ngx_prom_host_key_ahead(const ngx_prom_line_t *pl, char *p);
static int ngx_prom_host_has(const ngx_prom_line_t *pl, const char *s);
static int ngx_prom_host_blob(const ngx_prom_text_t *word);


int
ngx_prom_hosts_parse(ngx_prom_hosts_t *ph, char *text, size_t len)
{
    size_t                 bound;
    ngx_prom_hosts_ctx_t   ctx;

    ph->hosts = NULL;
    ph->count = 0;
    ph->errors = 0;

    ctx.ph = ph;
    ctx.block = 0;

    if (!ngx_prom_lines_start(&ctx.line, text, len, ph->error, ph->data,
                              &ph->errors))
    {
        return 1;
    }

    bound = ngx_prom_lines_bound(&ctx.line, NGX_PROM_HOST_MIN);

    ph->hosts = ngx_prom_lines_array(ph->alloc, ph->data, bound,
                                     sizeof(ngx_prom_host_t));

    if ((ph->hosts == NULL && bound)
        || ngx_prom_seen_init(&ctx.names, ph->alloc, ph->data, bound) == -1
        || ngx_prom_seen_init(&ctx.keys, ph->alloc, ph->data, bound) == -1)
    {
        return -1;
    }

    while (ngx_prom_line_next(&ctx.line)) {
        ngx_prom_host_parse(&ctx);
    }

    if (ph->count && ngx_prom_hosts_meet(ph, &ctx.names) == -1) {
        return -1;
    }

    return ph->errors ? 1 : 0;
}


const ngx_prom_host_t *
ngx_prom_hosts_find(const ngx_prom_hosts_t *ph, const char *name, size_t len)
{
    uint32_t                i;
    const ngx_prom_host_t  *host;

    for (i = 0; i < ph->count; i++) {
        host = &ph->hosts[i];

        if (host->name.len == len && memcmp(host->name.data, name, len) == 0) {
            return host;
        }
    }

    return NULL;
}


static void
ngx_prom_host_parse(ngx_prom_hosts_ctx_t *ctx)
{
    ngx_prom_line_t   *pl;
    ngx_prom_text_t    name;
    ngx_prom_host_t   *host;
    ngx_prom_hosts_t  *ph;

    pl = &ctx->line;
    ph = ctx->ph;

    if (ngx_prom_host_block(ctx) || !ngx_prom_line_token(pl, &name)) {
        return;
    }

    host = &ph->hosts[ph->count];
    memset(host, 0, sizeof(ngx_prom_host_t));

    host->line = pl->number;
    host->column = (uint32_t) (name.data - pl->start + 1);

    if (!ngx_prom_host_name(ctx, &name) || !ngx_prom_host_key(ctx, host)) {
        return;
    }

    host->name = name;
    host->port = ngx_prom_hosts_port(name.data, name.len);
    host->port_column = host->column;
    host->ports = 1;

    ngx_prom_hosts_words(pl, host);

    if (!pl->wrong) {
        ph->count++;
    }
}


/* is the line part of a private key, or of one in another format */

static int
ngx_prom_host_block(ngx_prom_hosts_ctx_t *ctx)
{
    ngx_prom_line_t  *pl;

    pl = &ctx->line;

    if (ctx->block) {
        ctx->block = !ngx_prom_host_has(pl, "---- END")
                     && !ngx_prom_host_has(pl, "-----END");

        return 1;
    }

    if (!ngx_prom_line_more(pl)) {
        return 1;
    }

    if (ngx_prom_host_has(pl, "PRIVATE KEY-----")
        || ngx_prom_host_has(pl, "PuTTY-User-Key-File-"))
    {
        ngx_prom_line_error(pl, pl->pos, "a private key; it stays at its "
                            "host, give the .pub file's line");

    } else if (ngx_prom_host_has(pl, "---- BEGIN")
               || ngx_prom_host_has(pl, "-----BEGIN"))
    {
        ngx_prom_line_error(pl, pl->pos, "a key in another format than "
                            "OpenSSH's; ssh-keygen -i converts it");

    } else {
        return 0;
    }

    ctx->block = !ngx_prom_host_has(pl, "-----END");

    return 1;
}


static int
ngx_prom_host_name(ngx_prom_hosts_ctx_t *ctx, ngx_prom_text_t *name)
{
    uint32_t             other;
    ngx_prom_line_t     *pl;
    ngx_prom_excerpt_t   buf;

    pl = &ctx->line;

    if ((memchr(name->data, '"', name->len)
         || memchr(name->data, '=', name->len)
         || ngx_prom_key_type(name->data, name->len))
        && ngx_prom_host_key_ahead(pl, name->data))
    {
        ngx_prom_line_error(pl, name->data, "no NAME in front of the key; a "
                            "line is " NGX_PROM_HOST_FORM);
        return 0;
    }

    if (ngx_prom_host_blob(name) && !ngx_prom_line_more(pl)) {
        ngx_prom_line_error(pl, name->data, "part of a key in place of a "
                            "NAME; a line is " NGX_PROM_HOST_FORM);
        return 0;
    }

    if (!ngx_prom_name_parse(pl, name)) {
        return 0;
    }

    other = ngx_prom_seen_add(&ctx->names, name->data, name->len, pl->number);

    if (other) {
        ngx_prom_line_error(pl, name->data, "name \"%s\" is on line %u "
                            "already",
                            ngx_prom_excerpt(buf, name->data, name->len),
                            (unsigned) other);
    }

    return 1;
}


/* TYPE BASE64 or "-"; returns 0 where the rest can't be told apart any more */

static int
ngx_prom_host_key(ngx_prom_hosts_ctx_t *ctx, ngx_prom_host_t *host)
{
    uint32_t                    other;
    const char                 *wrong;
    ngx_prom_line_t            *pl;
    ngx_prom_text_t             type, key;
    ngx_prom_key_reason_t       reason;
    const ngx_prom_key_type_t  *known;

    pl = &ctx->line;

    if (!ngx_prom_line_token(pl, &type)) {
        ngx_prom_line_error(pl, pl->start + host->column - 1, "no key behind "
                            "the name; a line is " NGX_PROM_HOST_FORM ", with "
                            "\"-\" for TYPE BASE64 where the host has none");
        return 0;
    }

    if (ngx_prom_text_is(&type, "-")) {
        return 1;
    }

    if (!ngx_prom_host_type_check(pl, &type)) {
        return 0;
    }

    if (!ngx_prom_line_token(pl, &key)) {
        ngx_prom_line_error(pl, type.data, "no base64 key behind %.*s; copy "
                            "the whole line of the .pub file", (int) type.len,
                            type.data);
        return 0;
    }

    known = ngx_prom_key_type(type.data, type.len);
    wrong = ngx_prom_key_check(known, key.data, key.len, reason);

    if (wrong) {
        ngx_prom_line_error(pl, key.data, "key %s", wrong);
        return 0;
    }

    host->type = type;
    host->key = key;

    other = ngx_prom_seen_add(&ctx->keys, key.data, key.len, pl->number);

    if (other) {
        ngx_prom_line_error(pl, key.data, "key is on line %u already; each "
                            "host has one of its own", (unsigned) other);
    }

    return 1;
}


/* what isn't the type of a key may be part of one: it's told only if short */

static int
ngx_prom_host_type_check(ngx_prom_line_t *pl, const ngx_prom_text_t *type)
{
    ngx_prom_excerpt_t  buf;

    if (ngx_prom_key_type(type->data, type->len)) {
        return 1;
    }

    if (ngx_prom_key_certificate(type->data, type->len)) {
        ngx_prom_line_error(pl, type->data, "a certificate; give the plain "
                            "public key, or \"-\" for a host that logs in by "
                            "certificate");
        return 0;
    }

    if (ngx_prom_text_is(type, "ssh-dss")) {
        ngx_prom_line_error(pl, type->data, "a DSA key, which OpenSSH has "
                            "dropped; use ssh-ed25519");
        return 0;
    }

    if (ngx_prom_host_key_ahead(pl, type->data)) {
        ngx_prom_line_error(pl, type->data, "options in front of the key; "
                            "give the key alone, the proxy sets its own");
        return 0;
    }

    if (ngx_prom_starts(type->data, type->data + type->len, "AAAA")) {
        ngx_prom_line_error(pl, type->data, "no TYPE in front of the key, "
                            "such as ssh-ed25519; copy the whole line of the "
                            ".pub file");
        return 0;
    }

    if (ngx_prom_host_blob(type)) {
        ngx_prom_line_error(pl, type->data, "not a public key; expected TYPE "
                            "BASE64 as in a .pub file, or \"-\"");
        return 0;
    }

    ngx_prom_line_error(pl, type->data, "\"%s\" is not the type of a public "
                        "key; expected TYPE BASE64 as in a .pub file, or "
                        "\"-\"",
                        ngx_prom_excerpt(buf, type->data, type->len));
    return 0;
}


/* is there TYPE BASE64 from p on */

static int
ngx_prom_host_key_ahead(const ngx_prom_line_t *pl, char *p)
{
    int    found;
    char  *word;

    found = 0;

    while (p < pl->end) {

        while (p < pl->end && ngx_prom_blank(*p)) {
            p++;
        }

        word = p;

        while (p < pl->end && !ngx_prom_blank(*p)) {
            p++;
        }

        if (found && ngx_prom_starts(word, p, "AAAA")) {
            return 1;
        }

        found = ngx_prom_key_type(word, p - word)
                || ngx_prom_key_certificate(word, p - word);
    }

    return 0;
}


static int
ngx_prom_host_has(const ngx_prom_line_t *pl, const char *s)
{
    const char  *p;

    for (p = pl->pos; p < pl->end; p++) {
        p = memchr(p, *s, pl->end - p);

        if (p == NULL) {
            return 0;
        }

        if (ngx_prom_starts(p, pl->end, s)) {
            return 1;
        }
    }

    return 0;
}


/* base64 as in a key, which no message repeats: it may be a private one */

static int
ngx_prom_host_blob(const ngx_prom_text_t *word)
{
    size_t    i;
    unsigned  upper, lower, others;

    upper = 0;
    lower = 0;
    others = 0;

    for (i = 0; i < word->len; i++) {
        if (!ngx_prom_char_in(word->data[i], "+/=")) {
            return 0;
        }

        upper += word->data[i] >= 'A' && word->data[i] <= 'Z';
        lower += word->data[i] >= 'a' && word->data[i] <= 'z';
        others += word->data[i] == '+' || word->data[i] == '=';
    }

    return others || (word->len >= NGX_PROM_BLOB_MIN && upper && lower);
}


void
ngx_prom_hosts_error(ngx_prom_hosts_t *ph, const ngx_prom_host_t *host,
    uint32_t column, const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    ngx_prom_lines_error(ph->error, ph->data, &ph->errors, host->line, column,
                         fmt, args);
    va_end(args);
}
