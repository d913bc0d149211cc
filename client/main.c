/*
 * monitoring-proxy-client: fetches metrics of this host for a proxy that
 * can't reach it.
 *
 * It holds a poll at each proxy for each of its names (poll.c). What is the
 * answer is a scrape, which it does and whose answer it pushes (exchange.c,
 * scrape.c, push.c), as rules.c permits. All of it is in one loop.
 *
 * SIGTERM and SIGINT: it polls no more, finishes the scrapes that are under
 * way, and ends; a second one ends it at once. SIGHUP: it reads its files
 * again.
 */


#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "environment.h"
#include "exchange.h"
#include "exposition.h"
#include "log.h"
#include "loop.h"
#include "metrics.h"
#include "poll.h"
#include "server.h"
#include "signals.h"


#define MAIN_FAILED  1
#define MAIN_USAGE   2            /* it would fail again */


static int main_run(client_t *client);
static int main_files(client_t *client);
static void main_tls(client_t *client);
static int main_readable(const char *file);
static int main_proxies(client_t *client);
static int main_polls(client_t *client);
static void main_raise_limit(void);
static void main_signal(int signo);
static void main_ended(void *data);
static void main_page(void *data, server_answer_t *answer);
static void main_close(client_t *client);


static secret_t       main_token;

static proxy_t       *main_proxy;
static unsigned       main_nproxies;
static poller_t      *main_poller;
static unsigned       main_npollers;

static int            main_ending;

static const server_page_t  main_metrics = {
    NULL, SERVER_METRICS, main_page
};


int
main(int argc, char **argv)
{
    int          rc;
    client_t     client;
    flags_rc_e   parsed;

    memset(&client, 0, sizeof(client));

    parsed = options_parse(&client.options, argc, argv);

    if (parsed == FLAGS_OK) {
        rc = main_run(&client) == 0 ? 0 : MAIN_FAILED;

    } else {
        rc = parsed == FLAGS_DONE ? 0 : MAIN_USAGE;
    }

    options_free(&client.options);

    return rc;
}


static int
main_run(client_t *client)
{
    int        rc;
    reason_t   why;

    rc = -1;

    exposition_start();
    main_raise_limit();
    srandom((unsigned) (time(NULL) ^ getpid()));

#ifdef __GLIBC__
    /* of the threads that resolve names, each would take its own memory */
    (void) mallopt(M_ARENA_MAX, 1);
#endif

    if (loop_open() == -1) {
        log_line(LOG_ERROR, "epoll", "err", strerror(errno), NULL);
        return -1;
    }

    if (transfers_open() == -1) {
        log_line(LOG_ERROR, "libcurl has failed to start", NULL);
        return -1;
    }

    main_tls(client);

    (void) signal(SIGPIPE, SIG_IGN);

    if (signals_open(SIGHUP, main_signal) == -1) {
        log_line(LOG_ERROR, "signals", "err", strerror(errno), NULL);
        goto done;
    }

    if (main_files(client) == -1
        || main_proxies(client) == -1
        || main_polls(client) == -1)
    {
        goto done;
    }

    /* two clients may be on a host, so that this is no reason to end */

    if (client->options.metrics_addr[0]
        && server_open(client->options.metrics_addr, &main_metrics, 1, client,
                       why)
           == -1)
    {
        log_line(LOG_WARN, "no metrics are served", "metrics_addr",
                 client->options.metrics_addr, "err", why, NULL);
    }

    rc = loop_run();

    if (rc == -1) {
        log_line(LOG_ERROR, "epoll", "err", strerror(errno), NULL);
    }

done:

    main_close(client);

    return rc;
}


static void
main_tls(client_t *client)
{
    const options_t  *o;

    o = &client->options;

    client->proxy_tls.cacert = o->cacert;
    client->proxy_tls.cert = o->cert;
    client->proxy_tls.key = o->key;

    client->target_tls = client->proxy_tls;

    if (o->target_cacert) {
        client->target_tls.cacert = o->target_cacert;
    }

    if (o->target_cert) {
        client->target_tls.cert = o->target_cert;
        client->target_tls.key = o->target_key;
    }
}


/* libcurl would tell of those it can't read only later */

static int
main_files(client_t *client)
{
    reason_t          why;
    const char       *file;
    const options_t  *o;

    o = &client->options;

    if (main_readable(o->cacert) == -1
        || main_readable(o->cert) == -1
        || main_readable(o->key) == -1
        || main_readable(client->target_tls.cacert) == -1
        || main_readable(client->target_tls.cert) == -1
        || main_readable(client->target_tls.key) == -1)
    {
        return -1;
    }

    if (o->token_file[0]) {
        if (secret_open(&main_token, o->token_file, why) == -1) {
            log_line(LOG_ERROR, "no token", "err", why, NULL);
            return -1;
        }

        client->token = &main_token;
    }

    file = getenv("PROM_TOKEN");

    if (file && file[0]) {
        client->pull_token = file;

        if (!str_is_visible(str_of(file))) {
            log_line(LOG_ERROR, "PROM_TOKEN has spaces or control characters",
                     NULL);
            return -1;
        }
    }

    return 0;
}


static int
main_readable(const char *file)
{
    if (file[0] && access(file, R_OK) == -1) {
        log_line(LOG_ERROR, "a file can't be read", "file", file,
                 "err", strerror(errno), NULL);
        return -1;
    }

    return 0;
}


static int
main_proxies(client_t *client)
{
    proxy_t      *proxy;
    unsigned      i;
    buffer_t      shown;
    const char   *url, *through;

    main_proxy = calloc(client->options.nproxies, sizeof(proxy_t));

    if (main_proxy == NULL) {
        goto failed;
    }

    memset(&shown, 0, sizeof(shown));

    for (i = 0; i < client->options.nproxies; i++) {
        proxy = &main_proxy[main_nproxies++];

        url = client->options.proxies[i];
        through = environment_proxy(url);

        proxy->client = client;
        proxy->through = through ? through : "";

        buffer_url(&shown, url);
        proxy->url = shown.start;
        memset(&shown, 0, sizeof(shown));

        if (proxy->url == NULL
            || asprintf(&proxy->poll, "%s/poll", url) == -1
            || asprintf(&proxy->push, "%s/push", url) == -1)
        {
            goto failed;
        }
    }

    return 0;

failed:

    log_line(LOG_ERROR, "out of memory", NULL);

    return -1;
}


static int
main_polls(client_t *client)
{
    poller_t   *p;
    unsigned    i, n;

    main_poller = calloc(main_nproxies * client->options.nrules,
                         sizeof(poller_t));

    if (main_poller == NULL) {
        log_line(LOG_ERROR, "out of memory", NULL);
        return -1;
    }

    for (i = 0; i < main_nproxies; i++) {
        for (n = 0; n < client->options.nrules; n++) {

            p = &main_poller[main_npollers++];

            log_line(LOG_INFO, "URL and FQDN info",
                     "proxy_url", main_proxy[i].url,
                     "fqdn", client->options.rules[n].name, NULL);

            if (poll_open(p, &main_proxy[i], &client->options.rules[n])
                == -1)
            {
                log_line(LOG_ERROR, "out of memory", NULL);
                return -1;
            }
        }
    }

    return 0;
}


/* a connection for each poll, and two for each scrape */

static void
main_raise_limit(void)
{
    struct rlimit  limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &limit);
    }
}


static void
main_signal(int signo)
{
    unsigned  i;

    if (signo == SIGHUP) {
        log_line(LOG_INFO, "reads its files again", NULL);
        secret_reread(&main_token);
        return;
    }

    if (main_ending) {
        log_line(LOG_WARN, "ends at once", NULL);
        _exit(MAIN_FAILED);
    }

    main_ending = 1;

    log_line(LOG_INFO, "ends after the scrapes that are under way", NULL);

    for (i = 0; i < main_npollers; i++) {
        poll_stop(&main_poller[i]);
    }

    exchanges_wait(main_ended);
}


static void
main_ended(void *data)
{
    (void) data;

    loop_end();
}


static void
main_page(void *data, server_answer_t *answer)
{
    unsigned   i;
    buffer_t  *page;
    poller_t  *p;

    (void) data;

    page = &answer->text;

    metrics_page(page);

    exposition_head(page, "monitoring_proxy_client_connected", "gauge",
                    "Whether the proxy holds a poll for the name, or waits for"
                    " a push.");

    for (i = 0; i < main_npollers; i++) {
        p = &main_poller[i];

        buffer_text(page, "monitoring_proxy_client_connected{");
        exposition_label(page, "name", p->rule->name);
        buffer_text(page, ",");
        exposition_label(page, "proxy", p->proxy->url);
        buffer_format(page, "} %d\n", poll_is_held(p));
    }
}


static void
main_close(client_t *client)
{
    unsigned  i;

    (void) client;

    server_close();

    for (i = 0; i < main_npollers; i++) {
        poll_close(&main_poller[i]);
    }

    exchanges_free();
    transfers_close();

    for (i = 0; i < main_nproxies; i++) {
        free(main_proxy[i].url);
        free(main_proxy[i].poll);
        free(main_proxy[i].push);
    }

    free(main_poller);
    free(main_proxy);

    secret_close(&main_token);

    signals_close();
}
