/*
 * A byte a port, in pages that are there from the start.
 */


#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "grants.h"


#define GRANTS_PORTS  65536


struct grants_s {
    int                  any;     /* there is something to clear */
    uint8_t             *ports;
};


grants_t *
grants_open(int dir, const char *file)
{
    int        fd, error;
    grants_t  *grants;

    grants = calloc(1, sizeof(grants_t));

    if (grants == NULL) {
        return NULL;
    }

    grants->any = 1;
    grants->ports = MAP_FAILED;

    fd = openat(dir, file, O_RDWR|O_CREAT|O_NOFOLLOW|O_CLOEXEC, 0600);

    if (fd == -1) {
        goto failed;
    }

    error = posix_fallocate(fd, 0, GRANTS_PORTS);

    if (error) {
        errno = error;
        goto failed;
    }

    grants->ports = mmap(NULL, GRANTS_PORTS, PROT_READ|PROT_WRITE, MAP_SHARED,
                         fd, 0);

    if (grants->ports == MAP_FAILED) {
        goto failed;
    }

    close(fd);

    return grants;

failed:

    error = errno;

    if (fd != -1) {
        close(fd);
    }

    free(grants);
    errno = error;

    return NULL;
}


void
grants_close(grants_t *grants)
{
    munmap(grants->ports, GRANTS_PORTS);
    free(grants);
}


void
grants_add(grants_t *grants, uint16_t first, uint16_t last)
{
    grants->any = 1;
    memset(grants->ports + first, 1, (size_t) (last - first) + 1);
}


int
grants_has(const grants_t *grants, uint16_t port)
{
    return grants->ports[port];
}


void
grants_clear(grants_t *grants)
{
    if (grants->any) {
        grants->any = 0;
        memset(grants->ports, 0, GRANTS_PORTS);
    }
}
