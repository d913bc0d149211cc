/*
 * Lists are written at once.  A configuration is checked first, beside the
 * loop, and what comes meanwhile waits; one that is refused is not tried again
 * until it is another.
 */


#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "config.h"
#include "exposition.h"
#include "file.h"
#include "lists.h"
#include "log.h"
#include "reload.h"


#define OUTPUT_LISTS   "monitoring-proxy"     /* beside the configuration */
#define OUTPUT_NOTE    ".reload"
#define OUTPUT_BASE    (16 * 1024 * 1024)     /* bytes that a base may have */
#define OUTPUT_CHECK   30000                  /* ms */
#define OUTPUT_STDIN   "/dev/stdin"


static int output_paths(reason_t why);
static int output_are_two(reason_t why);
static int output_read(reason_t why);
static int output_keep(const output_list_t *lists, size_t n);
static void output_forget(void);
static void output_see(void);
static void output_check(void);
static void output_checked(const char *failed, int said);
static void output_refuse(const char *failed, int said);
static void output_write(void);
static log_level_e output_level(const char *why);
static void output_line(buffer_t *line, const char *text);


static const options_t  *output_options;
static buffer_t          output_directory;    /* as Prometheus has it */
static buffer_t          output_lists;        /* as it is for us */
static buffer_t          output_note;
static buffer_t          output_promtool;

static base_t            output_base;
static reason_t          output_base_why;     /* "": nothing is wrong */

static output_list_t    *output_pushprox;     /* less their texts */
static size_t            output_npushprox;
static int               output_known;        /* lists were put */

static buffer_t          output_wanted;       /* the configuration */
static buffer_t          output_refused;      /* one that is known to be bad */
static int               output_more;         /* another is wanted now */
static int               output_written;      /* it is as it is wanted */
static reason_t          output_told;         /* why it isn't */

static uint64_t          output_writes;
static uint64_t          output_write_failures;
static uint64_t          output_check_failures;
static uint64_t          output_base_failures;


int
output_open(const options_t *options, reason_t why)
{
    output_options = options;

    if (output_paths(why) == -1
        || output_are_two(why) == -1
        || command_find(&output_promtool, options->promtool, why) == -1
        || output_read(why) == -1
        || file_is_writable(options->target, why) == -1
        || lists_open(output_lists.start, why) == -1
        || reload_open(options->reload_url, output_note.start, why) == -1)
    {
        return -1;
    }

    output_see();

    return 0;
}


static int
output_paths(reason_t why)
{
    buffer_t    *b;
    const char  *lists;

    lists = output_options->lists && output_options->lists[0]
            ? output_options->lists : OUTPUT_LISTS;

    b = &output_directory;
    buffer_text(b, lists);

    while (b->len > 1 && b->start[b->len - 1] == '/') {
        b->start[--b->len] = '\0';
    }

    /* Prometheus takes it so, too */

    if (lists[0] != '/') {
        file_directory(&output_lists, output_options->target);
        buffer_text(&output_lists, "/");
    }

    buffer_add(&output_lists, b->start, b->len);
    buffer_format(&output_note, "%s/" OUTPUT_NOTE,
                  output_lists.failed ? "" : output_lists.start);

    if (b->failed || output_lists.failed || output_note.failed) {
        return reason(why, "out of memory");
    }

    return config_directory(b->start, why);
}


/* else the base would be lost */

static int
output_are_two(reason_t why)
{
    struct stat  source, target;

    if (stat(output_options->source, &source) == 0
        && stat(output_options->target, &target) == 0
        && source.st_dev == target.st_dev && source.st_ino == target.st_ino)
    {
        return reason(why, "%.*s: is the base, and what is made of it",
                      REASON_TEXT, output_options->target);
    }

    return 0;
}


/* the base, if it has changed: 1 if it has, 0 if not, -1 with the reason */

static int
output_read(reason_t why)
{
    int       rc;
    buffer_t  text;

    memset(&text, 0, sizeof(text));
    buffer_text(&text, "");

    rc = file_read(output_options->source, OUTPUT_BASE, &text, why);

    if (rc == 0
        && (output_base.text.start == NULL
            || text.len != output_base.text.len
            || memcmp(text.start, output_base.text.start, text.len) != 0))
    {
        rc = base_set(&output_base, output_options->source, &text, why);
        rc = rc == -1 ? -1 : 1;
    }

    buffer_free(&text);

    return rc;
}


void
output_put(const output_list_t *lists, size_t n)
{
    lists_put(lists, n);

    if (output_keep(lists, n) == -1) {
        log_line(LOG_ERROR, "out of memory", NULL);
        return;
    }

    output_known = 1;

    output_see();
}


static int
output_keep(const output_list_t *lists, size_t n)
{
    size_t          i;
    output_list_t  *list;

    output_forget();

    output_pushprox = calloc(n ? n : 1, sizeof(output_list_t));

    if (output_pushprox == NULL) {
        return -1;
    }

    for (i = 0; i < n; i++) {

        if (!lists_are_pushprox(&lists[i])) {
            continue;
        }

        list = &output_pushprox[output_npushprox++];

        list->pushprox = 1;
        list->name = strdup(lists[i].name);
        list->address = strdup(lists[i].address);

        if (list->name == NULL || list->address == NULL) {
            output_forget();
            return -1;
        }
    }

    return 0;
}


static void
output_forget(void)
{
    size_t  i;

    for (i = 0; i < output_npushprox; i++) {
        free((char *) output_pushprox[i].name);
        free((char *) output_pushprox[i].address);
    }

    free(output_pushprox);

    output_pushprox = NULL;
    output_npushprox = 0;
}


void
output_look(void)
{
    int       rc;
    reason_t  why;

    why[0] = '\0';
    rc = output_read(why);

    if (rc == -1 && strcmp(why, output_base_why) != 0) {
        output_base_failures++;
        log_line(LOG_ERROR, "the base can't be used, what was made of it"
                 " before stays", "err", why, NULL);
    }

    if (rc == 1) {
        log_line(LOG_INFO, "read the base again", "file",
                 output_options->source, NULL);
    }

    strcpy(output_base_why, why);

    output_see();
}


/* whether anything is to be done about the configuration, and does it */

static void
output_see(void)
{
    str_t  wanted;

    if (command_is_running()) {
        output_more = 1;
        return;
    }

    /* jobs that are there may be those of proxies that we don't know yet */

    if (!output_known && access(output_options->target, F_OK) == 0) {
        return;
    }

    buffer_clear(&output_wanted);
    config_write(&output_base, output_directory.start, output_pushprox,
                 output_npushprox, &output_wanted);

    if (output_wanted.failed) {
        log_line(LOG_ERROR, "out of memory", NULL);
        return;
    }

    wanted = (str_t) { output_wanted.start, output_wanted.len };

    output_written = file_is(output_options->target, wanted);

    if (output_written
        || (output_refused.len == wanted.len
            && memcmp(output_refused.start, wanted.start, wanted.len) == 0))
    {
        return;
    }

    output_check();
}


static void
output_check(void)
{
    char      *argv[6];
    reason_t   why;

    argv[0] = output_promtool.start;
    argv[1] = "check";
    argv[2] = "config";
    argv[3] = "--syntax-only";
    argv[4] = OUTPUT_STDIN;
    argv[5] = NULL;

    if (command_start(argv, (str_t) { output_wanted.start, output_wanted.len },
                      OUTPUT_CHECK, output_checked, why)
        == -1)
    {
        output_refuse(why, 0);
    }
}


static void
output_checked(const char *failed, int said)
{
    if (failed) {
        output_refuse(failed, said);

    } else {
        output_write();
    }

    if (output_more) {
        output_more = 0;
        output_see();
    }
}


static void
output_refuse(const char *failed, int said)
{
    buffer_t  line;

    output_check_failures++;

    if (!said) {
        log_line(output_level(failed), "the configuration can't be checked,"
                 " the old one stays", "promtool", output_promtool.start,
                 "err", failed, NULL);
        return;
    }

    memset(&line, 0, sizeof(line));
    output_line(&line, failed);

    log_line(LOG_ERROR, "the configuration that is made of the base isn't"
             " right, the old one stays", "base", output_options->source,
             "promtool", output_promtool.start,
             "err", line.failed ? failed : line.start, NULL);

    buffer_free(&line);

    buffer_clear(&output_refused);
    buffer_add(&output_refused, output_wanted.start, output_wanted.len);
}


static void
output_write(void)
{
    reason_t  why;

    reload_prepare();

    if (file_write(output_options->target,
                   (str_t) { output_wanted.start, output_wanted.len }, why)
        == -1)
    {
        reload_cancel();

        output_write_failures++;
        log_line(output_level(why), "the configuration isn't written, the old"
                 " one stays", "err", why, NULL);
        return;
    }

    output_written = 1;
    output_told[0] = '\0';
    output_writes++;

    log_line(LOG_INFO, "wrote the configuration", "file",
             output_options->target, NULL);

    reload_start();
}


/* what goes on failing is told once */

static log_level_e
output_level(const char *why)
{
    if (strncmp(output_told, why, sizeof(reason_t) - 1) == 0) {
        return LOG_DEBUG;
    }

    (void) reason(output_told, "%s", why);

    return LOG_ERROR;
}


/* as one line, with the file as its user knows it */

static void
output_line(buffer_t *line, const char *text)
{
    size_t  len;

    buffer_text(line, "");

    for (text += strspn(text, " \n");
         *text;
         text += len + strspn(text + len, " \n"))
    {
        len = strcspn(text, " \n");

        if (line->len) {
            buffer_text(line, " ");
        }

        if (strncmp(text, OUTPUT_STDIN, sizeof(OUTPUT_STDIN) - 1) == 0) {
            buffer_text(line, output_options->target);
            buffer_add(line, text + sizeof(OUTPUT_STDIN) - 1,
                       len - (sizeof(OUTPUT_STDIN) - 1));

        } else {
            buffer_add(line, text, len);
        }
    }
}


void
output_metrics(buffer_t *page)
{
    exposition_head(page, "monitoring_proxy_discovery_config_in_effect",
                    "gauge", "Whether Prometheus has the configuration that"
                    " is made of the base as it is now.");
    buffer_format(page, "monitoring_proxy_discovery_config_in_effect %d\n",
                  output_written && output_base_why[0] == '\0'
                  && !reload_is_due());

    exposition_head(page, "monitoring_proxy_discovery_config_writes_total",
                    "counter", "Configurations that were written.");
    buffer_format(page,
                  "monitoring_proxy_discovery_config_writes_total %llu\n",
                  (unsigned long long) output_writes);

    exposition_head(page,
                    "monitoring_proxy_discovery_config_write_failures_total",
                    "counter", "Configurations that could not be written.");
    buffer_format(page,
                  "monitoring_proxy_discovery_config_write_failures_total"
                  " %llu\n", (unsigned long long) output_write_failures);

    exposition_head(page,
                    "monitoring_proxy_discovery_config_check_failures_total",
                    "counter", "Configurations that promtool has refused, or"
                    " not checked.");
    buffer_format(page,
                  "monitoring_proxy_discovery_config_check_failures_total"
                  " %llu\n", (unsigned long long) output_check_failures);

    exposition_head(page, "monitoring_proxy_discovery_base_failures_total",
                    "counter", "Bases that could not be read or used.");
    buffer_format(page,
                  "monitoring_proxy_discovery_base_failures_total %llu\n",
                  (unsigned long long) output_base_failures);

    lists_metrics(page);
    reload_metrics(page);
}


void
output_close(void)
{
    reload_close();
    command_stop();
    lists_close();
    output_forget();

    base_free(&output_base);

    buffer_free(&output_directory);
    buffer_free(&output_lists);
    buffer_free(&output_note);
    buffer_free(&output_promtool);
    buffer_free(&output_wanted);
    buffer_free(&output_refused);
}
