/*
 * Watches EndpointSlices as the discovery does and prints each set of places
 * that is handed over, for t/03-discovery-kubernetes.t:
 *
 *     kubernetes_run APISERVER TOKEN-FILE CACERT NAMESPACE PORT
 *
 * By SIGUSR1 it prints its metrics, by SIGTERM it ends.
 */


#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "kubernetes.h"
#include "loop.h"
#include "transfer.h"


static void run_signal(void *data, uint32_t events);
static void run_found(places_t *places);


static loop_event_t  run_signals = { -1, run_signal, NULL };

static options_t  run_options = {
    .label_name = "app.kubernetes.io/name",
    .label_value = "monitoring-proxy"
};


int
main(int argc, char **argv)
{
    int       rc;
    sigset_t  set;
    reason_t  why;

    if (argc != 6) {
        return 2;
    }

    run_options.apiserver = argv[1];
    run_options.token_file = argv[2];
    run_options.cacert = argv[3];
    run_options.namespace = argv[4];
    run_options.port = argv[5];

    (void) sigemptyset(&set);
    (void) sigaddset(&set, SIGUSR1);
    (void) sigaddset(&set, SIGTERM);
    (void) sigprocmask(SIG_BLOCK, &set, NULL);

    run_signals.fd = signalfd(-1, &set, SFD_NONBLOCK|SFD_CLOEXEC);

    if (run_signals.fd == -1 || loop_open() == -1 || transfers_open() == -1
        || loop_add(&run_signals, EPOLLIN) == -1)
    {
        return 2;
    }

    rc = kubernetes_open(&run_options, run_found, why);

    if (rc == -1) {
        printf("%s\n", why);

    } else {
        rc = loop_run();
    }

    kubernetes_close();
    transfers_close();
    close(run_signals.fd);

    return rc == 0 ? 0 : 1;
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

    if (info.ssi_signo != SIGUSR1) {
        loop_end();
        return;
    }

    memset(&page, 0, sizeof(page));
    kubernetes_metrics(&page);
    printf("%s---\n", page.start);
    (void) fflush(stdout);
    buffer_free(&page);
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
