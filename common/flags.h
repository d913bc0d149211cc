/*
 * Flags of a command line, as Prometheus' programs take them: --flag=VALUE, or
 * --flag VALUE.
 */


#ifndef _COMMON_FLAGS_H_INCLUDED_
#define _COMMON_FLAGS_H_INCLUDED_


#include "str.h"


typedef struct flag_s  flag_t;

struct flag_s {
    const char   *name;
    const char   *value;          /* as the help calls it; NULL: it has none */
    const char   *help;

    /* takes one value, and returns 0, or -1 with the reason */

    int         (*set)(void *options, const flag_t *flag, const char *value,
                       reason_t why);

    size_t        offset;         /* in the options, of what it sets */
    const char   *preset;         /* its default, if it has one */
};


typedef struct {
    const char   *program;
    const char   *version;
    const char   *usage;          /* of the help: what follows the program */
    const char   *about;          /* before the flags, and behind them */
    const char   *more;
    const flag_t *flags;
    size_t        n;

    /* looks at what concerns more than one; 0, or -1 with the reason */

    int         (*all)(void *options, reason_t why);
} flags_t;


typedef enum {
    FLAGS_OK = 0,
    FLAGS_DONE,                   /* help, or the version, was printed */
    FLAGS_WRONG
} flags_rc_e;


/* sets the presets, and then what is given; what is wrong was told */

flags_rc_e flags_parse(const flags_t *flags, void *options, int argc,
    char **argv);


/* those of more than one program */

int flag_set_text(void *options, const flag_t *flag, const char *value,
    reason_t why);
int flag_set_on(void *options, const flag_t *flag, const char *value,
    reason_t why);                                          /* an int */
int flag_set_duration(void *options, const flag_t *flag, const char *value,
    reason_t why);                                          /* a long, ms */
int flag_set_level(void *options, const flag_t *flag, const char *value,
    reason_t why);                                          /* of the log */
int flag_set_format(void *options, const flag_t *flag, const char *value,
    reason_t why);

/* adds a copy to a list of strings */

int flag_add(char ***list, unsigned *n, const char *text);


#endif /* _COMMON_FLAGS_H_INCLUDED_ */
