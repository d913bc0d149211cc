/*
 * A worker that doesn't read is disconnected: it connects again, and is told
 * all at once, once it is able to.
 */


#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"
#include "loop.h"
#include "socket.h"
#include "wipe.h"


#define SOCKET_LINE     256           /* bytes of a line of a worker */
#define SOCKET_WORKERS  1024
#define SOCKET_REST     1000          /* ms, when there is no descriptor */


typedef struct socket_worker_s  socket_worker_t;

struct socket_worker_s {
    socket_worker_t   *next;
    loop_event_t       ev;
    int                waiting;       /* for its turn to write */
    buffer_t           out;
    size_t             sent;
    char               in[SOCKET_LINE];
    size_t             len;
};


static int socket_lock(const char *path, reason_t why);
static int socket_listen(const char *path, reason_t why);
static void socket_event(void *data, uint32_t events);
static void socket_rested(void *data);
static void socket_accept(int fd);
static void socket_worker_event(void *data, uint32_t events);
static int socket_read(socket_worker_t *w);
static int socket_lines(socket_worker_t *w);
static void socket_compact(socket_worker_t *w);
static int socket_write(socket_worker_t *w);
static void socket_drop(socket_worker_t *w, const char *why);


static loop_event_t      socket_ev = { -1, socket_event, NULL };
static int               socket_lock_fd = -1;
static loop_timer_t      socket_timer = { .handler = socket_rested };
static const char       *socket_path;
static size_t            socket_max;
static socket_greet_pt   socket_greet;
static socket_line_pt    socket_line;

static unsigned          socket_nworkers;
static socket_worker_t  *socket_workers;

/* an event of theirs may still come */

static socket_worker_t  *socket_spare;


int
socket_open(const char *path, size_t max, socket_greet_pt greet,
    socket_line_pt line, reason_t why)
{
    if (socket_lock(path, why) == -1 || socket_listen(path, why) == -1) {
        return -1;
    }

    socket_max = max;
    socket_greet = greet;
    socket_line = line;

    if (loop_add(&socket_ev, EPOLLIN) == -1) {
        return reason(why, "epoll: %s", strerror(errno));
    }

    return 0;
}


/* which the kernel takes back, however we end */

static int
socket_lock(const char *path, reason_t why)
{
    char  lock[sizeof(((struct sockaddr_un *) NULL)->sun_path) + 8];

    if (strlen(path) >= sizeof(((struct sockaddr_un *) NULL)->sun_path)) {
        return reason(why, "its path has more than %zu bytes",
                      sizeof(((struct sockaddr_un *) NULL)->sun_path) - 1);
    }

    (void) snprintf(lock, sizeof(lock), "%s.lock", path);

    socket_lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
                          0600);

    if (socket_lock_fd == -1) {
        return reason(why, "%s: %s", lock, strerror(errno));
    }

    if (flock(socket_lock_fd, LOCK_EX | LOCK_NB) == -1) {
        return reason(why, "%s", errno == EWOULDBLOCK
                                 ? "another keeper listens at it"
                                 : strerror(errno));
    }

    return 0;
}


static int
socket_listen(const char *path, reason_t why)
{
    int                  fd;
    struct stat          st;
    struct sockaddr_un   sun;

    if (lstat(path, &st) == 0) {

        if (!S_ISSOCK(st.st_mode)) {
            return reason(why, "there is something that is no socket");
        }

        (void) unlink(path);
    }

    memset(&sun, 0, sizeof(sun));

    sun.sun_family = AF_UNIX;
    memcpy(sun.sun_path, path, strlen(path));

    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd == -1) {
        return reason(why, "socket: %s", strerror(errno));
    }

    /* its directory says who may reach it */

    if (bind(fd, (struct sockaddr *) &sun, sizeof(sun)) == -1
        || chmod(path, 0666) == -1
        || listen(fd, SOMAXCONN) == -1)
    {
        (void) reason(why, "%s", strerror(errno));
        close(fd);
        return -1;
    }

    socket_path = path;
    socket_ev.fd = fd;

    return 0;
}


void
socket_close(void)
{
    socket_worker_t  *w;

    loop_unset(&socket_timer);

    if (socket_ev.fd != -1) {
        (void) unlink(socket_path);
        close(socket_ev.fd);
        socket_ev.fd = -1;
    }

    while (socket_workers) {
        socket_drop(socket_workers, NULL);
    }

    while (socket_spare) {
        w = socket_spare;
        socket_spare = w->next;
        free(w);
    }

    if (socket_lock_fd != -1) {
        close(socket_lock_fd);
        socket_lock_fd = -1;
    }
}


static void
socket_event(void *data, uint32_t events)
{
    int  fd;

    (void) data;
    (void) events;

    for ( ;; ) {
        fd = accept4(socket_ev.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd != -1) {
            socket_accept(fd);
            continue;
        }

        if (errno == ECONNABORTED || errno == EINTR) {
            continue;
        }

        if (errno != EAGAIN) {
            log_line(LOG_ERROR, "no worker can connect for a second",
                     "err", strerror(errno), NULL);

            (void) loop_change(&socket_ev, 0);
            loop_set(&socket_timer, SOCKET_REST);
        }

        return;
    }
}


static void
socket_rested(void *data)
{
    (void) data;

    (void) loop_change(&socket_ev, EPOLLIN);
}


static void
socket_accept(int fd)
{
    socket_worker_t  *w;

    w = socket_spare;

    if (w) {
        socket_spare = w->next;

    } else if (socket_nworkers < SOCKET_WORKERS) {
        w = calloc(1, sizeof(socket_worker_t));
    }

    if (w == NULL) {
        close(fd);
        return;
    }

    w->ev.fd = fd;
    w->ev.handler = socket_worker_event;
    w->ev.data = w;
    w->waiting = 0;
    w->sent = 0;
    w->len = 0;

    w->next = socket_workers;
    socket_workers = w;
    socket_nworkers++;

    if (loop_add(&w->ev, EPOLLIN) == -1) {
        socket_drop(w, strerror(errno));
        return;
    }

    log_line(LOG_DEBUG, "a worker has connected", NULL);

    socket_greet(&w->out);

    if (socket_write(w) == -1) {
        socket_drop(w, "it is gone");
    }
}


static void
socket_worker_event(void *data, uint32_t events)
{
    int               rc;
    socket_worker_t  *w = data;

    if (w->ev.fd == -1) {
        return;
    }

    rc = events & (EPOLLIN|EPOLLHUP|EPOLLERR) ? socket_read(w) : 0;

    if (rc == 0 && (events & EPOLLOUT)) {
        rc = socket_write(w);
    }

    if (rc == -1) {
        socket_drop(w, "it is gone");
    }
}


static int
socket_read(socket_worker_t *w)
{
    ssize_t  n;

    for ( ;; ) {
        n = recv(w->ev.fd, w->in + w->len, sizeof(w->in) - w->len, 0);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n == -1 && errno == EAGAIN) {
            return 0;
        }

        if (n <= 0) {
            return -1;
        }

        w->len += (size_t) n;

        if (socket_lines(w) == -1) {
            log_line(LOG_ERROR, "a worker sent a line that makes no sense",
                     NULL);
            return -1;
        }
    }
}


static int
socket_lines(socket_worker_t *w)
{
    char  *start, *end;

    start = w->in;

    for ( ;; ) {
        end = memchr(start, '\n', w->len - (size_t) (start - w->in));

        if (end == NULL) {
            break;
        }

        if (socket_line((str_t) { start, (size_t) (end - start) }) == -1) {
            return -1;
        }

        start = end + 1;
    }

    w->len -= (size_t) (start - w->in);
    memmove(w->in, start, w->len);

    return w->len < sizeof(w->in) ? 0 : -1;
}


void
socket_tell(const buffer_t *lines)
{
    socket_worker_t  *w, *next;

    for (w = socket_workers; w; w = next) {
        next = w->next;

        if (w->out.len - w->sent + lines->len > socket_max) {
            log_line(LOG_WARN, "a worker doesn't read what it is told", NULL);
            socket_drop(w, "it doesn't read");
            continue;
        }

        if (w->sent) {
            socket_compact(w);
        }

        wipe_add(&w->out, lines->start, lines->len);

        if (socket_write(w) == -1) {
            socket_drop(w, "it is gone");
        }
    }
}


static void
socket_compact(socket_worker_t *w)
{
    w->out.len -= w->sent;
    memmove(w->out.start, w->out.start + w->sent, w->out.len);
    explicit_bzero(w->out.start + w->out.len, w->sent);

    w->sent = 0;
}


static int
socket_write(socket_worker_t *w)
{
    int      waiting;
    ssize_t  n;

    if (w->out.failed) {
        return -1;
    }

    while (w->sent < w->out.len) {
        n = send(w->ev.fd, w->out.start + w->sent, w->out.len - w->sent,
                 MSG_NOSIGNAL);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n == -1 && errno == EAGAIN) {
            break;
        }

        if (n == -1) {
            return -1;
        }

        w->sent += (size_t) n;
    }

    waiting = w->sent < w->out.len;

    if (!waiting) {
        w->sent = 0;
        wipe_clear(&w->out);
    }

    if (waiting != w->waiting) {
        w->waiting = waiting;
        return loop_change(&w->ev, EPOLLIN | (waiting ? EPOLLOUT : 0));
    }

    return 0;
}


static void
socket_drop(socket_worker_t *w, const char *why)
{
    socket_worker_t  **p;

    if (why) {
        log_line(LOG_DEBUG, "a worker is disconnected", "reason", why, NULL);
    }

    close(w->ev.fd);
    w->ev.fd = -1;

    wipe_free(&w->out);

    for (p = &socket_workers; *p != w; p = &(*p)->next) {
        /* void */
    }

    *p = w->next;
    socket_nworkers--;

    w->next = socket_spare;
    socket_spare = w;
}
