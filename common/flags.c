/*
 * What is wrong with a value is said at once, and not when it is used.
 */


#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "duration.h"
#include "flags.h"
#include "log.h"


static flags_rc_e flags_preset(const flags_t *flags, void *options,
    reason_t why);
static flags_rc_e flags_given(const flags_t *flags, void *options, int argc,
    char **argv, reason_t why);
static const flag_t *flags_find(const flags_t *flags, const char *name,
    size_t len);
static void flags_complain(const flags_t *flags, reason_t why);
static void flags_help(const flags_t *flags);


flags_rc_e
flags_parse(const flags_t *flags, void *options, int argc, char **argv)
{
    reason_t    why;
    flags_rc_e  rc;

    rc = flags_preset(flags, options, why);

    if (rc == FLAGS_OK) {
        rc = flags_given(flags, options, argc, argv, why);
    }

    if (rc == FLAGS_OK && flags->all(options, why) == -1) {
        rc = FLAGS_WRONG;
    }

    if (rc == FLAGS_WRONG) {
        flags_complain(flags, why);
    }

    return rc;
}


static flags_rc_e
flags_preset(const flags_t *flags, void *options, reason_t why)
{
    size_t         i;
    const flag_t  *flag;

    for (i = 0; i < flags->n; i++) {
        flag = &flags->flags[i];

        if (flag->preset
            && flag->set(options, flag, flag->preset, why) == -1)
        {
            return FLAGS_WRONG;
        }
    }

    return FLAGS_OK;
}


static flags_rc_e
flags_given(const flags_t *flags, void *options, int argc, char **argv,
    reason_t why)
{
    int            i;
    size_t         len;
    reason_t       what;
    const char    *name, *value;
    const flag_t  *flag;

    for (i = 1; i < argc; i++) {

        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            flags_help(flags);
            return FLAGS_DONE;
        }

        if (strcmp(argv[i], "--version") == 0) {
            printf("%s %s (%s)\n", flags->program, flags->version,
                   curl_version());
            return FLAGS_DONE;
        }

        if (strncmp(argv[i], "--", 2) != 0 || argv[i][2] == '\0') {
            (void) reason(why, "unexpected %.*s", REASON_TEXT, argv[i]);
            return FLAGS_WRONG;
        }

        name = argv[i] + 2;
        len = strcspn(name, "=");
        flag = flags_find(flags, name, len);

        if (flag == NULL) {
            (void) reason(why, "unknown long flag '--%.*s'",
                          len > 64 ? 64 : (int) len, name);
            return FLAGS_WRONG;
        }

        if (flag->value == NULL) {

            if (name[len] == '=') {
                (void) reason(why, "--%s takes no value", flag->name);
                return FLAGS_WRONG;
            }

            value = NULL;

        } else if (name[len] == '=') {
            value = name + len + 1;

        } else if (i + 1 < argc) {
            value = argv[++i];

        } else {
            (void) reason(why, "expected argument for flag '--%s'",
                          flag->name);
            return FLAGS_WRONG;
        }

        if (flag->set(options, flag, value, what) == -1) {
            (void) reason(why, "--%s: %.*s", flag->name,
                          (int) sizeof(what) - 64, what);
            return FLAGS_WRONG;
        }
    }

    return FLAGS_OK;
}


static const flag_t *
flags_find(const flags_t *flags, const char *name, size_t len)
{
    size_t  i;

    for (i = 0; i < flags->n; i++) {
        if (strlen(flags->flags[i].name) == len
            && memcmp(flags->flags[i].name, name, len) == 0)
        {
            return &flags->flags[i];
        }
    }

    return NULL;
}


static void
flags_help(const flags_t *flags)
{
    size_t         i;
    reason_t       head;
    const flag_t  *flag;

    printf("usage: %s %s\n\n%s\n\n", flags->program, flags->usage,
           flags->about);

    for (i = 0; i < flags->n; i++) {
        flag = &flags->flags[i];

        (void) snprintf(head, sizeof(head), "--%s%s%s", flag->name,
                        flag->value ? "=" : "",
                        flag->preset && flag->preset[0] ? flag->preset
                        : flag->value ? flag->value : "");
        printf("  %s\n      %s\n", head, flag->help);
    }

    printf("  --help, --version\n\n%s\n", flags->more);
}


/* it is one line, whatever it quotes */

static void
flags_complain(const flags_t *flags, reason_t why)
{
    char  *p;

    for (p = why; *p; p++) {
        if ((unsigned char) *p < ' ' || *p == 0x7f) {
            *p = '?';
        }
    }

    fprintf(stderr, "%s: error: %s, try --help\n", flags->program, why);
}


int
flag_set_text(void *options, const flag_t *flag, const char *value,
    reason_t why)
{
    (void) why;

    *(const char **) (void *) ((char *) options + flag->offset) = value;

    return 0;
}


int
flag_set_on(void *options, const flag_t *flag, const char *value,
    reason_t why)
{
    (void) value;
    (void) why;

    *(int *) (void *) ((char *) options + flag->offset) = 1;

    return 0;
}


int
flag_set_duration(void *options, const flag_t *flag, const char *value,
    reason_t why)
{
    long  msec;

    msec = duration_parse(value, why);

    if (msec == -1) {
        return -1;
    }

    *(long *) (void *) ((char *) options + flag->offset) = msec;

    return 0;
}


int
flag_set_level(void *options, const flag_t *flag, const char *value,
    reason_t why)
{
    (void) options;
    (void) flag;

    return log_set_level(value) == 0 ? 0
           : reason(why, "\"%.*s\" isn't debug, info, warn or error",
                    REASON_TEXT, value);
}


int
flag_set_format(void *options, const flag_t *flag, const char *value,
    reason_t why)
{
    (void) options;
    (void) flag;

    return log_set_format(value) == 0 ? 0
           : reason(why, "\"%.*s\" isn't logfmt or json", REASON_TEXT, value);
}


int
flag_add(char ***list, unsigned *n, const char *text)
{
    char  **bigger;

    bigger = realloc(*list, (*n + 1) * sizeof(char *));

    if (bigger == NULL) {
        return -1;
    }

    *list = bigger;
    bigger[*n] = strdup(text);

    if (bigger[*n] == NULL) {
        return -1;
    }

    (*n)++;

    return 0;
}
