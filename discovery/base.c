/*
 * What is added has the form of what is there: its indentation and its line
 * breaks.
 */


#include <string.h>

#include "base.h"


static void base_blank(const base_scan_t *scan, char *text);
static int base_is_broken(const base_t *base);
static const char *base_break(const base_t *base);
static void base_line(buffer_t *to, size_t indent, str_t line,
    const char *end);


int
base_set(base_t *base, const char *path, buffer_t *text, reason_t why)
{
    base_scan_t  scan;

    if (base_scan(&scan, path, (str_t) { text->start, text->len }, why)
        == -1)
    {
        base_scan_free(&scan);
        return -1;
    }

    base_free(base);

    base->scan = scan;
    base->text = *text;

    memset(text, 0, sizeof(*text));

    return 0;
}


int
base_has_job(const base_t *base, const char *name)
{
    const char      *at, *end;
    const buffer_t  *jobs;

    jobs = &base->scan.jobs;
    end = jobs->start + jobs->len;

    for (at = jobs->start; at < end; at += strlen(at) + 1) {
        if (strcmp(at, name) == 0) {
            return 1;
        }
    }

    return 0;
}


void
base_write(const base_t *base, str_t jobs, buffer_t *to)
{
    size_t              start;
    str_t               line;
    const char         *end;
    const base_scan_t  *scan;

    scan = &base->scan;

    if (jobs.len == 0) {
        buffer_add(to, base->text.start, base->text.len);
        return;
    }

    start = to->len;
    buffer_add(to, base->text.start, scan->at);

    if (to->failed) {
        return;
    }

    base_blank(scan, to->start + start);

    end = base_break(base);

    if (!base_is_broken(base)) {
        buffer_text(to, end);
    }

    if (!scan->listed) {
        base_line(to, scan->key, str("scrape_configs:"), end);
    }

    while (jobs.len) {
        line.start = jobs.start;
        line.len = strcspn(jobs.start, "\n");

        base_line(to, scan->dash, line, end);

        jobs.start += line.len + 1;
        jobs.len -= line.len + 1;
    }

    buffer_add(to, base->text.start + scan->at, base->text.len - scan->at);
}


void
base_free(base_t *base)
{
    buffer_free(&base->text);
    base_scan_free(&base->scan);
}


/* brackets on two lines may have a comment between them, which stays */

static void
base_blank(const base_scan_t *scan, char *text)
{
    char  *first;

    if (scan->blanks == 0) {
        return;
    }

    first = text + scan->blank;

    if (*first == '[') {
        first[0] = ' ';
        first[scan->blanks - 1] = ' ';

    } else {
        memset(first, ' ', scan->blanks);
    }
}


/* whether what is in front of the jobs ends with a line break */

static int
base_is_broken(const base_t *base)
{
    size_t  n;
    str_t   last;

    for (n = 1; n <= 3 && n <= base->scan.at; n++) {
        last.start = base->text.start + base->scan.at - n;
        last.len = n;

        if (base_scan_break(last) == n) {
            return 1;
        }
    }

    return 0;
}


static const char *
base_break(const base_t *base)
{
    size_t  i;

    for (i = 0; i < base->text.len; i++) {

        if (base->text.start[i] == '\n') {
            return i && base->text.start[i - 1] == '\r' ? "\r\n" : "\n";
        }
    }

    return "\n";
}


static void
base_line(buffer_t *to, size_t indent, str_t line, const char *end)
{
    buffer_format(to, "%*s", (int) indent, "");
    buffer_str(to, line);
    buffer_text(to, end);
}
