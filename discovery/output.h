/*
 * The files that Prometheus reads: a list for each proxy, and its own
 * configuration, which is made of the base.  What was changed there, and is
 * not read by Prometheus by itself, it is told of.
 */


#ifndef _DISCOVERY_OUTPUT_H_INCLUDED_
#define _DISCOVERY_OUTPUT_H_INCLUDED_


#include "options.h"


/*
 * A proxy's list, as file_sd has it; it stays the caller's.  Where text.start
 * is NULL the proxy hasn't answered yet: the file that is there from before
 * stays as it is.
 */

typedef struct {
    const char   *name;           /* the proxy's */
    const char   *address;
    int           pushprox;       /* its targets are scraped by proxy_url */
    str_t         text;           /* JSON */
} output_list_t;


/*
 * Looks at the base, and at whether everything can be written that will be;
 * options stay the caller's and must stay where they are.  Returns 0, or -1
 * with the reason.
 */

int output_open(const options_t *options, reason_t why);

/*
 * Writes the lists at once, those that have changed, and removes those of
 * other proxies; then sees to the configuration in its own time.
 */

void output_put(const output_list_t *lists, size_t n);

/* the base may have changed; it is read if it has */

void output_look(void);

void output_metrics(buffer_t *page);
void output_close(void);


#endif /* _DISCOVERY_OUTPUT_H_INCLUDED_ */
