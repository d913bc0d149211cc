/*
 * What can't be read, or is no secret any more, leaves the old one in place:
 * it may be half written.
 */


#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "loop.h"
#include "secret.h"


#define SECRET_MAX   4096
#define SECRET_LOOK  1000         /* ms */


static int secret_read(secret_t *secret, reason_t why);


int
secret_open(secret_t *secret, const char *path, reason_t why)
{
    memset(secret, 0, sizeof(*secret));

    secret->path = path;
    secret->looked = loop_now();

    return secret_read(secret, why);
}


const char *
secret_value(secret_t *secret)
{
    int64_t      now;
    reason_t     why;
    struct stat  st;

    now = loop_now();

    if (secret->looked && now - secret->looked < SECRET_LOOK) {
        return secret->value;
    }

    if (secret->looked
        && stat(secret->path, &st) == 0
        && st.st_ino == secret->stat.st_ino
        && st.st_dev == secret->stat.st_dev
        && st.st_size == secret->stat.st_size
        && st.st_mtim.tv_sec == secret->stat.st_mtim.tv_sec
        && st.st_mtim.tv_nsec == secret->stat.st_mtim.tv_nsec)
    {
        secret->looked = now;
        return secret->value;
    }

    secret->looked = now;

    if (secret_read(secret, why) == 0) {
        secret->failed = 0;
        log_line(LOG_INFO, "read the file again", "file", secret->path, NULL);

    } else if (!secret->failed) {
        secret->failed = 1;
        log_line(LOG_WARN, "the file can't be read, what it had stays",
                 "file", secret->path, "err", why, NULL);
    }

    return secret->value;
}


void
secret_reread(secret_t *secret)
{
    secret->looked = 0;
}


void
secret_close(secret_t *secret)
{
    free(secret->value);
    memset(secret, 0, sizeof(*secret));
}


static int
secret_read(secret_t *secret, reason_t why)
{
    int           fd;
    char          text[SECRET_MAX + 1], *value;
    ssize_t       n;
    struct stat   st;

    fd = open(secret->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd == -1) {
        return reason(why, "%.*s: %s", REASON_TEXT, secret->path,
                      strerror(errno));
    }

    n = fstat(fd, &st) == 0 ? read(fd, text, SECRET_MAX + 1) : -1;

    if (n == -1) {
        (void) reason(why, "%.*s: %s", REASON_TEXT, secret->path,
                      strerror(errno));
        close(fd);
        return -1;
    }

    close(fd);

    if (n > SECRET_MAX) {
        return reason(why, "%.*s: it has more than %d bytes", REASON_TEXT,
                      secret->path, SECRET_MAX);
    }

    text[n] = '\0';
    text[strcspn(text, "\r\n")] = '\0';

    if (!str_is_visible(str_of(text))) {
        return reason(why, "%.*s: its first line is empty, or has spaces or"
                      " control characters", REASON_TEXT, secret->path);
    }

    value = strdup(text);

    if (value == NULL) {
        return reason(why, "out of memory");
    }

    free(secret->value);

    secret->value = value;
    secret->stat = st;
    secret->version++;

    return 0;
}
