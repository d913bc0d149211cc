/*
 * The command that makes wg0.conf where there is none.
 */


#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands.h"
#include "state.h"
#include "text.h"


#define INIT_ADDRESS4  "10.87.0.1/16"


static int init_make(state_t *state, const char *path);
static char *init_text(size_t *len);


int
wireguard_init(const wireguard_options_t *options, int argc, char **argv)
{
    int          rc;
    char         path[STATE_PATH];
    state_t      state;
    struct stat  st;

    (void) options;
    (void) argc;

    if (mkdir(argv[0], 0700) == -1 && errno != EEXIST) {
        text_fail(argv[0], strerror(errno), stderr);
        return WIREGUARD_FAILED;
    }

    if (state_open(&state, argv[0], stderr) == -1
        || state_lock(&state) == -1)
    {
        return WIREGUARD_FAILED;
    }

    snprintf(path, sizeof(path), "%s/wg0.conf", argv[0]);

    rc = lstat(path, &st) == 0 ? 0 : init_make(&state, path);

    state_close(&state);

    return rc == 0 ? WIREGUARD_OK : WIREGUARD_FAILED;
}


static int
init_make(state_t *state, const char *path)
{
    int      rc;
    char    *text;
    size_t   len;

    text = init_text(&len);

    if (text == NULL) {
        text_fail(path, "no key can be made", stderr);
        return -1;
    }

    rc = state_write(state, path, 0600, text, len);

    /* an empty one would be a mistake the next time */

    if (rc == -1) {
        (void) unlink(path);
    }

    OPENSSL_cleanse(text, len);
    free(text);

    return rc;
}


static char *
init_text(size_t *len)
{
    int      n;
    char     key[KEY_TEXT], *text;
    uint8_t  bytes[KEY_BYTES], id[5];

    if (key_make(bytes) == -1 || key_random(id, sizeof(id)) == -1) {
        return NULL;
    }

    key_text(key, bytes);
    OPENSSL_cleanse(bytes, sizeof(bytes));

    n = asprintf(&text, "[Interface]\n"
                 "PrivateKey = %s\n"
                 "ListenPort = %d\n"
                 "Address = " INIT_ADDRESS4
                 ", fd%02x:%02x%02x:%02x%02x::1/64\n",
                 key, CONF_PORT, id[0], id[1], id[2], id[3], id[4]);

    OPENSSL_cleanse(key, sizeof(key));

    if (n == -1) {
        return NULL;
    }

    *len = (size_t) n;

    return text;
}
