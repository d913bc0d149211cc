/*
 * Groups are parsed one by one, so that none takes more memory than it may be
 * long, and the first that is wrong is the last that is looked at.  What is
 * handed on is written anew, as far as it is known what it does.
 */


#include <jansson.h>
#include <string.h>

#include "reader.h"


#define READER_GROUP  (256 * 1024)    /* bytes, at most */
#define READER_NAME   512

#define READER_CONNECTED  "__meta_monitoring_proxy_connected"


typedef struct {
    const reader_t   *reader;
    list_t           *list;
    connected_e       connected;
    const char       *target;
    const char       *renamed;    /* a label "replica" of its own */
} reader_group_t;


typedef int (*reader_pt)(reader_group_t *group, json_t *labels, reason_t why);


static int reader_read(const reader_t *reader, str_t text, reader_pt read,
    list_t *list, reason_t why);
static void reader_printable(char *text);
static str_t reader_skip(str_t text);
static int reader_group(reader_group_t *group, str_t *text, reader_pt read,
    reason_t why);
static int reader_object(reader_group_t *group, json_t *object,
    reader_pt read, reason_t why);
static int reader_target(reader_group_t *group, json_t *labels, reason_t why);
static int reader_client(reader_group_t *group, json_t *labels, reason_t why);
static int reader_line(reader_group_t *group, const char *name,
    json_t *labels, reason_t why);
static int reader_label(reader_group_t *group, const char *name,
    json_t *value, reason_t why);
static int reader_is_name(const char *name);
static int reader_is_instance(const char *name);
static void reader_pair(buffer_t *text, const char *name, const char *value);
static void reader_string(buffer_t *text, const char *value);


int
reader_targets(const reader_t *reader, str_t text, list_t *list, reason_t why)
{
    return reader_read(reader, text, reader_target, list, why);
}


int
reader_clients(const reader_t *reader, str_t text, list_t *list, reason_t why)
{
    return reader_read(reader, text, reader_client, list, why);
}


static int
reader_read(const reader_t *reader, str_t text, reader_pt read, list_t *list,
    reason_t why)
{
    str_t           rest;
    reason_t        what;
    reader_group_t  group;

    memset(&group, 0, sizeof(group));
    memset(list, 0, sizeof(*list));

    group.reader = reader;
    group.list = list;

    rest = reader_skip(text);

    if (rest.len == 0 || *rest.start != '[') {
        return reason(why, "the answer is no JSON array");
    }

    do {
        rest.start++;
        rest.len--;
        rest = reader_skip(rest);

        if (list->n == 0 && rest.len && *rest.start == ']') {
            break;
        }

        if (reader_group(&group, &rest, read, what) == -1) {
            (void) reason(why, "group %zu, at byte %zu: %.*s", list->n + 1,
                          text.len - rest.len, (int) sizeof(what) - 64, what);
            goto failed;
        }

        rest = reader_skip(rest);

    } while (rest.len && *rest.start == ',');

    if (rest.len == 0 || *rest.start != ']') {
        (void) reason(why, "there is no \",\" or \"]\" behind group %zu",
                      list->n);
        goto failed;
    }

    rest.start++;
    rest.len--;
    rest = reader_skip(rest);

    if (rest.len) {
        (void) reason(why, "there is something behind the array");
        goto failed;
    }

    list_end(list);

    return 0;

failed:

    reader_printable(why);
    list_free(list);

    return -1;
}


/* it quotes what was sent */

static void
reader_printable(char *text)
{
    for (/* void */; *text; text++) {
        if (*text < ' ' || *text > '~') {
            *text = '?';
        }
    }
}


static str_t
reader_skip(str_t text)
{
    while (text.len
           && (*text.start == ' ' || *text.start == '\t'
               || *text.start == '\n' || *text.start == '\r'))
    {
        text.start++;
        text.len--;
    }

    return text;
}


/* moves the text behind it, if it can be read */

static int
reader_group(reader_group_t *group, str_t *text, reader_pt read, reason_t why)
{
    int            rc;
    size_t         len;
    json_t        *object;
    json_error_t   error;

    len = text->len > READER_GROUP ? READER_GROUP : text->len;

    /* of what isn't even meant to be one, no more is parsed */

    if (len == 0 || *text->start != '{') {
        return reason(why, "it is no JSON object");
    }

    object = json_loadb(text->start, len,
                        JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK,
                        &error);

    if (object == NULL) {
        return len == READER_GROUP
                   && json_error_code(&error)
                      == json_error_premature_end_of_input
               ? reason(why, "it is longer than %d bytes", READER_GROUP)
               : reason(why, "%s", error.text);
    }

    rc = reader_object(group, object, read, why);

    json_decref(object);

    if (rc == 0) {
        text->start += error.position;
        text->len -= (size_t) error.position;
    }

    return rc;
}


static int
reader_object(reader_group_t *group, json_t *object, reader_pt read,
    reason_t why)
{
    json_t  *targets, *labels;

    targets = json_object_get(object, "targets");

    if (json_array_size(targets) != 1
        || !json_is_string(json_array_get(targets, 0)))
    {
        return reason(why, "\"targets\" is no array of one string");
    }

    labels = json_object_get(object, "labels");

    if (json_is_null(labels)) {
        labels = NULL;
    }

    if (labels && !json_is_object(labels)) {
        return reason(why, "\"labels\" is no JSON object");
    }

    group->target = json_string_value(json_array_get(targets, 0));
    group->connected = CONNECTED_UNKNOWN;

    return read(group, labels, why);
}


/* what a proxy lists can be reached through itself only */

static int
reader_target(reader_group_t *group, json_t *labels, reason_t why)
{
    const char  *name, *path;

    name = json_string_value(json_object_get(labels, "instance"));

    if (name == NULL || !reader_is_instance(name)) {
        return reason(why, "it has no label \"instance\" with a name: letters,"
                      " digits and \"._~-:/[]\"");
    }

    path = json_string_value(json_object_get(labels, "__metrics_path__"));

    if (path == NULL || path[0] != '/') {
        return reason(why, "it has no label \"__metrics_path__\" with a"
                      " path");
    }

    group->target = group->reader->address;

    return reader_line(group, name, labels, why);
}


static int
reader_client(reader_group_t *group, json_t *labels, reason_t why)
{
    if (!reader_is_instance(group->target)) {
        return reason(why, "its target is no name: letters, digits and"
                      " \"._~-:/[]\"");
    }

    return reader_line(group, group->target, labels, why);
}


static int
reader_line(reader_group_t *group, const char *name, json_t *labels,
    reason_t why)
{
    size_t       at, line;
    json_t      *value;
    buffer_t    *text;
    reason_t     what;
    const char  *label;

    text = &group->list->text;

    at = text->len;
    buffer_text(text, name);

    line = text->len;
    buffer_text(text, "{\"targets\":[");
    reader_string(text, group->target);
    buffer_text(text, "],\"labels\":{");

    reader_pair(text, "__scheme__", "http");

    group->renamed = json_object_get(labels, "exported_replica")
                     ? "exported_exported_replica" : "exported_replica";

    json_object_foreach(labels, label, value) {
        if (reader_label(group, label, value, what) == -1) {
            return reason(why, "label \"%.*s\": %.*s", REASON_TEXT, label,
                          REASON_TEXT, what);
        }
    }

    if (group->reader->replica) {
        buffer_text(text, ",");
        reader_pair(text, "replica", group->reader->replica);
    }

    buffer_text(text, "}}");

    return list_add(group->list, at, line, group->connected) == -1
           ? reason(why, "out of memory") : 0;
}


static int
reader_label(reader_group_t *group, const char *name, json_t *value,
    reason_t why)
{
    buffer_t    *text;
    const char  *said;

    text = &group->list->text;

    if (!reader_is_name(name)) {
        return reason(why, "it isn't letters, digits and \"_\"");
    }

    said = json_string_value(value);

    if (said == NULL) {
        return reason(why, "its value is no string");
    }

    if (strcmp(name, READER_CONNECTED) == 0) {

        if (strcmp(said, "yes") == 0) {
            group->connected = CONNECTED_YES;
            return 0;
        }

        if (strcmp(said, "no") == 0) {
            group->connected = CONNECTED_NO;
            return 0;
        }

        return reason(why, "it isn't \"yes\" or \"no\"");
    }

    if (strcmp(name, "__scheme__") == 0 || strncmp(name, "__meta_", 7) == 0) {
        return 0;
    }

    if (strcmp(name, "job") == 0) {
        return reason(why, "it is Prometheus' own");
    }

    if (strncmp(name, "__", 2) == 0
        && strncmp(name, "__param_", 8) != 0
        && strcmp(name, "__metrics_path__") != 0
        && strcmp(name, "__scrape_interval__") != 0
        && strcmp(name, "__scrape_timeout__") != 0)
    {
        return reason(why, "it is none that a proxy may set");
    }

    /* as Prometheus itself calls a label that is in the way of its own */

    if (group->reader->replica && strcmp(name, "replica") == 0) {
        name = group->renamed;
    }

    buffer_text(text, ",");
    reader_pair(text, name, said);

    return 0;
}


static int
reader_is_name(const char *name)
{
    size_t  len;

    len = strspn(name, "abcdefghijklmnopqrstuvwxyz"
                       "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

    return len && name[len] == '\0' && (name[0] < '0' || name[0] > '9');
}


static int
reader_is_instance(const char *name)
{
    size_t  len;

    len = strspn(name, "abcdefghijklmnopqrstuvwxyz"
                       "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~-:/[]");

    return len && len <= READER_NAME && name[len] == '\0';
}


static void
reader_pair(buffer_t *text, const char *name, const char *value)
{
    reader_string(text, name);
    buffer_text(text, ":");
    reader_string(text, value);
}


/* it is UTF-8, as the parser has seen to */

static void
reader_string(buffer_t *text, const char *value)
{
    size_t  len;

    buffer_text(text, "\"");

    while (*value) {

        for (len = 0; (unsigned char) value[len] >= ' '; len++) {
            if (value[len] == '"' || value[len] == '\\'
                || value[len] == 0x7f)
            {
                break;
            }
        }

        buffer_add(text, value, len);
        value += len;

        if (*value == '"' || *value == '\\') {
            buffer_format(text, "\\%c", *value++);

        } else if (*value) {
            buffer_format(text, "\\u%04x", (unsigned char) *value++);
        }
    }

    buffer_text(text, "\"");
}
