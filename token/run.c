/*
 * Flags are written as in --flag=VALUE, or --flag VALUE.  A mistake is told
 * without the value, which may be a secret.
 */


#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run.h"
#include "settings.h"


#define FLAGS_FAILED  1
#define FLAGS_USAGE   2


static int run_take(int argc, char **argv, reason_t why);
static const setting_t *run_find(const char *flag, size_t len, int *twin);
static int run_set(const setting_t *setting, int twin, const char *value,
    reason_t why);
static int run_used(int argc, char **argv, reason_t why);


int
run_program(int argc, char **argv, const char *program)
{
    int        i;
    reason_t   why;

    for (i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            settings_help(stdout);
            return 0;
        }
    }

    if (run_take(argc, argv, why) == -1
        || run_used(argc, argv, why) == -1)
    {
        fprintf(stderr, "monitoring-proxy run: %s; see --help\n", why);
        return FLAGS_USAGE;
    }

    (void) execl(program, program, (char *) NULL);

    fprintf(stderr, "monitoring-proxy run: %s: %s\n", program,
            strerror(errno));

    return FLAGS_FAILED;
}


static int
run_take(int argc, char **argv, reason_t why)
{
    int               i, twin;
    size_t            len;
    const char       *flag, *value;
    const setting_t  *setting;

    for (i = 0; i < argc; i++) {

        if (strncmp(argv[i], "--", 2) != 0) {
            return reason(why, "argument %d is no flag", i + 1);
        }

        flag = argv[i] + 2;
        len = strcspn(flag, "=");
        setting = run_find(flag, len, &twin);

        if (setting == NULL) {
            return reason(why, "no such flag: --%.*s",
                          len > 64 ? 64 : (int) len, flag);
        }

        if (flag[len] == '=') {
            value = flag + len + 1;

        } else if (i + 1 < argc) {
            value = argv[++i];

        } else {
            return reason(why, "--%s needs a value", flag);
        }

        if (*value == '\0') {
            return reason(why, "--%.*s has no value", (int) len, flag);
        }

        if (run_set(setting, twin, value, why) == -1) {
            return -1;
        }
    }

    return 0;
}


/* twin: it is --flag-file, for the file with a secret */

static const setting_t *
run_find(const char *flag, size_t len, int *twin)
{
    size_t            n;
    const setting_t  *s;

    for (s = settings_table; s->variable; s++) {

        if (s->flag == NULL) {
            continue;
        }

        n = strlen(s->flag);

        if (strncmp(s->flag, flag, n < len ? n : len) != 0) {
            continue;
        }

        if (n == len) {
            *twin = 0;
            return s;
        }

        if (s->kind == KIND_SECRET && len == n + 5
            && strncmp(flag + n, "-file", 5) == 0)
        {
            *twin = 1;
            return s;
        }
    }

    return NULL;
}


/* in the variable's place, whichever it had */

static int
run_set(const setting_t *setting, int twin, const char *value, reason_t why)
{
    int       rc;
    buffer_t  name = { NULL, 0, 0, 0 };

    buffer_format(&name, "%s%s", setting->variable, twin ? "_FILE" : "");

    rc = name.failed ? -1 : setenv(name.start, value, 1);

    buffer_free(&name);

    return rc == -1 ? reason(why, "out of memory") : 0;
}


/* variables may be there for others, but a flag is meant for this program */

static int
run_used(int argc, char **argv, reason_t why)
{
    int               i, auth, twin;
    size_t            len;
    const char       *flag, *name;
    const setting_t  *s, *setting;

    name = getenv(setting_find(SETTING_AUTH, 0)->variable);
    auth = name && *name ? auth_find(name, strlen(name)) : AUTH_AZURE;

    /* prepare will tell of it */

    if (auth == -1) {
        return 0;
    }

    for (i = 0; i < argc; i++) {
        flag = argv[i] + 2;
        len = strcspn(flag, "=");
        setting = run_find(flag, len, &twin);

        for (s = settings_table; s->variable; s++) {
            if (s->flag && strcmp(s->flag, setting->flag) == 0
                && setting_is_of(s, auth))
            {
                break;
            }
        }

        if (s->variable == NULL) {
            return reason(why, "--%.*s has no effect with --auth %s",
                          (int) len, flag, auth_name((auth_e) auth));
        }

        if (flag[len] != '=') {
            i++;
        }
    }

    return 0;
}
