/*
 * What was checked is what is used: a file is copied first, and the copy is
 * renamed if it is right.
 */


#define _GNU_SOURCE

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "changes.h"
#include "copy.h"
#include "files.h"
#include "hosts_file.h"
#include "keys_file.h"
#include "log.h"
#include "loop.h"
#include "text.h"


#define FILES_SAVE  1000          /* ms, until what memory has is written */


typedef enum {
    FILES_HOSTS = 0,              /* of ETC */
    FILES_AUTHORITIES,
    FILES_TARGETS,
    FILES_KEYS,                   /* of STATE, others write them */
    FILES_FROM,
    FILES_LIST,
    FILES_LAST,
    FILES_N
} files_e;


/* what differs after any change; all zero if there is no such file */

typedef struct {
    uint64_t             device;
    uint64_t             inode;
    uint64_t             size;
    int64_t              mtime[2];
    int64_t              ctime[2];
} files_id_t;


typedef struct {
    char                *path;
    files_id_t           seen;    /* by the last look */
    files_id_t           fresh;   /* when somebody logged in */
    files_id_t           taken;
    unsigned             known:1; /* there was a first time */
    unsigned             mistaken:1;  /* the last time */
} files_file_t;


struct files_s {
    char                *state;
    copy_t               hosts;
    copy_t               authorities;
    int64_t              saved;   /* when copies were tried to be written */
    unsigned             again:1; /* access has to be loaded */
    unsigned             changed:1;   /* and hosts have changed */
    char                *told;    /* what was wrong at that, or NULL */
    board_t             *board;
    sessions_t          *sessions;
    files_file_t         files[FILES_N];
};


static access_t *files_load(const files_t *files, FILE *told);
static void files_look(const char *path, files_id_t *id);
static int files_take_hosts(files_t *files, char *reason, size_t size);
static int files_take_authorities(files_t *files, char *reason, size_t size);
static int files_take(files_t *files, files_e which, char *reason,
    size_t size);
static copy_t *files_copy(files_t *files, files_e which);
static int files_check_hosts(files_t *files, FILE *told);
static int files_check_authorities(files_t *files, FILE *told);
static int files_commit(copy_t *copy, int same, FILE *told);
static int files_missing(const char *path);
static void files_mistaken(files_t *files, files_e which, char *told,
    char *reason, size_t size);
static int files_renew(files_t *files, char *reason, size_t size);
static void files_hosts(files_t *files, const access_t *access);
static void files_not_loaded(const char *text, char *reason, size_t size);
static void files_told(files_t *files, const access_t *access, char *text);
static int files_remove_line(files_t *files, const char *name, char *reason,
    size_t size);
static int files_cut(char *text, size_t *len, uint32_t line);


files_t *
files_open(const char *state, const char *etc, board_t *board)
{
    int       i, rc;
    files_t  *files;

    static const char  *names[FILES_N] = {
        "hosts", "ssh_ca.pub", "targets",
        "public-keys", "ports-from", "tunnel-ports", "target-ports"
    };

    files = calloc(1, sizeof(files_t));

    if (files == NULL) {
        log_line("out of memory");
        return NULL;
    }

    files->board = board;

    rc = asprintf(&files->state, "%s", state);
    rc |= copy_open(&files->hosts, state, "hosts");
    rc |= copy_open(&files->authorities, state, "ssh_ca.pub");

    for (i = 0; i < FILES_N; i++) {
        rc |= asprintf(&files->files[i].path, "%s/%s",
                       i < FILES_KEYS ? etc : state, names[i]);
    }

    if (rc < 0) {
        log_line("out of memory");
        exit(111);
    }

    return files;
}


void
files_close(files_t *files)
{
    int  i;

    for (i = 0; i < FILES_N; i++) {
        free(files->files[i].path);
    }

    free(files->state);
    copy_close(&files->hosts);
    copy_close(&files->authorities);
    free(files->told);
    free(files);
}


access_t *
files_access(files_t *files)
{
    char      *text, *line;
    FILE      *told;
    size_t     len;
    access_t  *access;

    told = open_memstream(&text, &len);

    if (told == NULL) {
        log_line("out of memory");
        return NULL;
    }

    access = files_load(files, told);
    fclose(told);

    for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        log_line("%s", line);
    }

    free(text);

    return access;
}


static access_t *
files_load(const files_t *files, FILE *told)
{
    access_files_t  from;

    memset(&from, 0, sizeof(from));

    from.state = files->state;
    from.targets = files->files[FILES_TARGETS].path;
    from.hosts = copy_current(&files->hosts);
    from.authorities = copy_current(&files->authorities);
    from.told = told;

    return access_load(&from);
}


void
files_watch(files_t *files, sessions_t *sessions)
{
    files->sessions = sessions;
}


/*
 * A user's file may be written in several steps: two looks have to find it the
 * same.  Those of STATE come whole, by a rename.
 */

void
files_step(files_t *files)
{
    int            i, taken, changed[FILES_N];
    char           reason[NGX_PROM_TUNNELS_REASON];
    files_id_t     id;
    files_file_t  *file;

    taken = 0;

    for (i = 0; i < FILES_N; i++) {
        file = &files->files[i];
        changed[i] = 0;

        files_look(file->path, &id);

        if ((i >= FILES_KEYS
             || memcmp(&id, &file->seen, sizeof(files_id_t)) == 0)
            && (!file->known
                || memcmp(&id, &file->taken, sizeof(files_id_t)) != 0))
        {
            file->taken = id;
            changed[i] = 1;

            file->known = 1;
            taken |= i >= FILES_TARGETS;
        }

        file->seen = id;
    }

    if (changed[FILES_AUTHORITIES]
        && files_take_authorities(files, reason, sizeof(reason)) == 1)
    {
        taken = 1;
    }

    /*
     * A mistake may be that a name or a key is in another file, too.  One that
     * changes under hosts that are right has the mistake itself.
     */

    if ((changed[FILES_HOSTS]
         || (files->files[FILES_HOSTS].mistaken
             && (changed[FILES_TARGETS] || changed[FILES_KEYS])))
        && files_take_hosts(files, reason, sizeof(reason)) == 1)
    {
        taken = 1;
    }

    if (taken || files->again) {
        (void) files_renew(files, reason, sizeof(reason));
    }

    if (loop_now() >= files->saved + FILES_SAVE) {
        files->saved = loop_now();
        copy_save(&files->hosts);
        copy_save(&files->authorities);
    }
}


void
files_fresh(files_t *files)
{
    int            i, changed;
    char           reason[NGX_PROM_TUNNELS_REASON];
    files_id_t     id;
    files_file_t  *file;

    changed = 0;

    for (i = FILES_TARGETS; i < FILES_N; i++) {
        file = &files->files[i];

        files_look(file->path, &id);

        if (memcmp(&id, &file->taken, sizeof(files_id_t)) != 0
            && memcmp(&id, &file->fresh, sizeof(files_id_t)) != 0)
        {
            file->fresh = id;
            changed = 1;
        }
    }

    if (changed) {
        (void) files_renew(files, reason, sizeof(reason));
    }
}


int
files_reload(files_t *files, char *reason, size_t size)
{
    int  hosts, authorities;

    authorities = files_take_authorities(files, reason, size);
    hosts = files_take_hosts(files, reason, size);

    if (files_renew(files, reason, size) == -1) {
        return -1;
    }

    return hosts == -1 || authorities == -1 ? -1 : 0;
}


static void
files_look(const char *path, files_id_t *id)
{
    struct stat  st;

    memset(id, 0, sizeof(files_id_t));

    if (stat(path, &st) == -1) {
        return;
    }

    id->device = st.st_dev;
    id->inode = st.st_ino;
    id->size = (uint64_t) st.st_size;
    id->mtime[0] = st.st_mtim.tv_sec;
    id->mtime[1] = st.st_mtim.tv_nsec;
    id->ctime[0] = st.st_ctim.tv_sec;
    id->ctime[1] = st.st_ctim.tv_nsec;
}


/* these return 1 if there is something new, 0 if not, -1 with a reason */

static int
files_take_hosts(files_t *files, char *reason, size_t size)
{
    /* none there, and none in use */

    if (files_missing(files->files[FILES_HOSTS].path)
        && files_missing(copy_current(&files->hosts)))
    {
        if (board_is_failed(files->board)) {
            board_loaded(files->board, 0);
        }

        files->files[FILES_HOSTS].mistaken = 0;

        return 0;
    }

    return files_take(files, FILES_HOSTS, reason, size);
}


static int
files_take_authorities(files_t *files, char *reason, size_t size)
{
    struct stat  st;

    if (files_missing(files->files[FILES_AUTHORITIES].path)
        && (stat(copy_current(&files->authorities), &st) == -1
            || st.st_size == 0))
    {
        return 0;
    }

    return files_take(files, FILES_AUTHORITIES, reason, size);
}


static int
files_take(files_t *files, files_e which, char *reason, size_t size)
{
    int      rc;
    char    *text;
    FILE    *told;
    copy_t  *copy;
    size_t   len;

    told = open_memstream(&text, &len);

    if (told == NULL) {
        snprintf(reason, size, "out of memory");
        return -1;
    }

    copy = files_copy(files, which);
    rc = copy_file(copy, files->files[which].path, told);

    if (rc == 0) {
        rc = which == FILES_HOSTS ? files_check_hosts(files, told)
                                  : files_check_authorities(files, told);
    }

    fclose(told);

    if (rc == -1) {
        files_mistaken(files, which, text, reason, size);

    } else {
        files->files[which].mistaken = 0;
    }

    copy_discard(copy);
    free(text);

    return rc;
}


static copy_t *
files_copy(files_t *files, files_e which)
{
    return which == FILES_HOSTS ? &files->hosts : &files->authorities;
}


/* these return 1 if what is new was committed, 0 if nothing is, or tell why */

static int
files_check_hosts(files_t *files, FILE *told)
{
    int            rc;
    hosts_file_t  *file;

    file = hosts_file_load(copy_next(&files->hosts),
                           files->files[FILES_TARGETS].path, told);

    if (file == NULL) {
        return -1;
    }

    rc = hosts_file_shared(file, files->files[FILES_KEYS].path)
         ? -1
         : files_commit(&files->hosts, copy_same(&files->hosts), told);

    if (rc == 1) {
        files->changed = 1;

    } else if (rc == 0 && files->files[FILES_HOSTS].mistaken) {
        log_line("%s is right again; hosts: %u",
                 files->files[FILES_HOSTS].path,
                 hosts_file_hosts(file)->count);
    }

    /* what has changed is in use once it was loaded */

    if (rc == 0 && !board_is_loaded(files->board)) {
        board_loaded(files->board, hosts_file_hosts(file)->count);
    }

    hosts_file_free(file);

    return rc;
}


static int
files_check_authorities(files_t *files, FILE *told)
{
    int           rc;
    keys_file_t  *keys;

    keys = keys_file_load(copy_next(&files->authorities), told);

    if (keys == NULL) {
        return -1;
    }

    rc = files_commit(&files->authorities,
                      copy_same_keys(&files->authorities), told);

    if (rc == 1 || (rc == 0 && files->files[FILES_AUTHORITIES].mistaken)) {
        log_line("%s %s; keys that sign certificates: %zu",
                 files->files[FILES_AUTHORITIES].path,
                 rc ? "read again" : "is right again", keys->count);
    }

    keys_file_free(keys);

    return rc;
}


static int
files_commit(copy_t *copy, int same, FILE *told)
{
    if (same) {
        return 0;
    }

    if (copy_commit(copy) == -1) {
        fprintf(told, "%s: %s\n", copy->path, strerror(errno));
        return -1;
    }

    return 1;
}


static int
files_missing(const char *path)
{
    struct stat  st;

    return stat(path, &st) == -1 && errno == ENOENT;
}


/*
 * Logs what was told of a copy as the file's own mistakes; the first of them
 * is the reason.
 */

static void
files_mistaken(files_t *files, files_e which, char *told, char *reason,
    size_t size)
{
    char        *line;
    size_t       n;
    const char  *new, *path;

    path = files->files[which].path;
    new = copy_next(files_copy(files, which));
    n = strlen(new);

    snprintf(reason, size, "%s: cannot be read", path);

    for (line = strtok(told, "\n"); line; line = strtok(NULL, "\n")) {

        if (line == told) {
            snprintf(reason, size, "%s%s",
                     strncmp(line, new, n) == 0 ? path : "",
                     strncmp(line, new, n) == 0 ? line + n : line);
        }

        log_line("%s%s", strncmp(line, new, n) == 0 ? path : "",
                 strncmp(line, new, n) == 0 ? line + n : line);
    }

    files->files[which].mistaken = 1;

    log_line("%s not taken; %s", path,
             which == FILES_HOSTS ? "hosts stay as they are"
                                  : "the keys in use stay as they are");

    if (which == FILES_HOSTS) {
        board_failed(files->board, reason);
    }
}


static int
files_renew(files_t *files, char *reason, size_t size)
{
    char      *text;
    FILE      *told;
    size_t     len;
    access_t  *access;

    text = NULL;
    access = NULL;
    told = open_memstream(&text, &len);

    if (told) {
        access = files_load(files, told);
        fclose(told);
    }

    if (access == NULL) {
        files->again = 1;
        files_not_loaded(text, reason, size);

        if (files->changed) {
            board_failed(files->board, reason);
        }
    }

    files_told(files, access, text);

    if (access == NULL) {
        return -1;
    }

    if (files->changed) {
        changes_log(files->files[FILES_HOSTS].path,
                    access_hosts(sessions_access(files->sessions)),
                    access_hosts(access));

        files_hosts(files, access);
    }

    files->again = 0;
    files->changed = 0;

    sessions_renew(files->sessions, access);

    return 0;
}


/* a mistake that the file still has is not made good by what is in use */

static void
files_hosts(files_t *files, const access_t *access)
{
    if (files->files[FILES_HOSTS].mistaken) {
        board_hosts(files->board, access_hosts(access)->count);

    } else {
        board_loaded(files->board, access_hosts(access)->count);
    }
}


/* lines that are passed over come first */

static void
files_not_loaded(const char *text, char *reason, size_t size)
{
    size_t       len;
    const char  *line;

    if (text == NULL || *text == '\0') {
        snprintf(reason, size, "out of memory");
        return;
    }

    len = strlen(text);
    len -= text[len - 1] == '\n';
    line = memrchr(text, '\n', len);
    line = line ? line + 1 : text;

    snprintf(reason, size, "%.*s", (int) (text + len - line), line);
}


/* once, not at each look; the text is freed with the next, and may be NULL */

static void
files_told(files_t *files, const access_t *access, char *text)
{
    char  *line, *next;

    if (text && files->told && strcmp(text, files->told) == 0) {
        free(text);
        return;
    }

    if (access && files->told && (text == NULL || *text == '\0')) {
        log_line("all files can be used again");
    }

    for (line = text; line && *line; line = next) {
        next = strchrnul(line, '\n');
        log_line("%.*s", (int) (next - line), line);
        next += *next == '\n';
    }

    if (access == NULL) {
        log_line("what is in use stays as it is");
    }

    free(files->told);
    files->told = text;

    if (text && *text == '\0') {
        files->told = NULL;
        free(text);
    }
}


/*
 * Takes the host out of STATE's copy, so that it is gone even where its own
 * file has a mistake that keeps the rest from being read.  Its sessions end in
 * any case.
 */

int
files_remove(files_t *files, const char *name, char *reason, size_t size)
{
    int  rc;

    rc = files_remove_line(files, name, reason, size);

    /* it may be gone already, as the file was looked at before */

    if (rc == 1) {
        log_line("%s: removed", name);
        rc = files_renew(files, reason, size);

        if (rc == 0) {
            files_hosts(files, sessions_access(files->sessions));
        }
    }

    sessions_end_host(files->sessions, name);

    return rc;
}


/* returns 1 if it was there, or 0, or -1 with a reason */

static int
files_remove_line(files_t *files, const char *name, char *reason, size_t size)
{
    int                     rc;
    char                   *text;
    size_t                  len;
    hosts_file_t           *file;
    const ngx_prom_host_t  *host;

    /* that is not what is loaded where it could not be as yet */

    if (files_missing(copy_current(&files->hosts))) {
        return 0;
    }

    text = text_read(copy_current(&files->hosts), &len, NULL);
    file = text ? hosts_file_parse(files->hosts.path, text, len, NULL, NULL)
                : NULL;

    if (file == NULL) {
        snprintf(reason, size, "%s can't be read", files->hosts.path);
        free(text);
        return -1;
    }

    host = ngx_prom_hosts_find(hosts_file_hosts(file), name, strlen(name));
    rc = 0;

    if (host && files_cut(text, &len, host->line)) {
        rc = copy_write(&files->hosts, text, len) == 0
             && copy_commit(&files->hosts) == 0 ? 1 : -1;
    }

    if (rc == -1) {
        snprintf(reason, size, "%s can't be written: %s", files->hosts.path,
                 strerror(errno));
    }

    hosts_file_free(file);
    free(text);

    return rc;
}


/* takes a line out of the text; returns 1, or 0 if it hasn't that many */

static int
files_cut(char *text, size_t *len, uint32_t line)
{
    char  *p, *end, *next;

    p = text;
    end = text + *len;

    while (--line) {
        p = memchr(p, '\n', (size_t) (end - p));

        if (p == NULL) {
            return 0;
        }

        p++;
    }

    next = memchr(p, '\n', (size_t) (end - p));
    next = next ? next + 1 : end;

    memmove(p, next, (size_t) (end - next));
    *len -= (size_t) (next - p);

    return 1;
}
