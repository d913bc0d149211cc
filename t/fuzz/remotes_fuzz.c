/*
 * Feeds the grammar of the file of remotes with anything, and checks what must
 * hold of whatever comes out.  t/01-fuzz.t builds and runs it.
 */


#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "settings.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_mistake(void *data, const char *where, const char *what);
static void fuzz_remote(const remote_t *remote);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int         fd, rc;
    char        path[64];
    unsigned    n, m, told;
    remotes_t   remotes;

    told = 0;

    fd = memfd_create("remotes", 0);
    FUZZ_CHECK(fd != -1);
    FUZZ_CHECK(write(fd, data, size) == (ssize_t) size);
    (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);

    rc = remotes_read(&remotes, path, fuzz_mistake, &told);

    FUZZ_CHECK(rc == (told ? -1 : 0));
    FUZZ_CHECK(remotes.n <= REMOTES_MAX);

    for (n = 0; rc == 0 && n < remotes.n; n++) {
        fuzz_remote(&remotes.remote[n]);

        for (m = 0; m < n; m++) {
            FUZZ_CHECK(strcmp(remotes.remote[m].name, remotes.remote[n].name)
                       != 0);
            FUZZ_CHECK(!remotes.remote[m].own || !remotes.remote[n].own
                       || remotes.remote[m].listen
                          != remotes.remote[n].listen);
        }
    }

    remotes_free(&remotes);
    close(fd);

    return 0;
}


static void
fuzz_mistake(void *data, const char *where, const char *what)
{
    unsigned  *told = data;

    (*told)++;

    FUZZ_CHECK(strncmp(where, "/proc/self/fd/", 14) == 0);
    fuzz_reason(what, FUZZ_REASON);
}


/* what nginx's configuration takes unquoted, and the keeper relies on */

static void
fuzz_remote(const remote_t *remote)
{
    int                id;
    const char        *value;
    const setting_t   *s;

    FUZZ_CHECK(remote->name[0] != '\0');
    FUZZ_CHECK(strspn(remote->name, "abcdefghijklmnopqrstuvwxyz"
                      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
               == strlen(remote->name));

    FUZZ_CHECK(remote->auth < AUTHS);
    FUZZ_CHECK(remote->host && remote->host[0] != '\0');
    FUZZ_CHECK(remote->port > 0 && remote->port <= 65535);
    FUZZ_CHECK(remote->listen > 0 && remote->listen <= 65535);
    FUZZ_CHECK(remote->base[0] == '\0' || remote->base[0] == '/');
    FUZZ_CHECK(strpbrk(remote->value[SETTING_URL], " \"\\?#@{}") == NULL);

    for (id = 0; id < SETTINGS; id++) {
        value = remote->value[id];

        if (value == NULL) {
            continue;
        }

        s = setting_find(id, remote->auth);

        FUZZ_CHECK(s != NULL && value[0] != '\0');

        if (s->kind == KIND_FILE || s->kind == KIND_SECRET) {
            FUZZ_CHECK(value[0] == '/');
            FUZZ_CHECK(strpbrk(value, " \"'\\;{}$#") == NULL);
        }

        for (/* void */; *value; value++) {
            FUZZ_CHECK(*value >= ' ' && *value <= '~');
        }
    }
}
