/*
 * A file of public keys; see the header.
 */


#define _POSIX_C_SOURCE  200809L

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "keys_file.h"
#include "ngx_prom_hosts_key.h"
#include "ngx_prom_targets_line.h"
#include "text.h"


#define KEYS_FILE_LEAST  8            /* bytes of a line with a key */
#define KEYS_FILE_BLOB   36           /* longer than a word of a comment */


typedef struct {
    const char          *path;
    FILE                *told;
    uint32_t             errors;
    unsigned             variable:1;  /* not a file: has no columns */
    unsigned             plain:1;     /* the reason has no verb */
} keys_file_errors_t;


static keys_file_t *keys_file_checked(keys_file_t *file,
    const keys_file_errors_t *errors);
static keys_file_t *keys_file_read(keys_file_errors_t *errors);
static keys_file_t *keys_file_new(char *text, size_t len,
    keys_file_errors_t *errors);
static void *keys_file_alloc(void *data, size_t size);
static void keys_file_more(const keys_file_errors_t *errors);
static void keys_file_line(keys_file_t *file, ngx_prom_line_t *pl);
static int keys_file_other(ngx_prom_line_t *pl);
static int keys_file_options(ngx_prom_line_t *pl,
    const ngx_prom_text_t *first);
static int keys_file_blob(const ngx_prom_line_t *pl);
static int keys_file_in(const ngx_prom_line_t *pl, const char *s);
static void keys_file_error(void *data, uint32_t line, uint32_t column,
    const char *reason);


keys_file_t *
keys_file_load(const char *path, FILE *told)
{
    keys_file_t         *file;
    keys_file_errors_t   errors;

    errors = (keys_file_errors_t) { .path = path, .told = told };
    file = keys_file_read(&errors);

    return keys_file_checked(file, &errors);
}


keys_file_t *
keys_file_load_right(const char *path, FILE *told)
{
    keys_file_t         *file;
    keys_file_errors_t   errors;

    errors = (keys_file_errors_t) { .path = path, .told = told };
    file = keys_file_read(&errors);

    if (file && errors.errors) {
        keys_file_more(&errors);
        text_fail(path, "these lines are passed over", told);
    }

    return file;
}


keys_file_t *
keys_file_parse(const char *name, const char *text, FILE *told)
{
    char                *copy;
    size_t               len;
    keys_file_t         *file;
    keys_file_errors_t   errors;

    errors = (keys_file_errors_t) { .path = name, .told = told,
                                    .variable = 1 };
    len = strlen(text);
    copy = malloc(len + 1);

    if (copy == NULL) {
        text_fail(name, "out of memory", told);
        return NULL;
    }

    memcpy(copy, text, len);
    file = keys_file_new(copy, len, &errors);

    return keys_file_checked(file, &errors);
}


/* frees a file with mistakes, and returns NULL for it */

static keys_file_t *
keys_file_checked(keys_file_t *file, const keys_file_errors_t *errors)
{
    if (file && errors->errors) {
        keys_file_more(errors);
        keys_file_free(file);
        return NULL;
    }

    return file;
}


static keys_file_t *
keys_file_read(keys_file_errors_t *errors)
{
    char         *text;
    size_t        len;
    struct stat   st;

    if (lstat(errors->path, &st) == -1 && errno == ENOENT) {
        return keys_file_new(NULL, 0, errors);
    }

    text = text_read(errors->path, &len, errors->told);

    return text ? keys_file_new(text, len, errors) : NULL;
}


/* takes the text; NULL if there is no memory, else errors may be counted */

static keys_file_t *
keys_file_new(char *text, size_t len, keys_file_errors_t *errors)
{
    size_t            bound;
    keys_file_t      *file;
    ngx_prom_line_t   pl;

    file = calloc(1, sizeof(keys_file_t));
    if (file == NULL) {
        free(text);
        goto failed;
    }

    file->text = text;

    if (text == NULL
        || !ngx_prom_lines_start(&pl, text, len, keys_file_error, errors,
                                 &errors->errors))
    {
        return file;
    }

    bound = ngx_prom_lines_bound(&pl, KEYS_FILE_LEAST);
    file->keys = malloc((bound + 1) * sizeof(keys_file_key_t));

    if (file->keys == NULL
        || ngx_prom_seen_init(&file->seen, keys_file_alloc, NULL, bound) == -1)
    {
        keys_file_free(file);
        goto failed;
    }

    for ( ;; ) {
        errors->plain = 1;

        if (!ngx_prom_line_next(&pl)) {
            return file;
        }

        errors->plain = 0;
        keys_file_line(file, &pl);
    }

failed:

    text_fail(errors->path, "out of memory", errors->told);

    return NULL;
}


static void *
keys_file_alloc(void *data, size_t size)
{
    (void) data;

    return malloc(size);
}


static void
keys_file_more(const keys_file_errors_t *errors)
{
    if (errors->told && errors->errors > NGX_PROM_ERRORS_MAX) {
        fprintf(errors->told, "%s: and %u more mistakes\n", errors->path,
                errors->errors - NGX_PROM_ERRORS_MAX);
    }
}


/* what is in the line is never repeated: it may be a private key */

static void
keys_file_line(keys_file_t *file, ngx_prom_line_t *pl)
{
    const char                 *wrong;
    keys_file_key_t            *key;
    ngx_prom_text_t             type, base64;
    ngx_prom_key_reason_t       reason;
    const ngx_prom_key_type_t  *known;

    if (keys_file_other(pl) || !ngx_prom_line_token(pl, &type)) {
        return;
    }

    known = ngx_prom_key_type(type.data, type.len);

    if (known == NULL) {

        if (ngx_prom_key_certificate(type.data, type.len)) {
            wrong = "is a certificate; give the plain public key";

        } else if (ngx_prom_text_is(&type, "ssh-dss")) {
            wrong = "is a DSA key, which OpenSSH has dropped; use ssh-ed25519";

        } else if (keys_file_options(pl, &type)) {
            wrong = "has options in front of the key; give the key alone";

        } else {
            wrong = "is not a public key; expected TYPE BASE64 [COMMENT], as "
                    "in a .pub file";
        }

        ngx_prom_line_error(pl, type.data, "%s", wrong);
        return;
    }

    if (!ngx_prom_line_token(pl, &base64)) {
        ngx_prom_line_error(pl, type.data, "has no base64 key after %s; copy "
                            "the whole line of the .pub file", known->name);
        return;
    }

    wrong = ngx_prom_key_check(known, base64.data, base64.len, reason);

    if (wrong && strcmp(wrong, NGX_PROM_KEY_CHANGED) == 0) {
        ngx_prom_line_error(pl, base64.data, "is not a valid %s key; cut off "
                            "or changed?", known->name);
        return;
    }

    if (wrong) {
        ngx_prom_line_error(pl, base64.data, "%s", wrong);
        return;
    }

    (void) ngx_prom_line_more(pl);

    if (keys_file_blob(pl)) {
        ngx_prom_line_error(pl, pl->pos, "has two keys; give one a line");
        return;
    }

    key = &file->keys[file->count++];
    key->type = type;
    key->base64 = base64;
    key->comment.data = pl->pos;
    key->comment.len = (size_t) (pl->end - pl->pos);
    key->line = pl->number;

    (void) ngx_prom_seen_add(&file->seen, base64.data, base64.len,
                             (uint32_t) file->count);
}


/* keys in other formats, which have many lines: told once */

static int
keys_file_other(ngx_prom_line_t *pl)
{
    const char  *wrong;

    if ((keys_file_in(pl, "BEGIN") && keys_file_in(pl, "PRIVATE KEY"))
        || ngx_prom_starts(pl->start, pl->end, "PuTTY-User-Key-File-"))
    {
        wrong = "is a private key; give the .pub file's line";

    } else if (keys_file_in(pl, "BEGIN SSH2 PUBLIC KEY")) {
        wrong = "is a key in SSH2 format; convert it with ssh-keygen -i";

    } else {
        return 0;
    }

    ngx_prom_line_error(pl, pl->start, "%s", wrong);
    pl->next = pl->last;

    return 1;
}


/* is there a key, which is a type and base64 that starts as all of it does */

static int
keys_file_options(ngx_prom_line_t *pl, const ngx_prom_text_t *first)
{
    ngx_prom_text_t  one, two;

    for (one = *first; ngx_prom_line_token(pl, &two); one = two) {

        if (ngx_prom_key_type(one.data, one.len)
            && ngx_prom_starts(two.data, pl->end, "AAAA"))
        {
            return 1;
        }
    }

    return 0;
}


/* in what is left of the line, with its type or without it */

static int
keys_file_blob(const ngx_prom_line_t *pl)
{
    char             *p;
    ngx_prom_line_t   rest;
    ngx_prom_text_t   word;

    rest = *pl;

    while (ngx_prom_line_token(&rest, &word)) {
        p = word.data;

        if (word.len >= KEYS_FILE_BLOB
            && ngx_prom_starts(p, p + word.len, "AAAA"))
        {
            return 1;
        }
    }

    return 0;
}


static int
keys_file_in(const ngx_prom_line_t *pl, const char *s)
{
    const char  *p;

    for (p = pl->start; p < pl->end; p++) {
        if (ngx_prom_starts(p, pl->end, s)) {
            return 1;
        }
    }

    return 0;
}


void
keys_file_free(keys_file_t *file)
{
    free(file->seen.slots);
    free(file->keys);
    free(file->text);
    free(file);
}


const keys_file_key_t *
keys_file_find(const keys_file_t *file, const char *base64, size_t len)
{
    uint32_t  n;

    n = ngx_prom_seen_find(&file->seen, base64, len);

    return n ? &file->keys[n - 1] : NULL;
}


static void
keys_file_error(void *data, uint32_t line, uint32_t column,
    const char *reason)
{
    const char          *verb;
    keys_file_errors_t  *errors = data;

    if (errors->told == NULL) {
        return;
    }

    /* what all lines of text are checked for */

    verb = errors->plain ? "has a " : "";

    if (errors->variable) {
        fprintf(errors->told, "%s: line %u %s%s\n", errors->path, line, verb,
                reason);

    } else {
        fprintf(errors->told, "%s:%u:%u: %s%s\n", errors->path, line, column,
                verb, reason);
    }
}
