/*
 * What monitoring-proxy-token does without libcurl, for t/00-query.t:
 *
 *     query_tool dump FILE | prepare DIR [PORT ...] | settings
 *     query_tool run PROGRAM [FLAG ...]
 */


#include <stdio.h>
#include <string.h>

#include "prepare.h"
#include "run.h"
#include "settings.h"


static int tool_dump(const char *path);
static void tool_remote(const remote_t *remote);
static void tool_mistake(void *data, const char *where, const char *what);


int
main(int argc, char **argv)
{
    const char  *command;

    command = argc > 1 ? argv[1] : "";

    if (strcmp(command, "dump") == 0 && argc == 3) {
        return tool_dump(argv[2]);
    }

    if (strcmp(command, "prepare") == 0 && argc > 2) {
        return prepare(argv[2], argv + 3, argc - 3);
    }

    if (strcmp(command, "settings") == 0) {
        settings_print(stdout);
        return 0;
    }

    if (strcmp(command, "run") == 0 && argc > 2) {
        return run_program(argc - 3, argv + 3, argv[2]);
    }

    return 2;
}


static int
tool_dump(const char *path)
{
    int         rc;
    unsigned    n;
    remotes_t   remotes;

    rc = remotes_read(&remotes, path, tool_mistake, NULL);

    for (n = 0; rc == 0 && n < remotes.n; n++) {
        tool_remote(&remotes.remote[n]);
    }

    remotes_free(&remotes);

    return rc == 0 ? 0 : 1;
}


static void
tool_remote(const remote_t *remote)
{
    const setting_t  *s;

    printf("%s %s %s %d \"%s\" %s", remote->name,
           remote->https ? "https" : "http", remote->host, remote->port,
           remote->base, auth_name(remote->auth));

    if (remote->own) {
        printf(" own=%d", remote->listen);
    }

    for (s = settings_table; s->variable; s++) {

        if (s->id >= SETTINGS || s->key == NULL || s->id == SETTING_PORT
            || !setting_is_of(s, remote->auth)
            || setting_find(s->id, remote->auth) != s
            || remote->value[s->id] == NULL
            || (s->preset && strcmp(s->preset, remote->value[s->id]) == 0))
        {
            continue;
        }

        printf(" %s=<%s>", s->key, remote->value[s->id]);
    }

    putchar('\n');
}


static void
tool_mistake(void *data, const char *where, const char *what)
{
    (void) data;

    printf("%s: %s\n", where, what);
}
