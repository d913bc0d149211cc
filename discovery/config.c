/*
 * A job is called as its list's file.
 */


#include <string.h>

#include "config.h"
#include "path.h"


#define CONFIG_JOB       "monitoring-proxy"
#define CONFIG_PUSHPROX  "pushprox-"


static void config_pushprox(const base_t *base, const char *directory,
    const output_list_t *list, buffer_t *jobs);
static void config_name(buffer_t *jobs, const char *name);
static void config_files(buffer_t *jobs, const char *directory,
    const char *pattern);
static void config_quoted(buffer_t *jobs, const char *text);


void
config_write(const base_t *base, const char *directory,
    const output_list_t *lists, size_t n, buffer_t *to)
{
    size_t    i;
    buffer_t  jobs;

    memset(&jobs, 0, sizeof(jobs));

    if (!base_has_job(base, CONFIG_JOB)) {
        config_name(&jobs, CONFIG_JOB);
        config_files(&jobs, directory, "*.json");
    }

    for (i = 0; i < n; i++) {
        if (lists[i].pushprox) {
            config_pushprox(base, directory, &lists[i], &jobs);
        }
    }

    base_write(base, (str_t) { jobs.start, jobs.len }, to);

    to->failed |= jobs.failed;

    buffer_free(&jobs);
}


/* Prometheus asks such a proxy for its clients' metrics as they are called */

static void
config_pushprox(const base_t *base, const char *directory,
    const output_list_t *list, buffer_t *jobs)
{
    buffer_t  name, file;

    memset(&name, 0, sizeof(name));
    memset(&file, 0, sizeof(file));

    buffer_text(&name, CONFIG_PUSHPROX);
    path_escape(&name, list->name);

    path_list(&file, list);

    if (name.failed || file.failed) {
        jobs->failed = 1;

    } else if (!base_has_job(base, name.start)) {
        config_name(jobs, name.start);
        buffer_text(jobs, "  proxy_url: \"http://");
        config_quoted(jobs, list->address);
        buffer_text(jobs, "\"\n");
        config_files(jobs, directory, file.start);
        buffer_text(jobs, "  relabel_configs:\n"
                          "    - target_label: job\n"
                          "      replacement: pushprox\n");
    }

    buffer_free(&name);
    buffer_free(&file);
}


static void
config_name(buffer_t *jobs, const char *name)
{
    buffer_text(jobs, "- job_name: \"");
    config_quoted(jobs, name);
    buffer_text(jobs, "\"\n");
}


static void
config_files(buffer_t *jobs, const char *directory, const char *pattern)
{
    buffer_text(jobs, "  file_sd_configs:\n    - files: [\"");
    config_quoted(jobs, directory);
    buffer_text(jobs, "/");
    config_quoted(jobs, pattern);
    buffer_text(jobs, "\"]\n");
}


/* whatever it is, it stays between its quotes */

static void
config_quoted(buffer_t *jobs, const char *text)
{
    unsigned char  c;

    for (/* void */; *text; text++) {
        c = (unsigned char) *text;

        if (c < ' ' || c > '~' || c == '"' || c == '\\') {
            buffer_format(jobs, "\\x%02x", c);

        } else {
            buffer_add(jobs, text, 1);
        }
    }
}


int
config_directory(const char *path, reason_t why)
{
    const char  *c;

    for (c = path; *c; c++) {

        if (*c < ' ' || *c > '~' || strchr("*?[]\\", *c)) {
            return reason(why, "the path of the lists' directory has other"
                          " characters than printable ASCII less \"*?[]\\\","
                          " which Prometheus would take for a pattern");
        }
    }

    return 0;
}
