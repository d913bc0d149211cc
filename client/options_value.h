/*
 * The values of flags.
 */


#ifndef _CLIENT_OPTIONS_VALUE_H_INCLUDED_
#define _CLIENT_OPTIONS_VALUE_H_INCLUDED_


#include "options.h"


/* data is options_t; each returns 0, or -1 with the reason */

int options_set_fqdn(void *data, const flag_t *flag, const char *value,
    reason_t why);
int options_set_proxy(void *data, const flag_t *flag, const char *value,
    reason_t why);
int options_set_pin(void *data, const flag_t *flag, const char *value,
    reason_t why);
int options_set_port(void *data, const flag_t *flag, const char *value,
    reason_t why);
int options_set_label(void *data, const flag_t *flag, const char *value,
    reason_t why);


#endif /* _CLIENT_OPTIONS_VALUE_H_INCLUDED_ */
