/*
 * A scraper for measurements: load PORT PATH COUNT STATUS [NAMES]
 *
 * Sends COUNT requests to 127.0.0.1:PORT, one after the other, on one
 * connection, with the headers of Prometheus. A "#" in PATH becomes a number
 * below NAMES, of five digits, another one in each request, in an order that
 * no cache likes. Each answer must have the status STATUS.
 *
 * Prints how long an answer took, in microseconds, and the size of the last
 * answer's body: "MEDIAN P99 MAX MEAN BYTES".
 */


#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>


#define LOAD_HEADER_MAX  16384

/* a prime: stepping by it meets every number below any NAMES but its own
   multiples once before the first one returns */

#define LOAD_STEP        7919


static int connect_to(int port);
static void request(int fd, const char *path, unsigned number);
static size_t answer(int fd, const char *status, int *closed);
static double now(void);
static int compare(const void *one, const void *two);
static void fail(const char *what);


int
main(int argc, char **argv)
{
    int       fd, port, closed;
    double   *took, start, sum;
    size_t    bytes;
    unsigned  i, count, names, number;

    if (argc != 5 && argc != 6) {
        fprintf(stderr, "usage: load PORT PATH COUNT STATUS [NAMES]\n");
        return 2;
    }

    port = atoi(argv[1]);
    count = atoi(argv[3]);
    names = (argc == 6) ? atoi(argv[5]) : 1;

    if (count == 0 || names == 0) {
        fail("COUNT and NAMES are 1 or more");
    }

    took = calloc(count, sizeof(double));
    if (took == NULL) {
        fail("no memory");
    }

    fd = -1;
    sum = 0;
    bytes = 0;

    for (i = 0; i < count; i++) {
        number = (unsigned) ((unsigned long long) i * LOAD_STEP % names);

        start = now();

        if (fd == -1) {
            fd = connect_to(port);
        }

        request(fd, argv[2], number);
        bytes = answer(fd, argv[4], &closed);

        took[i] = now() - start;
        sum += took[i];

        if (closed) {
            close(fd);
            fd = -1;
        }
    }

    qsort(took, count, sizeof(double), compare);

    printf("%.1f %.1f %.1f %.1f %zu\n", took[count / 2],
           took[(size_t) (count * 0.99)], took[count - 1], sum / count, bytes);

    return 0;
}


static int
connect_to(int port)
{
    int                 fd, one;
    struct sockaddr_in  sin;

    fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd == -1) {
        fail("socket");
    }

    one = 1;
    (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(int));

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_port = htons(port);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    if (connect(fd, (struct sockaddr *) &sin, sizeof(sin)) == -1) {
        fail("connect");
    }

    return fd;
}


static void
request(int fd, const char *path, unsigned number)
{
    int         len, before;
    char        buf[4096];
    const char *mark;

    mark = strchr(path, '#');
    before = mark ? (int) (mark - path) : (int) strlen(path);

    len = snprintf(buf, sizeof(buf), "GET %.*s", before, path);

    if (mark) {
        len += snprintf(buf + len, sizeof(buf) - len, "%05u%s", number,
                        mark + 1);
    }

    len += snprintf(buf + len, sizeof(buf) - len, " HTTP/1.1\r\n"
                    "Host: proxy:8000\r\n"
                    "User-Agent: Prometheus/2.53.3\r\n"
                    "Accept: application/openmetrics-text;version=1.0.0;"
                    "q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
                    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2\r\n"
                    "Accept-Encoding: gzip\r\n"
                    "X-Prometheus-Scrape-Timeout-Seconds: 10\r\n\r\n");

    if (write(fd, buf, len) != len) {
        fail("write");
    }
}


/* reads one answer, and returns the size of its body */

static size_t
answer(int fd, const char *status, int *closed)
{
    char         *line, *end;
    size_t        len, body, left;
    ssize_t       n;

    static char   buf[LOAD_HEADER_MAX + 1];
    static char   sink[262144];

    end = NULL;

    for (len = 0; end == NULL; len += n) {
        n = read(fd, buf + len, LOAD_HEADER_MAX - len);

        if (n <= 0) {
            fail("the connection ended in the header of an answer");
        }

        buf[len + n] = '\0';
        end = strstr(buf, "\r\n\r\n");
    }

    if (strncmp(buf, "HTTP/1.1 ", 9) != 0 || strncmp(buf + 9, status, 3) != 0)
    {
        *strstr(buf, "\r\n") = '\0';
        fail(buf);
    }

    body = 0;
    *closed = 0;

    for (line = strstr(buf, "\r\n"); line < end; line = strstr(line, "\r\n")) {
        line += 2;

        if (strncasecmp(line, "Content-Length:", 15) == 0) {
            body = strtoul(line + 15, NULL, 10);
        }

        if (strncasecmp(line, "Connection: close", 17) == 0) {
            *closed = 1;
        }

        if (strncasecmp(line, "Transfer-Encoding:", 18) == 0) {
            fail("an answer without a length");
        }
    }

    len -= end + 4 - buf;

    for (left = body - len; left; left -= n) {
        n = read(fd, sink, left < sizeof(sink) ? left : sizeof(sink));

        if (n <= 0) {
            fail("the connection ended in the body of an answer");
        }
    }

    return body;
}


static double
now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return ts.tv_sec * 1e6 + ts.tv_nsec / 1e3;
}


static int
compare(const void *one, const void *two)
{
    double  a, b;

    a = *(const double *) one;
    b = *(const double *) two;

    return (a > b) - (a < b);
}


static void
fail(const char *what)
{
    fprintf(stderr, "load: %s\n", what);
    exit(1);
}
