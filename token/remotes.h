/*
 * The remotes: what settings they have, and the file that lists them.
 *
 *     NAME URL AUTH [KEY=VALUE ...]     # comment
 */


#ifndef _TOKEN_REMOTES_H_INCLUDED_
#define _TOKEN_REMOTES_H_INCLUDED_


#include <stddef.h>


#define REMOTE_NAME_MAX  63
#define REMOTES_MAX      256


typedef enum {
    AUTH_AZURE = 0,
    AUTH_OAUTH2,
    AUTH_GOOGLE,
    AUTH_AWS,
    AUTH_BEARER_FILE,
    AUTH_BASIC_FILE,
    AUTH_NONE,
    AUTHS
} auth_e;


/* in the order of the table of settings.c; X_FILE twins are settings, too */

typedef enum {
    SETTING_URL = 0,
    SETTING_AUTH,
    SETTING_PORT,
    SETTING_ALLOW,
    SETTING_CA,
    SETTING_CERT,
    SETTING_KEY,
    SETTING_VERIFY,
    SETTING_TENANT_ID,
    SETTING_CLIENT_ID,
    SETTING_CLIENT_SECRET_FILE,     /* of whatever AUTH */
    SETTING_FEDERATED_TOKEN_FILE,
    SETTING_AUTHORITY,
    SETTING_POD_IDENTITY_AUTHORITY,
    SETTING_SCOPE,
    SETTING_TOKEN_URL,
    SETTING_AUDIENCE,
    SETTING_CLIENT_AUTH,
    SETTING_METADATA_HOST,
    SETTING_REGION,
    SETTING_ACCESS_KEY_ID,
    SETTING_SECRET_ACCESS_KEY_FILE,
    SETTING_SESSION_TOKEN_FILE,
    SETTING_ROLE_ARN,
    SETTING_WEB_IDENTITY_TOKEN_FILE,
    SETTING_ROLE_SESSION_NAME,
    SETTING_STS_URL,
    SETTING_CONTAINER_URI,
    SETTING_CONTAINER_TOKEN_FILE,
    SETTING_METADATA_URL,
    SETTING_FILE,
    SETTINGS
} setting_e;


typedef struct {
    char          name[REMOTE_NAME_MAX + 1];
    auth_e        auth;

    /* as given, or by default; NULL if there is neither */

    char         *value[SETTINGS];

    /* of the URL: base has no "/" at its end, an IPv6 host no brackets */

    int           https;
    char         *host;
    int           port;
    char         *base;

    int           listen;           /* the port that it is asked at */
    int           own;              /* at / of that port, not at /NAME/ */
} remote_t;


typedef struct {
    remote_t     *remote;
    unsigned      n;
} remotes_t;


/* where is "FILE:LINE:COLUMN", or a variable with its flag; one line */

typedef void (*remotes_mistake_pt)(void *data, const char *where,
    const char *what);


/*
 * Reads the file, and tells each mistake in it.  Returns 0, or -1 after a
 * mistake; what it has made is freed by remotes_free() in both cases.  Files
 * that settings name needn't be there.
 */

int remotes_read(remotes_t *remotes, const char *path,
    remotes_mistake_pt mistake, void *data);
void remotes_free(remotes_t *remotes);


#endif /* _TOKEN_REMOTES_H_INCLUDED_ */
