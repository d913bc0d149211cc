/*
 * Is a value right?  Addresses go by the grammar of targets.  No message has a
 * value in it that may be a secret, or have one: what is given for an URL may
 * have a password.
 */


#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ngx_prom_targets_line.h"
#include "settings.h"


#define VALUE_MAX   8192

/* where ECS and EKS have containers' credentials */

#define VALUE_ECS   "169.254.170.2"
#define VALUE_EKS   "169.254.170.23"
#define VALUE_EKS6  "fd00:ec2::23"


static int value_wrong(setting_value_t *v, const char *at,
    const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int value_url(setting_value_t *v, setting_kind_e kind);
static int value_shape(setting_value_t *v, size_t len,
    ngx_prom_target_t *target);
static int value_is_near(const ngx_prom_target_t *target);
static void value_mistake(void *data, uint32_t line, uint32_t column,
    const char *reason);
static int value_parse(ngx_prom_target_t *target, char *text, size_t len,
    ngx_prom_targets_error_pt error, void *data);
static int value_host(setting_value_t *v);
static int value_path(setting_value_t *v);
static int value_port(setting_value_t *v);
static int value_word(setting_value_t *v, const setting_t *setting);
static int value_words(setting_value_t *v, const setting_t *setting);
static const char *value_find(const setting_t *setting, const char *word,
    size_t len);
static int value_id(setting_value_t *v);
static int value_file(setting_value_t *v);
static int value_prefix(setting_value_t *v, const char *prefix);


int
setting_take(setting_value_t *v, const setting_t *setting, const char *text,
    size_t len)
{
    int     rc;
    size_t  i;

    v->value = NULL;
    v->at = 0;

    if (len == 0) {
        return value_wrong(v, NULL, "has no value");
    }

    if (len > VALUE_MAX) {
        return value_wrong(v, NULL, "has %zu bytes; %d are allowed", len,
                           VALUE_MAX);
    }

    v->value = strndup(text, len);

    if (v->value == NULL) {
        return value_wrong(v, NULL, "out of memory");
    }

    for (i = 0; i < len; i++) {
        if (text[i] < ' ' || text[i] > '~') {
            return value_wrong(v, v->value + i, "has a byte 0x%02x in it;"
                               " printable ASCII is allowed",
                               (unsigned char) text[i]);
        }
    }

    rc = 0;

    switch (setting->kind) {

    case KIND_URL:
    case KIND_ENDPOINT:
    case KIND_AUTHORITY:
        rc = value_url(v, setting->kind);
        break;

    case KIND_HOST:
        rc = value_host(v);
        break;

    case KIND_PATH:
        rc = value_path(v);
        break;

    case KIND_PORT:
        rc = value_port(v);
        break;

    case KIND_WORD:
        rc = value_word(v, setting);
        break;

    case KIND_WORDS:
        rc = value_words(v, setting);
        break;

    case KIND_FILE:
    case KIND_SECRET:
        rc = value_file(v);
        break;

    case KIND_ID:
        rc = value_id(v);
        break;

    case KIND_TEXT:
        break;
    }

    return rc;
}


/* at is in the value, which is freed; NULL is its start */

static int
value_wrong(setting_value_t *v, const char *at, const char *format, ...)
{
    va_list  args;

    v->at = at ? (size_t) (at - v->value) : 0;

    va_start(args, format);
    (void) vsnprintf(v->why, sizeof(v->why), format, args);
    va_end(args);

    /* it may be a secret */

    if (v->value) {
        explicit_bzero(v->value, strlen(v->value));
        free(v->value);
        v->value = NULL;
    }

    return -1;
}


static int
value_url(setting_value_t *v, setting_kind_e kind)
{
    char               *p;
    size_t              len;
    ngx_prom_target_t   target;

    if (kind == KIND_AUTHORITY && strstr(v->value, "://") == NULL
        && value_prefix(v, "https://") == -1)
    {
        return -1;
    }

    if (strncmp(v->value, "http://", 7) != 0
        && strncmp(v->value, "https://", 8) != 0)
    {
        return value_wrong(v, NULL, "begins with neither http:// nor"
                           " https://");
    }

    p = strchr(v->value, '@');

    if (p) {
        return value_wrong(v, p, "has \"@\" in it; a user and a password are"
                           " not allowed");
    }

    len = strcspn(v->value, "?#");

    if (v->value[len] == '#'
        || (v->value[len] == '?' && kind != KIND_ENDPOINT
            && kind != KIND_PATH))
    {
        return value_wrong(v, v->value + len, "has \"%c\" in it; a query and"
                           " a fragment are not allowed", v->value[len]);
    }

    if (value_shape(v, len, &target) == -1) {
        return -1;
    }

    if (kind == KIND_PATH && !target.tls && !value_is_near(&target)) {
        return value_wrong(v, NULL, "begins with http:// and leads elsewhere;"
                           " https:// is allowed, or one of the hosts"
                           " localhost, 127.0.0.1, [::1], " VALUE_ECS ", "
                           VALUE_EKS " and [" VALUE_EKS6 "]");
    }

    /* as what follows begins with "/" */

    if (v->value[len] == '\0' && v->value[len - 1] == '/') {
        v->value[len - 1] = '\0';
    }

    return 0;
}


/*
 * Up to len it is HOST[:PORT][/PATH] behind a scheme, as of a target, whose
 * texts are gone then.
 */

static int
value_shape(setting_value_t *v, size_t len, ngx_prom_target_t *target)
{
    int    rc;
    char  *copy;

    v->why[0] = '\0';
    copy = strndup(v->value, len);

    if (copy == NULL) {
        return value_wrong(v, NULL, "out of memory");
    }

    rc = value_parse(target, copy, len, value_mistake, v);

    free(copy);

    if (rc == 0 && target->kind == NGX_PROM_ADDRESS_UNIX) {
        return value_wrong(v, NULL, "is a unix socket; a host is allowed");
    }

    if (rc == -1) {
        free(v->value);
        v->value = NULL;
    }

    return rc;
}


/*
 * Whether it is this machine, or the service of ECS or EKS that is there for
 * it: AWS' own programs take a container's credentials, and give its token,
 * without TLS nowhere else.
 */

static int
value_is_near(const ngx_prom_target_t *target)
{
    char    text[INET6_ADDRSTRLEN];
    size_t  i;

    static const char  *near[] = { VALUE_ECS, VALUE_EKS, "::1", VALUE_EKS6 };

    switch (target->kind) {

    case NGX_PROM_ADDRESS_LOCALHOST:
        return 1;

    case NGX_PROM_ADDRESS_IPV4:
        if (target->ip[0] == 127) {
            return 1;
        }

        (void) inet_ntop(AF_INET, target->ip, text, sizeof(text));
        break;

    case NGX_PROM_ADDRESS_IPV6:
        (void) inet_ntop(AF_INET6, target->ip, text, sizeof(text));
        break;

    default:
        return 0;
    }

    for (i = 0; i < sizeof(near) / sizeof(near[0]); i++) {
        if (strcmp(text, near[i]) == 0) {
            return 1;
        }
    }

    return 0;
}


static void
value_mistake(void *data, uint32_t line, uint32_t column, const char *why)
{
    setting_value_t  *v = data;

    (void) line;

    if (v->why[0] == '\0') {
        v->at = column - 1;
        (void) reason(v->why, "%s", why);
    }
}


static int
value_parse(ngx_prom_target_t *target, char *text, size_t len,
    ngx_prom_targets_error_pt error, void *data)
{
    uint32_t         errors;
    ngx_prom_line_t  pl;

    errors = 0;

    memset(target, 0, sizeof(ngx_prom_target_t));

    target->address.data = text;
    target->address.len = len;

    if (ngx_prom_lines_start(&pl, text, len, error, data, &errors)
        && ngx_prom_line_next(&pl))
    {
        ngx_prom_address_parse(&pl, target);
    }

    return errors ? -1 : 0;
}


static int
value_host(setting_value_t *v)
{
    ngx_prom_target_t  target;

    if (strpbrk(v->value, "/@?#")) {
        return value_wrong(v, strpbrk(v->value, "/@?#"),
                           "is no host; HOST and HOST:PORT are allowed");
    }

    if (value_prefix(v, "http://") == -1
        || value_shape(v, strlen(v->value), &target) == -1)
    {
        v->at -= v->at < 7 ? v->at : 7;
        return -1;
    }

    memmove(v->value, v->value + 7, strlen(v->value + 7) + 1);

    return 0;
}


static int
value_path(setting_value_t *v)
{
    size_t  n;

    if (v->value[0] != '/') {
        return value_url(v, KIND_PATH);
    }

    n = strcspn(v->value, " \"#<>\\^`{|}");

    if (v->value[n]) {
        return value_wrong(v, v->value + n, "has \"%c\" in it; a path has it"
                           " as %%%02X", v->value[n], v->value[n]);
    }

    return 0;
}


static int
value_port(setting_value_t *v)
{
    if (v->value[0] == '0' || str_number(str_of(v->value), 65535) == -1) {
        return value_wrong(v, NULL, "is no port; a number from 1 to 65535 is"
                           " allowed");
    }

    return 0;
}


static int
value_word(setting_value_t *v, const setting_t *setting)
{
    const char  *word;

    word = value_find(setting, v->value, strlen(v->value));

    if (word == NULL) {
        return value_wrong(v, NULL, "\"%.64s\" is not allowed; allowed is one"
                           " of: %s", v->value, setting->words);
    }

    memcpy(v->value, word, strlen(v->value));

    return 0;
}


/* one comma between two of them */

static int
value_words(setting_value_t *v, const setting_t *setting)
{
    char        *p, *out;
    size_t       n;
    const char  *word;

    out = v->value;

    for (p = v->value + strspn(v->value, ", "); *p; p += strspn(p, ", ")) {
        n = strcspn(p, ", ");
        word = value_find(setting, p, n);

        if (word == NULL) {
            return value_wrong(v, p, "\"%.*s\" is not allowed; allowed are:"
                               " %s", n > 64 ? 64 : (int) n, p,
                               setting->words);
        }

        if (out > v->value) {
            *out++ = ',';
        }

        memmove(out, word, n);
        out += n;
        p += n;
    }

    if (out == v->value) {
        return value_wrong(v, NULL, "has no value");
    }

    *out = '\0';

    return 0;
}


/* in whatever case */

static const char *
value_find(const setting_t *setting, const char *word, size_t len)
{
    size_t       n;
    const char  *p;

    for (p = setting->words; *p; p += n + strspn(p + n, " ")) {
        n = strcspn(p, " ");

        if (n == len && strncasecmp(p, word, n) == 0) {
            return p;
        }
    }

    return NULL;
}


static int
value_id(setting_value_t *v)
{
    char  *p;

    p = strchr(v->value, ' ');

    if (p) {
        return value_wrong(v, p, "has a space in it");
    }

    return 0;
}


static int
value_file(setting_value_t *v)
{
    const char  *p;

    if (v->value[0] != '/') {
        return value_wrong(v, NULL, "is not an absolute path; give that of a"
                           " file in the container");
    }

    /* no other needs quotes in nginx's configuration, as elsewhere */

    for (p = v->value; *p; p++) {
        if (!ngx_prom_char_in(*p, "._~/@%+,:=-")) {
            return value_wrong(v, p, "has \"%c\" in it; letters, digits and"
                               " \"._~/@%%+,:=-\" are allowed in a path", *p);
        }
    }

    return 0;
}


static int
value_prefix(setting_value_t *v, const char *prefix)
{
    char  *longer;

    if (asprintf(&longer, "%s%s", prefix, v->value) == -1) {
        return value_wrong(v, NULL, "out of memory");
    }

    free(v->value);
    v->value = longer;

    return 0;
}


int
setting_readable(const char *path, reason_t why)
{
    int          fd;
    struct stat  st;

    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        return reason(why, "%.*s is a directory; docker makes one where there"
                      " is no file to mount", REASON_TEXT * 2, path);
    }

    /* a FIFO must not hold us up */

    fd = open(path, O_RDONLY|O_NONBLOCK|O_NOCTTY|O_CLOEXEC);

    if (fd != -1) {
        close(fd);
        return 0;
    }

    if (errno == ENOENT) {
        return reason(why, "%.*s does not exist; give the path of a file in"
                      " the container", REASON_TEXT * 2, path);
    }

    if (errno == EACCES) {
        return reason(why, "%.*s is not readable by user %u, who has no"
                      " capabilities; chown it, or chmod a+r it",
                      REASON_TEXT * 2, path, (unsigned) geteuid());
    }

    return reason(why, "%.*s: %s", REASON_TEXT * 2, path, strerror(errno));
}


int
setting_split(remote_t *remote, const char *url)
{
    int                 rc;
    char               *copy;
    setting_value_t     v;
    ngx_prom_target_t   target;

    copy = strdup(url);

    if (copy == NULL
        || value_parse(&target, copy, strlen(copy), value_mistake, &v) == -1)
    {
        free(copy);
        return -1;
    }

    remote->https = target.tls;
    remote->port = target.port;
    remote->host = strndup(target.host.data, target.host.len);
    remote->base = strndup(target.base.data ? target.base.data : "",
                           target.base.len);

    rc = remote->host && remote->base ? 0 : -1;

    free(copy);

    return rc;
}
