/*
 * A client of HTTP/1.1, as much of it as measurements need.
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
#include "client.h"


int
client_connect(int port)
{
    int                 fd, one;
    struct sockaddr_in  sin;

    fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd == -1) {
        return -1;
    }

    one = 1;
    (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(int));

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_port = htons(port);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    if (connect(fd, (struct sockaddr *) &sin, sizeof(sin)) == -1) {
        close(fd);
        return -1;
    }

    return fd;
}


int
client_request(int fd, const char *path, unsigned number)
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

    return send(fd, buf, len, MSG_NOSIGNAL) == len ? 0 : -1;
}


int
client_answer(const char *buf, client_answer_t *answer)
{
    int          known;
    const char  *line, *end;

    end = strstr(buf, "\r\n\r\n");
    if (end == NULL) {
        return 0;
    }

    if (sscanf(buf, "HTTP/1.1 %d ", &answer->status) != 1) {
        return -1;
    }

    known = 0;

    answer->header = end + 4 - buf;
    answer->body = 0;
    answer->closed = 0;

    for (line = strstr(buf, "\r\n"); line < end; line = strstr(line, "\r\n")) {
        line += 2;

        if (strncasecmp(line, "Content-Length:", 15) == 0) {
            answer->body = strtoul(line + 15, NULL, 10);
            known = 1;
        }

        if (strncasecmp(line, "Connection: close", 17) == 0) {
            answer->closed = 1;
        }
    }

    return known ? 1 : -1;
}


double
client_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return ts.tv_sec * 1e6 + ts.tv_nsec / 1e3;
}


int
client_compare(const void *one, const void *two)
{
    double  a, b;

    a = *(const double *) one;
    b = *(const double *) two;

    return (a > b) - (a < b);
}
