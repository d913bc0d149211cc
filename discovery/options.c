/*
 * The flags of the fork's sidecar, with its defaults, and more.
 */


#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "options_value.h"
#include "version.h"


#define OPTIONS_ACCOUNT  "/var/run/secrets/kubernetes.io/serviceaccount/"


static int options_all(void *data, reason_t why);
static int options_unused(const options_t *options, const char *const *names,
    const char *because, reason_t why);


static const char  options_metrics[] = ":9370";


static const flag_t  options_known[] = {

    { "reloadurl", "URL",
      "URL that has Prometheus read prometheus.yaml, by POST",
      options_set_url, offsetof(options_t, reload_url),
      "http://localhost:9090/-/reload" },

    { "source", "FILE", "base that prometheus.yaml is made of",
      flag_set_text, offsetof(options_t, source),
      "/etc/prometheus/prometheus.yaml.base" },

    { "target", "FILE", "prometheus.yaml, that is written",
      flag_set_text, offsetof(options_t, target),
      "/etc/prometheus/prometheus.yaml" },

    { "lists", "DIRECTORY",
      "where each proxy's list is written to; \"monitoring-proxy\" beside"
      " --target if it isn't given",
      flag_set_text, offsetof(options_t, lists), NULL },

    { "promtool", "FILE", "program that checks prometheus.yaml",
      flag_set_text, offsetof(options_t, promtool), "promtool" },

    { "namespace", "NAME",
      "namespace of the proxies; that of the service account if it isn't"
      " given",
      options_set_namespace, offsetof(options_t, namespace), "" },

    { "labelname", "NAME",
      "label by which EndpointSlices of the proxies are found",
      flag_set_text, offsetof(options_t, label_name),
      "app.kubernetes.io/name" },

    { "labelvalue", "VALUE", "its value",
      flag_set_text, offsetof(options_t, label_value), "monitoring-proxy" },

    { "port", "PORT",
      "port of the proxies to ask, a name or a number of an EndpointSlice",
      options_set_port, offsetof(options_t, port), "http" },

    { "apiserver", "URL",
      "Kubernetes' API; that which a pod is told of if it isn't given",
      options_set_apiserver, offsetof(options_t, apiserver), "" },

    { "token-file", "FILE",
      "token for Kubernetes' API; read again on change",
      flag_set_text, offsetof(options_t, token_file),
      OPTIONS_ACCOUNT "token" },

    { "cacert", "FILE", "CA certificate to verify Kubernetes' API by",
      flag_set_text, offsetof(options_t, cacert), OPTIONS_ACCOUNT "ca.crt" },

    { "static", "HOST:PORT,...",
      "proxies that are always there, instead of Kubernetes'; may be given"
      " several times",
      options_set_static, 0, NULL },

    { "dns", "NAME[:PORT],...",
      "names whose addresses are proxies, instead of Kubernetes', on port 80"
      " if there is no PORT; or _SERVICE._PROTOCOL.NAME for SRV records; may"
      " be given several times",
      options_set_dns, 0, NULL },

    { "interval", "DURATION",
      "how often proxies are asked, names looked up, and the base looked at",
      options_set_interval, offsetof(options_t, interval), "60s" },

    { "keep", "DURATION",
      "how long the list of a proxy that doesn't answer is kept",
      flag_set_duration, offsetof(options_t, keep), "5m" },

    { "dedupe", NULL,
      "list a target that several proxies hold once, not once for each",
      flag_set_on, offsetof(options_t, dedupe), NULL },

    { "sd-listen", "ADDRESS",
      "where to serve one list of all targets, at /targets, instead of"
      " writing files",
      flag_set_text, offsetof(options_t, sd_listen), "" },

    { "metrics-addr", "ADDRESS",
      "where to serve metrics and health, if there is no --sd-listen",
      flag_set_text, offsetof(options_t, metrics_addr), options_metrics },

    { "log.level", "LEVEL", "debug, info, warn or error",
      flag_set_level, 0, "info" },

    { "log.format", "FORMAT", "logfmt or json",
      flag_set_format, 0, "logfmt" }
};

#define OPTIONS_KNOWN  (sizeof(options_known) / sizeof(options_known[0]))


static const flags_t  options_flags = {
    "monitoring-proxy-discovery", DISCOVERY_VERSION, "[FLAG ...]",
    "finds proxies, by Kubernetes' API if not told otherwise, and gives"
    " Prometheus their\ntargets",
    "SIGHUP has it ask all proxies anew, and read the base again.",
    options_known, OPTIONS_KNOWN, options_all
};


/* of what is only for one way to work; these are texts, all of them */

static const char *const  options_of_files[] = {
    "reloadurl", "source", "target", "lists", "promtool", NULL
};

static const char *const  options_of_cluster[] = {
    "namespace", "labelname", "labelvalue", "port", "apiserver",
    "token-file", "cacert", NULL
};


flags_rc_e
options_parse(options_t *options, int argc, char **argv)
{
    memset(options, 0, sizeof(*options));

    return flags_parse(&options_flags, options, argc, argv);
}


/* what concerns more than one flag */

static int
options_all(void *data, reason_t why)
{
    const options_t  *options = data;

    if (options->sd_listen[0]) {

        if (options->metrics_addr != options_metrics
            && options->metrics_addr[0])
        {
            return reason(why, "--metrics-addr has no effect with"
                          " --sd-listen, where metrics are served, too");
        }

        if (options_unused(options, options_of_files, "--sd-listen, as no"
                           " file is written", why)
            == -1)
        {
            return -1;
        }
    }

    if (options->fixed.n || options->ndns) {
        return options_unused(options, options_of_cluster,
                              options->ndns ? "--dns" : "--static", why);
    }

    return 0;
}


/* what isn't the preset's own text was given */

static int
options_unused(const options_t *options, const char *const *names,
    const char *because, reason_t why)
{
    size_t         i;
    const char    *value;
    const flag_t  *flag;

    for (/* void */; *names; names++) {

        for (i = 0; strcmp(options_known[i].name, *names) != 0; i++) {
            /* void */
        }

        flag = &options_known[i];
        value = *(char *const *) (const void *)
                    ((const char *) options + flag->offset);

        if (value != flag->preset) {
            return reason(why, "--%s has no effect with %s", *names, because);
        }
    }

    return 0;
}


void
options_free(options_t *options)
{
    unsigned  i;

    for (i = 0; i < options->ndns; i++) {
        free(options->dns[i]);
    }

    free(options->dns);
    places_free(&options->fixed);

    memset(options, 0, sizeof(*options));
}
