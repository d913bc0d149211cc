/*
 * The values of flags.
 */


#ifndef _DISCOVERY_OPTIONS_VALUE_H_INCLUDED_
#define _DISCOVERY_OPTIONS_VALUE_H_INCLUDED_


#include "options.h"


/* data is options_t; each returns 0, or -1 with the reason */

int options_set_url(void *data, const flag_t *flag, const char *value,
    reason_t why);
int options_set_apiserver(void *data, const flag_t *flag, const char *value,
    reason_t why);
int options_set_port(void *data, const flag_t *flag, const char *value,
    reason_t why);
int options_set_namespace(void *data, const flag_t *flag, const char *value,
    reason_t why);
int options_set_static(void *data, const flag_t *flag, const char *value,
    reason_t why);
int options_set_dns(void *data, const flag_t *flag, const char *value,
    reason_t why);
int options_set_interval(void *data, const flag_t *flag, const char *value,
    reason_t why);


#endif /* _DISCOVERY_OPTIONS_VALUE_H_INCLUDED_ */
