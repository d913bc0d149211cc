/*
 * What Prometheus has of a proxy is what the file says, so that this is what a
 * list is compared with.
 */


#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exposition.h"
#include "file.h"
#include "lists.h"
#include "log.h"
#include "path.h"


#define LISTS_MAX   (64 * 1024 * 1024)


/* says that the lists beside it may be removed */

#define LISTS_OURS  ".monitoring-proxy-discovery"


static int lists_claim(const char *path, reason_t why);
static int lists_are_there(const char *path);
static int lists_write(const output_list_t *list, reason_t why);
static void lists_remove(int pushprox, const output_list_t *lists, size_t n);
static int lists_is_list(const char *name);
static void lists_names(buffer_t *names, int pushprox,
    const output_list_t *lists, size_t n);
static int lists_is_of(const char *name, const buffer_t *names);
static void lists_settle(void);
static void lists_failed(const char *msg, const char *why);


static const char  *lists_path;
static uint64_t     lists_written;
static uint64_t     lists_failures;
static buffer_t     lists_wrong;              /* what fails this time ... */
static buffer_t     lists_told;               /* ... and did the last time */


int
lists_open(const char *path, reason_t why)
{
    lists_path = path;

    if ((mkdir(path, 0755) == -1 && errno != EEXIST)
        || access(path, W_OK | X_OK) == -1)
    {
        return file_fail(why, path);
    }

    return lists_claim(path, why);
}


static int
lists_claim(const char *path, reason_t why)
{
    int       rc;
    buffer_t  ours;

    memset(&ours, 0, sizeof(ours));
    buffer_format(&ours, "%s/" LISTS_OURS, path);

    if (ours.failed) {
        rc = reason(why, "out of memory");

    } else if (access(ours.start, F_OK) == 0) {
        rc = 0;

    } else if (lists_are_there(path)) {
        rc = reason(why, "%.*s: has files *.json that are not from here and"
                    " would be removed; give the lists a directory of their"
                    " own", REASON_TEXT, path);

    } else {
        rc = file_write(ours.start, str(""), why);
    }

    buffer_free(&ours);

    return rc;
}


static int
lists_are_there(const char *path)
{
    DIR            *dir;
    int             there;
    struct dirent  *entry;

    dir = opendir(path);

    if (dir == NULL) {
        return 0;
    }

    there = 0;

    while (!there && (entry = readdir(dir))) {
        there = lists_is_list(entry->d_name);
    }

    closedir(dir);

    return there;
}


void
lists_put(const output_list_t *lists, size_t n)
{
    size_t    i;
    reason_t  why;

    if (lists_open(lists_path, why) == 0) {

        for (i = 0; i < n; i++) {
            if (lists_write(&lists[i], why) == -1) {
                lists_failed("a list isn't written, what it had stays", why);
            }
        }

        lists_remove(0, lists, n);
        lists_remove(1, lists, n);

    } else {
        lists_failed("the lists aren't written", why);
    }

    lists_settle();
}


/* what goes on failing was told */

static void
lists_settle(void)
{
    buffer_t  told;

    if (lists_told.len && lists_wrong.len == 0) {
        log_line(LOG_INFO, "the lists are written again", NULL);
    }

    told = lists_told;
    lists_told = lists_wrong;
    lists_wrong = told;

    buffer_clear(&lists_wrong);
}


static int
lists_write(const output_list_t *list, reason_t why)
{
    int       rc;
    buffer_t  path;

    if (list->text.start == NULL) {
        return 0;
    }

    memset(&path, 0, sizeof(path));

    if (list->pushprox) {
        buffer_format(&path, "%s/" PATH_PUSHPROX, lists_path);

        if (!path.failed && mkdir(path.start, 0755) == -1 && errno != EEXIST) {
            rc = file_fail(why, path.start);
            buffer_free(&path);
            return rc;
        }

        buffer_clear(&path);
    }

    buffer_format(&path, "%s/", lists_path);
    path_list(&path, list);

    if (path.failed) {
        rc = reason(why, "out of memory");

    } else if (list->text.len > LISTS_MAX) {
        rc = reason(why, "%.*s: it would have more than %d bytes",
                    REASON_TEXT, path.start, LISTS_MAX);

    } else if (file_is(path.start, list->text)) {
        rc = 0;

    } else {
        rc = file_write(path.start, list->text, why);

        if (rc == 0) {
            lists_written++;
            log_line(LOG_INFO, "wrote a list", "proxy", list->name,
                     "file", path.start, NULL);
        }
    }

    buffer_free(&path);

    return rc;
}


/* those of one directory that belong to none of the proxies */

static void
lists_remove(int pushprox, const output_list_t *lists, size_t n)
{
    DIR            *dir;
    int             fd;
    reason_t        why;
    buffer_t        path, names;
    struct dirent  *entry;

    memset(&path, 0, sizeof(path));
    memset(&names, 0, sizeof(names));

    buffer_format(&path, "%s%s", lists_path,
                  pushprox ? "/" PATH_PUSHPROX : "");
    lists_names(&names, pushprox, lists, n);

    if (path.failed || names.failed) {
        lists_failed("lists of other proxies aren't removed", "out of memory");
        goto done;
    }

    dir = opendir(path.start);

    if (dir == NULL) {

        if (errno != ENOENT) {
            (void) file_fail(why, path.start);
            lists_failed("lists of other proxies aren't removed", why);
        }

        goto done;
    }

    fd = dirfd(dir);

    while ((entry = readdir(dir))) {

        if (!lists_is_list(entry->d_name)
            || lists_is_of(entry->d_name, &names))
        {
            continue;
        }

        if (unlinkat(fd, entry->d_name, 0) == -1) {
            (void) file_fail(why, entry->d_name);
            lists_failed("a list isn't removed", why);
            continue;
        }

        log_line(LOG_INFO, "removed a list", "directory", path.start,
                 "file", entry->d_name, NULL);
    }

    closedir(dir);

done:

    buffer_free(&path);
    buffer_free(&names);
}


static int
lists_is_list(const char *name)
{
    size_t  len, suffix;

    len = strlen(name);
    suffix = sizeof(PATH_SUFFIX) - 1;

    return name[0] != '.' && len > suffix
           && strcmp(name + len - suffix, PATH_SUFFIX) == 0;
}


/* '\0' in front of and behind each name */

static void
lists_names(buffer_t *names, int pushprox, const output_list_t *lists,
    size_t n)
{
    size_t  i;

    buffer_add(names, "", 1);

    for (i = 0; i < n; i++) {

        /* what isn't known yet may be either */

        if (!lists[i].pushprox == !pushprox || lists[i].text.start == NULL) {
            path_escape(names, lists[i].name);
            buffer_add(names, PATH_SUFFIX, sizeof(PATH_SUFFIX));
        }
    }
}


static int
lists_is_of(const char *name, const buffer_t *names)
{
    size_t       len;
    const char  *at;

    len = strlen(name);

    at = memmem(names->start, names->len, name, len + 1);

    while (at && at[-1] != '\0') {
        at = memmem(at + 1, (size_t) (names->start + names->len - at - 1),
                    name, len + 1);
    }

    return at != NULL;
}


static void
lists_failed(const char *msg, const char *why)
{
    lists_failures++;

    log_line(lists_told.len && strstr(lists_told.start, why)
             ? LOG_DEBUG : LOG_ERROR, msg, "err", why, NULL);

    buffer_text(&lists_wrong, why);
}


int
lists_are_pushprox(const output_list_t *list)
{
    int             are;
    buffer_t        path;
    output_list_t   known;

    if (list->pushprox || list->text.start) {
        return list->pushprox;
    }

    memset(&path, 0, sizeof(path));

    known = *list;
    known.pushprox = 1;

    buffer_format(&path, "%s/", lists_path);
    path_list(&path, &known);

    are = !path.failed && access(path.start, F_OK) == 0;

    buffer_free(&path);

    return are;
}


void
lists_metrics(buffer_t *page)
{
    exposition_head(page, "monitoring_proxy_discovery_list_writes_total",
                    "counter", "Lists of proxies that were written.");
    buffer_format(page, "monitoring_proxy_discovery_list_writes_total %llu\n",
                  (unsigned long long) lists_written);

    exposition_head(page,
                    "monitoring_proxy_discovery_list_write_failures_total",
                    "counter",
                    "Lists that could not be written or removed.");
    buffer_format(page,
                  "monitoring_proxy_discovery_list_write_failures_total"
                  " %llu\n", (unsigned long long) lists_failures);
}


void
lists_close(void)
{
    buffer_free(&lists_wrong);
    buffer_free(&lists_told);
}
