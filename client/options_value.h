/*
 * The values of flags.
 */


#ifndef _CLIENT_OPTIONS_VALUE_H_INCLUDED_
#define _CLIENT_OPTIONS_VALUE_H_INCLUDED_


#include "options.h"


typedef struct options_flag_s  options_flag_t;

struct options_flag_s {
    const char  *name;
    const char  *value;           /* as the help calls it */
    const char  *help;
    int        (*set)(options_t *options, const options_flag_t *flag,
                      const char *value, reason_t why);
    size_t       offset;
    const char  *preset;          /* its default, if it has one */
};


/* each takes one value, and returns 0, or -1 with the reason */

int options_set_text(options_t *options, const options_flag_t *flag,
    const char *value, reason_t why);
int options_set_duration(options_t *options, const options_flag_t *flag,
    const char *value, reason_t why);
int options_set_fqdn(options_t *options, const options_flag_t *flag,
    const char *value, reason_t why);
int options_set_proxy(options_t *options, const options_flag_t *flag,
    const char *value, reason_t why);
int options_set_pin(options_t *options, const options_flag_t *flag,
    const char *value, reason_t why);
int options_set_port(options_t *options, const options_flag_t *flag,
    const char *value, reason_t why);
int options_set_label(options_t *options, const options_flag_t *flag,
    const char *value, reason_t why);
int options_set_level(options_t *options, const options_flag_t *flag,
    const char *value, reason_t why);
int options_set_format(options_t *options, const options_flag_t *flag,
    const char *value, reason_t why);


#endif /* _CLIENT_OPTIONS_VALUE_H_INCLUDED_ */
