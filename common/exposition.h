/*
 * A page of metrics, in Prometheus' text format.
 */


#ifndef _COMMON_EXPOSITION_H_INCLUDED_
#define _COMMON_EXPOSITION_H_INCLUDED_


#include "str.h"


void exposition_start(void);      /* from now on the process runs */

/* one more metric's name, type and help */

void exposition_head(buffer_t *page, const char *name, const char *type,
    const char *help);

/* LABEL="VALUE" */

void exposition_label(buffer_t *page, const char *label, const char *value);

/* of a program that asks by HTTP: its version, and libcurl's */

void exposition_build(buffer_t *page, const char *name, const char *version);

/* what the process uses, and since when it runs */

void exposition_process(buffer_t *page);


#endif /* _COMMON_EXPOSITION_H_INCLUDED_ */
