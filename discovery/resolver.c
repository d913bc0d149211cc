/*
 * The channel lives as long as something is looked up: the next one reads
 * /etc/resolv.conf again, which changes as networks come and go.  There is no
 * cache, as a look-up is made to see what has changed.
 */


#include <ares.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "loop.h"
#include "resolver.h"


typedef struct resolver_query_s   resolver_query_t;
typedef struct resolver_socket_s  resolver_socket_t;

struct resolver_query_s {
    loop_work_t          over;
    char                 host[RESOLVER_HOST];
    int                  family;
    resolver_record_t   *records;
    size_t               n;
    int                  failed;
    reason_t             why;
    resolver_done_pt     done;
    void                *data;
    resolver_query_t    *next;
};


/* of one descriptor, for good, as the loop may have an event of it yet */

struct resolver_socket_s {
    loop_event_t         ev;
    uint32_t             events;
    resolver_socket_t   *next;
};


static resolver_query_t *resolver_query(const char *host,
    resolver_done_pt done, void *data);
static int resolver_open(reason_t why);
static void resolver_ask_family(resolver_query_t *query, int family);
static void resolver_on_addresses(void *data, int status, int timeouts,
    struct ares_addrinfo *info);
static void resolver_ask_services(resolver_query_t *query);
static void resolver_on_services(void *data, ares_status_t status,
    size_t timeouts, const ares_dns_record_t *answer);
static void resolver_add(resolver_query_t *query, const char *host,
    unsigned port);
static void resolver_fail(resolver_query_t *query, int status);
static const char *resolver_reason(int status);
static void resolver_over(void *data);
static void resolver_shut(void);
static void resolver_free(resolver_query_t *query);
static void resolver_on_socket(void *data, ares_socket_t fd, int readable,
    int writable);
static resolver_socket_t *resolver_socket(int fd);
static void resolver_event(void *data, uint32_t events);
static void resolver_expired(void *data);
static void resolver_set_timer(void);


static ares_channel_t     *resolver_channel;
static resolver_query_t   *resolver_queries;
static resolver_socket_t  *resolver_sockets;

static loop_timer_t        resolver_timer = {
    .handler = resolver_expired
};


int
resolver_addresses(const char *host, resolver_done_pt done, void *data)
{
    resolver_query_t  *query;

    query = resolver_query(host, done, data);

    if (query == NULL) {
        return -1;
    }

    if (!query->failed) {
        resolver_ask_family(query, AF_INET);
        resolver_set_timer();
    }

    return 0;
}


int
resolver_services(const char *name, resolver_done_pt done, void *data)
{
    resolver_query_t  *query;

    query = resolver_query(name, done, data);

    if (query == NULL) {
        return -1;
    }

    if (!query->failed) {
        resolver_ask_services(query);
        resolver_set_timer();
    }

    return 0;
}


void
resolver_close(void)
{
    resolver_query_t   *query;
    resolver_socket_t  *s;

    resolver_shut();

    while (resolver_queries) {
        query = resolver_queries;
        resolver_queries = query->next;

        loop_never(&query->over);
        resolver_free(query);
    }

    while (resolver_sockets) {
        s = resolver_sockets;
        resolver_sockets = s->next;
        free(s);
    }
}


static resolver_query_t *
resolver_query(const char *host, resolver_done_pt done, void *data)
{
    resolver_query_t  *query;

    query = calloc(1, sizeof(resolver_query_t));

    if (query == NULL) {
        return NULL;
    }

    memcpy(query->host, host, strnlen(host, RESOLVER_HOST - 1));

    query->over.handler = resolver_over;
    query->over.data = query;
    query->done = done;
    query->data = data;

    query->next = resolver_queries;
    resolver_queries = query;

    if (resolver_channel == NULL && resolver_open(query->why) == -1) {
        query->failed = 1;
        loop_later(&query->over);
    }

    return query;
}


static int
resolver_open(reason_t why)
{
    int                  rc;
    struct ares_options  options;

    rc = ares_library_init(ARES_LIB_INIT_ALL);

    if (rc == ARES_SUCCESS) {
        memset(&options, 0, sizeof(options));
        options.sock_state_cb = resolver_on_socket;

        /* a cache of 0 s is none */

        rc = ares_init_options(&resolver_channel, &options,
                               ARES_OPT_SOCK_STATE_CB|ARES_OPT_QUERY_CACHE);

        if (rc == ARES_SUCCESS) {
            return 0;
        }

        ares_library_cleanup();
        resolver_channel = NULL;
    }

    return reason(why, "c-ares: %s", ares_strerror(rc));
}


static void
resolver_ask_family(resolver_query_t *query, int family)
{
    struct ares_addrinfo_hints  hints;

    query->family = family;

    memset(&hints, 0, sizeof(hints));
    hints.ai_family = family;
    hints.ai_flags = ARES_AI_NOSORT;

    ares_getaddrinfo(resolver_channel, query->host, NULL, &hints,
                     resolver_on_addresses, query);
}


static void
resolver_on_addresses(void *data, int status, int timeouts,
    struct ares_addrinfo *info)
{
    const void                 *address;
    char                        text[INET6_ADDRSTRLEN];
    resolver_query_t           *query = data;
    struct ares_addrinfo_node  *node;

    (void) timeouts;

    /* the channel is NULL while it is being destroyed */

    if ((status == ARES_ENODATA || status == ARES_ENOTFOUND)
        && query->family == AF_INET && resolver_channel)
    {
        resolver_ask_family(query, AF_INET6);
        return;
    }

    if (status != ARES_SUCCESS) {
        resolver_fail(query, status);
        return;
    }

    for (node = info->nodes; node; node = node->ai_next) {

        if (node->ai_family == AF_INET) {
            address = &((struct sockaddr_in *) node->ai_addr)->sin_addr;

        } else {
            address = &((struct sockaddr_in6 *) node->ai_addr)->sin6_addr;
        }

        if (inet_ntop(node->ai_family, address, text, sizeof(text))) {
            resolver_add(query, text, 0);
        }
    }

    ares_freeaddrinfo(info);

    if (query->n == 0) {
        resolver_fail(query, ARES_ENODATA);
        return;
    }

    loop_later(&query->over);
}


static void
resolver_ask_services(resolver_query_t *query)
{
    int                 rc;
    ares_dns_record_t  *question;

    question = NULL;

    rc = ares_dns_record_create(&question, 0, ARES_FLAG_RD,
                                ARES_OPCODE_QUERY, ARES_RCODE_NOERROR);

    if (rc == ARES_SUCCESS) {
        rc = ares_dns_record_query_add(question, query->host,
                                       ARES_REC_TYPE_SRV, ARES_CLASS_IN);
    }

    if (rc == ARES_SUCCESS) {
        /* its failure is its callback's, too */

        (void) ares_search_dnsrec(resolver_channel, question,
                                  resolver_on_services, query);

    } else {
        resolver_fail(query, rc);
    }

    ares_dns_record_destroy(question);
}


static void
resolver_on_services(void *data, ares_status_t status, size_t timeouts,
    const ares_dns_record_t *answer)
{
    size_t                i, n;
    const char           *target;
    resolver_query_t     *query = data;
    const ares_dns_rr_t  *rr;

    (void) timeouts;

    if (status != ARES_SUCCESS) {
        resolver_fail(query, (int) status);
        return;
    }

    n = ares_dns_record_rr_cnt(answer, ARES_SECTION_ANSWER);

    for (i = 0; i < n; i++) {
        rr = ares_dns_record_rr_get_const(answer, ARES_SECTION_ANSWER, i);

        if (ares_dns_rr_get_type(rr) != ARES_REC_TYPE_SRV) {
            continue;
        }

        target = ares_dns_rr_get_str(rr, ARES_RR_SRV_TARGET);

        /* the root is how a service says that there is none */

        if (target && target[0] && strcmp(target, ".") != 0) {
            resolver_add(query, target,
                         ares_dns_rr_get_u16(rr, ARES_RR_SRV_PORT));
        }
    }

    if (query->n == 0) {
        resolver_fail(query, ARES_ENODATA);
        return;
    }

    loop_later(&query->over);
}


static void
resolver_add(resolver_query_t *query, const char *host, unsigned port)
{
    size_t              len;
    resolver_record_t  *records;

    len = strnlen(host, RESOLVER_HOST);

    if (len && host[len - 1] == '.') {
        len--;
    }

    if (len >= RESOLVER_HOST) {
        return;
    }

    records = realloc(query->records,
                      (query->n + 1) * sizeof(resolver_record_t));

    if (records == NULL) {
        query->failed = 1;
        (void) reason(query->why, "out of memory");
        return;
    }

    memset(&records[query->n], 0, sizeof(resolver_record_t));
    memcpy(records[query->n].host, host, len);
    records[query->n].port = port;

    query->records = records;
    query->n++;
}


static void
resolver_fail(resolver_query_t *query, int status)
{
    char  *servers;

    query->failed = 1;

    servers = resolver_channel && status != ARES_ENOMEM
              ? ares_get_servers_csv(resolver_channel)
              : NULL;

    (void) reason(query->why, "%s: %s%s%s%s", query->host,
                  resolver_reason(status), servers ? " (asked " : "",
                  servers ? servers : "", servers ? ")" : "");

    ares_free_string(servers);

    loop_later(&query->over);
}


static const char *
resolver_reason(int status)
{
    switch (status) {

    case ARES_ENOTFOUND:
        return "there is no such name";

    case ARES_ENODATA:
        return "the name has no record of this kind";

    case ARES_ESERVFAIL:
        return "SERVFAIL";

    case ARES_EREFUSED:
        return "REFUSED";

    case ARES_ETIMEOUT:
        return "no answer in time";

    case ARES_ECONNREFUSED:
        return "no name server can be reached";
    }

    return ares_strerror(status);
}


static void
resolver_over(void *data)
{
    resolver_query_t  *query = data, **p;

    for (p = &resolver_queries; *p != query; p = &(*p)->next) {
        /* void */
    }

    *p = query->next;

    query->done(query->data, query->records, query->n,
                query->failed ? query->why : NULL);

    resolver_free(query);

    if (resolver_queries == NULL) {
        resolver_shut();
    }
}


static void
resolver_shut(void)
{
    ares_channel_t  *channel;

    loop_unset(&resolver_timer);

    channel = resolver_channel;

    if (channel) {
        resolver_channel = NULL;
        ares_destroy(channel);
        ares_library_cleanup();
    }
}


static void
resolver_free(resolver_query_t *query)
{
    free(query->records);
    free(query);
}


static void
resolver_on_socket(void *data, ares_socket_t fd, int readable, int writable)
{
    uint32_t            events;
    resolver_socket_t  *s;

    (void) data;

    events = (readable ? EPOLLIN : 0) | (writable ? EPOLLOUT : 0);
    s = resolver_socket(fd);

    if (s == NULL) {
        return;                   /* it will time out */
    }

    if (events == 0) {
        if (s->events) {
            (void) loop_remove(&s->ev);
        }

    } else if (s->events) {
        (void) loop_change(&s->ev, events);

    } else if (loop_add(&s->ev, events) == -1) {
        return;
    }

    s->events = events;
}


static resolver_socket_t *
resolver_socket(int fd)
{
    resolver_socket_t  *s;

    for (s = resolver_sockets; s; s = s->next) {
        if (s->ev.fd == fd) {
            return s;
        }
    }

    s = calloc(1, sizeof(resolver_socket_t));

    if (s) {
        s->ev = (loop_event_t) { fd, resolver_event, s };
        s->next = resolver_sockets;
        resolver_sockets = s;
    }

    return s;
}


static void
resolver_event(void *data, uint32_t events)
{
    resolver_socket_t  *s = data;

    if (resolver_channel == NULL) {
        return;
    }

    ares_process_fd(resolver_channel,
                    events & ~(uint32_t) EPOLLOUT ? s->ev.fd
                                                  : ARES_SOCKET_BAD,
                    events & EPOLLOUT ? s->ev.fd : ARES_SOCKET_BAD);

    resolver_set_timer();
}


static void
resolver_expired(void *data)
{
    (void) data;

    ares_process_fd(resolver_channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);

    resolver_set_timer();
}


static void
resolver_set_timer(void)
{
    struct timeval  tv;

    if (ares_timeout(resolver_channel, NULL, &tv) == NULL) {
        loop_unset(&resolver_timer);
        return;
    }

    /* one ms more, as it would be called in vain by what was cut off */

    loop_set(&resolver_timer, tv.tv_sec * 1000 + tv.tv_usec / 1000 + 1);
}
