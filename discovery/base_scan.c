/*
 * libyaml tells where in the text each thing is.  Nothing is made of it that
 * is written again, so that comments, quotes and the order stay as they are.
 */


#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base_scan.h"


#define SCAN_LIST   "scrape_configs"
#define SCAN_BOM    "\xef\xbb\xbf"


typedef struct {
    base_scan_t     *found;
    const char      *path;
    str_t            text;        /* less its BOM */
    char            *why;

    yaml_parser_t    parser;
    yaml_event_t     event;
    int              has_event;

    yaml_mark_t      last;        /* the end of what was seen so far */

    size_t           index;       /* so many characters ... */
    size_t           offset;      /* ... are so many bytes */
} scan_t;


static int scan_document(scan_t *s);
static int scan_mapping(scan_t *s);
static int scan_is_key(const scan_t *s, const char *name);
static int scan_list(scan_t *s);
static int scan_nothing(scan_t *s);
static int scan_flow(scan_t *s);
static int scan_jobs(scan_t *s);
static int scan_job(scan_t *s);
static void scan_name(scan_t *s);
static int scan_node(scan_t *s);
static int scan_next(scan_t *s);
static void scan_end(scan_t *s);
static int scan_broken(scan_t *s);
static int scan_fail(scan_t *s, yaml_mark_t at, const char *text);
static size_t scan_offset(scan_t *s, size_t index);
static size_t scan_line(scan_t *s);
static size_t scan_behind(scan_t *s, size_t at);
static size_t scan_break(const scan_t *s, size_t at);


int
base_scan(base_scan_t *scan, const char *path, str_t text, reason_t why)
{
    int     rc;
    scan_t  s;
    size_t  bom;

    memset(scan, 0, sizeof(*scan));
    memset(&s, 0, sizeof(s));

    bom = sizeof(SCAN_BOM) - 1;

    if (text.len < bom || memcmp(text.start, SCAN_BOM, bom) != 0) {
        bom = 0;
    }

    s.found = scan;
    s.path = path;
    s.text.start = text.len ? text.start + bom : "";
    s.text.len = text.len - bom;
    s.why = why;

    if (!yaml_parser_initialize(&s.parser)) {
        return reason(why, "out of memory");
    }

    yaml_parser_set_encoding(&s.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&s.parser,
                                 (const unsigned char *) s.text.start,
                                 s.text.len);

    buffer_add(&scan->jobs, "", 1);

    rc = scan_document(&s);

    if (rc == 0 && scan->jobs.failed) {
        rc = reason(why, "out of memory");
    }

    scan->at += bom;
    scan->blank += bom;

    if (s.has_event) {
        yaml_event_delete(&s.event);
    }

    yaml_parser_delete(&s.parser);

    return rc;
}


void
base_scan_free(base_scan_t *scan)
{
    buffer_free(&scan->jobs);
}


static int
scan_document(scan_t *s)
{
    yaml_mark_t  start;

    if (scan_next(s) == -1 || scan_next(s) == -1) {
        return -1;
    }

    start = s->event.start_mark;

    if (s->event.type == YAML_STREAM_END_EVENT) {
        return scan_fail(s, start, "it is empty; \"scrape_configs:\" alone"
                         " would do");
    }

    if (scan_next(s) == -1) {
        return -1;
    }

    if (s->event.type != YAML_MAPPING_START_EVENT) {
        return scan_fail(s, s->event.start_mark, "it is not a mapping, such as"
                         " \"scrape_configs:\" on a line of its own");
    }

    if (s->event.data.mapping_start.style == YAML_FLOW_MAPPING_STYLE) {
        return scan_fail(s, s->event.start_mark, "it is in flow style, {...},"
                         " where no job can be added; write it as lines of"
                         " \"KEY: VALUE\"");
    }

    if (scan_mapping(s) == -1 || scan_next(s) == -1) {
        return -1;
    }

    if (s->event.type == YAML_DOCUMENT_END_EVENT && scan_next(s) == -1) {
        return -1;
    }

    if (s->event.type != YAML_STREAM_END_EVENT) {
        return scan_fail(s, s->event.start_mark, "a second document begins,"
                         " which Prometheus wouldn't read");
    }

    return 0;
}


static int
scan_mapping(scan_t *s)
{
    int           merged;
    yaml_mark_t   merge;

    merged = 0;

    /* of a block's event this is where its first key is */

    s->found->key = s->event.end_mark.column;
    s->found->dash = s->found->key + 2;

    for ( ;; ) {

        if (scan_next(s) == -1) {
            return -1;
        }

        if (s->event.type == YAML_MAPPING_END_EVENT) {
            break;
        }

        if (scan_is_key(s, SCAN_LIST)) {

            if (s->found->listed) {
                return scan_fail(s, s->event.start_mark,
                                 "\"" SCAN_LIST "\" is there twice");
            }

            if (scan_list(s) == -1) {
                return -1;
            }

            continue;
        }

        if (scan_is_key(s, "<<")) {
            merged = 1;
            merge = s->event.start_mark;
        }

        if (scan_node(s) == -1 || scan_next(s) == -1 || scan_node(s) == -1) {
            return -1;
        }
    }

    if (!s->found->listed) {

        if (merged) {
            return scan_fail(s, merge, "\"<<\" may have \"" SCAN_LIST "\" in"
                             " it, which must be a key of its own");
        }

        s->found->at = scan_line(s);
    }

    return 0;
}


static int
scan_is_key(const scan_t *s, const char *name)
{
    return s->event.type == YAML_SCALAR_EVENT
           && s->event.data.scalar.length == strlen(name)
           && memcmp(s->event.data.scalar.value, name, strlen(name)) == 0;
}


/* the key is seen, and its value comes */

static int
scan_list(scan_t *s)
{
    int  rc;

    scan_end(s);

    if (scan_next(s) == -1) {
        return -1;
    }

    s->found->listed = 1;

    switch (s->event.type) {

    case YAML_SCALAR_EVENT:
        rc = scan_nothing(s);
        break;

    case YAML_ALIAS_EVENT:
        return scan_fail(s, s->event.start_mark, "\"" SCAN_LIST "\" is an"
                         " alias, to which no job can be added; write the list"
                         " here");

    case YAML_SEQUENCE_START_EVENT:
        rc = s->event.data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE
             ? scan_flow(s) : scan_jobs(s);
        break;

    default:
        return scan_fail(s, s->event.start_mark, "\"" SCAN_LIST "\" is not a"
                         " list, lines that begin with \"- \"");
    }

    if (rc == 0) {
        s->found->at = scan_line(s);
    }

    return rc;
}


static int
scan_nothing(scan_t *s)
{
    size_t        i, end;
    const char   *text;

    static const char *const  nothing[] = { "", "~", "null", "Null", "NULL" };

    text = (const char *) s->event.data.scalar.value;

    if (s->event.data.scalar.tag == NULL
        && s->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
    {
        for (i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++) {

            if (strcmp(text, nothing[i]) != 0) {
                continue;
            }

            scan_end(s);

            /* its end, as an anchor may be in front of it */

            end = scan_offset(s, s->event.end_mark.index);

            if (s->event.start_mark.index == s->event.end_mark.index
                && s->text.start[end - 1] != ':')
            {
                return scan_fail(s, s->last, "\"" SCAN_LIST "\" has no \":\""
                                 " behind it");
            }

            s->found->blanks = strlen(text);
            s->found->blank = end - s->found->blanks;

            return 0;
        }
    }

    return scan_fail(s, s->event.start_mark, "\"" SCAN_LIST "\" is not a list,"
                     " lines that begin with \"- \"");
}


/* an empty one becomes a block */

static int
scan_flow(scan_t *s)
{
    yaml_mark_t  start;

    start = s->event.start_mark;

    s->found->blank = scan_offset(s, s->event.end_mark.index) - 1;

    if (scan_next(s) == -1) {
        return -1;
    }

    if (s->event.type != YAML_SEQUENCE_END_EVENT) {
        return scan_fail(s, start, "\"" SCAN_LIST "\" is in flow style, [...],"
                         " where no job can be added; write it as lines that"
                         " begin with \"- \"");
    }

    scan_end(s);

    s->found->blanks = scan_offset(s, s->event.end_mark.index)
                       - s->found->blank;

    return 0;
}


static int
scan_jobs(scan_t *s)
{
    size_t       at;
    yaml_mark_t  dash;

    /* it ends either in front of the first "-", or behind */

    dash = s->event.end_mark;
    at = scan_offset(s, dash.index);

    s->found->dash = dash.column - (s->text.start[at] == '-' ? 0 : 1);

    for ( ;; ) {

        if (scan_next(s) == -1) {
            return -1;
        }

        if (s->event.type == YAML_SEQUENCE_END_EVENT) {
            return 0;
        }

        if ((s->event.type == YAML_MAPPING_START_EVENT ? scan_job(s)
                                                       : scan_node(s)) == -1)
        {
            return -1;
        }
    }
}


static int
scan_job(scan_t *s)
{
    int  named;

    for ( ;; ) {

        if (scan_next(s) == -1) {
            return -1;
        }

        if (s->event.type == YAML_MAPPING_END_EVENT) {
            scan_end(s);
            return 0;
        }

        named = scan_is_key(s, "job_name");

        if (scan_node(s) == -1 || scan_next(s) == -1) {
            return -1;
        }

        if (named) {
            scan_name(s);
        }

        if (scan_node(s) == -1) {
            return -1;
        }
    }
}


static void
scan_name(scan_t *s)
{
    if (s->event.type == YAML_SCALAR_EVENT) {
        buffer_add(&s->found->jobs, s->event.data.scalar.value,
                   s->event.data.scalar.length);
        buffer_add(&s->found->jobs, "", 1);
    }
}


/* to the end of what has begun with this event */

static int
scan_node(scan_t *s)
{
    size_t  depth;

    depth = 0;

    for ( ;; ) {

        switch (s->event.type) {

        case YAML_MAPPING_START_EVENT:
        case YAML_SEQUENCE_START_EVENT:
            depth++;
            break;

        case YAML_MAPPING_END_EVENT:
        case YAML_SEQUENCE_END_EVENT:
            depth--;
            break;

        default:
            break;
        }

        scan_end(s);

        if (depth == 0) {
            return 0;
        }

        if (scan_next(s) == -1) {
            return -1;
        }
    }
}


static int
scan_next(scan_t *s)
{
    if (s->has_event) {
        yaml_event_delete(&s->event);
        s->has_event = 0;
    }

    if (!yaml_parser_parse(&s->parser, &s->event)) {
        return scan_broken(s);
    }

    s->has_event = 1;

    return 0;
}


/*
 * How far the event's text goes.  A block ends where what follows it begins,
 * which says nothing; so does a value that isn't there, unless it stands
 * behind its ":", "-" or "?".
 */

static void
scan_end(scan_t *s)
{
    size_t        at;
    yaml_mark_t   start, end;

    start = s->event.start_mark;
    end = s->event.end_mark;
    at = scan_offset(s, start.index);

    switch (s->event.type) {

    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:

        if (start.index == end.index
            || (s->text.start[at] != '}' && s->text.start[at] != ']'))
        {
            return;
        }

        break;

    default:

        if (start.index == end.index
            && (at == 0 || memchr(":-?", s->text.start[at - 1], 3) == NULL))
        {
            return;
        }
    }

    s->last = end;
}


static int
scan_broken(scan_t *s)
{
    size_t          i;
    yaml_mark_t     at;
    yaml_parser_t  *p;

    p = &s->parser;

    switch (p->error) {

    case YAML_MEMORY_ERROR:
        return reason(s->why, "out of memory");

    case YAML_READER_ERROR:

        /* where it is, is known by its bytes alone */

        memset(&at, 0, sizeof(at));

        for (i = 0; i < p->problem_offset && i < s->text.len; i++) {

            if (s->text.start[i] == '\n') {
                at.line++;
                at.column = 0;

            } else if ((s->text.start[i] & 0xc0) != 0x80) {
                at.column++;
            }
        }

        return scan_fail(s, at, p->problem);

    default:
        return scan_fail(s, p->problem_mark, p->problem);
    }
}


static int
scan_fail(scan_t *s, yaml_mark_t at, const char *text)
{
    return reason(s->why, "%.*s:%zu:%zu: %s", REASON_TEXT, s->path,
                  at.line + 1, at.column + 1, text);
}


/* libyaml counts characters, and mostly onwards */

static size_t
scan_offset(scan_t *s, size_t index)
{
    if (index < s->index) {
        s->index = 0;
        s->offset = 0;
    }

    while (s->index < index && s->offset < s->text.len) {

        do {
            s->offset++;
        } while (s->offset < s->text.len
                 && (s->text.start[s->offset] & 0xc0) == 0x80);

        s->index++;
    }

    return s->offset;
}


/* where the line after what was seen so far begins */

static size_t
scan_line(scan_t *s)
{
    size_t  at, n;

    at = scan_offset(s, s->last.index);

    /* as that of a text of several lines does */

    if (s->last.column == 0) {
        return scan_behind(s, at);
    }

    while (at < s->text.len) {
        n = scan_break(s, at);

        if (n) {
            return scan_behind(s, at + n);
        }

        at++;
    }

    return at;
}


/*
 * Comments that are indented more than a key are about what they follow.  A
 * tab in a line that is blank else may follow some values, but not others.
 */

static size_t
scan_behind(scan_t *s, size_t at)
{
    int     tab, comment;
    size_t  i, indent, n;

    i = at;

    while (i < s->text.len) {
        tab = 0;
        comment = 0;

        for (indent = 0;
             i < s->text.len && strchr(" \t", s->text.start[i]);
             indent++)
        {
            tab |= s->text.start[i++] == '\t';
        }

        if (i < s->text.len && s->text.start[i] == '#') {

            if (tab || indent <= s->found->key) {
                return at;
            }

            comment = 1;

            while (i < s->text.len && scan_break(s, i) == 0) {
                i++;
            }
        }

        n = scan_break(s, i);

        if (n == 0 && i < s->text.len) {
            return at;
        }

        i += n;

        if (tab || comment) {
            at = i;
        }
    }

    return at;
}


static size_t
scan_break(const scan_t *s, size_t at)
{
    return base_scan_break((str_t) { s->text.start + at, s->text.len - at });
}


size_t
base_scan_break(str_t s)
{
    size_t  i;

    static const char *const  breaks[] = {
        "\r\n", "\n", "\r", "\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9"
    };

    for (i = 0; i < sizeof(breaks) / sizeof(breaks[0]); i++) {

        if (s.len >= strlen(breaks[i])
            && memcmp(s.start, breaks[i], strlen(breaks[i])) == 0)
        {
            return strlen(breaks[i]);
        }
    }

    return 0;
}
