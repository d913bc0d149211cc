/*
 * The places of each name are kept until another look-up has succeeded: what
 * can't be looked up has not gone.
 */


#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "dns.h"
#include "exposition.h"
#include "log.h"
#include "loop.h"
#include "resolver.h"


#define DNS_PORT     80
#define DNS_RETRY    5000         /* ms, at most, behind one that has failed */
#define DNS_AT_ONCE  16           /* targets of SRV records */


typedef struct dns_look_s    dns_look_t;
typedef struct dns_target_s  dns_target_t;

struct dns_look_s {
    const char     *name;         /* as it was given */
    char            host[RESOLVER_HOST];
    unsigned        port;
    int             services;     /* it has SRV records */

    loop_timer_t    timer;
    int             running;
    int             asked;        /* once or more */
    int             failing;
    unsigned long   lookups;
    unsigned long   failures;

    places_t        places;       /* that were found last */
    places_t        next;         /* that this look-up has found */
    reason_t        why;          /* "", or what is wrong with it */

    dns_target_t   *targets;
    size_t          n;
    size_t          begun;
    size_t          ended;
};

struct dns_target_s {
    dns_look_t     *look;
    char            host[RESOLVER_HOST];
    unsigned        port;
};


static int dns_parse(const char *text, char *host, unsigned *port,
    reason_t why);
static int dns_parse_host(const char *text, str_t host, reason_t why);
static void dns_begin(void *data);
static void dns_addresses(void *data, const resolver_record_t *records,
    size_t n, const char *why);
static void dns_services(void *data, const resolver_record_t *records,
    size_t n, const char *why);
static void dns_targets(dns_look_t *look);
static void dns_target(void *data, const resolver_record_t *records,
    size_t n, const char *why);
static void dns_target_stays(dns_look_t *look, str_t name);
static int dns_add(places_t *places, const char *name, const char *host,
    unsigned port);
static void dns_address(buffer_t *b, const char *host, unsigned port);
static void dns_end(dns_look_t *look);
static void dns_tell(void);
static int dns_union(places_t *all);


static const struct {
    const char  *name;
    const char  *type;
    const char  *help;
} dns_metric[] = {

    { "monitoring_proxy_discovery_dns_lookups_total", "counter",
      "Look-ups of the name that were begun." },

    { "monitoring_proxy_discovery_dns_failures_total", "counter",
      "Those that have failed, wholly or for a target of an SRV record." },

    { "monitoring_proxy_discovery_dns_up", "gauge",
      "Whether the last one has succeeded." },

    { "monitoring_proxy_discovery_dns_places", "gauge",
      "Places of proxies that the name has." }
};


static dns_look_t  *dns_looks;
static unsigned     dns_n;
static long         dns_interval;
static places_pt    dns_found;
static places_t     dns_told;
static int          dns_is_told;


int
dns_open(char *const *names, unsigned n, long interval, places_pt found,
    reason_t why)
{
    unsigned     i;
    dns_look_t  *look;

    dns_looks = calloc(n, sizeof(dns_look_t));

    if (dns_looks == NULL) {
        return reason(why, "out of memory");
    }

    for (i = 0; i < n; i++) {
        look = &dns_looks[i];

        look->name = names[i];
        look->timer.handler = dns_begin;
        look->timer.data = look;

        if (dns_parse(names[i], look->host, &look->port, why) == -1) {
            return -1;
        }

        look->services = look->host[0] == '_';
    }

    dns_n = n;
    dns_interval = interval;
    dns_found = found;

    dns_look();

    return 0;
}


int
dns_name(const char *text, reason_t why)
{
    char      host[RESOLVER_HOST];
    unsigned  port;

    return dns_parse(text, host, &port, why);
}


static int
dns_parse(const char *text, char *host, unsigned *port, reason_t why)
{
    long         number;
    str_t        name;
    const char  *colon;

    colon = strchr(text, ':');
    name = str_of(text);
    number = DNS_PORT;

    if (colon) {
        name.len = (size_t) (colon - text);
        number = str_number(str_of(colon + 1), 65535);

        if (number <= 0) {
            return reason(why, "\"%.*s\" has no port of 1 to 65535 behind its"
                          " \":\"", REASON_TEXT, text);
        }
    }

    if (dns_parse_host(text, name, why) == -1) {
        return -1;
    }

    if (name.start[0] == '_') {

        if (colon) {
            return reason(why, "\"%.*s\" has a port; SRV records have their"
                          " own", REASON_TEXT, text);
        }

        if (strstr(text, "._") == NULL) {
            return reason(why, "\"%.*s\" is no name of SRV records; these are"
                          " _SERVICE._PROTOCOL.NAME", REASON_TEXT, text);
        }
    }

    memcpy(host, name.start, name.len);
    host[name.len] = '\0';
    *port = (unsigned) number;

    return 0;
}


static int
dns_parse_host(const char *text, str_t host, reason_t why)
{
    char            c, address[RESOLVER_HOST];
    size_t          i, part;
    struct in_addr  in;

    part = 0;

    for (i = 0; i < host.len; i++) {
        c = host.start[i];

        if (c == '.') {
            if (part == 0) {
                break;
            }

            part = 0;
            continue;
        }

        if (++part > 63
            || !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
                 || (c >= '0' && c <= '9') || c == '_'
                 || (c == '-' && part > 1)))
        {
            break;
        }
    }

    if (host.len == 0 || i < host.len || host.len > 253) {
        return reason(why, "\"%.*s\" is no name; it is NAME, NAME:PORT or"
                      " _SERVICE._PROTOCOL.NAME", REASON_TEXT, text);
    }

    memcpy(address, host.start, host.len);
    address[host.len] = '\0';

    if (inet_pton(AF_INET, address, &in) == 1) {
        return reason(why, "\"%.*s\" is an address, which --static takes",
                      REASON_TEXT, text);
    }

    return 0;
}


void
dns_look(void)
{
    unsigned  i;

    for (i = 0; i < dns_n; i++) {
        dns_begin(&dns_looks[i]);
    }
}


static void
dns_begin(void *data)
{
    int          rc;
    dns_look_t  *look = data;

    if (look->running) {
        return;
    }

    loop_unset(&look->timer);

    look->running = 1;
    look->lookups++;
    look->why[0] = '\0';

    rc = look->services ? resolver_services(look->host, dns_services, look)
                        : resolver_addresses(look->host, dns_addresses, look);

    if (rc == -1) {
        (void) reason(look->why, "out of memory");
        dns_end(look);
    }
}


static void
dns_addresses(void *data, const resolver_record_t *records, size_t n,
    const char *why)
{
    size_t       i;
    dns_look_t  *look = data;

    if (why) {
        (void) reason(look->why, "%s", why);
        dns_end(look);
        return;
    }

    for (i = 0; i < n; i++) {
        if (dns_add(&look->next, NULL, records[i].host, look->port) == -1) {
            (void) reason(look->why, "out of memory");
            places_free(&look->next);
            break;
        }
    }

    dns_end(look);
}


static void
dns_services(void *data, const resolver_record_t *records, size_t n,
    const char *why)
{
    size_t       i;
    dns_look_t  *look = data;

    if (why) {
        (void) reason(look->why, "%s", why);
        dns_end(look);
        return;
    }

    look->targets = calloc(n, sizeof(dns_target_t));

    if (look->targets == NULL) {
        (void) reason(look->why, "out of memory");
        dns_end(look);
        return;
    }

    for (i = 0; i < n; i++) {
        look->targets[i].look = look;
        look->targets[i].port = records[i].port;
        memcpy(look->targets[i].host, records[i].host, RESOLVER_HOST);
    }

    look->n = n;
    look->begun = 0;
    look->ended = 0;

    dns_targets(look);
}


static void
dns_targets(dns_look_t *look)
{
    dns_target_t  *target;

    while (look->begun < look->n && look->begun - look->ended < DNS_AT_ONCE) {
        target = &look->targets[look->begun++];

        if (resolver_addresses(target->host, dns_target, target) == -1) {
            look->ended++;
            (void) reason(look->why, "out of memory");
        }
    }

    if (look->ended == look->n) {
        free(look->targets);
        look->targets = NULL;
        dns_end(look);
    }
}


/* of several addresses any will do, if it is the same one each time */

static void
dns_target(void *data, const resolver_record_t *records, size_t n,
    const char *why)
{
    size_t         i, first;
    buffer_t       name;
    dns_target_t  *target = data;
    dns_look_t    *look = target->look;

    look->ended++;

    memset(&name, 0, sizeof(name));
    dns_address(&name, target->host, target->port);

    if (why) {
        (void) reason(look->why, "%s", why);
        dns_target_stays(look, (str_t) { name.start, name.len });

    } else {
        first = 0;

        for (i = 1; i < n; i++) {
            if (strcmp(records[i].host, records[first].host) < 0) {
                first = i;
            }
        }

        if (name.failed
            || dns_add(&look->next, name.start, records[first].host,
                       target->port)
               == -1)
        {
            (void) reason(look->why, "out of memory");
        }
    }

    buffer_free(&name);

    dns_targets(look);
}


/* where it was, if it was there; others have their places all the same */

static void
dns_target_stays(dns_look_t *look, str_t name)
{
    size_t    i;
    place_t  *place;

    for (i = 0; i < look->places.n; i++) {
        place = &look->places.place[i];

        if (str_equal(str_of(place->name), name)) {
            (void) places_add(&look->next, name, str_of(place->address));
            return;
        }
    }
}


/* name is NULL if it is the address */

static int
dns_add(places_t *places, const char *name, const char *host, unsigned port)
{
    int       rc;
    str_t     address;
    buffer_t  b;

    memset(&b, 0, sizeof(b));
    dns_address(&b, host, port);

    address = (str_t) { b.start, b.len };

    rc = b.failed ? -1
                  : places_add(places, name ? str_of(name) : address, address);

    buffer_free(&b);

    return rc;
}


static void
dns_address(buffer_t *b, const char *host, unsigned port)
{
    buffer_format(b, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
}


static void
dns_end(dns_look_t *look)
{
    int   failed;
    long  wait;

    failed = look->why[0] != '\0';

    if (look->next.n) {
        places_free(&look->places);
        look->places = look->next;
        memset(&look->next, 0, sizeof(places_t));
    }

    if (failed) {
        look->failures++;

        if (!look->failing) {
            log_line(LOG_WARN, "a name can't be looked up; the places that it"
                     " had stay", "name", look->name, "err", look->why, NULL);
        }

    } else if (look->failing) {
        log_line(LOG_INFO, "a name can be looked up again", "name",
                 look->name, NULL);
    }

    look->failing = failed;
    look->running = 0;
    look->asked = 1;

    wait = failed && dns_interval > DNS_RETRY ? DNS_RETRY : dns_interval;
    loop_set(&look->timer, wait);

    dns_tell();
}


/*
 * None before all were asked, as those of the others would have gone; then
 * what there is, as others that were given needn't wait for what fails.
 */

static void
dns_tell(void)
{
    unsigned   i;
    places_t   all, told;

    for (i = 0; i < dns_n; i++) {
        if (!dns_looks[i].asked) {
            return;
        }
    }

    memset(&all, 0, sizeof(all));
    memset(&told, 0, sizeof(told));

    if (dns_union(&all) == -1 || dns_union(&told) == -1) {
        log_line(LOG_ERROR, "out of memory", NULL);
        goto failed;
    }

    if (dns_is_told && places_equal(&all, &dns_told)) {
        goto failed;
    }

    places_free(&dns_told);
    dns_told = told;
    dns_is_told = 1;

    dns_found(&all);
    return;

failed:

    places_free(&all);
    places_free(&told);
}


static int
dns_union(places_t *all)
{
    size_t    i;
    unsigned  k;
    place_t  *place;

    for (k = 0; k < dns_n; k++) {
        for (i = 0; i < dns_looks[k].places.n; i++) {
            place = &dns_looks[k].places.place[i];

            if (places_add(all, str_of(place->name), str_of(place->address))
                == -1)
            {
                return -1;
            }
        }
    }

    return 0;
}


void
dns_metrics(buffer_t *page)
{
    unsigned       i, m;
    dns_look_t    *look;
    unsigned long  values[4];

    for (m = 0; dns_n && m < 4; m++) {
        exposition_head(page, dns_metric[m].name, dns_metric[m].type,
                        dns_metric[m].help);

        for (i = 0; i < dns_n; i++) {
            look = &dns_looks[i];

            values[0] = look->lookups;
            values[1] = look->failures;
            values[2] = look->asked && !look->failing;
            values[3] = look->places.n;

            buffer_format(page, "%s{", dns_metric[m].name);
            exposition_label(page, "name", look->name);
            buffer_format(page, "} %lu\n", values[m]);
        }
    }
}


void
dns_close(void)
{
    unsigned  i;

    resolver_close();

    for (i = 0; i < dns_n; i++) {
        loop_unset(&dns_looks[i].timer);
        places_free(&dns_looks[i].places);
        places_free(&dns_looks[i].next);
        free(dns_looks[i].targets);
    }

    places_free(&dns_told);
    free(dns_looks);

    dns_looks = NULL;
    dns_n = 0;
    dns_is_told = 0;
}
