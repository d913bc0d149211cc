/*
 * Clients that hold polls, and scrapers, for measurements and trials:
 * poll [-c] [-a ADDRESS] [-b BYTES] [-t SECONDS] [-x COUNT] PORT CLIENTS
 *
 * Reads commands from standard input, and prints a line after each:
 *
 *     clients COUNT                    as many hold polls now
 *     scrape COUNT RATE CONNECTIONS NAMES
 *                                      asks the first NAMES clients in turn,
 *                                      RATE times a second, or 0: as fast as
 *                                      CONNECTIONS can be answered
 *     vanish COUNT                     as many new names poll once, and go
 *     breaks COUNT                     -x from now on
 *
 * -b: bytes of a body (90048); -t: Prometheus' time limit (10). -c: bodies
 * differ in size, and each byte is looked at. -x: while it scrapes, so many
 * connections of clients and scrapers are broken in a second.
 */


#define _GNU_SOURCE

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "poll.h"


static void usage(void);
static void poll_command(char *line);
static void poll_run(void);


poll_options_t   poll_options = { "127.0.0.1", 0, 0, 90048, 10, 0, 0, NULL };
poll_counts_t    poll_counts;

static unsigned  poll_started;
static unsigned  poll_said;


int
main(int argc, char **argv)
{
    int            option, n, len;
    char          *end, buf[4096];
    struct pollfd  fds[2];

    while ((option = getopt(argc, argv, "ca:b:t:x:")) != -1) {

        switch (option) {

        case 'c':
            poll_options.check = 1;
            break;

        case 'a':
            poll_options.address = optarg;
            break;

        case 'b':
            poll_options.bytes = strtoul(optarg, NULL, 10);
            break;

        case 't':
            poll_options.timeout = atoi(optarg);
            break;

        case 'x':
            poll_options.breaks = atoi(optarg);
            break;

        default:
            usage();
        }
    }

    if (argc - optind != 2) {
        usage();
    }

    poll_options.port = atoi(argv[optind]);
    poll_options.clients = atoi(argv[optind + 1]);
    poll_options.bytes += POLL_RECORD - 1;
    poll_options.bytes -= poll_options.bytes % POLL_RECORD;

    if (poll_options.clients == 0 || poll_options.clients > 99999
        || poll_options.bytes == 0)
    {
        usage();
    }

    poll_options.static_body = malloc(poll_options.bytes);
    if (poll_options.static_body == NULL) {
        return 1;
    }

    memset(poll_options.static_body, 'x', poll_options.bytes);

    fds[0].fd = STDIN_FILENO;
    fds[1].fd = poll_loop_init();
    fds[0].events = fds[1].events = POLLIN;

    poll_clients_start(0, 0);

    len = 0;

    for ( ;; ) {
        (void) poll(fds, 2, 100);
        (void) poll_wait(0);
        poll_clients_retry(poll_now());

        if (!(fds[0].revents & (POLLIN|POLLHUP))) {
            continue;
        }

        n = read(STDIN_FILENO, buf + len, sizeof(buf) - 1 - len);
        if (n <= 0) {
            return 0;
        }

        len += n;
        buf[len] = '\0';

        while ((end = strchr(buf, '\n')) != NULL) {
            *end++ = '\0';
            poll_command(buf);

            len -= end - buf;
            memmove(buf, end, len + 1);
        }
    }
}


static void
usage(void)
{
    fprintf(stderr, "usage: poll [-c] [-a ADDRESS] [-b BYTES] [-t SECONDS] "
            "[-x COUNT] PORT CLIENTS\n");
    exit(2);
}


static void
poll_command(char *line)
{
    double              rate;
    unsigned            clients, connections, names;
    unsigned long long  count;

    if (sscanf(line, "clients %u", &clients) == 1
        && clients <= poll_options.clients)
    {
        /* no more at once than a listening socket has room for */

        while (poll_started < clients) {
            unsigned  next;

            next = poll_started + 200 < clients ? poll_started + 200 : clients;
            poll_clients_start(poll_started, next);
            poll_started = next;

            while (poll_wait(5) > 0) { /* void */ }
        }

        printf("clients=%u\n", poll_started);
        fflush(stdout);
        return;
    }

    if (sscanf(line, "scrape %llu %lf %u %u", &count, &rate, &connections,
               &names) == 4
        && count && connections && names && names <= poll_options.clients)
    {
        poll_said = 0;
        poll_scrape_start(count, rate, connections, names);
        poll_run();
        poll_scrape_report();
        return;
    }

    if (sscanf(line, "vanish %llu", &count) == 1) {
        poll_clients_vanish(count);
        printf("vanished=%llu\n", count);
        fflush(stdout);
        return;
    }

    if (sscanf(line, "breaks %u", &poll_options.breaks) == 1) {
        printf("breaks=%u\n", poll_options.breaks);
        fflush(stdout);
        return;
    }

    fprintf(stderr, "poll: no command: %s\n", line);
    exit(2);
}


static void
poll_run(void)
{
    double  now, retry, broken;

    retry = broken = poll_now();

    while (poll_counts.left || poll_counts.running) {
        now = poll_now();
        poll_scrape_tick(now);

        if (now > retry + 0.02) {
            poll_clients_retry(now);
            retry = now;
        }

        while (poll_options.breaks && now > broken) {
            if (rand() & 3) {
                poll_client_break((unsigned) rand());

            } else {
                poll_scrape_break((unsigned) rand());
            }

            broken += 1.0 / poll_options.breaks;
        }

        poll_wait(1);
    }
}


double
poll_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return ts.tv_sec + ts.tv_nsec / 1e9;
}


void
poll_say(const char *fmt, ...)
{
    va_list  args;

    if (poll_said++ >= 10) {
        return;
    }

    va_start(args, fmt);
    fprintf(stderr, "poll: ");
    vfprintf(stderr, fmt, args);
    fprintf(stderr, "\n");
    va_end(args);
}
