/*
 * Commands that sshd runs at each login: keys and principals.
 */


#define _GNU_SOURCE                   /* memmem() */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "access.h"
#include "commands.h"
#include "ruleset.h"
#include "text.h"


/*
 * A list of ports costs each session memory: a fifth more with 100, twice as
 * much with 250, 76 MB with 4,096, and sshd refuses a line with more than
 * 4,097.  So long lists are for the kernel, where it can limit the session.
 */

#define LOGIN_LIST_SHORT  32
#define LOGIN_LIST_LONG   4096
#define LOGIN_PATH        4096


static int login_known(const char *state, const char *base64);
static access_t *login_access(const hosts_options_t *options,
    const char *state);
static void login_print_host(const ngx_prom_host_t *host);
static void login_print_shared(const access_t *access);
static void login_print_port(unsigned port);


int
hosts_keys(const hosts_options_t *options, int argc, char **argv)
{
    access_e         rc;
    access_t        *access;
    access_login_t   login;

    (void) argc;

    if (!login_known(argv[0], argv[2])) {
        return HOSTS_OK;
    }

    access = login_access(options, argv[0]);

    if (access == NULL) {
        return HOSTS_MISTAKE;
    }

    rc = access_login(access, argv[1], argv[2], (uint64_t) time(NULL),
                      &login);

    if (rc == ACCESS_OK && !login.certificate) {

        if (login.host) {
            login_print_host(login.host);

        } else {
            login_print_shared(access);
        }

        printf(" %s %s\n", argv[1], argv[2]);
    }

    access_free(access);

    return HOSTS_OK;
}


int
hosts_principals(const hosts_options_t *options, int argc, char **argv)
{
    access_e         rc;
    access_t        *access;
    access_login_t   login;

    (void) argc;

    access = login_access(options, argv[0]);

    if (access == NULL) {
        return HOSTS_MISTAKE;
    }

    rc = access_login(access, argv[1], argv[2], (uint64_t) time(NULL),
                      &login);

    if (rc == ACCESS_OK && login.certificate) {
        login_print_host(login.host);
        printf(" %.*s\n", (int) login.host->name.len, login.host->name.data);
    }

    access_free(access);

    return HOSTS_OK;
}


/*
 * Is the key in one of the files at all: a key has one text, and who tries
 * keys that nobody has should not cost what it takes to read each line.
 */

static int
login_known(const char *state, const char *base64)
{
    int           found;
    char          path[LOGIN_PATH], *text;
    size_t        i, len;
    struct stat   st;

    static const char  *names[] = { "hosts", "public-keys" };

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", state, names[i]);

        if (lstat(path, &st) == -1 && errno == ENOENT) {
            continue;
        }

        text = text_read(path, &len, NULL);

        /* what is wrong with it is told by who reads its lines */

        found = text == NULL
                || memmem(text, len, base64, strlen(base64)) != NULL;
        free(text);

        if (found) {
            return 1;
        }
    }

    return 0;
}


static access_t *
login_access(const hosts_options_t *options, const char *state)
{
    access_files_t  files;

    memset(&files, 0, sizeof(files));

    files.state = state;
    files.targets = options->targets ? options->targets : HOSTS_TARGETS;
    files.told = stderr;

    return access_load(&files);
}


static void
login_print_host(const ngx_prom_host_t *host)
{
    unsigned  n;

    printf("restrict,port-forwarding");

    for (n = 0; n < host->ports; n++) {
        login_print_port(host->port + n);
    }
}


static void
login_print_shared(const access_t *access)
{
    int              any;
    uint32_t         i, count;
    const uint16_t  *ports;

    ports = access_shared(access, &count, &any);

    printf("restrict");

    if (any || (count > LOGIN_LIST_SHORT && landlock_available())) {
        printf(",port-forwarding,permitlisten=\"localhost:*\"");
        return;
    }

    if (count) {
        printf(",port-forwarding");
    }

    for (i = 0; i < count && i < LOGIN_LIST_LONG; i++) {
        login_print_port(ports[i]);
    }
}


/* sshd takes several of them, each an option of its own */

static void
login_print_port(unsigned port)
{
    printf(",permitlisten=\"localhost:%u\"", port);
}
