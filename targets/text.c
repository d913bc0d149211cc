/*
 * Reads a file as the nginx module does: a regular one behind any symlinks, of
 * 64 MB at most, that doesn't change under the reader.
 */


#define _POSIX_C_SOURCE  200809L

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "text.h"


#define TEXT_SIZE  (64 * 1024 * 1024)


char *
text_read(const char *path, size_t *len, FILE *told)
{
    int           fd;
    char         *text;
    size_t        size;
    ssize_t       n;
    struct stat   st;

    *len = 0;
    text = NULL;

    /* a FIFO or a device must not hold us up before we know what it is */

    fd = open(path, O_RDONLY|O_NONBLOCK|O_NOCTTY|O_CLOEXEC);

    if (fd == -1 || fstat(fd, &st) == -1) {
        text_fail(path, strerror(errno), told);
        goto failed;
    }

    if (!S_ISREG(st.st_mode)) {
        text_fail(path, "is not a regular file", told);
        goto failed;
    }

    if (st.st_size > TEXT_SIZE) {
        if (told) {
            fprintf(told, "%s: has %lld bytes, at most %d are allowed\n",
                    path, (long long) st.st_size, TEXT_SIZE);
        }

        goto failed;
    }

    /* the byte more shows a file that grows, and is the parser's */

    size = (size_t) st.st_size;

    text = malloc(size + 1);

    if (text == NULL) {
        text_fail(path, "out of memory", told);
        goto failed;
    }

    do {
        n = read(fd, text + *len, size + 1 - *len);

        if (n > 0) {
            *len += (size_t) n;
        }

    } while ((n > 0 && *len <= size) || (n == -1 && errno == EINTR));

    if (n == -1) {
        text_fail(path, strerror(errno), told);
        goto failed;
    }

    if (*len != size) {
        text_fail(path, "was changed while it was read, try again", told);
        goto failed;
    }

    close(fd);

    return text;

failed:

    if (fd != -1) {
        close(fd);
    }

    free(text);

    return NULL;
}


void
text_fail(const char *path, const char *reason, FILE *told)
{
    /* what strerror() says begins with a capital letter, our messages don't */

    if (told) {
        fprintf(told, "%s: %c%s\n", path, tolower((unsigned char) reason[0]),
                reason + 1);
    }
}
