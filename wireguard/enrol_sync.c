/*
 * What is in effect; see the header.
 */


#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "enrol_sync.h"
#include "key.h"
#include "state.h"
#include "text.h"


static char         sync_version[KEY_DIGEST];
static char         sync_nodes[KEY_DIGEST];          /* of the nodes file */
static struct stat  sync_st;                         /* whose file was this */


static int sync_same(const struct stat *st);


void
enrol_sync_read(const char *path)
{
    char    *text;
    size_t   len;

    text = text_read(path, &len, NULL);

    sync_version[0] = '\0';

    if (text && len >= KEY_DIGEST - 1) {
        memcpy(sync_version, text, KEY_DIGEST - 1);
    }

    free(text);
}


int
enrol_sync_has(const char *version)
{
    return strcmp(version, sync_version) == 0;
}


int
enrol_sync_is_current(const char *dir)
{
    char         *text, path[STATE_PATH];
    size_t        len;
    struct stat   st;

    snprintf(path, sizeof(path), "%s/nodes", dir);

    if (stat(path, &st) == -1) {
        return 0;
    }

    if (!sync_same(&st)) {
        sync_nodes[0] = '\0';
        text = text_read(path, &len, NULL);

        if (text) {
            key_digest(sync_nodes, text, len);
        }

        sync_st = st;
        free(text);
    }

    return sync_nodes[0] && strcmp(sync_version, sync_nodes) == 0;
}


static int
sync_same(const struct stat *st)
{
    return st->st_ino == sync_st.st_ino && st->st_size == sync_st.st_size
           && st->st_mtim.tv_sec == sync_st.st_mtim.tv_sec
           && st->st_mtim.tv_nsec == sync_st.st_mtim.tv_nsec;
}
