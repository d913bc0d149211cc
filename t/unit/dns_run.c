/*
 * Looks up names as the discovery does and prints each set of places that is
 * handed over, for t/03-discovery-dns.t:
 *
 * dns_run RESOLV.CONF INTERVAL NAME ...
 *
 * INTERVAL is in ms. By SIGHUP it looks now, by SIGUSR1 prints its metrics, by
 * SIGTERM it ends.
 */


#include <ares.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "dns.h"
#include "loop.h"


/* the linker has ares_init_options() call these: --wrap */

int __real_ares_init_options(ares_channel_t **channel,
    struct ares_options *options, int mask);
int __wrap_ares_init_options(ares_channel_t **channel,
    struct ares_options *options, int mask);

static void run_signal(void *data, uint32_t events);
static void run_found(places_t *places);


static char          *run_conf;
static loop_event_t   run_signals = { -1, run_signal, NULL };


int
main(int argc, char **argv)
{
    int       i;
    sigset_t  set;
    reason_t  why;

    if (argc < 4) {
        return 2;
    }

    run_conf = argv[1];

    (void) sigemptyset(&set);
    (void) sigaddset(&set, SIGHUP);
    (void) sigaddset(&set, SIGUSR1);
    (void) sigaddset(&set, SIGTERM);
    (void) sigprocmask(SIG_BLOCK, &set, NULL);

    run_signals.fd = signalfd(-1, &set, SFD_NONBLOCK|SFD_CLOEXEC);

    if (run_signals.fd == -1 || loop_open() == -1
        || loop_add(&run_signals, EPOLLIN) == -1)
    {
        return 2;
    }

    for (i = 3; i < argc; i++) {
        if (dns_name(argv[i], why) == -1) {
            printf("%s\n", why);
            return 1;
        }
    }

    if (dns_open(&argv[3], (unsigned) argc - 3, atol(argv[2]), run_found, why)
        == -1)
    {
        printf("%s\n", why);
        return 1;
    }

    i = loop_run();
    dns_close();
    close(run_signals.fd);

    return i == 0 ? 0 : 1;
}


static void
run_signal(void *data, uint32_t events)
{
    buffer_t                 page;
    struct signalfd_siginfo  info;

    (void) data;
    (void) events;

    if (read(run_signals.fd, &info, sizeof(info)) != sizeof(info)) {
        return;
    }

    switch (info.ssi_signo) {

    case SIGHUP:
        dns_look();
        break;

    case SIGUSR1:
        memset(&page, 0, sizeof(page));
        dns_metrics(&page);
        printf("%s---\n", page.start ? page.start : "");
        (void) fflush(stdout);
        buffer_free(&page);
        break;

    default:
        loop_end();
    }
}


static void
run_found(places_t *places)
{
    size_t  i;

    printf("found");

    for (i = 0; i < places->n; i++) {
        printf(" %s=%s", places->place[i].name, places->place[i].address);
    }

    printf("\n");
    (void) fflush(stdout);

    places_free(places);
}


int
__wrap_ares_init_options(ares_channel_t **channel,
    struct ares_options *options, int mask)
{
    options->resolvconf_path = run_conf;

    return __real_ares_init_options(channel, options,
                                    mask | ARES_OPT_RESOLVCONF);
}
