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


#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "client.h"


static void read_answer(int fd, int status, client_answer_t *answer);
static void fail(const char *what);


int
main(int argc, char **argv)
{
    int               fd, port, status;
    double           *took, start, sum;
    unsigned          i, count, names, number;
    client_answer_t   answer;

    if (argc != 5 && argc != 6) {
        fprintf(stderr, "usage: load PORT PATH COUNT STATUS [NAMES]\n");
        return 2;
    }

    port = atoi(argv[1]);
    count = atoi(argv[3]);
    status = atoi(argv[4]);
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

    for (i = 0; i < count; i++) {
        number = (unsigned) ((unsigned long long) i * CLIENT_STEP % names);

        start = client_now();

        if (fd == -1) {
            fd = client_connect(port);
        }

        if (fd == -1 || client_request(fd, argv[2], number) == -1) {
            fail("no connection");
        }

        read_answer(fd, status, &answer);

        took[i] = client_now() - start;
        sum += took[i];

        if (answer.closed) {
            close(fd);
            fd = -1;
        }
    }

    qsort(took, count, sizeof(double), client_compare);

    printf("%.1f %.1f %.1f %.1f %zu\n", took[count / 2],
           took[(size_t) (count * 0.99)], took[count - 1], sum / count,
           answer.body);

    return 0;
}


static void
read_answer(int fd, int status, client_answer_t *answer)
{
    int           rc;
    size_t        len, left;
    ssize_t       n;

    static char   buf[CLIENT_HEADER_MAX + 1];
    static char   sink[262144];

    len = 0;

    do {
        n = read(fd, buf + len, CLIENT_HEADER_MAX - len);

        if (n <= 0) {
            fail("the connection ended in the header of an answer");
        }

        len += n;
        buf[len] = '\0';

        rc = client_answer(buf, answer);

    } while (rc == 0);

    if (rc == -1) {
        fail("an answer without a length");
    }

    if (answer->status != status) {
        fprintf(stderr, "load: %.*s\n", (int) answer->header, buf);
        exit(1);
    }

    for (left = answer->header + answer->body - len; left; left -= n) {
        n = read(fd, sink, left < sizeof(sink) ? left : sizeof(sink));

        if (n <= 0) {
            fail("the connection ended in the body of an answer");
        }
    }
}


static void
fail(const char *what)
{
    fprintf(stderr, "load: %s\n", what);
    exit(1);
}
