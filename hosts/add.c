/*
 * The command that writes a host's line, or changes it: only what is given to
 * it changes, and all else stays as it is, byte for byte.
 */


#define _POSIX_C_SOURCE  200809L

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "file.h"
#include "hosts_file.h"
#include "ngx_prom_hosts_key.h"
#include "raw.h"
#include "store.h"


#define ADD_NAME  "monitoring-proxy-hosts"


typedef struct {
    const char          *path;
    const char          *targets;
    int                  replace;

    ngx_prom_text_t      name;
    ngx_prom_text_t      type;        /* "-" */
    ngx_prom_text_t      base64;      /* empty with "-" */
    char               **words;       /* LABEL=VALUE, as given */
    int                  nwords;
    char               **strange;     /* all from the key on, if it's none */
    int                  nstrange;
    unsigned             ports;

    store_t             *store;
    const char          *text;
    size_t               len;
} add_t;


static int add_arguments(add_t *add, int argc, char **argv);
static int add_key(add_t *add, char *type, char *base64);
static int add_key_lines(ngx_prom_text_t *whole);
static int add_comment(const char *word, size_t len);
static void add_word(ngx_prom_text_t *word, ngx_prom_text_t *rest);
static int add_check(add_t *add);
static int add_run(add_t *add);
static int add_new(add_t *add, FILE *out, const ngx_prom_hosts_t *ph);
static uint16_t add_port(const add_t *add, const ngx_prom_hosts_t *ph);
static int add_change(add_t *add, FILE *out, uint32_t number);
static int add_change_key(const add_t *add, FILE *out, const raw_line_t *line,
    uint32_t number);
static int add_change_words(const add_t *add, FILE *out,
    const raw_line_t *line, uint32_t number, unsigned first);
static int add_finish(add_t *add, char *text, size_t len);
static void add_print_key(const add_t *add, FILE *out);
static hosts_file_t *add_parse(const char *told, const char *text, size_t len,
    const char *targets);
static void add_told(const char *told, const char *messages);


int
hosts_add(const hosts_options_t *options, int argc, char **argv)
{
    int    rc;
    add_t  add;

    memset(&add, 0, sizeof(add_t));

    add.path = argv[0];
    add.targets = options->targets;
    add.replace = options->replace;

    hosts_name(&add.name, argv[1]);

    if (argv[1][0] == '#' || strpbrk(argv[1], " \t\r\n\"\\")) {
        fprintf(stderr, ADD_NAME ": the name is not one word of letters, "
                "digits and \"._~-/\"\n");
        return HOSTS_MISTAKE;
    }

    if (!add_arguments(&add, argc - 2, argv + 2) || !add_check(&add)) {
        return HOSTS_MISTAKE;
    }

    add.store = store_open(add.path, 0644, stderr);

    if (add.store == NULL) {
        return HOSTS_MISTAKE;
    }

    add.text = store_text(add.store, &add.len);

    rc = add_run(&add);

    store_close(add.store);

    return rc;
}


/* the key, as words or as a whole line, a comment behind it, and the words */

static int
add_arguments(add_t *add, int argc, char **argv)
{
    int  n;

    n = 1;

    if (strcmp(argv[0], "-") == 0) {
        add->type.data = argv[0];
        add->type.len = 1;

    } else {
        if (argc > 1 && strpbrk(argv[0], " \t\r\n") == NULL) {
            n = 2;
        }

        if (!add_key(add, argv[0], n == 2 ? argv[1] : NULL)) {
            return 0;
        }

        if (ngx_prom_key_type(add->type.data, add->type.len) == NULL) {
            add->strange = argv;
            add->nstrange = argc;
            return 1;
        }

        for ( /* void */ ; n < argc && !strchr(argv[n], '='); n++) {
            if (!add_comment(argv[n], strlen(argv[n]))) {
                return 0;
            }
        }
    }

    add->words = argv + n;
    add->nwords = argc - n;

    for ( /* void */ ; n < argc; n++) {
        if (strchr(argv[n], '=') == NULL || argv[n][0] == '#') {
            fprintf(stderr, ADD_NAME ": \"%s\" is not LABEL=VALUE\n", argv[n]);
            return 0;
        }
    }

    return 1;
}


static int
add_key(add_t *add, char *type, char *base64)
{
    ngx_prom_text_t  word, rest;

    rest.data = type;
    rest.len = strlen(type);

    if (!add_key_lines(&rest)) {
        return 0;
    }

    add_word(&add->type, &rest);
    add_word(&add->base64, &rest);

    if (base64) {
        add->base64.data = base64;
        add->base64.len = strlen(base64);
    }

    if (ngx_prom_key_type(add->type.data, add->type.len) == NULL) {
        return 1;
    }

    while (rest.len) {
        add_word(&word, &rest);

        if (!add_comment(word.data, word.len)) {
            return 0;
        }
    }

    return 1;
}


/* takes line ends off; a message has nothing of what may be a private key */

static int
add_key_lines(ngx_prom_text_t *whole)
{
    if (strstr(whole->data, "PRIVATE KEY-----")
        || strstr(whole->data, "PuTTY-User-Key-File-"))
    {
        fprintf(stderr, ADD_NAME ": a private key; it stays at its host, give "
                "the .pub file's line\n");
        return 0;
    }

    while (whole->len && strchr(" \t\r\n", whole->data[whole->len - 1])) {
        whole->len--;
    }

    if (whole->len == 0) {
        fprintf(stderr, ADD_NAME ": the key is empty; \"-\" is for none\n");
        return 0;
    }

    if (memchr(whole->data, '\n', whole->len)
        || memchr(whole->data, '\r', whole->len))
    {
        fprintf(stderr, ADD_NAME ": more than one line for the key; give one "
                "line of the .pub file\n");
        return 0;
    }

    return 1;
}


/* the key's comment is left out, but a second key is a mistake */

static int
add_comment(const char *word, size_t len)
{
    if (ngx_prom_key_type(word, len) || strncmp(word, "AAAA", 4) == 0) {
        fprintf(stderr, ADD_NAME ": a second key; a host has one\n");
        return 0;
    }

    return 1;
}


static void
add_word(ngx_prom_text_t *word, ngx_prom_text_t *rest)
{
    char  *p, *end;

    p = rest->data;
    end = p + rest->len;

    while (p < end && (*p == ' ' || *p == '\t')) {
        p++;
    }

    word->data = p;

    while (p < end && *p != ' ' && *p != '\t') {
        p++;
    }

    word->len = p - word->data;

    rest->data = p;
    rest->len = end - p;
}


/* what is wrong with the line by itself */

static int
add_check(add_t *add)
{
    int            i;
    char          *line;
    FILE          *out;
    size_t         len;
    hosts_file_t  *file;

    out = open_memstream(&line, &len);
    if (out == NULL) {
        perror(ADD_NAME);
        return 0;
    }

    fprintf(out, "%.*s", (int) add->name.len, add->name.data);

    /* the grammar knows what it is that is no key */

    for (i = 0; i < add->nstrange; i++) {
        fprintf(out, " %s", add->strange[i]);
    }

    if (add->strange == NULL) {
        putc(' ', out);
        add_print_key(add, out);
    }

    for (i = 0; i < add->nwords; i++) {
        putc(' ', out);
        raw_word_print(out, add->words[i]);
    }

    if (fclose(out) == EOF) {
        perror(ADD_NAME);
        return 0;
    }

    file = add_parse(ADD_NAME, line, len, NULL);
    free(line);

    if (file == NULL) {
        return 0;
    }

    add->ports = hosts_file_hosts(file)->hosts[0].ports;
    hosts_file_free(file);

    if (add->strange) {
        fprintf(stderr, ADD_NAME ": not a public key; give the .pub file's "
                "line, or \"-\" for none\n");
        return 0;
    }

    return 1;
}


static int
add_run(add_t *add)
{
    int                      rc;
    char                    *text;
    FILE                    *out;
    size_t                   len;
    hosts_file_t            *file;
    const ngx_prom_host_t   *host;
    const ngx_prom_hosts_t  *ph;

    file = hosts_file_parse(add->path, add->text, add->len, NULL, stderr);

    if (file == NULL) {
        return HOSTS_MISTAKE;
    }

    out = open_memstream(&text, &len);
    if (out == NULL) {
        perror(ADD_NAME);
        hosts_file_free(file);
        return HOSTS_MISTAKE;
    }

    ph = hosts_file_hosts(file);
    host = ngx_prom_hosts_find(ph, add->name.data, add->name.len);

    rc = host ? add_change(add, out, host->line) : add_new(add, out, ph);

    hosts_file_free(file);

    if (fclose(out) == EOF) {
        perror(ADD_NAME);
        rc = HOSTS_MISTAKE;
    }

    if (rc == HOSTS_OK) {
        rc = add_finish(add, text, len);
    }

    free(text);

    return rc;
}


/* the line is the last one, with the line end that the last one has */

static int
add_new(add_t *add, FILE *out, const ngx_prom_hosts_t *ph)
{
    int          i, given;
    size_t       pos;
    uint16_t     port;
    raw_line_t   line;
    raw_text_t   word;
    const char  *end;

    end = "\n";

    for (pos = 0; raw_line(&line, add->text, add->len, &pos); /* void */ ) {
        if (line.end.len) {
            end = line.end.len == 2 ? "\r\n" : "\n";
        }
    }

    fwrite(add->text, 1, add->len, out);

    if (add->len && add->text[add->len - 1] != '\n') {
        fputs(end, out);
    }

    fprintf(out, "%.*s ", (int) add->name.len, add->name.data);
    add_print_key(add, out);

    given = 0;

    for (i = 0; i < add->nwords; i++) {
        word.data = add->words[i];
        word.len = strlen(add->words[i]);
        given |= raw_word_label(&word, "port=");
    }

    if (!given) {
        port = add_port(add, ph);

        if (port == 0) {
            fprintf(stderr, "%s: no %u ports in a row are free\n", add->path,
                    add->ports);
            return HOSTS_MISTAKE;
        }

        fprintf(out, " port=%u", (unsigned) port);
    }

    for (i = 0; i < add->nwords; i++) {
        putc(' ', out);
        raw_word_print(out, add->words[i]);
    }

    fputs(end, out);

    return HOSTS_OK;
}


static uint16_t
add_port(const add_t *add, const ngx_prom_hosts_t *ph)
{
    uint32_t                    i, port;
    targets_file_t             *file;
    static uint32_t             used[NGX_PROM_PORTS];
    const ngx_prom_host_t      *host;
    const ngx_prom_targets_t   *pt;

    for (i = 0; i < ph->count; i++) {
        host = &ph->hosts[i];

        for (port = 0; port < host->ports; port++) {
            used[host->port + port] = 1;
        }
    }

    file = add->targets ? targets_file_load(add->targets, NULL) : NULL;

    if (file) {
        pt = targets_file_targets(file);

        for (i = 0; i < pt->count; i++) {
            if (targets_file_local(&pt->targets[i])) {
                used[pt->targets[i].port] = 1;
            }
        }

        targets_file_free(file);
    }

    return ngx_prom_hosts_free(used, add->ports);
}


static int
add_change(add_t *add, FILE *out, uint32_t number)
{
    int         rc;
    size_t      pos;
    uint32_t    n;
    raw_line_t  line;

    pos = 0;

    for (n = 0; n < number; n++) {
        (void) raw_line(&line, add->text, add->len, &pos);
    }

    /* up to its name */

    fwrite(add->text, 1, line.words[0].data + line.words[0].len - add->text,
           out);

    rc = add_change_key(add, out, &line, number);

    if (rc != HOSTS_OK) {
        return rc;
    }

    fwrite(add->text + pos, 1, add->len - pos, out);

    return HOSTS_OK;
}


static int
add_change_key(const add_t *add, FILE *out, const raw_line_t *line,
    uint32_t number)
{
    int                keyed, same;
    unsigned           first;
    const raw_text_t  *type, *base64, *last;

    type = &line->words[1];
    base64 = &line->words[2];

    keyed = type->len != 1 || type->data[0] != '-';
    first = keyed ? 3 : 2;
    last = &line->words[first - 1];

    /* who replaces a label doesn't mean to take the key away */

    if (add->base64.len == 0) {
        same = 1;

    } else if (keyed) {
        same = base64->len == add->base64.len
               && memcmp(base64->data, add->base64.data, base64->len) == 0;

        if (!same && !add->replace) {
            fprintf(stderr, "%s:%u: \"%.*s\" has another key; --replace puts "
                    "this one in its place\n", add->path, (unsigned) number,
                    (int) add->name.len, add->name.data);
            return HOSTS_MISTAKE;
        }

    } else {
        same = 0;
    }

    /* with the white space in front of it */

    fwrite(line->words[0].data + line->words[0].len, 1,
           (same ? last->data + last->len : type->data)
           - (line->words[0].data + line->words[0].len), out);

    if (!same) {
        add_print_key(add, out);
    }

    return add_change_words(add, out, line, number, first);
}


static int
add_change_words(const add_t *add, FILE *out, const raw_line_t *line,
    uint32_t number, unsigned first)
{
    int                i, found;
    unsigned           n;
    const char        *from;
    const raw_text_t  *word;

    from = line->words[first - 1].data + line->words[first - 1].len;

    for (n = first; n < line->nwords; n++) {
        word = &line->words[n];

        fwrite(from, 1, word->data - from, out);
        from = word->data + word->len;

        for (i = 0; i < add->nwords; i++) {
            if (raw_word_label(word, add->words[i])) {
                break;
            }
        }

        if (i == add->nwords || raw_word_same(word, add->words[i])) {
            fwrite(word->data, 1, word->len, out);
            continue;
        }

        if (!add->replace) {
            fprintf(stderr, "%s:%u: \"%.*s\" has %.*s; --replace changes it\n",
                    add->path, (unsigned) number, (int) add->name.len,
                    add->name.data, (int) word->len, word->data);
            return HOSTS_MISTAKE;
        }

        raw_word_print(out, add->words[i]);
    }

    for (i = 0; i < add->nwords; i++) {
        found = 0;

        for (n = first; n < line->nwords; n++) {
            found |= raw_word_label(&line->words[n], add->words[i]);
        }

        if (!found) {
            putc(' ', out);
            raw_word_print(out, add->words[i]);
        }
    }

    /* a comment, and the line's end */

    fwrite(from, 1, line->end.data + line->end.len - from, out);

    return HOSTS_OK;
}


static int
add_finish(add_t *add, char *text, size_t len)
{
    hosts_file_t           *file;
    const ngx_prom_host_t  *host;

    file = add_parse(add->path, text, len, add->targets);

    if (file == NULL) {
        return HOSTS_MISTAKE;
    }

    host = ngx_prom_hosts_find(hosts_file_hosts(file), add->name.data,
                               add->name.len);

    if (host == NULL) {
        fprintf(stderr, "%s: the line is not that of one host\n", add->path);
        hosts_file_free(file);
        return HOSTS_MISTAKE;
    }

    if ((len != add->len || memcmp(text, add->text, len) != 0)
        && store_write(add->store, text, len) == -1)
    {
        hosts_file_free(file);
        return HOSTS_MISTAKE;
    }

    printf("%u\n", (unsigned) host->port);
    hosts_file_free(file);

    return HOSTS_OK;
}


static void
add_print_key(const add_t *add, FILE *out)
{
    fprintf(out, "%.*s", (int) add->type.len, add->type.data);

    if (add->base64.len) {
        fprintf(out, " %.*s", (int) add->base64.len, add->base64.data);
    }
}


/* tells what is wrong without a place, since the user has no such line */

static hosts_file_t *
add_parse(const char *told, const char *text, size_t len, const char *targets)
{
    char          *messages;
    FILE          *out;
    size_t         size;
    hosts_file_t  *file;

    out = open_memstream(&messages, &size);
    if (out == NULL) {
        perror(ADD_NAME);
        return NULL;
    }

    file = hosts_file_parse("", text, len, targets, out);

    if (fclose(out) == EOF) {
        perror(ADD_NAME);

    } else if (file == NULL) {
        add_told(told, messages);
    }

    free(messages);

    return file;
}


static void
add_told(const char *told, const char *messages)
{
    const char  *p, *eol;

    for (p = messages; *p; p = eol + 1) {
        eol = strchr(p, '\n');

        if (eol == NULL) {
            return;
        }

        p += strspn(p, ":0123456789");

        fprintf(stderr, "%s:%.*s\n", told, (int) (eol - p), p);
    }
}
