/*
 * sessions-ask: has the sessions service do something; see control.h.
 *
 *     sessions-ask STATE REQUEST [WORD]
 *
 * Exit status 0 if the service has done it, or 1 behind a line that says why
 * not.
 */


#define _POSIX_C_SOURCE  200809L

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>


#define ASK_USAGE    2

#define ASK_SECONDS  20           /* the service answers within 10 */
#define ASK_MAX      4096


static int ask_connect(const char *state);
static int ask_send(int fd, int count, char **words);
static int ask_receive(int fd);


static const char  ask_usage[] =
    "usage: sessions-ask STATE reload\n"
    "       sessions-ask STATE remove NAME\n"
    "\n"
    "has the sessions service of STATE (/run/monitoring-proxy) look at its\n"
    "files, or end a host's session and leave the host out\n";


int
main(int argc, char **argv)
{
    int  fd, rc;

    if (argc == 2
        && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0))
    {
        fputs(ask_usage, stdout);
        return 0;
    }

    if (argc < 3 || argc > 4) {
        fputs(ask_usage, stderr);
        return ASK_USAGE;
    }

    (void) signal(SIGPIPE, SIG_IGN);

    fd = ask_connect(argv[1]);

    if (fd == -1) {
        printf("the sessions service does not answer: %s\n", strerror(errno));
        return 1;
    }

    rc = ask_send(fd, argc - 2, &argv[2]);

    if (rc == 0) {
        rc = ask_receive(fd);
    }

    close(fd);

    return rc;
}


static int
ask_connect(const char *state)
{
    int                 n, fd;
    struct timeval      tv;
    struct sockaddr_un  sun;

    memset(&sun, 0, sizeof(sun));
    sun.sun_family = AF_UNIX;

    n = snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/sessions.sock",
                 state);

    if (n < 0 || (size_t) n >= sizeof(sun.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }

    fd = socket(AF_UNIX, SOCK_STREAM, 0);

    if (fd == -1) {
        return -1;
    }

    tv.tv_sec = ASK_SECONDS;
    tv.tv_usec = 0;

    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == -1
        || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) == -1
        || connect(fd, (struct sockaddr *) &sun, sizeof(sun)) == -1)
    {
        n = errno;
        close(fd);
        errno = n;
        return -1;
    }

    return fd;
}


static int
ask_send(int fd, int count, char **words)
{
    int      i, n;
    char     line[ASK_MAX];
    size_t   len;
    ssize_t  written;

    len = 0;

    for (i = 0; i < count; i++) {

        /* a word that is two would ask for something else */

        if (*words[i] == '\0' || strpbrk(words[i], " \t\r\n")) {
            fputs(ask_usage, stderr);
            return ASK_USAGE;
        }

        n = snprintf(line + len, sizeof(line) - len, "%s%c", words[i],
                     i + 1 < count ? ' ' : '\n');

        if (n < 0 || (size_t) n >= sizeof(line) - len) {
            fputs(ask_usage, stderr);
            return ASK_USAGE;
        }

        len += (size_t) n;
    }

    written = write(fd, line, len);

    if (written != (ssize_t) len) {
        puts("the sessions service does not listen");
        return 1;
    }

    return 0;
}


static int
ask_receive(int fd)
{
    char     answer[ASK_MAX];
    size_t   len;
    ssize_t  n;

    len = 0;

    while (len < sizeof(answer) - 1) {

        n = read(fd, answer + len, sizeof(answer) - 1 - len);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n <= 0) {
            break;
        }

        len += (size_t) n;
    }

    answer[len] = '\0';
    answer[strcspn(answer, "\n")] = '\0';

    if (strcmp(answer, "ok") == 0) {
        return 0;
    }

    if (strncmp(answer, "no ", 3) == 0) {
        puts(answer + 3);

    } else {
        puts("the sessions service has not answered in time");
    }

    return 1;
}
