/*
 * The keys that requests to AWS are signed with: those that were given, or of
 * a role that a web identity may take, of a container's task, or of an
 * instance, as AWS' own programs look for them, in their order.
 */


#include <string.h>
#include <time.h>

#include "fetch.h"
#include "wipe.h"


#define AWS_CONTAINER   "http://169.254.170.2"
#define AWS_ROLES       "/latest/meta-data/iam/security-credentials/"
#define AWS_TOKEN_LIFE  "21600"   /* s */

#define AWS_METADATA    "the metadata server"
#define AWS_KEY         "secret access key"


typedef int (*aws_answer_pt)(answer_t *a, str_t text, time_t now,
    reason_t why);


static step_e aws_given(fetch_t *f);
static step_e aws_given_file(fetch_t *f, setting_e setting, const char *what,
    buffer_t *to);
static step_e aws_web_identity(fetch_t *f);
static step_e aws_assumed(fetch_t *f);
static step_e aws_container(fetch_t *f);
static step_e aws_instance(fetch_t *f);
static step_e aws_instance_token(fetch_t *f);
static step_e aws_instance_role(fetch_t *f);
static int aws_line(fetch_t *f, buffer_t *to);
static step_e aws_keys(fetch_t *f);
static step_e aws_take(fetch_t *f, aws_answer_pt answer);
static void aws_value(fetch_t *f, const answer_t *a);


static const source_t  aws_given_source = { "aws, access key", aws_given, 1 };

static const source_t  aws_web_identity_source = {
    "aws, web identity", aws_web_identity, 0
};

static const source_t  aws_container_source = {
    "aws, container", aws_container, 0
};

static const source_t  aws_instance_source = {
    "aws, instance", aws_instance, 0
};


const source_t *
aws_source(const remote_t *remote)
{
    if (remote->value[SETTING_ACCESS_KEY_ID]) {
        return &aws_given_source;
    }

    if (remote->value[SETTING_WEB_IDENTITY_TOKEN_FILE]) {
        return &aws_web_identity_source;
    }

    if (remote->value[SETTING_CONTAINER_URI]) {
        return &aws_container_source;
    }

    return &aws_instance_source;
}


static step_e
aws_given(fetch_t *f)
{
    step_e    rc;
    answer_t  a;

    memset(&a, 0, sizeof(a));

    wipe_text(&a.access_key, fetch_setting(f, SETTING_ACCESS_KEY_ID));

    rc = aws_given_file(f, SETTING_SECRET_ACCESS_KEY_FILE, AWS_KEY,
                        &a.secret_key);

    if (rc == STEP_DONE && fetch_setting(f, SETTING_SESSION_TOKEN_FILE)) {
        rc = aws_given_file(f, SETTING_SESSION_TOKEN_FILE, "session token",
                            &a.token);
    }

    if (rc == STEP_DONE) {
        aws_value(f, &a);
    }

    answer_free(&a);

    return rc;
}


static step_e
aws_given_file(fetch_t *f, setting_e setting, const char *what, buffer_t *to)
{
    if (fetch_secret(f, setting, what, to) == STEP_FAILED) {
        return STEP_FAILED;
    }

    if (!str_is_visible((str_t) { to->start, to->len })) {
        return fetch_unusable(f, what, "it has other than visible ASCII");
    }

    return STEP_DONE;
}


static step_e
aws_web_identity(fetch_t *f)
{
    const char  *url, *region;

    if (fetch_secret(f, SETTING_WEB_IDENTITY_TOKEN_FILE, "web identity's"
                     " token", &f->kept)
        == STEP_FAILED)
    {
        return STEP_FAILED;
    }

    url = fetch_setting(f, SETTING_STS_URL);

    fetch_ask(f, "the token service", aws_assumed, "POST",
              url ? url : "https://sts.", NULL);

    if (url == NULL) {
        region = fetch_setting(f, SETTING_REGION);

        wipe_text(&f->url, region);
        wipe_text(&f->url, strncmp(region, "cn-", 3) == 0
                           ? ".amazonaws.com.cn/" : ".amazonaws.com/");
    }

    fetch_form(f, "Action", "AssumeRoleWithWebIdentity");
    fetch_form(f, "Version", "2011-06-15");
    fetch_form(f, "RoleArn", fetch_setting(f, SETTING_ROLE_ARN));
    fetch_form(f, "RoleSessionName",
               fetch_setting(f, SETTING_ROLE_SESSION_NAME));
    fetch_form(f, "WebIdentityToken", f->kept.start);

    return STEP_ASK;
}


static step_e
aws_assumed(fetch_t *f)
{
    return aws_take(f, answer_sts);
}


static step_e
aws_container(fetch_t *f)
{
    const char  *uri;

    uri = fetch_setting(f, SETTING_CONTAINER_URI);

    fetch_ask(f, "the container endpoint", aws_keys, "GET",
              uri[0] == '/' ? AWS_CONTAINER : uri,
              uri[0] == '/' ? uri : NULL);

    if (fetch_setting(f, SETTING_CONTAINER_TOKEN_FILE)) {

        if (fetch_secret(f, SETTING_CONTAINER_TOKEN_FILE, "container's token",
                         &f->kept)
            == STEP_FAILED)
        {
            return STEP_FAILED;
        }

        fetch_header(f, "Authorization", f->kept.start);
    }

    return STEP_ASK;
}


/* a session's token, the name of the role, and then its keys */

static step_e
aws_instance(fetch_t *f)
{
    fetch_ask(f, AWS_METADATA, aws_instance_token, "PUT",
              fetch_setting(f, SETTING_METADATA_URL), "/latest/api/token");

    fetch_header(f, "X-aws-ec2-metadata-token-ttl-seconds", AWS_TOKEN_LIFE);

    return STEP_ASK;
}


static step_e
aws_instance_token(fetch_t *f)
{
    if (aws_line(f, &f->kept) == -1) {
        return fetch_invalid(f, "it is no session's token");
    }

    fetch_hide(f, f->kept.start);

    fetch_ask(f, AWS_METADATA, aws_instance_role, "GET",
              fetch_setting(f, SETTING_METADATA_URL), AWS_ROLES);

    fetch_header(f, "X-aws-ec2-metadata-token", f->kept.start);

    return STEP_ASK;
}


static step_e
aws_instance_role(fetch_t *f)
{
    buffer_t  role;

    memset(&role, 0, sizeof(role));

    if (aws_line(f, &role) == -1) {
        wipe_free(&role);
        return fetch_invalid(f, "it is no role's name");
    }

    fetch_ask(f, AWS_METADATA, aws_keys, "GET",
              fetch_setting(f, SETTING_METADATA_URL), AWS_ROLES);

    fetch_escaped(f, role.start);
    fetch_header(f, "X-aws-ec2-metadata-token", f->kept.start);

    wipe_free(&role);

    return STEP_ASK;
}


/* the first of the answer */

static int
aws_line(fetch_t *f, buffer_t *to)
{
    size_t  len;

    wipe_clear(to);

    len = f->body.len ? strcspn(f->body.start, "\r\n") : 0;

    if (len > ANSWER_TOKEN_MAX
        || !str_is_visible((str_t) { f->body.start, len }))
    {
        return -1;
    }

    wipe_add(to, f->body.start, len);

    return to->failed ? -1 : 0;
}


static step_e
aws_keys(fetch_t *f)
{
    return aws_take(f, answer_aws);
}


static step_e
aws_take(fetch_t *f, aws_answer_pt answer)
{
    step_e    rc;
    answer_t  a;
    reason_t  why;

    memset(&a, 0, sizeof(a));

    if (answer(&a, (str_t) { f->body.start, f->body.len }, time(NULL), why)
        == -1)
    {
        rc = fetch_invalid(f, why);

    } else if (!fetch_is_valid(f, &a)) {
        rc = fetch_invalid(f, "its credentials have expired already");

    } else {
        aws_value(f, &a);
        rc = STEP_DONE;
    }

    answer_free(&a);

    return rc;
}


static void
aws_value(fetch_t *f, const answer_t *a)
{
    buffer_t  *value;

    value = &f->credential.value;
    f->credential.kind = CREDENTIAL_AWS;

    wipe_text(value, fetch_setting(f, SETTING_REGION));
    wipe_text(value, " ");
    wipe_add(value, a->access_key.start, a->access_key.len);
    wipe_text(value, " ");
    wipe_add(value, a->secret_key.start, a->secret_key.len);
    wipe_text(value, " ");

    if (a->token.len) {
        wipe_add(value, a->token.start, a->token.len);

    } else {
        wipe_text(value, "-");
    }
}
