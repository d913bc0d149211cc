/*
 * Flags are those of PushProx's client, and more.
 */


#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"
#include "options_value.h"
#include "version.h"


static int options_all(void *data, reason_t why);
static int options_fqdn(options_t *options, reason_t why);
static int options_rule(options_t *options, const char *flag,
    const char *name, const char *url, reason_t why);
static size_t options_pin_name(const char *pin);


static const flag_t  options_known[] = {

    { "fqdn", "NAME",
      "name to register with; the host's full name if it isn't given",
      options_set_fqdn, 0, NULL },

    { "proxy-url", "URL",
      "proxy to poll, required; given several times, all are polled",
      options_set_proxy, 0, NULL },

    { "tls.cacert", "FILE", "CA certificate to verify the proxy by",
      flag_set_text, offsetof(options_t, cacert), "" },

    { "tls.cert", "FILE", "client certificate",
      flag_set_text, offsetof(options_t, cert), "" },

    { "tls.key", "FILE", "its private key",
      flag_set_text, offsetof(options_t, key), "" },

    { "target.cacert", "FILE",
      "CA certificate to verify targets by, instead of --tls.cacert",
      flag_set_text, offsetof(options_t, target_cacert), NULL },

    { "target.cert", "FILE",
      "client certificate for targets, instead of --tls.cert",
      flag_set_text, offsetof(options_t, target_cert), NULL },

    { "target.key", "FILE", "its private key, instead of --tls.key",
      flag_set_text, offsetof(options_t, target_key), NULL },

    { "token-file", "FILE",
      "file with the bearer token for the proxy; read again on change",
      flag_set_text, offsetof(options_t, token_file), "" },

    { "pull-url", "[NAME=]URL",
      "what scrapes of NAME, or of the fqdn, get, whatever they ask for:"
      " http://..., https://... or unix:SOCKET[:PATH]; may be given several"
      " times, and each NAME is polled for",
      options_set_pin, 0, NULL },

    { "allow-port", "PORT",
      "port that a scraper may ask for; may be given several times; \"*\", or"
      " none given, is any",
      options_set_port, 0, NULL },

    { "label", "NAME=VALUE",
      "label of this client at the proxy; may be given several times",
      options_set_label, 0, NULL },

    { "metrics-addr", "ADDRESS", "where to serve Prometheus metrics",
      flag_set_text, offsetof(options_t, metrics_addr), ":9369" },

    { "proxy.hold", "DURATION",
      "how long the proxy is asked to hold a poll; 0: as long as it likes",
      flag_set_duration, offsetof(options_t, hold), "55s" },

    { "proxy.retry.initial-wait", "DURATION",
      "amount of time to wait after a proxy's failure",
      flag_set_duration, offsetof(options_t, initial_wait), "1s" },

    { "proxy.retry.max-wait", "DURATION",
      "maximum amount of time to wait between retries",
      flag_set_duration, offsetof(options_t, max_wait), "5s" },

    { "log.level", "LEVEL", "debug, info, warn or error",
      flag_set_level, 0, "info" },

    { "log.format", "FORMAT", "logfmt or json",
      flag_set_format, 0, "logfmt" }
};

static const flags_t  options_flags = {
    "monitoring-proxy-client", CLIENT_VERSION, "--proxy-url=URL [FLAG ...]",
    "polls a Monitoring Proxy, or a PushProx proxy, for scrapes of this host",
    "PROM_TOKEN is sent to a --pull-url as its header x-prom-pull-token.\n"
    "HTTP_PROXY, HTTPS_PROXY and NO_PROXY are honoured.",
    options_known, sizeof(options_known) / sizeof(options_known[0]),
    options_all
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
    int          explicit;
    size_t       len;
    unsigned     i;
    options_t   *options = data;
    const char  *bare;

    if (options->nproxies == 0) {
        return reason(why, "required flag --proxy-url not provided");
    }

    if ((options->cert[0] == '\0') != (options->key[0] == '\0')
        || (options->target_cert == NULL) != (options->target_key == NULL))
    {
        return reason(why, "a certificate needs its key, and a key its"
                      " certificate");
    }

    if (options->max_wait < options->initial_wait) {
        return reason(why, "--proxy.retry.max-wait is less than"
                      " --proxy.retry.initial-wait");
    }

    explicit = options->fqdn != NULL;

    if (!explicit && options_fqdn(options, why) == -1) {
        return -1;
    }

    bare = NULL;

    for (i = 0; i < options->npins; i++) {

        if (options_pin_name(options->pins[i]) == 0) {

            if (bare) {
                return reason(why, "--pull-url is given twice without a"
                              " NAME=");
            }

            bare = options->pins[i];
        }
    }

    /* those who name their targets one by one don't open the host by it */

    if (explicit || bare || options->npins == 0) {
        if (options_rule(options, explicit ? "--fqdn" : "the host's name,"
                         " without --fqdn", options->fqdn, bare, why)
            == -1)
        {
            return -1;
        }
    }

    for (i = 0; i < options->npins; i++) {
        len = options_pin_name(options->pins[i]);

        if (len == 0) {
            continue;
        }

        options->pins[i][len] = '\0';

        if (options_rule(options, "--pull-url", options->pins[i],
                         options->pins[i] + len + 1, why)
            == -1)
        {
            return -1;
        }
    }

    return 0;
}


static int
options_fqdn(options_t *options, reason_t why)
{
    char              host[256];
    struct addrinfo   hints, *found;

    if (gethostname(host, sizeof(host)) == -1) {
        return reason(why, "the host has no name; give --fqdn");
    }

    host[sizeof(host) - 1] = '\0';

    memset(&hints, 0, sizeof(hints));
    hints.ai_flags = AI_CANONNAME;
    hints.ai_socktype = SOCK_STREAM;

    if (strchr(host, '.') == NULL
        && getaddrinfo(host, NULL, &hints, &found) == 0)
    {
        if (found->ai_canonname && strchr(found->ai_canonname, '.')) {
            options->fqdn = strdup(found->ai_canonname);
        }

        freeaddrinfo(found);
    }

    if (options->fqdn == NULL) {
        options->fqdn = strdup(host);
    }

    return options->fqdn ? 0 : reason(why, "out of memory");
}


/* flag is where the name is from */

static int
options_rule(options_t *options, const char *flag, const char *name,
    const char *url, reason_t why)
{
    rule_t    *rules;
    reason_t   wrong;
    unsigned   i;

    for (i = 0; i < options->nrules; i++) {
        if (str_is(str_of(name), options->rules[i].name)) {
            return reason(why, "\"%.*s\" has more than one --pull-url",
                          REASON_TEXT, name);
        }
    }

    rules = realloc(options->rules, (options->nrules + 1) * sizeof(rule_t));

    if (rules == NULL) {
        return reason(why, "out of memory");
    }

    options->rules = rules;
    rules += options->nrules++;

    memset(rules, 0, sizeof(*rules));

    if (rule_name(rules, name, wrong) == -1) {
        return reason(why, "%s: %s", flag, wrong);
    }

    if (url && rule_pin(rules, url, wrong) == -1) {
        return reason(why, "--pull-url: %s", wrong);
    }

    return 0;
}


/* the length of NAME in NAME=URL, or 0; a URL has no "=" so early */

static size_t
options_pin_name(const char *pin)
{
    size_t  len;

    if (pin[0] == '[') {
        len = strcspn(pin, "]");
        len += pin[len] == ']';

    } else {
        len = strcspn(pin, ":/?=");
    }

    if (pin[len] == ':') {
        len += 1 + strspn(pin + len + 1, "0123456789");
    }

    return pin[len] == '=' ? len : 0;
}


void
options_free(options_t *options)
{
    unsigned  i;

    for (i = 0; i < options->nrules; i++) {
        rule_free(&options->rules[i]);
    }

    for (i = 0; i < options->nproxies; i++) {
        free(options->proxies[i]);
    }

    for (i = 0; i < options->npins; i++) {
        free(options->pins[i]);
    }

    free(options->rules);
    free(options->proxies);
    free(options->pins);
    free(options->fqdn);
    buffer_free(&options->labels);

    memset(options, 0, sizeof(*options));
}
