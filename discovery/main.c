/*
 * monitoring-proxy-discovery: finds proxies, and tells Prometheus of the
 * targets of all of them.
 *
 * Kubernetes, DNS, or a flag tells where proxies are (kubernetes.c, dns.c),
 * each is asked for its targets (proxies.c, member.c), and what they list is
 * merged (merged.c, choose.c) and served (pages.c), or written to files of
 * Prometheus' (output.c). All of it is in one loop.
 *
 * SIGTERM and SIGINT: it ends. SIGHUP: it asks all proxies anew, looks names
 * up, and reads the base again.
 */


#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dns.h"
#include "exposition.h"
#include "kubernetes.h"
#include "log.h"
#include "loop.h"
#include "merged.h"
#include "output.h"
#include "pages.h"
#include "proxies.h"
#include "signals.h"


#define MAIN_FAILED  1
#define MAIN_USAGE   2            /* it would fail again */


static int main_run(void);
static int main_open(reason_t why);
static int main_source(reason_t why);
static void main_signal(int signo);
static void main_look(void *data);
static void main_found(places_t *places);
static int main_fixed(places_t *places);
static void main_close(void);


static options_t     main_options;

static loop_timer_t  main_timer = { .handler = main_look };


int
main(int argc, char **argv)
{
    int          rc;
    flags_rc_e   parsed;

    parsed = options_parse(&main_options, argc, argv);

    if (parsed == FLAGS_OK) {
        rc = main_run() == 0 ? 0 : MAIN_FAILED;

    } else {
        rc = parsed == FLAGS_DONE ? 0 : MAIN_USAGE;
    }

    options_free(&main_options);

    return rc;
}


static int
main_run(void)
{
    int        rc;
    reason_t   why;

    exposition_start();

#ifdef __GLIBC__
    /* of the threads that resolve names, each would take its own memory */
    (void) mallopt(M_ARENA_MAX, 1);
#endif

    rc = main_open(why);

    if (rc == -1) {
        log_line(LOG_ERROR, "can't start", "err", why, NULL);

    } else {
        rc = loop_run();

        if (rc == -1) {
            log_line(LOG_ERROR, "epoll", "err", strerror(errno), NULL);
        }
    }

    main_close();

    return rc;
}


static int
main_open(reason_t why)
{
    if (loop_open() == -1) {
        return reason(why, "epoll: %s", strerror(errno));
    }

    if (transfers_open() == -1) {
        return reason(why, "libcurl has failed to start");
    }

    (void) signal(SIGPIPE, SIG_IGN);

    if (signals_open(SIGHUP, main_signal) == -1) {
        return reason(why, "signals: %s", strerror(errno));
    }

    merged_open(&main_options);

    if (main_options.sd_listen[0] == '\0'
        && output_open(&main_options, why) == -1)
    {
        return -1;
    }

    if (pages_open(&main_options, why) == -1) {
        return -1;
    }

    if (proxies_open(&main_options, merged_make) == -1) {
        return reason(why, "out of memory");
    }

    loop_set(&main_timer, main_options.interval);

    return main_source(why);
}


static int
main_source(reason_t why)
{
    places_t  places;

    if (main_options.ndns == 0 && main_options.fixed.n == 0) {
        return kubernetes_open(&main_options, proxies_found, why);
    }

    if (main_options.ndns) {
        return dns_open(main_options.dns, main_options.ndns,
                        main_options.interval, main_found, why);
    }

    memset(&places, 0, sizeof(places));

    if (main_fixed(&places) == -1) {
        return reason(why, "out of memory");
    }

    proxies_found(&places);

    return 0;
}


static void
main_signal(int signo)
{
    if (signo != SIGHUP) {
        loop_end();
        return;
    }

    log_line(LOG_INFO, "looks at everything again", NULL);

    proxies_ask();

    if (main_options.ndns) {
        dns_look();
    }

    main_look(NULL);
}


static void
main_look(void *data)
{
    (void) data;

    loop_set(&main_timer, main_options.interval);

    if (main_options.sd_listen[0] == '\0') {
        output_look();
    }
}


/*
 * What DNS has found, and those that are always there: they wait for it at
 * first, as a part of the proxies isn't what there is.
 */

static void
main_found(places_t *places)
{
    if (places->n == 0 && main_options.fixed.n == 0) {
        return;                   /* nothing is known */
    }

    if (main_fixed(places) == -1) {
        log_line(LOG_ERROR, "out of memory", NULL);
        places_free(places);
        return;
    }

    proxies_found(places);
}


static int
main_fixed(places_t *places)
{
    size_t          i;
    const place_t  *place;

    for (i = 0; i < main_options.fixed.n; i++) {
        place = &main_options.fixed.place[i];

        if (places_add(places, str_of(place->name), str_of(place->address))
            == -1)
        {
            return -1;
        }
    }

    return 0;
}


static void
main_close(void)
{
    pages_close();

    if (main_options.ndns) {
        dns_close();

    } else if (main_options.fixed.n == 0) {
        kubernetes_close();
    }

    proxies_close();

    if (main_options.sd_listen[0] == '\0') {
        output_close();
    }

    merged_close();
    transfers_close();

    signals_close();
}
