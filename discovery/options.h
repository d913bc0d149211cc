/*
 * The command line.
 */


#ifndef _DISCOVERY_OPTIONS_H_INCLUDED_
#define _DISCOVERY_OPTIONS_H_INCLUDED_


#include "flags.h"
#include "places.h"


typedef struct {
    const char   *source;         /* what prometheus.yaml is made of */
    const char   *target;         /* prometheus.yaml */
    const char   *lists;          /* directory of the lists; NULL: beside it */
    const char   *reload_url;
    const char   *promtool;

    const char   *namespace;      /* "": that of the service account */
    const char   *label_name;
    const char   *label_value;
    const char   *port;           /* of an EndpointSlice: name or number */
    const char   *apiserver;      /* URL; "": that of the pod's environment */
    const char   *token_file;     /* "": we are nobody */
    const char   *cacert;         /* "": the system's authorities */

    places_t      fixed;          /* --static */
    char        **dns;            /* --dns, as they were given: NAME[:PORT] */
    unsigned      ndns;

    const char   *sd_listen;      /* ADDRESS, or "" */
    const char   *metrics_addr;   /* ADDRESS, or "" */

    long          interval;       /* ms */
    long          keep;           /* ms */
    int           dedupe;
} options_t;


/* what it has found is freed by options_free() in each case */

flags_rc_e options_parse(options_t *options, int argc, char **argv);
void options_free(options_t *options);


#endif /* _DISCOVERY_OPTIONS_H_INCLUDED_ */
