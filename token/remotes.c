/*
 * The grammar of the file of remotes; lines and words are as in the file of
 * targets.
 */


#include <stdlib.h>
#include <string.h>

#include "ngx_prom_targets_line.h"
#include "settings.h"
#include "text.h"


#define REMOTES_FORM  "NAME URL AUTH [KEY=VALUE ...]"


typedef struct {
    remotes_t            *remotes;
    const char           *path;
    setting_file_pt       readable;
    remotes_mistake_pt    mistake;
    void                 *data;

    ngx_prom_line_t       line;
    uint32_t              errors;
    unsigned              nlines;
    uint32_t              number[REMOTES_MAX];   /* of each remote's line */

    /* of the line */

    remote_t             *remote;
    const char           *name;
    const char           *at[SETTINGS];          /* NULL: not given */
} reader_t;


static int reader_text(reader_t *r);
static void reader_error(void *data, uint32_t line, uint32_t column,
    const char *reason);
static void reader_line(reader_t *r);
static int reader_name(reader_t *r, const ngx_prom_text_t *name);
static int reader_url(reader_t *r);
static int reader_auth(reader_t *r);
static int reader_setting(reader_t *r);
static const setting_t *reader_key(reader_t *r, const ngx_prom_text_t *key);
static void reader_unknown(reader_t *r, const ngx_prom_text_t *key,
    const char *name);
static int reader_value(reader_t *r, const ngx_prom_text_t *key,
    ngx_prom_text_t *value);
static int reader_bare(reader_t *r, const char *key, ngx_prom_text_t *value);
static int reader_quoted(reader_t *r, const char *key,
    ngx_prom_text_t *value);
static void reader_take(reader_t *r, const setting_t *setting,
    const char *at, const ngx_prom_text_t *value);
static void reader_mistake(void *data, int id, const char *what);
static void reader_place(reader_t *r);


int
remotes_read(remotes_t *remotes, const char *path, remotes_mistake_pt mistake,
    void *data)
{
    memset(remotes, 0, sizeof(remotes_t));

    return remotes_load(remotes, path, NULL, mistake, data);
}


/* remotes that are there already stay in front */

int
remotes_load(remotes_t *remotes, const char *path, setting_file_pt readable,
    remotes_mistake_pt mistake, void *data)
{
    int        rc;
    reader_t  *r;

    r = calloc(1, sizeof(reader_t));

    if (r == NULL) {
        mistake(data, path, "out of memory");
        return -1;
    }

    r->remotes = remotes;
    r->path = path;
    r->readable = readable;
    r->mistake = mistake;
    r->data = data;

    rc = reader_text(r);

    free(r);

    return rc;
}


static int
reader_text(reader_t *r)
{
    char       *text;
    size_t      len;
    reason_t    why;

    if (setting_readable(r->path, why) == -1) {
        r->mistake(r->data, r->path, why);
        return -1;
    }

    text = text_read(r->path, &len, NULL);

    if (text == NULL) {
        r->mistake(r->data, r->path, "can't be read, or is no regular file of"
                   " at most 64 MB");
        return -1;
    }

    if (ngx_prom_lines_start(&r->line, text, len, reader_error, r, &r->errors))
    {
        while (ngx_prom_line_next(&r->line)) {
            reader_line(r);
        }
    }

    explicit_bzero(text, len);
    free(text);

    return r->errors ? -1 : 0;
}


static void
reader_error(void *data, uint32_t line, uint32_t column, const char *reason)
{
    reader_t  *r = data;

    buffer_t   where = { NULL, 0, 0, 0 };

    buffer_format(&where, "%s:%u:%u", r->path, line, column);
    r->mistake(r->data, where.failed ? r->path : where.start, reason);
    buffer_free(&where);
}


static void
reader_line(reader_t *r)
{
    remote_check_t   check;
    ngx_prom_text_t  name;

    if (!ngx_prom_line_token(&r->line, &name)) {
        return;
    }

    if (r->nlines == REMOTES_MAX) {
        ngx_prom_line_error(&r->line, name.data, "more than %d remotes",
                            REMOTES_MAX);
        r->line.next = r->line.last;
        return;
    }

    r->remote = remotes_add(r->remotes);

    if (r->remote == NULL) {
        ngx_prom_line_error(&r->line, name.data, "out of memory");
        return;
    }

    r->name = name.data;
    memset(r->at, 0, sizeof(r->at));

    if (!reader_name(r, &name) || !reader_url(r) || !reader_auth(r)) {
        goto done;
    }

    while (ngx_prom_line_more(&r->line)) {
        if (!reader_setting(r)) {
            goto done;
        }
    }

    if (r->line.wrong) {
        goto done;
    }

    check.in_file = 1;
    check.mistake = reader_mistake;
    check.data = r;

    if (remote_finish(r->remote, &check) == 0) {
        reader_place(r);
    }

done:

    r->number[r->nlines++] = r->line.number;
}


/* returns 0, as the next three, where the rest of the line means nothing */

static int
reader_name(reader_t *r, const ngx_prom_text_t *name)
{
    size_t               i;
    unsigned             n;
    remote_t            *other;
    ngx_prom_excerpt_t   buf;

    for (i = 0; i < name->len; i++) {
        if (!ngx_prom_char_in(name->data[i], "_-")) {
            ngx_prom_line_error(&r->line, name->data + i, "name has \"%s\" in"
                                " it; letters, digits and \"_-\" are allowed"
                                " in NAME, and a line is " REMOTES_FORM,
                                ngx_prom_excerpt(buf, name->data + i, 1));
            return 0;
        }
    }

    if (name->len > REMOTE_NAME_MAX) {
        ngx_prom_line_error(&r->line, name->data, "name of %zu bytes; %d are"
                            " allowed", name->len, REMOTE_NAME_MAX);
        return 0;
    }

    if (ngx_prom_text_is(name, "api") || ngx_prom_text_is(name, "-")) {
        ngx_prom_line_error(&r->line, name->data, "name \"%.*s\" would hide"
                            " paths of the proxy; another is allowed",
                            (int) name->len, name->data);
        return 0;
    }

    memcpy(r->remote->name, name->data, name->len);

    for (n = 0; n + 1 < r->remotes->n; n++) {
        other = &r->remotes->remote[n];

        if (strcmp(other->name, r->remote->name) != 0) {
            continue;
        }

        if (n + 1 + r->nlines < r->remotes->n) {
            ngx_prom_line_error(&r->line, name->data, "name \"%s\" is that of"
                                " the remote in MONITORING_PROXY_QUERY_URL"
                                " already", other->name);
        } else {
            ngx_prom_line_error(&r->line, name->data, "name \"%s\" is on line"
                                " %u already", other->name, (unsigned)
                                r->number[n + 1 + r->nlines - r->remotes->n]);
        }

        break;
    }

    return 1;
}


static int
reader_url(reader_t *r)
{
    ngx_prom_text_t  url;

    if (!ngx_prom_line_token(&r->line, &url)) {
        ngx_prom_line_error(&r->line, r->line.pos, "no URL behind the name; a"
                            " line is " REMOTES_FORM);
        return 0;
    }

    reader_take(r, setting_find(SETTING_URL, 0), url.data, &url);

    return 1;
}


static int
reader_auth(reader_t *r)
{
    int                  auth;
    ngx_prom_text_t      word;
    ngx_prom_excerpt_t   buf;

    if (!ngx_prom_line_token(&r->line, &word)) {
        ngx_prom_line_error(&r->line, r->line.pos, "no AUTH behind the URL; a"
                            " line is " REMOTES_FORM);
        return 0;
    }

    auth = auth_find(word.data, word.len);

    if (auth == -1) {
        ngx_prom_line_error(&r->line, word.data, "AUTH \"%s\" is not allowed;"
                            " allowed is one of: %s",
                            ngx_prom_excerpt(buf, word.data, word.len),
                            setting_find(SETTING_AUTH, 0)->words);
        return 0;
    }

    r->remote->auth = (auth_e) auth;

    reader_take(r, setting_find(SETTING_AUTH, 0), word.data, &word);

    return 1;
}


static int
reader_setting(reader_t *r)
{
    char                *p;
    const setting_t     *setting;
    ngx_prom_text_t      key, value;
    ngx_prom_excerpt_t   buf;

    key.data = r->line.pos;

    for (p = key.data; p < r->line.end && !ngx_prom_blank(*p) && *p != '=';
         p++)
    {
        /* void */
    }

    key.len = (size_t) (p - key.data);

    if (p == r->line.end || *p != '=') {
        ngx_prom_line_error(&r->line, key.data, "\"%s\" has no \"=\"; behind"
                            " AUTH come KEY=VALUE, with spaces KEY=\"VALUE\"",
                            ngx_prom_excerpt(buf, key.data, key.len));
        return 0;
    }

    r->line.pos = p + 1;

    setting = reader_key(r, &key);

    if (!reader_value(r, &key, &value)) {
        return 0;
    }

    if (setting) {
        r->at[setting->id] = key.data;
        reader_take(r, setting, p + 1, &value);
    }

    return 1;
}


/* NULL after a mistake */

static const setting_t *
reader_key(reader_t *r, const ngx_prom_text_t *key)
{
    const char        *name;
    const setting_t   *s;

    name = NULL;

    for (s = settings_table; s->variable; s++) {

        if (s->key == NULL || !ngx_prom_text_is(key, s->key)) {
            continue;
        }

        if (!setting_is_of(s, r->remote->auth)) {
            name = s->key;
            continue;
        }

        if (r->at[s->id]) {
            ngx_prom_line_error(&r->line, key->data, "%s is in the line"
                                " already", s->key);
            return NULL;
        }

        return s;
    }

    reader_unknown(r, key, name);

    return NULL;
}


/* name is the key, if other AUTHs have it; what it has is never told */

static void
reader_unknown(reader_t *r, const ngx_prom_text_t *key, const char *name)
{
    size_t               len;
    buffer_t             keys = { NULL, 0, 0, 0 };
    const setting_t     *s, *last;
    ngx_prom_excerpt_t   buf;

    last = NULL;

    for (s = settings_table; s->variable; s++) {

        if (s->key == NULL || !setting_is_of(s, r->remote->auth)
            || (last && last->id == s->id))
        {
            continue;
        }

        last = s;
        len = strlen(s->key);

        if (s->kind == KIND_SECRET && len == key->len + 5
            && memcmp(s->key, key->data, key->len) == 0)
        {
            ngx_prom_line_error(&r->line, key->data, "%.*s would be a secret"
                                " in this file; %s=FILE is allowed",
                                (int) key->len, s->key, s->key);
            goto done;
        }

        buffer_format(&keys, "%s%s", keys.len ? " " : "", s->key);
    }

    ngx_prom_line_error(&r->line, key->data, "%s \"%s\"; there are: %s",
                        name ? "this AUTH has no" : "no such setting",
                        ngx_prom_excerpt(buf, key->data, key->len),
                        keys.failed ? "" : keys.start);

done:

    buffer_free(&keys);
}


static int
reader_value(reader_t *r, const ngx_prom_text_t *key, ngx_prom_text_t *value)
{
    ngx_prom_excerpt_t  buf;

    ngx_prom_excerpt(buf, key->data, key->len);

    if (r->line.pos < r->line.end && *r->line.pos == '"') {
        return reader_quoted(r, buf, value);
    }

    return reader_bare(r, buf, value);
}


static int
reader_bare(reader_t *r, const char *key, ngx_prom_text_t *value)
{
    char             *p;
    ngx_prom_line_t  *line;

    line = &r->line;

    for (p = line->pos; p < line->end && !ngx_prom_blank(*p); p++) {

        if (*p == '"' || *p == '\'' || *p == '\\') {
            ngx_prom_line_error(line, p, "value of %s has %c in it; that is"
                                " allowed only in double quotes", key, *p);
            return 0;
        }
    }

    value->data = line->pos;
    value->len = (size_t) (p - line->pos);

    line->pos = p;

    return 1;
}


/* unescaped in its place */

static int
reader_quoted(reader_t *r, const char *key, ngx_prom_text_t *value)
{
    char             *p, *out;
    ngx_prom_line_t  *line;

    line = &r->line;
    value->data = line->pos + 1;
    out = value->data;

    for (p = value->data; p < line->end && *p != '"'; p++) {

        if (*p == '\\') {

            if (++p == line->end) {
                break;
            }

            if (*p != '\\' && *p != '"') {
                ngx_prom_line_error(line, p - 1, "value of %s has \\ before"
                                    " something else than \" and \\, which"
                                    " are allowed", key);
                return 0;
            }
        }

        *out++ = *p;
    }

    if (p == line->end) {
        ngx_prom_line_error(line, line->pos, "value of %s has no closing"
                            " quote in its line", key);
        return 0;
    }

    value->len = (size_t) (out - value->data);
    line->pos = p + 1;

    if (line->pos < line->end && !ngx_prom_blank(*line->pos)) {
        ngx_prom_line_error(line, line->pos, "something right after the"
                            " closing quote of %s; white space is allowed",
                            key);
        return 0;
    }

    return 1;
}


static void
reader_take(reader_t *r, const setting_t *setting, const char *at,
    const ngx_prom_text_t *value)
{
    reason_t          why;
    const char       *key;
    setting_value_t   v;

    key = setting->key;

    if (key == NULL) {
        key = setting->id == SETTING_URL ? "URL" : "AUTH";
        r->at[setting->id] = at;
    }

    if (setting_take(&v, setting, value->data, value->len) == -1) {
        ngx_prom_line_error(&r->line, at + v.at, "%s %s", key, v.why);
        return;
    }

    r->remote->value[setting->id] = v.value;

    if (setting->id == SETTING_URL && setting_split(r->remote, v.value) == -1)
    {
        ngx_prom_line_error(&r->line, at, "out of memory");
    }

    if (r->readable
        && (setting->kind == KIND_FILE || setting->kind == KIND_SECRET)
        && r->readable(v.value, why) == -1)
    {
        ngx_prom_line_error(&r->line, at, "%s: %s", key, why);
    }
}


static void
reader_mistake(void *data, int id, const char *what)
{
    reader_t  *r = data;

    ngx_prom_line_error(&r->line, r->at[id] ? r->at[id] : r->name, "%s %s",
                        setting_find(id, r->remote->auth)->key, what);
}


/* at /NAME/, or at a port of its own, which is no other's */

static void
reader_place(reader_t *r)
{
    unsigned   n, first;
    remote_t  *other;

    r->remote->listen = atoi(r->remote->value[SETTING_PORT]);
    r->remote->own = r->at[SETTING_PORT] != NULL;

    if (!r->remote->own) {
        return;
    }

    first = r->remotes->n - 1 - r->nlines;

    for (n = first; n + 1 < r->remotes->n; n++) {
        other = &r->remotes->remote[n];

        if (other->own && other->listen == r->remote->listen) {
            ngx_prom_line_error(&r->line, r->at[SETTING_PORT], "port %d is"
                                " that of line %u already", other->listen,
                                (unsigned) r->number[n - first]);
            return;
        }
    }
}
