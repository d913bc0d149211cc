/*
 * sshd-log: stands between sshd's stderr and its log.
 *
 *     sshd-log BOARD < LINES
 *
 * Passes the lines on without their CR and without those that tell nothing,
 * and counts on the board why connections came to no login: each connection
 * once, by its last line.  Only one that offered a certificate is remembered
 * till then, in a table of one size.  Without a board it only passes on.
 *
 * The lines are those of OpenSSH 9.2 to 10.0 at LogLevel VERBOSE.
 */


#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ngx_prom_tunnels.h"


#define SSHD_LOG_FAILED  111      /* as s6's programs do */
#define SSHD_LOG_USAGE   100

#define SSHD_LOG_LINE    16384    /* a longer one is passed on in pieces */
#define SSHD_LOG_PEERS   4096


typedef struct {
    const char          *path;
    ngx_prom_tunnels_t  *map;
    ino_t                inode;   /* of what is mapped */

    /* hashes of "ADDRESS port PORT" whose certificate was refused */

    uint32_t             peers[SSHD_LOG_PEERS];
} sshd_log_t;


static int sshd_log_copy(sshd_log_t *log);
static char *sshd_log_lines(sshd_log_t *log, char *text, size_t *len,
    int last);
static int sshd_log_noise(const char *line);
static void sshd_log_count(sshd_log_t *log, const char *line);
static uint32_t sshd_log_dropped(const char *line);
static void sshd_log_failed(sshd_log_t *log, const char *peer);
static void sshd_log_closed(sshd_log_t *log, const char *who);
static uint32_t *sshd_log_peer(sshd_log_t *log, const char *text,
    uint32_t *hash);
static void sshd_log_refused(sshd_log_t *log, ngx_prom_refused_e reason,
    uint64_t n);
static void sshd_log_map(sshd_log_t *log);
static int sshd_log_write(const char *text, size_t len);
static const char *sshd_log_behind(const char *line, const char *start);


static const char  sshd_log_usage[] =
    "usage: sshd-log BOARD < LINES\n"
    "\n"
    "passes sshd's lines on, less those that tell nothing, and counts\n"
    "refused logins on the board of tunnels\n";


int
main(int argc, char **argv)
{
    static sshd_log_t  log;

    if (argc == 2
        && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0))
    {
        fputs(sshd_log_usage, stdout);
        return 0;
    }

    if (argc != 2 || argv[1][0] == '-') {
        fputs(sshd_log_usage, stderr);
        return SSHD_LOG_USAGE;
    }

    log.path = argv[1];

    return sshd_log_copy(&log) == 0 ? 0 : SSHD_LOG_FAILED;
}


static int
sshd_log_copy(sshd_log_t *log)
{
    char     buf[SSHD_LOG_LINE], *rest;
    size_t   len, out;
    ssize_t  n;

    len = 0;

    for ( ;; ) {

        n = read(STDIN_FILENO, buf + len, sizeof(buf) - 1 - len);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n == -1) {
            perror("sshd-log: read");
            return -1;
        }

        len += (size_t) n;
        out = len;

        rest = sshd_log_lines(log, buf, &out,
                              n == 0 || len == sizeof(buf) - 1);

        /* lines go to the front as they are, what is unfinished follows */

        if (sshd_log_write(buf, out) == -1) {
            return -1;
        }

        if (n == 0) {
            return 0;
        }

        len -= (size_t) (rest - buf);
        memmove(buf, rest, len);
    }
}


/*
 * Leaves what is to be written at the start of text, with its length; returns
 * where an unfinished line begins.  last: there is none, its start is all.
 */

static char *
sshd_log_lines(sshd_log_t *log, char *text, size_t *len, int last)
{
    char    *line, *end, *stop, *out;
    size_t   size;

    stop = text + *len;
    out = text;

    for (line = text; line < stop; line = end + 1) {

        end = memchr(line, '\n', (size_t) (stop - line));

        if (end == NULL && !last) {
            break;
        }

        if (end == NULL) {
            end = stop;
        }

        size = (size_t) (end - line);

        while (size && line[size - 1] == '\r') {
            size--;
        }

        line[size] = '\0';

        sshd_log_count(log, line);

        if (!sshd_log_noise(line)) {
            memmove(out, line, size);
            out += size;
            *out++ = '\n';
        }
    }

    *len = (size_t) (out - text);

    return line < stop ? line : stop;
}


/* six lines of every login, and penalties of no length */

static int
sshd_log_noise(const char *line)
{
    size_t  i;

    static const char  *starts[] = {
        "Connection from ", "Accepted key ", "Accepted certificate ",
        "Postponed publickey ", "User child is on pid ",
        "Closing connection to ", "Transferred: sent ", "Starting session ",

        /*
         * sessions has ended or refused it, or pam_sessions.so has, and says
         * why; any other mistake of PAM's is told by nobody else
         */

        "mm_reap: preauth child terminated by signal 15",
        "PAM: pam_open_session(): Cannot make/remove an entry for "
    };

    for (i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        if (sshd_log_behind(line, starts[i])) {
            return 1;
        }
    }

    return sshd_log_behind(line, "srclimit_penalise: ")
           && strstr(line, " penalty of 0 seconds ");
}


static void
sshd_log_count(sshd_log_t *log, const char *line)
{
    size_t       i, len;
    uint32_t     hash, dropped, *peer;
    const char  *p;

    static const char  *closed[] = {
        "Connection closed by ", "Connection reset by ",
        "Disconnected from ", "Disconnecting "
    };

    static const char  preauth[] = " [preauth]";

    p = sshd_log_behind(line, "Connection from ");

    if (p) {
        peer = sshd_log_peer(log, p, &hash);

        if (*peer == hash) {
            *peer = 0;
        }

        return;
    }

    p = sshd_log_behind(line, "Failed publickey for monitoring from ");

    if (p) {
        sshd_log_failed(log, p);
        return;
    }

    if (sshd_log_behind(line, "drop connection #")) {
        sshd_log_refused(log, NGX_PROM_REFUSED_LIMIT, 1);
        return;
    }

    dropped = sshd_log_dropped(line);

    if (dropped) {
        sshd_log_refused(log, NGX_PROM_REFUSED_LIMIT, dropped);
        return;
    }

    if (sshd_log_behind(line, "Timeout before authentication for ")) {
        sshd_log_refused(log, NGX_PROM_REFUSED_TIMEOUT, 1);
        return;
    }

    if (sshd_log_behind(line, "banner exchange: Connection from ")) {
        sshd_log_refused(log, NGX_PROM_REFUSED_PROTOCOL, 1);
        return;
    }

    /* before both sides have said who they are there is no "[preauth]" */

    if (sshd_log_behind(line, "kex_exchange_identification: Connection closed")
        || sshd_log_behind(line, "kex_exchange_identification: read: "))
    {
        sshd_log_refused(log, NGX_PROM_REFUSED_CLOSED, 1);
        return;
    }

    len = strlen(line);

    if (len < sizeof(preauth)
        || strcmp(line + len - (sizeof(preauth) - 1), preauth) != 0)
    {
        return;
    }

    if (sshd_log_behind(line, "Unable to negotiate with ")
        || sshd_log_behind(line, "ssh_dispatch_run_fatal: Connection from "))
    {
        sshd_log_refused(log, NGX_PROM_REFUSED_PROTOCOL, 1);
        return;
    }

    for (i = 0; i < sizeof(closed) / sizeof(closed[0]); i++) {
        p = sshd_log_behind(line, closed[i]);

        if (p) {
            sshd_log_closed(log, p);
            return;
        }
    }
}


/*
 * The number of "WORD logging rate-limited: additional N connections dropped",
 * or 0.  Nothing else may be in the line: most others repeat what a peer has
 * sent.
 */

static uint32_t
sshd_log_dropped(const char *line)
{
    char           *end;
    size_t          len;
    const char     *p;
    unsigned long   n;

    len = strspn(line, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    p = sshd_log_behind(line + len, " logging rate-limited: additional ");

    if (len == 0 || p == NULL || *p < '0' || *p > '9') {
        return 0;
    }

    n = strtoul(p, &end, 10);

    return n <= UINT32_MAX && strcmp(end, " connections dropped") == 0
           ? (uint32_t) n : 0;
}


/* "ADDRESS port PORT ssh2: TYPE FINGERPRINT ..." */

static void
sshd_log_failed(sshd_log_t *log, const char *text)
{
    uint32_t     hash, *peer;
    const char  *type, *end;

    type = strstr(text, ": ");

    if (type == NULL) {
        return;
    }

    type += 2;
    end = type + strcspn(type, " ");

    if (end - type > 5 && memcmp(end - 5, "-CERT", 5) == 0) {
        peer = sshd_log_peer(log, text, &hash);
        *peer = hash;
    }
}


/* "[authenticating user|invalid user NAME] ADDRESS port PORT ..." */

static void
sshd_log_closed(sshd_log_t *log, const char *who)
{
    uint32_t     hash, *peer;
    const char  *p;

    if (sshd_log_behind(who, "invalid user ")) {
        sshd_log_refused(log, NGX_PROM_REFUSED_USER, 1);
        return;
    }

    p = sshd_log_behind(who, "authenticating user monitoring ");

    if (p == NULL) {
        sshd_log_refused(log, sshd_log_behind(who, "authenticating user ")
                              ? NGX_PROM_REFUSED_KEY : NGX_PROM_REFUSED_CLOSED,
                         1);
        return;
    }

    peer = sshd_log_peer(log, p, &hash);

    if (*peer == hash) {
        *peer = 0;
        sshd_log_refused(log, NGX_PROM_REFUSED_CERTIFICATE, 1);
        return;
    }

    sshd_log_refused(log, NGX_PROM_REFUSED_KEY, 1);
}


/* where the peer of "ADDRESS port PORT..." is remembered, and as what */

static uint32_t *
sshd_log_peer(sshd_log_t *log, const char *text, uint32_t *hash)
{
    int       words;
    uint32_t  h;

    h = 2166136261u;
    words = 0;

    for ( /* void */ ; *text; text++) {

        if (*text == ' ' && ++words == 3) {
            break;
        }

        h = (h ^ (unsigned char) *text) * 16777619u;
    }

    *hash = h ? h : 1;

    return &log->peers[h % SSHD_LOG_PEERS];
}


static void
sshd_log_refused(sshd_log_t *log, ngx_prom_refused_e reason, uint64_t n)
{
    sshd_log_map(log);

    if (log->map) {
        __atomic_fetch_add(&log->map->head.refused[reason], n,
                           __ATOMIC_RELAXED);
    }
}


/* the board as it is now: it may have come later, or anew */

static void
sshd_log_map(sshd_log_t *log)
{
    int          fd;
    void        *map;
    struct stat  st;

    if (log->map && stat(log->path, &st) == 0 && st.st_ino == log->inode) {
        return;
    }

    fd = open(log->path, O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

    if (fd == -1) {
        return;
    }

    map = MAP_FAILED;

    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)
        && st.st_size == (off_t) sizeof(ngx_prom_tunnels_t))
    {
        map = mmap(NULL, sizeof(((ngx_prom_tunnels_t *) 0)->page),
                   PROT_READ|PROT_WRITE, MAP_SHARED, fd, 0);
    }

    close(fd);

    if (map == MAP_FAILED) {
        return;
    }

    if (((ngx_prom_tunnels_t *) map)->head.magic != NGX_PROM_TUNNELS_MAGIC
        || ((ngx_prom_tunnels_t *) map)->head.size
           != sizeof(ngx_prom_tunnel_t))
    {
        munmap(map, sizeof(((ngx_prom_tunnels_t *) 0)->page));
        return;
    }

    if (log->map) {
        munmap(log->map, sizeof(log->map->page));
    }

    log->map = map;
    log->inode = st.st_ino;
}


static int
sshd_log_write(const char *text, size_t len)
{
    ssize_t  n;

    while (len) {

        n = write(STDOUT_FILENO, text, len);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n == -1) {
            perror("sshd-log: write");
            return -1;
        }

        text += n;
        len -= (size_t) n;
    }

    return 0;
}


/* what follows start, or NULL if the line doesn't begin so */

static const char *
sshd_log_behind(const char *line, const char *start)
{
    size_t  len;

    len = strlen(start);

    return strncmp(line, start, len) == 0 ? line + len : NULL;
}
