/*
 * White space around the secret is none of it, as editors and echo add some.
 */


#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "secret_file.h"
#include "wipe.h"


static int secret_file_add(buffer_t *secret, char *text, size_t len,
    const char *path, reason_t why);


int
secret_file_read(const char *path, buffer_t *secret, reason_t why)
{
    int      fd, rc;
    char     text[SECRET_FILE_MAX + 64];
    size_t   len;
    ssize_t  n;

    /* not to hang at a FIFO that nobody writes to */

    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd == -1) {
        return reason(why, "%.*s: %s", REASON_TEXT, path, strerror(errno));
    }

    len = 0;

    do {
        n = read(fd, text + len, sizeof(text) - len);
        len += n > 0 ? (size_t) n : 0;

    } while (n > 0 && len < sizeof(text));

    if (n == -1) {
        rc = reason(why, "%.*s: %s", REASON_TEXT, path, strerror(errno));

    } else {
        rc = secret_file_add(secret, text, len, path, why);
    }

    explicit_bzero(text, len);
    close(fd);

    return rc;
}


static int
secret_file_add(buffer_t *secret, char *text, size_t len, const char *path,
    reason_t why)
{
    size_t  i;

    while (len && strchr(" \t\r\n", text[len - 1]) && text[len - 1]) {
        len--;
    }

    while (len && strchr(" \t\r\n", text[0]) && text[0]) {
        text++;
        len--;
    }

    if (len == 0) {
        return reason(why, "%.*s: it is empty", REASON_TEXT, path);
    }

    if (len > SECRET_FILE_MAX) {
        return reason(why, "%.*s: it has more than %d bytes", REASON_TEXT,
                      path, SECRET_FILE_MAX);
    }

    for (i = 0; i < len; i++) {
        if ((unsigned char) text[i] < ' ' || text[i] == 0x7f) {
            return reason(why, "%.*s: it has several lines, or control"
                          " characters", REASON_TEXT, path);
        }
    }

    wipe_add(secret, text, len);

    return secret->failed ? reason(why, "out of memory") : 0;
}
