#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "loop.h"
#include "signals.h"


static void signals_event(void *data, uint32_t events);


static signals_pt    signals_handler;
static loop_event_t  signals_ev = { -1, signals_event, NULL };


int
signals_open(int one_more, signals_pt handler)
{
    sigset_t  set;

    signals_handler = handler;

    (void) sigemptyset(&set);
    (void) sigaddset(&set, SIGTERM);
    (void) sigaddset(&set, SIGINT);

    if (one_more) {
        (void) sigaddset(&set, one_more);
    }

    if (sigprocmask(SIG_BLOCK, &set, NULL) == -1) {
        return -1;
    }

    signals_ev.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);

    return signals_ev.fd == -1 ? -1 : loop_add(&signals_ev, EPOLLIN);
}


static void
signals_event(void *data, uint32_t events)
{
    struct signalfd_siginfo  si;

    (void) data;
    (void) events;

    if (read(signals_ev.fd, &si, sizeof(si)) == sizeof(si)) {
        signals_handler((int) si.ssi_signo);
    }
}


void
signals_close(void)
{
    if (signals_ev.fd != -1) {
        close(signals_ev.fd);
        signals_ev.fd = -1;
    }
}
