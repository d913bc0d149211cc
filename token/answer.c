/*
 * JSON is jansson's; of XML, there is only what AWS' STS answers: elements
 * without attributes that have one text, looked for by their names.
 */


#include <ctype.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "wipe.h"


#define ANSWER_FOREVER  (10LL * 366 * 24 * 3600)    /* s, at most */


static json_t *answer_object(str_t text, reason_t why);
static int answer_expires(answer_t *a, const json_t *object, time_t now,
    reason_t why);
static int answer_seconds(const json_t *value, int64_t *seconds);
static int answer_until(answer_t *a, str_t text, time_t now, reason_t why);
static int answer_digits(str_t *text, unsigned n, int *value);
static int answer_time(str_t text, int64_t *seconds);
static int answer_zone(str_t text, int64_t *seconds);
static int answer_field(buffer_t *to, const json_t *object, const char *name,
    size_t max, reason_t why);
static int answer_value(buffer_t *to, str_t value, const char *name,
    size_t max, reason_t why);
static int answer_element(str_t text, const char *name, str_t *found);
static int answer_text(buffer_t *to, str_t text);
static int answer_entity(buffer_t *to, str_t entity);
static int answer_xml_field(buffer_t *to, str_t text, const char *name,
    size_t max, reason_t why);
static void answer_error_json(buffer_t *error, const json_t *object);
static void answer_error_add(buffer_t *error, const json_t *value);
static void *answer_malloc(size_t size);
static void answer_wiping_free(void *data);


int
answer_token(answer_t *a, str_t text, time_t now, reason_t why)
{
    int            rc;
    json_t        *object;
    const json_t  *type;

    rc = -1;
    object = answer_object(text, why);

    if (object == NULL) {
        return -1;
    }

    type = json_object_get(object, "token_type");

    if (json_is_string(type) && json_string_length(type)
        && !str_is(str_of(json_string_value(type)), "bearer"))
    {
        (void) reason(why, "its \"token_type\" isn't Bearer");
        goto done;
    }

    if (answer_field(&a->token, object, "access_token", ANSWER_TOKEN_MAX, why)
        == -1)
    {
        goto done;
    }

    rc = answer_expires(a, object, now, why);

done:

    json_decref(object);

    return rc;
}


/* jansson's own words have pieces of the text in them */

static json_t *
answer_object(str_t text, reason_t why)
{
    json_t        *json;
    json_error_t   error;

    json = json_loadb(text.len ? text.start : "", text.len, 0, &error);

    if (json == NULL) {
        (void) reason(why, "it isn't JSON, or not whole (line %d, column %d)",
                      error.line, error.column);
        explicit_bzero(&error, sizeof(error));
        return NULL;
    }

    if (!json_is_object(json)) {
        (void) reason(why, "it is no JSON object");
        json_decref(json);
        return NULL;
    }

    return json;
}


/* there are endpoints that write numbers as strings */

static int
answer_expires(answer_t *a, const json_t *object, time_t now, reason_t why)
{
    int64_t        seconds;
    const json_t  *in, *on;

    in = json_object_get(object, "expires_in");
    on = json_object_get(object, "expires_on");

    if (in && !json_is_null(in)) {
        if (answer_seconds(in, &seconds) == -1) {
            return reason(why, "its \"expires_in\" is no number of seconds");
        }

    } else if (on && !json_is_null(on)) {
        if (answer_seconds(on, &seconds) == -1) {
            return reason(why, "its \"expires_on\" is no number of seconds");
        }

        seconds -= now;

    } else {
        a->left = ANSWER_ASSUMED;
        return 0;
    }

    if (seconds <= 0) {
        return reason(why, "its token has expired already");
    }

    a->left = (seconds < ANSWER_FOREVER ? seconds : ANSWER_FOREVER) * 1000;

    return 0;
}


static int
answer_seconds(const json_t *value, int64_t *seconds)
{
    int     minus;
    long    n;
    double  real;
    str_t   text;

    if (json_is_integer(value)) {
        *seconds = json_integer_value(value);

    } else if (json_is_real(value)) {
        real = json_real_value(value);
        *seconds = real > 1e15 ? (int64_t) 1e15
                   : real < -1e15 ? (int64_t) -1e15 : (int64_t) real;

    } else if (json_is_string(value)) {
        text = str_of(json_string_value(value));
        minus = text.len && text.start[0] == '-';

        text.start += minus;
        text.len -= (size_t) minus;

        n = str_number(text, 1000000000000000L);

        if (n == -1) {
            return -1;
        }

        *seconds = minus ? -n : n;

    } else {
        return -1;
    }

    /* what is too large for any use may be so for an int64_t minus now, too */

    if (*seconds > 1000000000000000LL) {
        *seconds = 1000000000000000LL;

    } else if (*seconds < -1000000000000000LL) {
        *seconds = -1000000000000000LL;
    }

    return 0;
}


int
answer_aws(answer_t *a, str_t text, time_t now, reason_t why)
{
    int            rc;
    json_t        *object;
    const json_t  *value;

    rc = -1;
    object = answer_object(text, why);

    if (object == NULL) {
        return -1;
    }

    value = json_object_get(object, "Code");

    if (json_is_string(value)
        && strcmp(json_string_value(value), "Success") != 0)
    {
        (void) reason(why, "its \"Code\" isn't \"Success\"");
        goto done;
    }

    if (answer_field(&a->access_key, object, "AccessKeyId", ANSWER_KEY_MAX,
                     why)
        == -1
        || answer_field(&a->secret_key, object, "SecretAccessKey",
                        ANSWER_KEY_MAX, why)
           == -1
        || answer_field(&a->token, object, "Token", ANSWER_TOKEN_MAX, why)
           == -1)
    {
        goto done;
    }

    value = json_object_get(object, "Expiration");

    if (value == NULL || json_is_null(value)) {
        a->left = ANSWER_ASSUMED;
        rc = 0;
        goto done;
    }

    rc = answer_until(a, str_of(json_is_string(value)
                                ? json_string_value(value) : ""), now, why);

done:

    json_decref(object);

    return rc;
}


int
answer_sts(answer_t *a, str_t text, time_t now, reason_t why)
{
    str_t  credentials, expiration;

    if (answer_element(text, "Credentials", &credentials) == -1) {
        return reason(why, "it is no XML with \"Credentials\", or not whole");
    }

    if (answer_xml_field(&a->access_key, credentials, "AccessKeyId",
                         ANSWER_KEY_MAX, why)
        == -1
        || answer_xml_field(&a->secret_key, credentials, "SecretAccessKey",
                            ANSWER_KEY_MAX, why)
           == -1
        || answer_xml_field(&a->token, credentials, "SessionToken",
                            ANSWER_TOKEN_MAX, why)
           == -1)
    {
        return -1;
    }

    if (answer_element(credentials, "Expiration", &expiration) == -1) {
        a->left = ANSWER_ASSUMED;
        return 0;
    }

    return answer_until(a, expiration, now, why);
}


void
answer_free(answer_t *a)
{
    wipe_free(&a->token);
    wipe_free(&a->access_key);
    wipe_free(&a->secret_key);
}


static int
answer_until(answer_t *a, str_t text, time_t now, reason_t why)
{
    int64_t  seconds;

    if (answer_time(text, &seconds) == -1) {
        return reason(why, "its \"Expiration\" is no time as"
                      " 2006-01-02T15:04:05Z");
    }

    seconds -= now;

    if (seconds <= 0) {
        return reason(why, "its credentials have expired already");
    }

    a->left = (seconds < ANSWER_FOREVER ? seconds : ANSWER_FOREVER) * 1000;

    return 0;
}


/* 2006-01-02T15:04:05Z, also with a fraction, and +01:00 instead of the Z */

static int
answer_time(str_t text, int64_t *seconds)
{
    int        i;
    struct tm  tm;

    static const char      between[] = "--T::";
    static const unsigned  digits[] = { 4, 2, 2, 2, 2, 2 };

    int  part[6];

    for (i = 0; i < 6; i++) {

        if (i) {
            if (text.len == 0 || text.start[0] != between[i - 1]) {
                return -1;
            }

            text.start++;
            text.len--;
        }

        if (answer_digits(&text, digits[i], &part[i]) == -1) {
            return -1;
        }
    }

    if (part[1] < 1 || part[1] > 12 || part[2] < 1 || part[2] > 31
        || part[3] > 23 || part[4] > 59 || part[5] > 60)
    {
        return -1;
    }

    memset(&tm, 0, sizeof(tm));

    tm.tm_year = part[0] - 1900;
    tm.tm_mon = part[1] - 1;
    tm.tm_mday = part[2];
    tm.tm_hour = part[3];
    tm.tm_min = part[4];
    tm.tm_sec = part[5];

    *seconds = timegm(&tm);

    if (text.len && text.start[0] == '.') {
        do {
            text.start++;
            text.len--;
        } while (text.len && isdigit((unsigned char) text.start[0]));
    }

    return answer_zone(text, seconds);
}


static int
answer_zone(str_t text, int64_t *seconds)
{
    int   hours, minutes;
    char  sign;

    if (text.len == 1 && (text.start[0] | 0x20) == 'z') {
        return 0;
    }

    if (text.len != 6 || text.start[3] != ':') {
        return -1;
    }

    sign = text.start[0];

    text.start++;
    text.len--;

    if (answer_digits(&text, 2, &hours) == -1) {
        return -1;
    }

    text.start++;
    text.len--;

    if (answer_digits(&text, 2, &minutes) == -1
        || (sign != '+' && sign != '-'))
    {
        return -1;
    }

    *seconds -= (sign == '+' ? 1 : -1) * (hours * 3600 + minutes * 60);

    return 0;
}


static int
answer_digits(str_t *text, unsigned n, int *value)
{
    *value = 0;

    if (text->len < n) {
        return -1;
    }

    for (/* void */; n; n--) {
        if (!isdigit((unsigned char) text->start[0])) {
            return -1;
        }

        *value = *value * 10 + (text->start[0] - '0');

        text->start++;
        text->len--;
    }

    return 0;
}


static int
answer_field(buffer_t *to, const json_t *object, const char *name, size_t max,
    reason_t why)
{
    const json_t  *value;

    value = json_object_get(object, name);

    if (!json_is_string(value)) {
        return reason(why, "it has no \"%s\"", name);
    }

    return answer_value(to, (str_t) { json_string_value(value),
                                      json_string_length(value) },
                        name, max, why);
}


static int
answer_value(buffer_t *to, str_t value, const char *name, size_t max,
    reason_t why)
{
    if (value.len > max) {
        return reason(why, "its \"%s\" has more than %zu bytes", name, max);
    }

    if (!str_is_visible(value)) {
        return reason(why, "its \"%s\" is empty, or has other than visible"
                      " ASCII", name);
    }

    wipe_add(to, value.start, value.len);

    return to->failed ? reason(why, "out of memory") : 0;
}


/* what stands between <NAME> and the next </NAME> */

static int
answer_element(str_t text, const char *name, str_t *found)
{
    char         tag[64];
    size_t       len;
    const char  *start, *end;

    len = (size_t) snprintf(tag, sizeof(tag), "<%s>", name);
    start = text.len ? memmem(text.start, text.len, tag, len) : NULL;

    if (start == NULL) {
        return -1;
    }

    start += len;
    len = (size_t) snprintf(tag, sizeof(tag), "</%s>", name);
    end = memmem(start, (size_t) (text.start + text.len - start), tag, len);

    if (end == NULL) {
        return -1;
    }

    *found = (str_t) { start, (size_t) (end - start) };

    return 0;
}


static int
answer_xml_field(buffer_t *to, str_t text, const char *name, size_t max,
    reason_t why)
{
    int       rc;
    str_t     found;
    buffer_t  value;

    if (answer_element(text, name, &found) == -1) {
        return reason(why, "it has no \"%s\"", name);
    }

    memset(&value, 0, sizeof(value));

    if (found.len > max * 6 || answer_text(&value, found) == -1) {
        rc = reason(why, "its \"%s\" is no text, or too long", name);

    } else {
        rc = answer_value(to, (str_t) { value.start, value.len }, name, max,
                          why);
    }

    wipe_free(&value);

    return rc;
}


static int
answer_text(buffer_t *to, str_t text)
{
    size_t       n;
    const char  *semicolon;

    while (text.len) {
        n = 1;

        if (text.start[0] == '<') {
            return -1;
        }

        if (text.start[0] == '&') {
            semicolon = memchr(text.start, ';', text.len);

            if (semicolon == NULL) {
                return -1;
            }

            n = (size_t) (semicolon - text.start) + 1;

            if (answer_entity(to, (str_t) { text.start + 1, n - 2 }) == -1) {
                return -1;
            }

        } else {
            wipe_add(to, text.start, 1);
        }

        text.start += n;
        text.len -= n;
    }

    return 0;
}


/* no numbers but those of ASCII, as all that is asked for is ASCII */

static int
answer_entity(buffer_t *to, str_t entity)
{
    char    c, digits[8], *end;
    long    n;
    size_t  i;

    static const struct {
        const char  *name;
        char         c;
    } entities[] = {
        { "amp", '&' }, { "lt", '<' }, { "gt", '>' }, { "quot", '"' },
        { "apos", '\'' }
    };

    for (i = 0; i < sizeof(entities) / sizeof(entities[0]); i++) {
        if (str_is(entity, entities[i].name)) {
            wipe_add(to, &entities[i].c, 1);
            return 0;
        }
    }

    if (entity.len < 2 || entity.len > sizeof(digits)
        || entity.start[0] != '#')
    {
        return -1;
    }

    memcpy(digits, entity.start + 1, entity.len - 1);
    digits[entity.len - 1] = '\0';

    n = digits[0] == 'x' ? strtol(digits + 1, &end, 16)
                         : strtol(digits, &end, 10);

    if (*end || n < ' ' || n > '~') {
        return -1;
    }

    c = (char) n;
    wipe_add(to, &c, 1);

    return 0;
}


void
answer_error(buffer_t *error, str_t text)
{
    str_t     found;
    size_t    i;
    json_t   *object;
    reason_t  why;

    static const char  *elements[] = { "Code", "Message" };

    object = answer_object(text, why);

    if (object) {
        answer_error_json(error, object);
        json_decref(object);
        return;
    }

    for (i = 0; i < sizeof(elements) / sizeof(elements[0]); i++) {
        if (answer_element(text, elements[i], &found) == 0) {
            wipe_text(error, error->len ? ": " : "");
            (void) answer_text(error, found);
        }
    }
}


/* OAuth2's, Google's, and those of AWS */

static void
answer_error_json(buffer_t *error, const json_t *object)
{
    const json_t  *value;

    value = json_object_get(object, "error");

    if (json_is_object(value)) {
        answer_error_add(error, json_object_get(value, "status"));
        answer_error_add(error, json_object_get(value, "message"));
        return;
    }

    answer_error_add(error, value);
    answer_error_add(error, json_object_get(object, "error_description"));

    if (error->len == 0) {
        answer_error_add(error, json_object_get(object, "Code"));
        answer_error_add(error, json_object_get(object, "code"));
        answer_error_add(error, json_object_get(object, "Message"));
        answer_error_add(error, json_object_get(object, "message"));
    }
}


static void
answer_error_add(buffer_t *error, const json_t *value)
{
    if (json_is_string(value) && json_string_length(value)) {
        wipe_text(error, error->len ? ": " : "");
        wipe_add(error, json_string_value(value), json_string_length(value));
    }
}


void
answer_init(void)
{
    json_set_alloc_funcs(answer_malloc, answer_wiping_free);
}


static void *
answer_malloc(size_t size)
{
    max_align_t  *p;

    if (size > SIZE_MAX - sizeof(max_align_t)) {
        return NULL;
    }

    p = malloc(sizeof(max_align_t) + size);

    if (p == NULL) {
        return NULL;
    }

    memcpy(p, &size, sizeof(size));

    return p + 1;
}


static void
answer_wiping_free(void *data)
{
    size_t        size;
    max_align_t  *p = data;

    if (p == NULL) {
        return;
    }

    p--;

    memcpy(&size, p, sizeof(size));
    explicit_bzero(p + 1, size);
    free(p);
}
