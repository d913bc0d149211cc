/*
 * All are asked in rounds, a few at a time; what they say is made use of once
 * a round is over, as a target that has moved from one to another is at both,
 * or at none, in between.
 */


#include <stdlib.h>
#include <string.h>

#include "exposition.h"
#include "log.h"
#include "proxies.h"


#define PROXIES_ASKS  32          /* at a time */


typedef struct {
    const char   *name;
    const char   *type;
    const char   *help;
    double      (*value)(const member_t *member);
} proxies_metric_t;


static member_t *proxies_take(const place_t *place, size_t *i);
static void proxies_queue(member_t *m);
static void proxies_unqueue(member_t *m);
static void proxies_next(void);
static void proxies_told(member_t *m);
static void proxies_dropped(member_t *m);
static void proxies_settle(void *data);
static void proxies_due(void *data);
static double proxies_up(const member_t *m);
static double proxies_answered(const member_t *m);
static double proxies_targets(const member_t *m);
static double proxies_count(const member_t *m);
static double proxies_failures(const member_t *m);


static const proxies_metric_t  proxies_known_metrics[] = {

    { "monitoring_proxy_discovery_proxy_up", "gauge",
      "Whether the proxy listed its targets when it was last asked.",
      proxies_up },

    { "monitoring_proxy_discovery_proxy_last_success_timestamp_seconds",
      "gauge", "When the proxy last did, or 0.",
      proxies_answered },

    { "monitoring_proxy_discovery_proxy_targets", "gauge",
      "Targets that the proxy lists, or did last.",
      proxies_targets },

    { "monitoring_proxy_discovery_asks_total", "counter",
      "How often the proxy was asked.",
      proxies_count },

    { "monitoring_proxy_discovery_ask_failures_total", "counter",
      "How often the proxy gave no answer, or none that is right.",
      proxies_failures }
};


static member_conf_t   proxies_conf;
static long            proxies_interval;
static void          (*proxies_changed)(void);

static member_t      **proxies_member;
static size_t          proxies_n;
static int             proxies_are_found;

static ask_t           proxies_asks[PROXIES_ASKS];
static size_t          proxies_asked;             /* that are under way */
static member_t       *proxies_first, **proxies_last = &proxies_first;

static loop_timer_t    proxies_timer = { .handler = proxies_due };
static loop_work_t     proxies_work = { .handler = proxies_settle };


int
proxies_open(const options_t *options, void (*changed)(void))
{
    size_t  i;

    proxies_conf.keep = options->keep;
    proxies_conf.once = options->dedupe;
    proxies_conf.clients = options->sd_listen[0] == '\0';
    proxies_conf.told = proxies_told;
    proxies_conf.dropped = proxies_dropped;

    proxies_interval = options->interval;
    proxies_changed = changed;

    for (i = 0; i < PROXIES_ASKS; i++) {
        if (ask_open(&proxies_asks[i]) == -1) {
            return -1;
        }
    }

    loop_set(&proxies_timer, proxies_interval);

    return 0;
}


void
proxies_found(places_t *places)
{
    size_t      i, n, old;
    member_t   *m, **members;

    members = calloc(places->n + 1, sizeof(member_t *));

    if (members == NULL) {
        log_line(LOG_ERROR, "out of memory", NULL);
        places_free(places);
        return;
    }

    old = 0;
    n = 0;

    for (i = 0; i < places->n; i++) {
        m = proxies_take(&places->place[i], &old);

        if (m == NULL) {
            m = member_open(&places->place[i], &proxies_conf);

            if (m == NULL) {
                log_line(LOG_ERROR, "out of memory", NULL);
                continue;
            }

            log_line(LOG_INFO, "found a proxy", "proxy", m->name, "address",
                     m->address, NULL);

            proxies_queue(m);
        }

        members[n++] = m;
    }

    for (i = 0; i < proxies_n; i++) {
        m = proxies_member[i];

        if (m == NULL) {
            continue;
        }

        log_line(LOG_INFO, "a proxy has gone", "proxy", m->name, "address",
                 m->address, NULL);

        if (m->ask) {
            proxies_asked--;
        }

        proxies_unqueue(m);
        member_close(m);
    }

    places_free(places);
    free(proxies_member);

    proxies_member = members;
    proxies_n = n;
    proxies_are_found = 1;

    proxies_next();
    loop_later(&proxies_work);
}


/*
 * The one that is there, out of its place among the old ones; *i is how far
 * these are behind it.  One that has moved is another one.
 */

static member_t *
proxies_take(const place_t *place, size_t *i)
{
    int        order;
    member_t  *m;

    for (/* void */; *i < proxies_n; (*i)++) {
        m = proxies_member[*i];
        order = strcmp(m->name, place->name);

        if (order > 0) {
            break;
        }

        if (order == 0 && strcmp(m->address, place->address) == 0) {
            proxies_member[(*i)++] = NULL;
            return m;
        }
    }

    return NULL;
}


void
proxies_ask(void)
{
    size_t  i;

    for (i = 0; i < proxies_n; i++) {
        proxies_queue(proxies_member[i]);
    }

    proxies_next();
}


static void
proxies_queue(member_t *m)
{
    if (m->ask || m->waiting) {
        return;
    }

    m->waiting = 1;
    m->next = NULL;

    *proxies_last = m;
    proxies_last = &m->next;
}


static void
proxies_unqueue(member_t *m)
{
    member_t  **p;

    if (!m->waiting) {
        return;
    }

    for (p = &proxies_first; *p != m; p = &(*p)->next) {
        /* void */
    }

    *p = m->next;

    if (proxies_last == &m->next) {
        proxies_last = p;
    }

    m->waiting = 0;
}


static void
proxies_next(void)
{
    size_t     i;
    member_t  *m;

    for (i = 0; i < PROXIES_ASKS && proxies_first; i++) {

        if (proxies_asks[i].data) {
            continue;
        }

        m = proxies_first;
        proxies_unqueue(m);

        if (member_ask(m, &proxies_asks[i]) == -1) {
            log_line(LOG_ERROR, "a proxy can't be asked", "proxy", m->name,
                     "err", "out of memory", NULL);
            continue;
        }

        proxies_asked++;
    }
}


static void
proxies_told(member_t *m)
{
    (void) m;

    proxies_asked--;
    proxies_next();

    if (proxies_asked == 0) {
        loop_later(&proxies_work);
    }
}


static void
proxies_dropped(member_t *m)
{
    (void) m;

    loop_later(&proxies_work);
}


static void
proxies_settle(void *data)
{
    (void) data;

    if (proxies_asked == 0 && proxies_are_known()) {
        proxies_changed();
    }
}


static void
proxies_due(void *data)
{
    (void) data;

    loop_set(&proxies_timer, proxies_interval);

    /* some are slow, and the others' lists don't wait for them forever */

    if (proxies_asked && proxies_are_known()) {
        proxies_changed();
    }

    proxies_ask();
}


int
proxies_are_known(void)
{
    size_t  i;

    for (i = 0; i < proxies_n; i++) {
        if (!proxies_member[i]->asked) {
            return 0;
        }
    }

    return proxies_are_found;
}


member_t *const *
proxies_members(size_t *n)
{
    *n = proxies_n;

    return proxies_member;
}


void
proxies_metrics(buffer_t *page)
{
    size_t                   i, k;
    const proxies_metric_t  *metric;

    exposition_head(page, "monitoring_proxy_discovery_proxies", "gauge",
                    "Proxies that are known.");
    buffer_format(page, "monitoring_proxy_discovery_proxies %zu\n",
                  proxies_n);

    for (k = 0;
         k < sizeof(proxies_known_metrics) / sizeof(proxies_known_metrics[0]);
         k++)
    {
        metric = &proxies_known_metrics[k];

        exposition_head(page, metric->name, metric->type, metric->help);

        for (i = 0; i < proxies_n; i++) {
            buffer_format(page, "%s{", metric->name);
            exposition_label(page, "proxy", proxies_member[i]->name);
            buffer_format(page, "} %.15g\n",
                          metric->value(proxies_member[i]));
        }
    }
}


static double
proxies_up(const member_t *m)
{
    return m->known && !m->failing;
}


static double
proxies_answered(const member_t *m)
{
    return m->answered;
}


static double
proxies_targets(const member_t *m)
{
    return (double) m->list.n;
}


static double
proxies_count(const member_t *m)
{
    return (double) m->asks;
}


static double
proxies_failures(const member_t *m)
{
    return (double) m->failures;
}


void
proxies_close(void)
{
    size_t  i;

    loop_unset(&proxies_timer);
    loop_never(&proxies_work);

    for (i = 0; i < proxies_n; i++) {
        member_close(proxies_member[i]);
    }

    for (i = 0; i < PROXIES_ASKS; i++) {
        ask_close(&proxies_asks[i]);
    }

    free(proxies_member);
}
