/*
 * A connection asks once.  While an answer takes its time, the loop goes on
 * with the others.
 */


#define _GNU_SOURCE

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.h"
#include "log.h"
#include "loop.h"


#define CONTROL_CONNECTIONS  1024
#define CONTROL_LINE         32768
#define CONTROL_WORDS        6
#define CONTROL_READ         4096
#define CONTROL_TIME         15000    /* ms, for all */
#define CONTROL_REMOVE       5000     /* ms, until a session is gone */
#define CONTROL_REASON       512


typedef struct conn_s {
    TAILQ_ENTRY(conn_s)      queue;
    control_t               *control;
    loop_event_t             event;
    int64_t                  until;
    char                    *buf;         /* the line, then the answer */
    size_t                   len;
    size_t                   sent;
    unsigned                 answered:1;
    unsigned                 excess:1;    /* bytes that aren't read */
    long                     pid;         /* of open, or 0 */
    session_t               *session;     /* that is opening */
    char                    *name;        /* whose sessions are ending */
} conn_t;


struct control_s {
    TAILQ_HEAD(, conn_s)     conns;
    unsigned                 count;
    unsigned                 paused:1;
    int64_t                  told;        /* that descriptors ran out */
    loop_event_t             event;
    sessions_t              *sessions;
    files_t                 *files;
};


static int control_listen(control_t *control, const char *path);
static void control_accept(void *data, uint32_t events);
static void control_pause(control_t *control, int error);
static conn_t *conn_open(control_t *control, int fd);
static void conn_event(void *data, uint32_t events);
static void conn_read(conn_t *conn);
static void conn_line(conn_t *conn);
static void conn_ask_open(conn_t *conn, char **words);
static void conn_ask_reload(conn_t *conn);
static void conn_ask_remove(conn_t *conn, const char *name);
static int conn_step(conn_t *conn, int64_t now);
static void conn_say(conn_t *conn, const char *reason);
static void conn_answer(void *data, const char *text, size_t len);
static void conn_write(conn_t *conn);
static void conn_drain(conn_t *conn);
static void conn_close(conn_t *conn);


control_t *
control_open(const char *path, sessions_t *sessions, files_t *files)
{
    control_t  *control;

    control = calloc(1, sizeof(control_t));

    if (control == NULL) {
        log_line("out of memory");
        return NULL;
    }

    TAILQ_INIT(&control->conns);

    control->event.fd = -1;
    control->event.handler = control_accept;
    control->event.data = control;
    control->sessions = sessions;
    control->files = files;
    control->told = -CONTROL_TIME;

    if (control_listen(control, path) == -1
        || loop_add(&control->event, EPOLLIN) == -1)
    {
        log_line("%s: cannot listen: %s", path, strerror(errno));
        control_close(control);
        return NULL;
    }

    return control;
}


void
control_close(control_t *control)
{
    conn_t  *conn;

    while ((conn = TAILQ_FIRST(&control->conns))) {
        conn->session = NULL;
        conn_close(conn);
    }

    loop_close(&control->event);
    free(control);
}


/* whoever finds the socket can connect to it */

static int
control_listen(control_t *control, const char *path)
{
    int                 n;
    struct sockaddr_un  un;

    memset(&un, 0, sizeof(un));
    un.sun_family = AF_UNIX;

    n = snprintf(un.sun_path, sizeof(un.sun_path), "%s.new", path);

    if ((size_t) n >= sizeof(un.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }

    control->event.fd = socket(AF_UNIX,
                               SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC, 0);

    if (control->event.fd == -1) {
        return -1;
    }

    (void) unlink(un.sun_path);

    if (bind(control->event.fd, (struct sockaddr *) &un, sizeof(un)) == -1
        || chmod(un.sun_path, 0600) == -1
        || listen(control->event.fd, CONTROL_CONNECTIONS) == -1
        || rename(un.sun_path, path) == -1)
    {
        return -1;
    }

    return 0;
}


static void
control_accept(void *data, uint32_t events)
{
    int            fd;
    socklen_t      len;
    control_t     *control = data;
    struct ucred   cred;

    (void) events;

    fd = accept4(control->event.fd, NULL, NULL, SOCK_NONBLOCK|SOCK_CLOEXEC);

    if (fd == -1) {
        control_pause(control, errno);
        return;
    }

    len = sizeof(cred);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == -1
        || cred.uid != 0)
    {
        log_line("a connection to the socket that isn't root's, refused");
        close(fd);
        return;
    }

    if (conn_open(control, fd) == NULL) {
        close(fd);
        return;
    }

    if (control->count == CONTROL_CONNECTIONS) {
        control_pause(control, 0);
    }
}


/* until the next step; who connects meanwhile waits in the queue */

static void
control_pause(control_t *control, int error)
{
    if (error == EAGAIN || error == EINTR || error == ECONNABORTED) {
        return;
    }

    if (error && loop_now() >= control->told + CONTROL_TIME) {
        control->told = loop_now();
        log_line("cannot accept connections: %s%s", strerror(error),
                 error == EMFILE ? "; raise the container's limit \"nofile\""
                                 : "");
    }

    control->paused = loop_change(&control->event, 0) == 0;
}


int
control_step(control_t *control)
{
    int      busy;
    conn_t  *conn, *next;
    int64_t  now;

    busy = control->paused;
    now = loop_now();

    for (conn = TAILQ_FIRST(&control->conns); conn; conn = next) {
        next = TAILQ_NEXT(conn, queue);
        busy |= conn_step(conn, now);
    }

    if (control->paused && control->count < CONTROL_CONNECTIONS
        && loop_change(&control->event, EPOLLIN) == 0)
    {
        control->paused = 0;
    }

    return busy;
}


static conn_t *
conn_open(control_t *control, int fd)
{
    conn_t  *conn;

    conn = calloc(1, sizeof(conn_t));

    if (conn == NULL) {
        return NULL;
    }

    conn->control = control;
    conn->until = loop_now() + CONTROL_TIME;
    conn->event.fd = fd;
    conn->event.handler = conn_event;
    conn->event.data = conn;

    if (loop_add(&conn->event, EPOLLIN) == -1) {
        free(conn);
        return NULL;
    }

    TAILQ_INSERT_TAIL(&control->conns, conn, queue);
    control->count++;

    return conn;
}


static void
conn_event(void *data, uint32_t events)
{
    conn_t  *conn = data;

    if (conn->answered && conn->sent < conn->len) {
        conn_write(conn);

    } else if (conn->answered) {
        conn_drain(conn);

    } else if (conn->session || conn->name) {

        /* it is not asked for anything but its end */

        if (events & (EPOLLHUP|EPOLLERR)) {
            conn_close(conn);
        }

    } else {
        conn_read(conn);
    }
}


static void
conn_read(conn_t *conn)
{
    char     *buf, *end;
    ssize_t   n;

    buf = realloc(conn->buf, conn->len + CONTROL_READ);

    if (buf == NULL) {
        conn_close(conn);
        return;
    }

    conn->buf = buf;

    n = recv(conn->event.fd, buf + conn->len, CONTROL_READ, 0);

    if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }

    if (n <= 0) {
        conn_close(conn);
        return;
    }

    end = memchr(buf + conn->len, '\n', (size_t) n);
    conn->len += (size_t) n;

    if (end) {
        *end = '\0';

        /* while it is asked for nothing, only its end is of interest */

        (void) loop_change(&conn->event, 0);
        conn_line(conn);

    } else if (conn->len > CONTROL_LINE) {
        conn->excess = 1;
        conn_say(conn, "the line is too long");
    }
}


static void
conn_line(conn_t *conn)
{
    char  *words[CONTROL_WORDS + 1], *p;
    int    n;

    n = 0;
    p = conn->buf;

    while ((words[n] = strsep(&p, " ")) && n < CONTROL_WORDS) {
        n++;
    }

    if (n == CONTROL_WORDS && words[n] == NULL
        && strcmp(words[0], "open") == 0)
    {
        conn_ask_open(conn, words);

    } else if (n == 1 && strcmp(words[0], "reload") == 0) {
        conn_ask_reload(conn);

    } else if (n == 2 && strcmp(words[0], "remove") == 0 && *words[1]) {
        conn_ask_remove(conn, words[1]);

    } else {
        conn_say(conn, "it is none of: open PID TYPE BASE64 ADDRESS PORT, "
                       "reload, remove NAME");
    }
}


static void
conn_ask_open(conn_t *conn, char **words)
{
    int              i;
    char            *end;
    session_login_t  login;

    login.pid = strtol(words[1], &end, 10);

    for (i = 1; i < CONTROL_WORDS; i++) {
        if (*words[i] == '\0') {
            login.pid = 0;
        }
    }

    /* 1 and what has no number here is no session */

    if (*end != '\0' || login.pid <= 1 || login.pid > INT32_MAX
        || strlen(words[4]) >= NGX_PROM_TUNNELS_ADDRESS)
    {
        conn_say(conn, "it is not: open PID TYPE BASE64 ADDRESS PORT");
        return;
    }

    login.type = words[2];
    login.key = words[3];
    login.address = words[4];

    files_fresh(conn->control->files);

    conn->pid = login.pid;
    conn->session = session_open(conn->control->sessions, &login,
                                 conn_answer, conn);
}


static void
conn_ask_reload(conn_t *conn)
{
    char  reason[CONTROL_REASON];

    conn_say(conn, files_reload(conn->control->files, reason, sizeof(reason))
                   == 0 ? NULL : reason);
}


static void
conn_ask_remove(conn_t *conn, const char *name)
{
    char     reason[CONTROL_REASON];
    int64_t  now;

    if (files_remove(conn->control->files, name, reason, sizeof(reason))
        == -1)
    {
        conn_say(conn, reason);
        return;
    }

    conn->name = strdup(name);

    if (conn->name == NULL) {
        conn_say(conn, "out of memory");
        return;
    }

    now = loop_now();
    conn->until = now + CONTROL_REMOVE;
    (void) conn_step(conn, now);
}


/* returns 1 if there is something to wait for */

static int
conn_step(conn_t *conn, int64_t now)
{
    if (conn->name && !conn->answered) {

        if (!sessions_ending(conn->control->sessions, conn->name)) {
            conn_say(conn, NULL);

        } else if (now >= conn->until) {
            conn_say(conn, "its session has not ended yet");
        }

        return 1;
    }

    if (now < conn->until) {
        return 0;
    }

    conn_close(conn);

    return 0;
}


/* NULL is for "ok" */

static void
conn_say(conn_t *conn, const char *reason)
{
    int   n;
    char  text[CONTROL_REASON + 8];

    n = snprintf(text, sizeof(text) - 1, reason ? "no %s" : "ok%s",
                 reason ? reason : "");

    if ((size_t) n > sizeof(text) - 2) {
        n = sizeof(text) - 2;
    }

    text[n++] = '\n';

    conn_answer(conn, text, (size_t) n);
}


/* written from the loop, as who calls this isn't done with the connection */

static void
conn_answer(void *data, const char *text, size_t len)
{
    char    *buf;
    conn_t  *conn = data;

    conn->session = NULL;
    conn->answered = 1;
    conn->sent = 0;
    conn->until = loop_now() + CONTROL_TIME;

    buf = malloc(len);

    if (buf) {
        memcpy(buf, text, len);
    } else {
        len = 0;
    }

    free(conn->buf);
    conn->buf = buf;
    conn->len = len;

    (void) loop_change(&conn->event, EPOLLOUT);
}


static void
conn_write(conn_t *conn)
{
    ssize_t  n;

    while (conn->sent < conn->len) {

        n = send(conn->event.fd, conn->buf + conn->sent,
                 conn->len - conn->sent, MSG_NOSIGNAL);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n == -1 && errno == EAGAIN) {
            return;
        }

        if (n == -1) {
            conn_close(conn);
            return;
        }

        conn->sent += (size_t) n;
    }

    if (conn->excess && shutdown(conn->event.fd, SHUT_WR) == 0
        && loop_change(&conn->event, EPOLLIN) == 0)
    {
        return;
    }

    conn_close(conn);
}


/* with bytes unread, the other side would get an error for the answer */

static void
conn_drain(conn_t *conn)
{
    char     buf[CONTROL_READ];
    ssize_t  n;

    n = recv(conn->event.fd, buf, sizeof(buf), 0);

    if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR)) {
        conn_close(conn);
    }
}


static void
conn_close(conn_t *conn)
{
    control_t  *control;

    control = conn->control;

    TAILQ_REMOVE(&control->conns, conn, queue);
    control->count--;

    if (conn->session) {
        session_cancel(conn->session);
    }

    if (conn->pid && conn->answered && conn->sent < conn->len) {
        session_unheard(control->sessions, conn->pid);
    }

    loop_close(&conn->event);
    free(conn->name);
    free(conn->buf);
    free(conn);
}
