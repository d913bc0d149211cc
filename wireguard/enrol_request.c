/*
 * A request to enrol; see the header.
 */


#include <jansson.h>
#include <string.h>

#include "enrol_request.h"
#include "ngx_prom_nodes.h"
#include "ngx_prom_targets_line.h"


typedef struct {
    long                 length;      /* -1: not given */
    str_t                type;        /* Content-Type */
    str_t                from;
} enrol_header_t;


static int enrol_request_line(str_t line, reason_t why);
static int enrol_headers(enrol_header_t *header, str_t text, reason_t why);
static int enrol_header(enrol_header_t *header, str_t name, str_t value,
    reason_t why);
static str_t enrol_line(str_t *text);
static int enrol_is_json(str_t type);
static int enrol_body(enrol_request_t *request, str_t body, reason_t why);
static int enrol_members(enrol_request_t *request, json_t *object,
    reason_t why);
static int enrol_name(enrol_request_t *request, const char *name, size_t len);
static int enrol_refuse(int status, reason_t why, const char *text);


int
enrol_request_parse(enrol_request_t *request, const char *in, size_t len,
    reason_t why)
{
    int              status;
    str_t            text, body;
    const char      *end;
    enrol_header_t   header;

    end = memmem(in, len, "\r\n\r\n", 4);

    if (end == NULL) {
        return len < REQUEST_HEADER ? 0
               : enrol_refuse(400, why, "more than 4 kB of header");
    }

    text.start = in;
    text.len = (size_t) (end - in) + 2;

    if (text.len > REQUEST_HEADER) {
        return enrol_refuse(400, why, "more than 4 kB of header");
    }

    memset(&header, 0, sizeof(header));
    header.length = -1;

    status = enrol_request_line(enrol_line(&text), why);

    if (status == 200) {
        status = enrol_headers(&header, text, why);
    }

    if (status != 200) {
        return status;
    }

    if (header.length == -1) {
        return enrol_refuse(400, why, "no Content-Length");
    }

    if (header.length > REQUEST_BODY) {
        return enrol_refuse(413, why, "more than the 4 kB that an enrolment "
                            "may have");
    }

    if (!enrol_is_json(header.type)) {
        return enrol_refuse(415, why, "Content-Type is not application/json");
    }

    body.start = end + 4;
    body.len = len - (size_t) (body.start - in);

    if (body.len < (size_t) header.length) {
        return 0;
    }

    if (body.len > (size_t) header.length) {
        return enrol_refuse(400, why, "more than Content-Length says");
    }

    memset(request, 0, sizeof(enrol_request_t));

    if (header.from.len < REQUEST_FROM && str_is_visible(header.from)) {
        memcpy(request->from, header.from.start, header.from.len);
    }

    return enrol_body(request, body, why);
}


static int
enrol_request_line(str_t line, reason_t why)
{
    if (str_equal(line, str("POST /enrol HTTP/1.0"))
        || str_equal(line, str("POST /enrol HTTP/1.1")))
    {
        return 200;
    }

    if (line.len < 9 || memcmp(line.start + line.len - 9, " HTTP/1.", 8) != 0)
    {
        return enrol_refuse(400, why, "the request is not HTTP");
    }

    return enrol_refuse(404, why, "no such page; nodes enrol by POST /enrol");
}


static int
enrol_headers(enrol_header_t *header, str_t text, reason_t why)
{
    int          status;
    str_t        line, name, value;
    const char  *colon;

    while (text.len) {
        line = enrol_line(&text);
        colon = memchr(line.start, ':', line.len);

        if (colon == NULL) {
            return enrol_refuse(400, why, "a header line without a colon");
        }

        name.start = line.start;
        name.len = (size_t) (colon - line.start);
        value.start = colon + 1;
        value.len = line.len - name.len - 1;

        if (!str_is_token(name)) {
            return enrol_refuse(400, why, "a header line whose name is none");
        }

        status = enrol_header(header, name, str_trim(value), why);

        if (status != 200) {
            return status;
        }
    }

    return 200;
}


static int
enrol_header(enrol_header_t *header, str_t name, str_t value, reason_t why)
{
    size_t  i;

    for (i = 0; i < value.len; i++) {
        if ((unsigned char) value.start[i] < ' ' && value.start[i] != '\t') {
            return enrol_refuse(400, why, "a control character in the header");
        }
    }

    if (str_is(name, "Transfer-Encoding")) {
        return enrol_refuse(400, why, "Transfer-Encoding is not taken; give "
                            "Content-Length");
    }

    if (str_is(name, "Content-Length")) {

        if (header->length != -1) {
            return enrol_refuse(400, why, "Content-Length twice");
        }

        /* more than is taken is as much as it may be */

        for (i = 0; i < value.len; i++) {
            if (!ngx_prom_digit(value.start[i])) {
                break;
            }
        }

        if (i != value.len || i == 0) {
            return enrol_refuse(400, why, "Content-Length is not a number");
        }

        header->length = str_number(value, REQUEST_BODY);

        if (header->length == -1) {
            header->length = REQUEST_BODY + 1;
        }
    }

    if (str_is(name, "Content-Type")) {
        header->type = value;
    }

    if (str_is(name, "X-Real-IP")) {
        header->from = value;
    }

    return 200;
}


/* the next one without its end, which is there */

static str_t
enrol_line(str_t *text)
{
    str_t        line;
    const char  *end;

    end = memmem(text->start, text->len, "\r\n", 2);

    line.start = text->start;
    line.len = (size_t) (end - text->start);

    text->start = end + 2;
    text->len -= line.len + 2;

    return line;
}


static int
enrol_is_json(str_t type)
{
    const char  *semicolon;

    if (type.len == 0) {
        return 0;
    }

    semicolon = memchr(type.start, ';', type.len);

    if (semicolon) {
        type.len = (size_t) (semicolon - type.start);
    }

    return str_is(str_trim(type), "application/json");
}


static int
enrol_body(enrol_request_t *request, str_t body, reason_t why)
{
    int           status;
    json_t       *object;
    json_error_t  error;

    object = json_loadb(body.start, body.len, JSON_REJECT_DUPLICATES, &error);

    if (object == NULL) {
        return enrol_refuse(400, why, "the body is not JSON");
    }

    status = enrol_members(request, object, why);

    json_decref(object);

    return status;
}


static int
enrol_members(enrol_request_t *request, json_t *object, reason_t why)
{
    json_t   *name, *token, *key;
    uint8_t   bytes[KEY_BYTES];

    name = json_object_get(object, "name");
    token = json_object_get(object, "token");
    key = json_object_get(object, "public_key");

    if (!json_is_object(object) || json_object_size(object) != 3
        || !json_is_string(name) || !json_is_string(token)
        || !json_is_string(key))
    {
        return enrol_refuse(400, why, "the body is not the strings name, "
                            "token and public_key");
    }

    if (!enrol_name(request, json_string_value(name),
                    json_string_length(name)))
    {
        return enrol_refuse(400, why, "name is not that of a node");
    }

    if (!key_is_token(json_string_value(token), json_string_length(token))) {
        return enrol_refuse(400, why, "token is not one; it is what stands "
                            "between the last \"/\" and \".\" of the URL");
    }

    if (!ngx_prom_nodes_key(bytes, json_string_value(key),
                            json_string_length(key)))
    {
        return enrol_refuse(400, why, "public_key is not a key, which is 44 "
                            "characters of base64, as wg pubkey prints");
    }

    /* the token itself is not kept */

    key_digest(request->hash, json_string_value(token),
               json_string_length(token));
    memcpy(request->key, json_string_value(key), KEY_TEXT);

    return 200;
}


static int
enrol_name(enrol_request_t *request, const char *name, size_t len)
{
    size_t  i;

    if (len == 0 || len > NGX_PROM_NAME_MAX
        || ngx_prom_segments_check(name, len))
    {
        return 0;
    }

    for (i = 0; i < len; i++) {
        if (!ngx_prom_char_in(name[i], "/._~-")) {
            return 0;
        }
    }

    memcpy(request->name, name, len);

    return 1;
}


static int
enrol_refuse(int status, reason_t why, const char *text)
{
    (void) reason(why, "%s", text);

    return status;
}
