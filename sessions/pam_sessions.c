/*
 * pam_sessions.so: asks the sessions service whether a session of sshd's may
 * be, and limits it to the ports that it may have:
 *
 *     session required pam_sessions.so [socket=PATH]
 *
 * sshd opens the session behind the login and before its client can ask for
 * ports, in a process whose children are the session.  Without a good answer
 * it is refused: sshd then forwards nothing, but keeps the session, and its
 * client may wait for ever.  So it is ended, once the client had time to see
 * that it has no port.
 */


#define _GNU_SOURCE

#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* what it declares is all that others see of the module */

#pragma GCC visibility push(default)
#include <security/pam_modules.h>
#pragma GCC visibility pop

#include "ruleset.h"


#define PAM_SESSIONS_SOCKET   "/run/monitoring-proxy/sessions.sock"

#define PAM_SESSIONS_CONNECT  5000     /* ms, as the service may be starting */
#define PAM_SESSIONS_ANSWER   15000    /* ms, all in all */
#define PAM_SESSIONS_RETRY    50
#define PAM_SESSIONS_LINGER   3000     /* ms, of a refused one */
#define PAM_SESSIONS_TERM     1000     /* ms, between SIGTERM and SIGKILL */

#define PAM_SESSIONS_REQUEST  32768
#define PAM_SESSIONS_LINE     256


/* what the service answers, read piece by piece */

typedef struct {
    int                  fd;
    int64_t              until;
    size_t               pos;
    size_t               len;
    char                 buf[1024];
    char                 line[PAM_SESSIONS_LINE];
} pam_sessions_answer_t;


static int pam_sessions_open(pam_handle_t *pamh, const char *path);
static int pam_sessions_request(pam_handle_t *pamh, char *buf, size_t size);
static int pam_sessions_word(const char **text, const char *more,
    const char **word);
static int pam_sessions_connect(const char *path, int64_t until);
static int pam_sessions_send(int fd, const char *buf, size_t len,
    int64_t until);
static int pam_sessions_obey(pam_sessions_answer_t *answer);
static int pam_sessions_limit(pam_sessions_answer_t *answer);
static int pam_sessions_line(pam_sessions_answer_t *answer);
static int pam_sessions_wait(int fd, short events, int64_t until);
static void pam_sessions_end(pam_handle_t *pamh);
static void pam_sessions_kill(uid_t uid);
static int64_t pam_sessions_now(void);


int
pam_sm_open_session(pam_handle_t *pamh, int flags, int argc,
    const char **argv)
{
    int          i, error;
    const char  *path;

    (void) flags;

    path = PAM_SESSIONS_SOCKET;

    for (i = 0; i < argc; i++) {
        if (strncmp(argv[i], "socket=", 7) == 0) {
            path = argv[i] + 7;
        }
    }

    error = pam_sessions_open(pamh, path);

    if (error == 0) {
        return PAM_SUCCESS;
    }

    /* the service tells why it refuses; nobody else tells the rest */

    if (error != EACCES) {
        dprintf(STDERR_FILENO, "session refused: %s: %s\r\n", path,
                strerror(error));
    }

    pam_sessions_end(pamh);

    return PAM_SESSION_ERR;
}


/* its end is seen by the service, however it comes */

int
pam_sm_close_session(pam_handle_t *pamh, int flags, int argc,
    const char **argv)
{
    (void) pamh;
    (void) flags;
    (void) argc;
    (void) argv;

    return PAM_SUCCESS;
}


/* returns 0 or an error; EACCES: the service said no */

static int
pam_sessions_open(pam_handle_t *pamh, const char *path)
{
    int                    error, len;
    char                  *request;
    int64_t                now;
    pam_sessions_answer_t  answer;

    now = pam_sessions_now();

    /* a certificate is too much for a short stack */

    request = malloc(PAM_SESSIONS_REQUEST);

    if (request == NULL) {
        return ENOMEM;
    }

    len = pam_sessions_request(pamh, request, PAM_SESSIONS_REQUEST);

    if (len == -1) {
        error = EINVAL;
        goto done;
    }

    answer.fd = pam_sessions_connect(path, now + PAM_SESSIONS_CONNECT);

    if (answer.fd == -1) {
        error = errno;
        goto done;
    }

    answer.until = now + PAM_SESSIONS_ANSWER;
    answer.pos = 0;
    answer.len = 0;

    error = pam_sessions_send(answer.fd, request, (size_t) len, answer.until);

    if (error == 0) {
        error = pam_sessions_obey(&answer);
    }

    close(answer.fd);

done:

    free(request);

    return error;
}


/*
 * SSH_AUTH_INFO_0 is "publickey TYPE BASE64", SSH_CONNECTION "ADDRESS PORT
 * ADDRESS PORT" with the client's first.  What follows is not for us.
 */

static int
pam_sessions_request(pam_handle_t *pamh, char *buf, size_t size)
{
    int          n, type_len, key_len, address_len, port_len;
    const char  *info, *connection, *type, *key, *address, *port;

    static const char  method[] = "publickey ";

    info = pam_getenv(pamh, "SSH_AUTH_INFO_0");
    connection = pam_getenv(pamh, "SSH_CONNECTION");

    if (info == NULL || connection == NULL
        || strncmp(info, method, sizeof(method) - 1) != 0)
    {
        return -1;
    }

    info += sizeof(method) - 1;

    type_len = pam_sessions_word(&info, "-@.", &type);
    key_len = pam_sessions_word(&info, "+/=", &key);
    address_len = pam_sessions_word(&connection, ".:%-_", &address);
    port_len = pam_sessions_word(&connection, "", &port);

    if (type_len <= 0 || key_len <= 0 || address_len <= 0 || port_len <= 0) {
        return -1;
    }

    n = snprintf(buf, size, "open %ld %.*s %.*s %.*s %.*s\n",
                 (long) getpid(), type_len, type, key_len, key, address_len,
                 address, port_len, port);

    return n < 0 || (size_t) n >= size ? -1 : n;
}


/*
 * Takes a word of letters, digits and more, and the space behind it; returns
 * its length, or -1 if something else is in it.
 */

static int
pam_sessions_word(const char **text, const char *more, const char **word)
{
    int          len;
    const char  *p;

    *word = *text;

    for (p = *text; *p != '\0' && *p != ' ' && *p != '\n'; p++) {

        if ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z')
            || (*p >= '0' && *p <= '9') || strchr(more, *p))
        {
            continue;
        }

        return -1;
    }

    len = p - *text < PAM_SESSIONS_REQUEST ? (int) (p - *text) : -1;

    *text = *p == ' ' ? p + 1 : p;

    return len;
}


/* tries again while nobody listens there, or too many are in the queue */

static int
pam_sessions_connect(const char *path, int64_t until)
{
    int                 fd, error;
    struct sockaddr_un  un;

    memset(&un, 0, sizeof(un));
    un.sun_family = AF_UNIX;

    if (strlen(path) >= sizeof(un.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }

    strcpy(un.sun_path, path);

    for ( ;; ) {

        fd = socket(AF_UNIX, SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC, 0);

        if (fd == -1) {
            return -1;
        }

        if (connect(fd, (struct sockaddr *) &un, sizeof(un)) == 0) {
            return fd;
        }

        error = errno;
        close(fd);

        if ((error != ENOENT && error != ECONNREFUSED && error != EAGAIN
             && error != EINTR)
            || pam_sessions_now() >= until)
        {
            errno = error;
            return -1;
        }

        (void) poll(NULL, 0, PAM_SESSIONS_RETRY);
    }
}


static int
pam_sessions_send(int fd, const char *buf, size_t len, int64_t until)
{
    int      error;
    ssize_t  n;

    while (len) {

        n = send(fd, buf, len, MSG_NOSIGNAL);

        if (n == -1 && errno == EAGAIN) {
            error = pam_sessions_wait(fd, POLLOUT, until);

            if (error) {
                return error;
            }

        } else if (n == -1 && errno != EINTR) {
            return errno;

        } else if (n > 0) {
            buf += n;
            len -= (size_t) n;
        }
    }

    return 0;
}


/* "ok NAME" and ports, one a line; or "no REASON" */

static int
pam_sessions_obey(pam_sessions_answer_t *answer)
{
    int  error;

    error = pam_sessions_line(answer);

    if (error) {
        return error;
    }

    if (strncmp(answer->line, "ok ", 3) != 0) {
        return strncmp(answer->line, "no ", 3) == 0 ? EACCES : EPROTO;
    }

    /* sshd's own list of ports holds in any case */

    return landlock_available() ? pam_sessions_limit(answer) : 0;
}


static int
pam_sessions_limit(pam_sessions_answer_t *answer)
{
    int  error, rc, ruleset;

    ruleset = landlock_ruleset(LANDLOCK_BIND);

    if (ruleset == -1) {
        return errno;
    }

    for ( ;; ) {

        error = pam_sessions_line(answer);

        if (error || strcmp(answer->line, "*\n") == 0) {
            break;
        }

        rc = landlock_allow(ruleset, answer->line);

        if (rc) {
            error = rc == -1 ? errno : EPROTO;
            break;
        }
    }

    if (error == ENODATA) {
        error = landlock_restrict(ruleset) == -1 ? errno : 0;
    }

    close(ruleset);

    return error;
}


/* reads a line with its line feed; ENODATA: there is none any more */

static int
pam_sessions_line(pam_sessions_answer_t *answer)
{
    int      error;
    char     ch;
    size_t   len;
    ssize_t  n;

    len = 0;

    for ( ;; ) {

        while (answer->pos < answer->len) {
            ch = answer->buf[answer->pos++];

            if (len + 1 < sizeof(answer->line)) {
                answer->line[len++] = ch;
            }

            if (ch == '\n') {
                answer->line[len] = '\0';
                return 0;
            }
        }

        n = read(answer->fd, answer->buf, sizeof(answer->buf));

        if (n > 0) {
            answer->pos = 0;
            answer->len = (size_t) n;

        } else if (n == 0) {
            return len ? EPROTO : ENODATA;

        } else if (errno == EAGAIN) {
            error = pam_sessions_wait(answer->fd, POLLIN, answer->until);

            if (error) {
                return error;
            }

        } else if (errno != EINTR) {
            return errno;
        }
    }
}


static int
pam_sessions_wait(int fd, short events, int64_t until)
{
    int            n;
    int64_t        left;
    struct pollfd  pfd;

    pfd.fd = fd;
    pfd.events = events;

    do {
        left = until - pam_sessions_now();

        if (left <= 0) {
            return ETIMEDOUT;
        }

        n = poll(&pfd, 1, (int) left);

    } while (n == 0 || (n == -1 && errno == EINTR));

    return n == -1 ? errno : 0;
}


/*
 * Leaves a process in the session's group that ends all of the group, itself
 * too: so there is no number that may be another's by then.  The service does
 * the same a second before where it was its no, and still runs.
 */

static void
pam_sessions_end(pam_handle_t *pamh)
{
    int             status;
    uid_t           uid;
    pid_t           pid;
    const char     *user;
    struct passwd  *pw;

    /* a group of others is not ours to end */

    if (getpgrp() != getpid()) {
        return;
    }

    uid = 0;

    if (pam_get_item(pamh, PAM_USER, (const void **) &user) == PAM_SUCCESS
        && user)
    {
        pw = getpwnam(user);
        uid = pw ? pw->pw_uid : 0;
    }

    pid = fork();

    if (pid == 0) {

        /* its parent is none that would wonder about a child */

        if (fork() == 0) {
            pam_sessions_kill(uid);
        }

        _exit(0);
    }

    while (pid != -1 && waitpid(pid, &status, 0) == -1 && errno == EINTR) {
        /* void */
    }
}


/* the user's processes are signalled as the user: there is no CAP_KILL */

static void
pam_sessions_kill(uid_t uid)
{
    (void) signal(SIGTERM, SIG_IGN);
    (void) syscall(SYS_close_range, 0, ~0U, 0);

    (void) usleep(PAM_SESSIONS_LINGER * 1000);

    if (uid) {
        (void) !seteuid(uid);
    }

    (void) kill(0, SIGTERM);
    (void) usleep(PAM_SESSIONS_TERM * 1000);
    (void) kill(0, SIGKILL);
}


static int64_t
pam_sessions_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
