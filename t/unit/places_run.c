#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "loop.h"
#include "places_run.h"


static void places_run_signal(void *data, uint32_t events);


static void         (*places_run_metrics)(buffer_t *page);
static void         (*places_run_look)(void);
static loop_event_t   places_run_ev = { -1, places_run_signal, NULL };


int
places_run_open(void (*metrics)(buffer_t *page), void (*look)(void))
{
    sigset_t  set;

    places_run_metrics = metrics;
    places_run_look = look;

    (void) sigemptyset(&set);
    (void) sigaddset(&set, SIGUSR1);
    (void) sigaddset(&set, SIGTERM);

    if (look) {
        (void) sigaddset(&set, SIGHUP);
    }

    (void) sigprocmask(SIG_BLOCK, &set, NULL);

    places_run_ev.fd = signalfd(-1, &set, SFD_NONBLOCK|SFD_CLOEXEC);

    if (places_run_ev.fd == -1 || loop_open() == -1) {
        return -1;
    }

    return loop_add(&places_run_ev, EPOLLIN);
}


int
places_run(void)
{
    int  rc;

    rc = loop_run();
    close(places_run_ev.fd);

    return rc;
}


static void
places_run_signal(void *data, uint32_t events)
{
    buffer_t                 page;
    struct signalfd_siginfo  info;

    (void) data;
    (void) events;

    if (read(places_run_ev.fd, &info, sizeof(info)) != sizeof(info)) {
        return;
    }

    switch (info.ssi_signo) {

    case SIGHUP:
        places_run_look();
        break;

    case SIGUSR1:
        memset(&page, 0, sizeof(page));
        places_run_metrics(&page);
        printf("%s---\n", page.start ? page.start : "");
        (void) fflush(stdout);
        buffer_free(&page);
        break;

    default:
        loop_end();
    }
}


void
places_run_found(places_t *places)
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
