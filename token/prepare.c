/*
 * Everything is checked before anything is written, and DIR gets its name when
 * all of it is there.
 */


#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "prepare.h"


#define PREPARE_FAILED  1


typedef struct {
    const char       *dir;
    char             *made;            /* what becomes dir */
    const char       *path;            /* of the file of remotes; or NULL */
    remotes_t         remotes;
    environment_t     env;
    int               wrong;
} prepare_t;


static void prepare_read(prepare_t *p);
static void prepare_file(prepare_t *p);
static void prepare_taken(prepare_t *p, int port);
static int prepare_write(prepare_t *p);
static int write_secrets(prepare_t *p);
static int write_remotes(prepare_t *p);
static void write_remote(buffer_t *out, const remote_t *remote);
static void write_paths(buffer_t *out, const remotes_t *remotes);
static int write_file(prepare_t *p, const char *name, mode_t mode,
    const buffer_t *text);
static void prepare_remove(prepare_t *p);
static void prepare_report(prepare_t *p);
static const char *report_how(const remote_t *remote);
static void report_warnings(const remote_t *remote);
static void prepare_mistake(void *data, const char *where, const char *what);


int
prepare(const char *dir, char **taken, int ntaken)
{
    int        i;
    prepare_t  p;

    memset(&p, 0, sizeof(p));
    p.dir = dir;

    prepare_read(&p);

    for (i = 0; i < ntaken; i++) {
        prepare_taken(&p, atoi(taken[i]));
    }

    if (!p.wrong && prepare_write(&p) == -1) {
        p.wrong = 1;
        prepare_mistake(&p, dir, strerror(errno));
    }

    if (!p.wrong) {
        prepare_report(&p);
    }

    remotes_free(&p.remotes);
    environment_free(&p.env);
    free(p.made);

    return p.wrong ? PREPARE_FAILED : 0;
}


static void
prepare_read(prepare_t *p)
{
    unsigned   n, own;
    remote_t  *remote;

    (void) environment_read(&p->env, &p->remotes, prepare_mistake, p);

    own = p->remotes.n;

    prepare_file(p);

    if (p->remotes.n == 0 && !p->wrong) {
        prepare_mistake(p, "MONITORING_PROXY_QUERY_URL (--prometheus-url)",
                        "is not set, and " SETTINGS_FILE " has no remote");
    }

    /* without a port of its own, a remote is at that of the proxy */

    for (n = own; n < p->remotes.n; n++) {
        remote = &p->remotes.remote[n];

        if (!remote->own) {
            remote->listen = p->env.port;

        } else if (own && remote->listen == p->env.port) {
            prepare_mistake(p, p->path, "a port of a remote's own is that of"
                            " MONITORING_PROXY_QUERY_URL already; give it"
                            " another, or none: then it is at /NAME/");
        }
    }
}


static void
prepare_file(prepare_t *p)
{
    struct stat  st;

    p->path = p->env.remotes;

    if (p->path == NULL) {

        if (lstat(SETTINGS_FILE, &st) == -1) {
            return;
        }

        p->path = SETTINGS_FILE;
    }

    (void) remotes_load(&p->remotes, p->path, setting_readable,
                        prepare_mistake, p);
}


static void
prepare_taken(prepare_t *p, int port)
{
    unsigned  n;
    buffer_t  what = { NULL, 0, 0, 0 };

    for (n = 0; n < p->remotes.n; n++) {

        if (p->remotes.remote[n].listen != port) {
            continue;
        }

        buffer_format(&what, "port %d is that of another part of this proxy;"
                      " another is allowed", port);

        prepare_mistake(p, port == p->env.port
                           ? "MONITORING_PROXY_QUERY_PORT (--port)" : p->path,
                        what.failed ? "" : what.start);
        buffer_free(&what);

        return;
    }
}


static int
prepare_write(prepare_t *p)
{
    int       rc;
    buffer_t  text = { NULL, 0, 0, 0 };

    rc = -1;

    if (asprintf(&p->made, "%s.new", p->dir) == -1) {
        p->made = NULL;
        return -1;
    }

    prepare_remove(p);

    if (mkdir(p->made, 0755) == -1
        || write_secrets(p) == -1
        || write_remotes(p) == -1)
    {
        goto done;
    }

    conf_servers(&text, &p->remotes, p->env.level);

    if (write_file(p, "servers.conf", 0644, &text) == -1) {
        goto done;
    }

    buffer_clear(&text);
    write_paths(&text, &p->remotes);

    if (write_file(p, "files", 0644, &text) == -1) {
        goto done;
    }

    buffer_clear(&text);
    buffer_text(&text, p->env.level);

    if (write_file(p, "level", 0644, &text) == -1) {
        goto done;
    }

    buffer_clear(&text);
    buffer_format(&text, "%d", p->remotes.remote[0].listen);

    if (write_file(p, "port", 0644, &text) == -1) {
        goto done;
    }

    rc = rename(p->made, p->dir);

done:

    if (rc == -1) {
        prepare_remove(p);
    }

    buffer_free(&text);

    return rc;
}


/* those of the environment, whose remote is the first */

static int
write_secrets(prepare_t *p)
{
    int          id, rc;
    char        *path, *key;
    buffer_t     text = { NULL, 0, 0, 0 };
    remote_t    *remote;

    for (id = 0; id < SETTINGS; id++) {

        if (p->env.secret[id] == NULL) {
            continue;
        }

        remote = &p->remotes.remote[0];
        key = strdup(setting_find(id, remote->auth)->key);

        if (key == NULL) {
            return -1;
        }

        /* without "_file" */

        key[strlen(key) - 5] = '\0';

        rc = asprintf(&path, "%s/secret-%s-%s", p->dir, remote->name, key);

        free(key);

        if (rc == -1) {
            return -1;
        }

        free(remote->value[id]);
        remote->value[id] = path;

        buffer_format(&text, "%s\n", p->env.secret[id]);
        rc = write_file(p, strrchr(path, '/') + 1, 0600, &text);

        if (text.start) {
            explicit_bzero(text.start, text.len);
        }

        buffer_free(&text);

        if (rc == -1) {
            return -1;
        }
    }

    return 0;
}


static int
write_remotes(prepare_t *p)
{
    int        rc;
    unsigned   n;
    buffer_t   text = { NULL, 0, 0, 0 };

    for (n = 0; n < p->remotes.n; n++) {
        write_remote(&text, &p->remotes.remote[n]);
    }

    rc = write_file(p, "remotes", 0644, &text);

    buffer_free(&text);

    return rc;
}


/* all but where nginx listens */

static void
write_remote(buffer_t *out, const remote_t *remote)
{
    int               last;
    const char       *c;
    const setting_t  *s;

    last = -1;

    buffer_format(out, "%s %s %s", remote->name, remote->value[SETTING_URL],
                  auth_name(remote->auth));

    for (s = settings_table; s->variable; s++) {

        if (s->key == NULL || !setting_is_of(s, remote->auth)
            || remote->value[s->id] == NULL || s->id == last
            || s->id == SETTING_PORT)
        {
            continue;
        }

        last = s->id;

        buffer_format(out, " %s=\"", s->key);

        for (c = remote->value[s->id]; *c; c++) {
            if (*c == '"' || *c == '\\') {
                buffer_text(out, "\\");
            }

            buffer_add(out, c, 1);
        }

        buffer_text(out, "\"");
    }

    buffer_text(out, "\n");
}


/* of the user's files, one a line */

static void
write_paths(buffer_t *out, const remotes_t *remotes)
{
    unsigned          n;
    const char       *value;
    const setting_t  *s;

    for (n = 0; n < remotes->n; n++) {
        for (s = settings_table; s->variable; s++) {

            if (s->id >= SETTINGS
                || !setting_is_of(s, remotes->remote[n].auth)
                || (s->kind != KIND_FILE && s->kind != KIND_SECRET))
            {
                continue;
            }

            value = remotes->remote[n].value[s->id];

            if (value) {
                buffer_format(out, "%s\n", value);
            }
        }
    }
}


static int
write_file(prepare_t *p, const char *name, mode_t mode, const buffer_t *text)
{
    int    fd, rc;
    char  *path;

    if (text->failed) {
        errno = ENOMEM;
        return -1;
    }

    if (asprintf(&path, "%s/%s", p->made, name) == -1) {
        return -1;
    }

    fd = open(path, O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, mode);

    free(path);

    if (fd == -1) {
        return -1;
    }

    rc = write(fd, text->start, text->len) == (ssize_t) text->len ? 0 : -1;

    if (close(fd) == -1) {
        rc = -1;
    }

    return rc;
}


static void
prepare_remove(prepare_t *p)
{
    DIR            *dir;
    struct dirent  *entry;

    dir = opendir(p->made);

    if (dir == NULL) {
        return;
    }

    while ((entry = readdir(dir)) != NULL) {
        (void) unlinkat(dirfd(dir), entry->d_name, 0);
    }

    (void) closedir(dir);
    (void) rmdir(p->made);
}


static void
prepare_report(prepare_t *p)
{
    char      *path;
    unsigned   n;
    remote_t  *remote;

    for (n = 0; n < p->remotes.n; n++) {
        remote = &p->remotes.remote[n];
        path = remote->own ? "" : remote->name;

        printf("port %d /%s%s is %s, by %s%s; allowed: %s\n", remote->listen,
               path, *path ? "/" : "", remote->value[SETTING_URL],
               auth_name(remote->auth), report_how(remote),
               remote->value[SETTING_ALLOW]);

        report_warnings(remote);
    }
}


/* in the order that the keeper looks for them */

static const char *
report_how(const remote_t *remote)
{
    char *const  *value;

    value = remote->value;

    if (remote->auth == AUTH_AZURE) {

        if (value[SETTING_CLIENT_SECRET_FILE]) {
            return " (client secret)";
        }

        return value[SETTING_FEDERATED_TOKEN_FILE] ? " (workload identity)"
                                                   : " (managed identity)";
    }

    if (remote->auth == AUTH_AWS) {

        if (value[SETTING_ACCESS_KEY_ID]) {
            return " (access key)";
        }

        if (value[SETTING_WEB_IDENTITY_TOKEN_FILE]) {
            return " (web identity)";
        }

        return value[SETTING_CONTAINER_URI] ? " (container)" : " (instance)";
    }

    return "";
}


static void
report_warnings(const remote_t *remote)
{
    if (strcmp(remote->value[SETTING_VERIFY], "off") == 0) {
        printf("warning: %s: CERTIFICATES ARE NOT VERIFIED: whoever is between"
               " this proxy and the remote or the token endpoint gets the"
               " credentials\n", remote->name);
    }

    if (!remote->https && remote->auth != AUTH_NONE) {
        printf("warning: %s: CREDENTIALS PASS WITHOUT TLS: the URL begins with"
               " http://\n", remote->name);
    }

    if (strcmp(remote->value[SETTING_ALLOW], "query") != 0) {
        printf("warning: %s: whoever reaches port %d may do more than ask:"
               " %s\n", remote->name, remote->listen,
               remote->value[SETTING_ALLOW]);
    }
}


static void
prepare_mistake(void *data, const char *where, const char *what)
{
    prepare_t  *p = data;

    p->wrong = 1;

    fprintf(stderr, "%s: %s\n", where, what);
}
