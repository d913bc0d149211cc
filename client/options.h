/*
 * The command line.
 */


#ifndef _CLIENT_OPTIONS_H_INCLUDED_
#define _CLIENT_OPTIONS_H_INCLUDED_


#include "flags.h"
#include "rules.h"


typedef struct {
    rule_t         *rules;        /* the names to poll as, one or more */
    unsigned        nrules;

    char          **proxies;      /* their URLs, without "/" at the end */
    unsigned        nproxies;

    char          **pins;         /* --pull-url, as they were given */
    unsigned        npins;

    char           *fqdn;
    rules_ports_t   ports;

    const char     *cacert;       /* of the proxy; "" is none */
    const char     *cert;
    const char     *key;
    const char     *target_cacert;   /* of targets, those above if none */
    const char     *target_cert;
    const char     *target_key;

    const char     *token_file;   /* to the proxy; or "" */

    buffer_t        labels;       /* as "Prom-Poll-Labels" has them */

    const char     *metrics_addr; /* "" is none */

    long            hold;         /* ms; 0: as long as the proxy likes */
    long            initial_wait; /* ms */
    long            max_wait;     /* ms */
} options_t;


/* what it has found is freed by options_free() in each case */

flags_rc_e options_parse(options_t *options, int argc, char **argv);
void options_free(options_t *options);


#endif /* _CLIENT_OPTIONS_H_INCLUDED_ */
