/*
 * Who asks through proxies: forward HOW PORT TARGET CONNECTIONS [BODY]
 *
 * HOW says what there is to the proxy on 127.0.0.1:PORT, and what through it:
 *
 *     https     TLS to the proxy, and requests of http://TARGET/metrics
 *     gateway   the same of https://TARGET/metrics
 *     tunnel    TLS to the proxy, CONNECT, and TLS to the target in that
 *     plain     no TLS to the proxy, CONNECT, and TLS to the target
 *     query     no TLS, and TARGET is a path: GET, or POST of BODY, a form
 *
 * "-each" behind tunnel and plain is a new one for each scrape. All others are
 * opened and scraped once, the proxy's turn by turn, and "open" is said. Then
 * each line read is a count of scrapes, done on all CONNECTIONS at once, and
 * what is printed is "MEDIAN P99 SECONDS", the former two microseconds from
 * when a request is sent, or its tunnel asked for, until its answer is whole.
 */


#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "client.h"


#define FORWARD_STACK   262144
#define FORWARD_ANSWER  65536


typedef struct {
    BIO            *bio;      /* what a request goes to */
    SSL            *outer;    /* to the proxy, or NULL */
    SSL            *inner;    /* to the target, or NULL */
    int             fd;

    pthread_t       thread;
    unsigned        count;    /* of scrapes */
    double         *took;
} forward_conn_t;


static void forward_options(const char *how);
static SSL_CTX *forward_tls(void);
static void forward_open(forward_conn_t *fc);
static void forward_connect(BIO *bio);
static BIO *forward_wrap(SSL *ssl, BIO *bio);
static void forward_close(forward_conn_t *fc);
static void forward_scrape(forward_conn_t *fc);
static int forward_request(char *buf, size_t size);
static size_t forward_answer(BIO *bio, char *buf, client_answer_t *answer);
static void *forward_run(void *data);
static void forward_scrapes(unsigned count);
static void forward_fail(const char *what);


static int              forward_port;
static const char      *forward_target;
static const char      *forward_scheme, *forward_body;
static int              forward_outer, forward_each, forward_query;
static SSL_CTX         *forward_ctx;
static unsigned         forward_conns;
static forward_conn_t  *forward_conn;


int
main(int argc, char **argv)
{
    char      line[64];
    unsigned  i;

    if (argc != 5 && argc != 6) {
        fprintf(stderr, "usage: forward HOW PORT TARGET CONNECTIONS [BODY]\n");
        return 2;
    }

    forward_options(argv[1]);

    forward_port = atoi(argv[2]);
    forward_target = argv[3];
    forward_conns = atoi(argv[4]);
    forward_body = argv[5];
    forward_ctx = forward_tls();

    forward_conn = calloc(forward_conns, sizeof(forward_conn_t));
    if (forward_conn == NULL) {
        forward_fail("no memory");
    }

    for (i = 0; i < forward_conns && !forward_each; i++) {
        forward_open(&forward_conn[i]);
        forward_scrape(&forward_conn[i]);
    }

    printf("open\n");
    fflush(stdout);

    while (fgets(line, sizeof(line), stdin)) {
        forward_scrapes(atoi(line));
    }

    return 0;
}


static void
forward_options(const char *how)
{
    size_t  len;

    len = strcspn(how, "-");

    forward_each = (strcmp(how + len, "-each") == 0);
    forward_query = (strcmp(how, "query") == 0);
    forward_outer = !forward_query && strncmp(how, "plain", len) != 0;

    if (strncmp(how, "https", len) == 0) {
        forward_scheme = "http";

    } else if (strncmp(how, "gateway", len) == 0) {
        forward_scheme = "https";

    } else if (forward_outer && strncmp(how, "tunnel", len) != 0) {
        forward_fail("HOW is https, gateway, tunnel, plain or query");
    }
}


/* all sides have one version, cipher and group; nobody is verified here */

static SSL_CTX *
forward_tls(void)
{
    SSL_CTX  *ctx;

    ctx = SSL_CTX_new(TLS_client_method());

    if (ctx == NULL
        || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1
        || SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") != 1
        || SSL_CTX_set1_groups_list(ctx, "X25519") != 1)
    {
        forward_fail("no TLS");
    }

    SSL_CTX_set_mode(ctx, SSL_MODE_AUTO_RETRY|SSL_MODE_RELEASE_BUFFERS);

    return ctx;
}


static void
forward_open(forward_conn_t *fc)
{
    BIO  *bio;

    fc->fd = client_connect(forward_port);
    if (fc->fd == -1) {
        forward_fail("no connection");
    }

    bio = BIO_new_socket(fc->fd, BIO_NOCLOSE);
    if (bio == NULL) {
        forward_fail("no memory");
    }

    if (forward_outer) {
        fc->outer = SSL_new(forward_ctx);
        bio = forward_wrap(fc->outer, bio);
    }

    if (forward_scheme == NULL && !forward_query) {
        forward_connect(bio);
        fc->inner = SSL_new(forward_ctx);
        bio = forward_wrap(fc->inner, bio);
    }

    fc->bio = bio;
}


static void
forward_connect(BIO *bio)
{
    int              len;
    char             buf[CLIENT_HEADER_MAX + 1];
    client_answer_t  answer;

    len = snprintf(buf, sizeof(buf), "CONNECT %s HTTP/1.1\r\nHost: %s\r\n"
                   "User-Agent: Prometheus/2.53.3\r\n\r\n", forward_target,
                   forward_target);

    if (BIO_write(bio, buf, len) != len) {
        forward_fail("CONNECT can't be sent");
    }

    (void) forward_answer(bio, buf, &answer);

    if (answer.status != 200) {
        fprintf(stderr, "forward: port %d: %.*s\n", forward_port,
                (int) answer.header, buf);
        exit(1);
    }
}


static BIO *
forward_wrap(SSL *ssl, BIO *bio)
{
    BIO  *wrap;

    if (ssl == NULL) {
        forward_fail("no memory");
    }

    SSL_set_bio(ssl, bio, bio);

    if (SSL_connect(ssl) != 1) {
        ERR_print_errors_fp(stderr);
        forward_fail("no handshake");
    }

    wrap = BIO_new(BIO_f_ssl());
    if (wrap == NULL) {
        forward_fail("no memory");
    }

    (void) BIO_set_ssl(wrap, ssl, BIO_CLOSE);

    return wrap;
}


/* one frees the other */

static void
forward_close(forward_conn_t *fc)
{
    if (fc->inner) {
        (void) SSL_shutdown(fc->inner);
    }

    if (fc->outer) {
        (void) SSL_shutdown(fc->outer);
    }

    BIO_free(fc->bio);
    close(fc->fd);

    memset(fc, 0, offsetof(forward_conn_t, thread));
}


static void
forward_scrape(forward_conn_t *fc)
{
    int              n, len;
    char             buf[2048];
    size_t           left;
    client_answer_t  answer;

    static _Thread_local char  sink[FORWARD_ANSWER + 1];

    len = forward_request(buf, sizeof(buf));

    if (BIO_write(fc->bio, buf, len) != len) {
        forward_fail("a request can't be sent");
    }

    left = forward_answer(fc->bio, sink, &answer);

    if (answer.status != 200) {
        fprintf(stderr, "forward: port %d: %.*s\n", forward_port,
                (int) answer.header, sink);
        exit(1);
    }

    for (left = answer.header + answer.body - left; left; left -= n) {
        n = BIO_read(fc->bio, sink,
                     left < FORWARD_ANSWER ? (int) left : FORWARD_ANSWER);

        if (n <= 0) {
            forward_fail("the connection ended in the body of an answer");
        }
    }
}


/* as Prometheus scrapes, and as Grafana asks */

static int
forward_request(char *buf, size_t size)
{
    int  len;

    if (forward_query) {
        len = snprintf(buf, size, "%s %s HTTP/1.1\r\n"
                       "Host: prometheus-proxy:9090\r\n"
                       "User-Agent: Grafana/12.0.0\r\n"
                       "Accept-Encoding: gzip\r\n",
                       forward_body ? "POST" : "GET", forward_target);

        if (forward_body == NULL) {
            return len + snprintf(buf + len, size - len, "\r\n");
        }

        return len + snprintf(buf + len, size - len,
                              "Content-Type: "
                              "application/x-www-form-urlencoded\r\n"
                              "Content-Length: %zu\r\n\r\n%s",
                              strlen(forward_body), forward_body);
    }

    return snprintf(buf, size, "GET %s%s%s/metrics HTTP/1.1\r\n"
                    "Host: %s\r\n"
                    "User-Agent: Prometheus/2.53.3\r\n"
                    "Accept: application/openmetrics-text;version=1.0.0;"
                    "q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
                    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2\r\n"
                    "Accept-Encoding: gzip\r\n"
                    "X-Prometheus-Scrape-Timeout-Seconds: 10\r\n\r\n",
                    forward_scheme ? forward_scheme : "",
                    forward_scheme ? "://" : "",
                    forward_scheme ? forward_target : "", forward_target);
}


/* returns how many bytes were read, perhaps of the body */

static size_t
forward_answer(BIO *bio, char *buf, client_answer_t *answer)
{
    int     n;
    size_t  len;

    len = 0;

    do {
        n = BIO_read(bio, buf + len, (int) (CLIENT_HEADER_MAX - len));

        if (n <= 0) {
            forward_fail("the connection ended in the header of an answer");
        }

        len += n;
        buf[len] = '\0';

    } while (strstr(buf, "\r\n\r\n") == NULL);

    /* that of CONNECT has no length */

    memset(answer, 0, sizeof(client_answer_t));
    (void) client_answer(buf, answer);

    return len;
}


static void *
forward_run(void *data)
{
    double           start;
    unsigned         i;
    forward_conn_t  *fc = data;

    for (i = 0; i < fc->count; i++) {
        start = client_now();

        if (forward_each) {
            forward_open(fc);
        }

        forward_scrape(fc);

        fc->took[i] = client_now() - start;

        if (forward_each) {
            forward_close(fc);
        }
    }

    return NULL;
}


static void
forward_scrapes(unsigned count)
{
    double          *took, start, seconds;
    unsigned         i, each;
    pthread_attr_t   attr;
    forward_conn_t  *fc;

    each = count / forward_conns;
    count = each * forward_conns;

    if (count == 0) {
        forward_fail("fewer scrapes than connections");
    }

    took = calloc(count, sizeof(double));
    if (took == NULL) {
        forward_fail("no memory");
    }

    (void) pthread_attr_init(&attr);
    (void) pthread_attr_setstacksize(&attr, FORWARD_STACK);

    start = client_now();

    for (i = 0; i < forward_conns; i++) {
        fc = &forward_conn[i];

        fc->count = each;
        fc->took = took + i * each;

        if (pthread_create(&fc->thread, &attr, forward_run, fc) != 0) {
            forward_fail("no thread");
        }
    }

    for (i = 0; i < forward_conns; i++) {
        (void) pthread_join(forward_conn[i].thread, NULL);
    }

    seconds = (client_now() - start) / 1e6;

    qsort(took, count, sizeof(double), client_compare);

    printf("%.1f %.1f %.4f\n", took[count / 2],
           took[(size_t) (count * 0.99)], seconds);
    fflush(stdout);

    free(took);
}


static void
forward_fail(const char *what)
{
    fprintf(stderr, "forward: port %d: %s\n", forward_port, what);
    exit(1);
}
