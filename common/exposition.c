/*
 * The process is described as Prometheus' client libraries do it.
 */


#include <curl/curl.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "exposition.h"


static long exposition_resident(void);
static long exposition_files(void);


static struct timespec  exposition_started;


void
exposition_start(void)
{
    (void) clock_gettime(CLOCK_REALTIME, &exposition_started);
}


void
exposition_head(buffer_t *page, const char *name, const char *type,
    const char *help)
{
    buffer_format(page, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
                  type);
}


void
exposition_label(buffer_t *page, const char *label, const char *value)
{
    buffer_format(page, "%s=\"", label);

    for (/* void */; *value; value++) {

        if (*value == '\n') {
            buffer_text(page, "\\n");
            continue;
        }

        if (*value == '"' || *value == '\\') {
            buffer_text(page, "\\");
        }

        buffer_add(page, value, 1);
    }

    buffer_text(page, "\"");
}


void
exposition_build(buffer_t *page, const char *name, const char *version)
{
    exposition_head(page, name, "gauge", "What this program is.");
    buffer_format(page, "%s{", name);
    exposition_label(page, "version", version);
    buffer_text(page, ",");
    exposition_label(page, "libcurl",
                     curl_version_info(CURLVERSION_NOW)->version);
    buffer_text(page, "} 1\n");
}


void
exposition_process(buffer_t *page)
{
    struct rusage  usage;

    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        exposition_head(page, "process_cpu_seconds_total", "counter",
                        "Total user and system CPU time spent in seconds.");
        buffer_format(page, "process_cpu_seconds_total %.6f\n",
                      (double) (usage.ru_utime.tv_sec
                                + usage.ru_stime.tv_sec)
                      + (double) (usage.ru_utime.tv_usec
                                  + usage.ru_stime.tv_usec) / 1e6);
    }

    exposition_head(page, "process_resident_memory_bytes", "gauge",
                    "Resident memory size in bytes.");
    buffer_format(page, "process_resident_memory_bytes %ld\n",
                  exposition_resident());

    exposition_head(page, "process_open_fds", "gauge",
                    "Number of open file descriptors.");
    buffer_format(page, "process_open_fds %ld\n", exposition_files());

    exposition_head(page, "process_start_time_seconds", "gauge",
                    "Start time of the process since unix epoch in seconds.");
    buffer_format(page, "process_start_time_seconds %lld.%02ld\n",
                  (long long) exposition_started.tv_sec,
                  exposition_started.tv_nsec / 10000000);
}


static long
exposition_resident(void)
{
    int      fd;
    char     text[128];
    long     pages;
    ssize_t  n;

    pages = 0;
    fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

    if (fd == -1) {
        return 0;
    }

    n = read(fd, text, sizeof(text) - 1);
    close(fd);

    if (n > 0) {
        text[n] = '\0';

        if (sscanf(text, "%*d %ld", &pages) != 1) {
            pages = 0;
        }
    }

    return pages * sysconf(_SC_PAGESIZE);
}


static long
exposition_files(void)
{
    DIR   *dir;
    long   n;

    dir = opendir("/proc/self/fd");

    if (dir == NULL) {
        return 0;
    }

    /* less ".", "..", and its own */

    for (n = -3; readdir(dir); n++) {
        /* void */
    }

    closedir(dir);

    return n;
}
