/*
 * White space around the secret is none of it, as editors and echo add some.
 */


#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "secret_file.h"
#include "wipe.h"


static int secret_file_add(buffer_t *secret, const char *text, size_t len,
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
secret_file_add(buffer_t *secret, const char *text, size_t len,
    const char *path, reason_t why)
{
    size_t       i;
    str_t        line;
    const char  *end;

    end = memchr(text, '\n', len);
    line = (str_t) { text, end ? (size_t) (end - text) : len };

    if (line.len && line.start[line.len - 1] == '\r') {
        line.len--;
    }

    line = str_trim(line);

    if (line.len == 0) {
        return reason(why, "%.*s: its first line is empty", REASON_TEXT, path);
    }

    if (line.len > SECRET_FILE_MAX) {
        return reason(why, "%.*s: its first line has more than %d bytes",
                      REASON_TEXT, path, SECRET_FILE_MAX);
    }

    for (i = 0; i < line.len; i++) {
        if ((unsigned char) line.start[i] < ' ' || line.start[i] == 0x7f) {
            return reason(why, "%.*s: its first line has control characters",
                          REASON_TEXT, path);
        }
    }

    wipe_add(secret, line.start, line.len);

    return secret->failed ? reason(why, "out of memory") : 0;
}
