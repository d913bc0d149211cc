#include <curl/curl.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "exchange.h"
#include "metrics.h"
#include "version.h"


static void metrics_process(buffer_t *page);
static long metrics_resident(void);
static long metrics_files(void);


static const struct {
    const char  *name;
    const char  *help;
} metrics_known[METRICS] = {

    { "monitoring_proxy_client_polls_total", "Polls that were begun." },

    { "pushprox_client_poll_errors_total", "Number of poll errors" },

    { "monitoring_proxy_client_scrapes_total",
      "Scrapes that a proxy handed to this client." },

    { "pushprox_client_scrape_errors_total", "Number of scrape errors" },

    { "pushprox_client_push_errors_total", "Number of push errors" },

    { "monitoring_proxy_client_pushed_bytes_total",
      "Bytes of answers, with their headers, that were pushed." }
};


static uint64_t         metrics_count[METRICS];
static struct timespec  metrics_started;


void
metrics_start(void)
{
    (void) clock_gettime(CLOCK_REALTIME, &metrics_started);
}


void
metrics_add(metric_e metric, uint64_t n)
{
    metrics_count[metric] += n;
}


void
metrics_page(buffer_t *page)
{
    int  i;

    for (i = 0; i < METRICS; i++) {
        metrics_head(page, metrics_known[i].name, "counter",
                     metrics_known[i].help);
        buffer_format(page, "%s %llu\n", metrics_known[i].name,
                      (unsigned long long) metrics_count[i]);
    }

    metrics_head(page, "monitoring_proxy_client_scrapes", "gauge",
                 "Scrapes that are under way.");
    buffer_format(page, "monitoring_proxy_client_scrapes %u\n",
                  exchanges_running());

    metrics_head(page, "monitoring_proxy_client_build_info", "gauge",
                 "What this client is.");
    buffer_text(page, "monitoring_proxy_client_build_info{");
    metrics_label(page, "version", CLIENT_VERSION);
    buffer_text(page, ",");
    metrics_label(page, "libcurl",
                  curl_version_info(CURLVERSION_NOW)->version);
    buffer_text(page, "} 1\n");

    metrics_process(page);
}


void
metrics_head(buffer_t *page, const char *name, const char *type,
    const char *help)
{
    buffer_format(page, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
                  type);
}


void
metrics_label(buffer_t *page, const char *label, const char *value)
{
    buffer_format(page, "%s=\"", label);

    for (/* void */; *value; value++) {

        if (*value == '"' || *value == '\\') {
            buffer_text(page, "\\");
        }

        buffer_add(page, value, 1);
    }

    buffer_text(page, "\"");
}


/* as the client libraries of Prometheus name them */

static void
metrics_process(buffer_t *page)
{
    struct rusage  usage;

    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        metrics_head(page, "process_cpu_seconds_total", "counter",
                     "Total user and system CPU time spent in seconds.");
        buffer_format(page, "process_cpu_seconds_total %.6f\n",
                      (double) (usage.ru_utime.tv_sec
                                + usage.ru_stime.tv_sec)
                      + (double) (usage.ru_utime.tv_usec
                                  + usage.ru_stime.tv_usec) / 1e6);
    }

    metrics_head(page, "process_resident_memory_bytes", "gauge",
                 "Resident memory size in bytes.");
    buffer_format(page, "process_resident_memory_bytes %ld\n",
                  metrics_resident());

    metrics_head(page, "process_open_fds", "gauge",
                 "Number of open file descriptors.");
    buffer_format(page, "process_open_fds %ld\n", metrics_files());

    metrics_head(page, "process_start_time_seconds", "gauge",
                 "Start time of the process since unix epoch in seconds.");
    buffer_format(page, "process_start_time_seconds %lld.%02ld\n",
                  (long long) metrics_started.tv_sec,
                  metrics_started.tv_nsec / 10000000);
}


static long
metrics_resident(void)
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
metrics_files(void)
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
