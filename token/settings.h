/*
 * The settings of a remote: one table, by which flags, environment and file
 * are read and help is written.
 */


#ifndef _TOKEN_SETTINGS_H_INCLUDED_
#define _TOKEN_SETTINGS_H_INCLUDED_


#include <stdio.h>

#include "remotes.h"
#include "str.h"


#define SETTINGS_FILE  "/etc/monitoring/remotes"


/* of the proxy, not of a remote: flags and variables alone */

enum {
    SETTING_LOG_LEVEL = SETTINGS,
    SETTING_REMOTES
};


typedef enum {
    KIND_URL = 0,       /* http:// or https://, without user and query */
    KIND_ENDPOINT,      /* the same; a query may follow */
    KIND_AUTHORITY,     /* the same as KIND_URL; https:// is left out, maybe */
    KIND_HOST,          /* HOST or HOST:PORT */
    KIND_PATH,          /* as KIND_ENDPOINT, without TLS only of a host that is
                           near, or /PATH alone */
    KIND_PORT,
    KIND_WORD,          /* one of setting->words */
    KIND_WORDS,         /* some of them, separated by commas */
    KIND_TEXT,
    KIND_ID,            /* text without spaces */
    KIND_FILE,          /* its path */
    KIND_SECRET         /* its path; the environment may have it itself */
} setting_kind_e;


typedef struct {
    int              id;
    unsigned         auths;        /* 1 << auth_e */
    const char      *key;          /* in the file; NULL: it isn't there */
    const char      *variable;     /* of the environment */
    const char      *flag;         /* without "--" */
    setting_kind_e   kind;
    const char      *words;
    const char      *preset;
    const char      *help;
} setting_t;


/*
 * Ends with a variable NULL.  A setting may be there more than once: by other
 * names for other AUTHs, or for one, where the first that is set counts.
 */

extern const setting_t  settings_table[];

#define setting_is_of(setting, auth)  ((setting)->auths >> (auth) & 1)


/* the first of an AUTH, or NULL */

const setting_t *setting_find(int id, auth_e auth);

const char *auth_name(auth_e auth);
int auth_find(const char *name, size_t len);    /* -1: there is none */

/* for messages: VARIABLE (--flag), or those of the file with a secret */

void setting_called(buffer_t *name, const setting_t *setting, int twin);

/* a row for each, fields separated by tabs, for the test of the docs */

void settings_print(FILE *out);

/* what "run --help" prints */

void settings_help(FILE *out);


/* value.c: is it right?  A value is checked, and copied as it is used. */

typedef struct {
    char            *value;        /* to be freed; NULL after a mistake */
    size_t           at;           /* where that is */
    reason_t         why;
} setting_value_t;

int setting_take(setting_value_t *v, const setting_t *setting,
    const char *text, size_t len);

/* whether a file can be read: 0, or -1 with the reason */

typedef int (*setting_file_pt)(const char *path, reason_t why);

int setting_readable(const char *path, reason_t why);

/* takes a right URL apart; -1: no memory */

int setting_split(remote_t *remote, const char *url);


/* remote.c: is a remote whole? */

typedef void (*remote_mistake_pt)(void *data, int id, const char *what);

typedef struct {
    int                  in_file;      /* how its settings are called */
    remote_mistake_pt    mistake;
    void                *data;
} remote_check_t;

/* adds what is by default; 0, or -1 after a mistake */

int remote_finish(remote_t *remote, const remote_check_t *check);

/* at the end of the list, zeroed; or NULL */

remote_t *remotes_add(remotes_t *remotes);

/* as remotes_read(), where files have to be readable, too */

int remotes_load(remotes_t *remotes, const char *path,
    setting_file_pt readable, remotes_mistake_pt mistake, void *data);


/*
 * environment.c: one remote, called REMOTE_ENVIRONMENT, if its URL is set.
 * port and level are those of the proxy.
 */

#define REMOTE_ENVIRONMENT  "remote"

typedef struct {
    int              port;
    const char      *level;        /* of log_set_level() */
    char            *remotes;      /* the file's path; NULL if not set */

    /* secrets of the environment, not yet in files */

    char            *secret[SETTINGS];
} environment_t;

int environment_read(environment_t *env, remotes_t *remotes,
    remotes_mistake_pt mistake, void *data);
void environment_free(environment_t *env);


#endif /* _TOKEN_SETTINGS_H_INCLUDED_ */
