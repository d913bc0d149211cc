/*
 * Between two transfers a connection stays in epoll as it was, as the next one
 * wants the same of it: that saves most system calls but those that read and
 * write.  It is for this that sockets are opened and closed here.
 */


#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop.h"
#include "transfer.h"


#define TRANSFER_BUFFER      (64L * 1024)
#define TRANSFER_UPLOAD      (128L * 1024)

#define TRANSFER_CONNECT     10000L   /* ms */
#define TRANSFER_NAMES       10L      /* s, while a look-up is good */

/*
 * A connection that was cut is noticed after at most 20 s + 3 * 5 s, be it in
 * use or idle.
 */

#define TRANSFER_IDLE        20       /* s, before it is probed */
#define TRANSFER_INTERVAL    5        /* s, between probes */
#define TRANSFER_PROBES      3
#define TRANSFER_UNANSWERED  20000    /* ms, for what was sent */



typedef struct {
    loop_event_t     ev;
    uint32_t         wanted;      /* events */
    uint32_t         added;       /* those that epoll has */
    int              own;         /* opened here */
} transfer_socket_t;


static void transfer_address(const transfer_t *t, buffer_t *text);
static transfer_socket_t *transfer_socket(curl_socket_t fd);
static int transfer_on_socket(CURL *easy, curl_socket_t fd, int what,
    void *data, void *socket);
static int transfer_on_timer(CURLM *m, long msec, void *data);
static void transfer_event(void *data, uint32_t events);
static void transfer_expired(void *data);
static void transfer_collect(void *data);
static curl_socket_t transfer_on_open(void *data, curlsocktype type,
    struct curl_sockaddr *addr);
static int transfer_on_close(void *data, curl_socket_t fd);
static int transfer_on_guard(void *data, curl_socket_t fd,
    curlsocktype type);
static int transfer_verify(transfer_t *t, const transfer_tls_t *tls);


static int                  transfer_unopened;     /* errno of socket() */
static CURLM               *transfer_multi;
static transfer_socket_t  **transfer_sockets;      /* by descriptor */
static size_t               transfer_nsockets;

static loop_timer_t         transfer_timer = {
    .handler = transfer_expired
};

static loop_work_t          transfer_work = {
    .handler = transfer_collect
};


int
transfers_open(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return -1;
    }

    transfer_multi = curl_multi_init();

    if (transfer_multi == NULL) {
        return -1;
    }

    if (curl_multi_setopt(transfer_multi, CURLMOPT_SOCKETFUNCTION,
                          transfer_on_socket)
        != CURLM_OK
        || curl_multi_setopt(transfer_multi, CURLMOPT_TIMERFUNCTION,
                             transfer_on_timer)
           != CURLM_OK
        || curl_multi_setopt(transfer_multi, CURLMOPT_PIPELINING,
                             CURLPIPE_NOTHING)
           != CURLM_OK)
    {
        return -1;
    }

    return 0;
}


void
transfers_close(void)
{
    size_t  i;

    curl_multi_cleanup(transfer_multi);
    curl_global_cleanup();

    loop_unset(&transfer_timer);

    for (i = 0; i < transfer_nsockets; i++) {
        free(transfer_sockets[i]);
    }

    free(transfer_sockets);
}


int
transfer_open(transfer_t *t, const transfer_tls_t *tls)
{
    CURL  *easy;

    easy = curl_easy_init();

    if (easy == NULL) {
        return -1;
    }

    t->easy = easy;

    if (curl_easy_setopt(easy, CURLOPT_PRIVATE, t) != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->error) != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https")
           != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                            (long) CURL_HTTP_VERSION_1_1)
           != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L) != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L)
           != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_PROXY, "") != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, TRANSFER_CONNECT)
           != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, TRANSFER_BUFFER)
           != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, TRANSFER_UPLOAD)
           != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, TRANSFER_NAMES)
           != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION,
                            transfer_on_open)
           != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, t) != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION,
                            transfer_on_close)
           != CURLE_OK)
    {
        return -1;
    }

    return transfer_verify(t, tls);
}


static int
transfer_verify(transfer_t *t, const transfer_tls_t *tls)
{
    const char  *cacert;

    cacert = tls->cacert[0] ? tls->cacert : getenv("SSL_CERT_FILE");

    /* read again for each connection, if it is its user's own */

    if (cacert && cacert[0]
        && (curl_easy_setopt(t->easy, CURLOPT_CAINFO, cacert) != CURLE_OK
            || curl_easy_setopt(t->easy, CURLOPT_CAPATH, NULL) != CURLE_OK
            || curl_easy_setopt(t->easy, CURLOPT_CA_CACHE_TIMEOUT, 0L)
               != CURLE_OK))
    {
        return -1;
    }

    if (tls->cert[0]
        && (curl_easy_setopt(t->easy, CURLOPT_SSLCERT, tls->cert) != CURLE_OK
            || curl_easy_setopt(t->easy, CURLOPT_SSLKEY, tls->key)
               != CURLE_OK))
    {
        return -1;
    }

    return 0;
}


void
transfer_close(transfer_t *t)
{
    transfer_stop(t);
    curl_easy_cleanup(t->easy);
    t->easy = NULL;
}


int
transfer_start(transfer_t *t)
{
    t->error[0] = '\0';
    t->address.ss_family = AF_UNSPEC;

    if (curl_multi_add_handle(transfer_multi, t->easy) != CURLM_OK) {
        return -1;
    }

    t->running = 1;

    return 0;
}


CURLSH *
transfer_pool_open(void)
{
    CURLSH  *pool;

    pool = curl_share_init();

    if (pool
        && curl_share_setopt(pool, CURLSHOPT_SHARE, CURL_LOCK_DATA_CONNECT)
           != CURLSHE_OK)
    {
        (void) curl_share_cleanup(pool);
        return NULL;
    }

    return pool;
}


void
transfer_pool_close(CURLSH *pool)
{
    (void) curl_share_cleanup(pool);
}


int
transfer_set_pool(transfer_t *t, CURLSH *pool)
{
    if (t->pool == pool) {
        return 0;
    }

    if (curl_easy_setopt(t->easy, CURLOPT_SHARE, pool) != CURLE_OK) {
        return -1;
    }

    t->pool = pool;

    return 0;
}


void
transfer_stop(transfer_t *t)
{
    if (t->running) {
        t->running = 0;
        (void) curl_multi_remove_handle(transfer_multi, t->easy);
    }
}


void
transfer_resume(transfer_t *t)
{
    if (t->running) {
        (void) curl_easy_pause(t->easy, CURLPAUSE_CONT);
    }
}


void
transfer_guard(transfer_t *t)
{
    (void) curl_easy_setopt(t->easy, CURLOPT_SOCKOPTFUNCTION,
                            transfer_on_guard);
}


void
transfer_reason(transfer_t *t, CURLcode rc, reason_t why)
{
    long      error;
    buffer_t  address;

    error = 0;

    if (rc == CURLE_COULDNT_CONNECT) {
        (void) curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &error);
    }

    if (error) {
        memset(&address, 0, sizeof(address));
        transfer_address(t, &address);

        (void) reason(why, "connect%s%.*s: %s", address.len ? " to " : "",
                      REASON_TEXT, address.len ? address.start : "",
                      strerror((int) error));

        buffer_free(&address);
        return;
    }

    if (rc == CURLE_COULDNT_CONNECT && transfer_unopened) {
        (void) reason(why, "socket: %s", strerror(transfer_unopened));
        return;
    }

    (void) reason(why, "%s", t->error[0] ? t->error : curl_easy_strerror(rc));
}


static void
transfer_address(const transfer_t *t, buffer_t *text)
{
    char                        host[INET6_ADDRSTRLEN];
    const struct sockaddr_in   *sin;
    const struct sockaddr_in6  *sin6;

    sin = (const struct sockaddr_in *) &t->address;
    sin6 = (const struct sockaddr_in6 *) &t->address;

    if (t->address.ss_family == AF_INET
        && inet_ntop(AF_INET, &sin->sin_addr, host, sizeof(host)))
    {
        buffer_format(text, "%s:%u", host, ntohs(sin->sin_port));

    } else if (t->address.ss_family == AF_INET6
               && inet_ntop(AF_INET6, &sin6->sin6_addr, host, sizeof(host)))
    {
        buffer_format(text, "[%s]:%u", host, ntohs(sin6->sin6_port));
    }
}


static int
transfer_on_socket(CURL *easy, curl_socket_t fd, int what, void *data,
    void *socket)
{
    int                 rc;
    transfer_socket_t  *s;

    (void) easy;
    (void) data;
    (void) socket;

    s = transfer_socket(fd);

    if (s == NULL) {
        return -1;
    }

    s->wanted = (what & CURL_POLL_IN ? EPOLLIN : 0)
                | (what & CURL_POLL_OUT ? EPOLLOUT : 0);

    if (s->wanted == 0) {

        if (!s->own && s->added) {
            s->added = 0;
            (void) loop_remove(&s->ev);
        }

        return 0;
    }

    if (s->wanted == s->added) {
        return 0;
    }

    rc = s->added ? loop_change(&s->ev, s->wanted)
                  : loop_add(&s->ev, s->wanted);

    s->added = rc == 0 ? s->wanted : 0;

    return rc;
}


static transfer_socket_t *
transfer_socket(curl_socket_t fd)
{
    size_t               n;
    transfer_socket_t   *s, **sockets;

    if ((size_t) fd >= transfer_nsockets) {
        n = (size_t) fd + 64;
        sockets = realloc(transfer_sockets, n * sizeof(transfer_socket_t *));

        if (sockets == NULL) {
            return NULL;
        }

        memset(sockets + transfer_nsockets, 0,
               (n - transfer_nsockets) * sizeof(transfer_socket_t *));

        transfer_sockets = sockets;
        transfer_nsockets = n;
    }

    s = transfer_sockets[fd];

    if (s == NULL) {
        s = calloc(1, sizeof(*s));

        if (s == NULL) {
            return NULL;
        }

        s->ev.fd = fd;
        s->ev.handler = transfer_event;
        s->ev.data = s;

        transfer_sockets[fd] = s;
    }

    return s;
}


static int
transfer_on_timer(CURLM *m, long msec, void *data)
{
    (void) m;
    (void) data;

    if (msec == -1) {
        loop_unset(&transfer_timer);

    } else {
        loop_set(&transfer_timer, msec);
    }

    return 0;
}


static void
transfer_event(void *data, uint32_t events)
{
    int                 what, n;
    transfer_socket_t  *s = data;

    if (s->wanted == 0) {

        /* an idle connection was closed: libcurl sees to it in its own time */

        if (s->added) {
            s->added = 0;
            (void) loop_remove(&s->ev);
        }

        return;
    }

    what = (events & EPOLLIN ? CURL_CSELECT_IN : 0)
           | (events & EPOLLOUT ? CURL_CSELECT_OUT : 0)
           | (events & (EPOLLERR|EPOLLHUP) ? CURL_CSELECT_ERR : 0);

    (void) curl_multi_socket_action(transfer_multi, s->ev.fd, what, &n);

    loop_later(&transfer_work);
}


static void
transfer_expired(void *data)
{
    int  n;

    (void) data;

    (void) curl_multi_socket_action(transfer_multi, CURL_SOCKET_TIMEOUT, 0,
                                    &n);

    loop_later(&transfer_work);
}


static void
transfer_collect(void *data)
{
    int          n;
    CURLcode     rc;
    CURLMsg     *msg;
    transfer_t  *t;

    (void) data;

    for ( ;; ) {
        msg = curl_multi_info_read(transfer_multi, &n);

        if (msg == NULL) {
            return;
        }

        if (msg->msg != CURLMSG_DONE
            || curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &t)
               != CURLE_OK)
        {
            continue;
        }

        rc = msg->data.result;

        transfer_stop(t);
        t->done(t->data, rc);
    }
}


static curl_socket_t
transfer_on_open(void *data, curlsocktype type, struct curl_sockaddr *addr)
{
    int                 fd;
    size_t              len;
    transfer_t         *t = data;
    transfer_socket_t  *s;

    (void) type;

    len = addr->addrlen < sizeof(t->address) ? addr->addrlen
                                             : sizeof(t->address);
    memcpy(&t->address, &addr->addr, len);

    fd = socket(addr->family,
                addr->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                addr->protocol);

    transfer_unopened = fd == -1 ? errno : 0;

    if (fd == -1) {
        return CURL_SOCKET_BAD;
    }

    s = transfer_socket(fd);

    if (s == NULL) {
        close(fd);
        return CURL_SOCKET_BAD;
    }

    s->own = 1;
    s->wanted = 0;
    s->added = 0;

    return fd;
}


static int
transfer_on_close(void *data, curl_socket_t fd)
{
    transfer_socket_t  *s;

    (void) data;

    s = (size_t) fd < transfer_nsockets ? transfer_sockets[fd] : NULL;

    if (s) {
        s->own = 0;
        s->wanted = 0;
        s->added = 0;
    }

    return close(fd);
}


static int
transfer_on_guard(void *data, curl_socket_t fd, curlsocktype type)
{
    size_t  i;

    static const struct {
        int  level, name, value;
    } options[] = {
        { SOL_SOCKET, SO_KEEPALIVE, 1 },
        { IPPROTO_TCP, TCP_KEEPIDLE, TRANSFER_IDLE },
        { IPPROTO_TCP, TCP_KEEPINTVL, TRANSFER_INTERVAL },
        { IPPROTO_TCP, TCP_KEEPCNT, TRANSFER_PROBES },
        { IPPROTO_TCP, TCP_USER_TIMEOUT, TRANSFER_UNANSWERED }
    };

    (void) data;
    (void) type;

    for (i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        (void) setsockopt(fd, options[i].level, options[i].name,
                          &options[i].value, sizeof(int));
    }

    return CURL_SOCKOPT_OK;
}
