/*
 * The table, and what is written of it.
 */


#include <string.h>

#include "settings.h"


#define AZURE   (1u << AUTH_AZURE)
#define OAUTH2  (1u << AUTH_OAUTH2)
#define GOOGLE  (1u << AUTH_GOOGLE)
#define AWS     (1u << AUTH_AWS)
#define FILES   (1u << AUTH_BEARER_FILE | 1u << AUTH_BASIC_FILE)
#define ALL     ((1u << AUTHS) - 1)

#define HELP_WIDTH  79


static void settings_auths(FILE *out, unsigned auths);
static void help_part(FILE *out, const char *title, unsigned auths);
static void help_flag(FILE *out, const setting_t *setting);
static void help_text(FILE *out, int column, const char *text);


static const char  *auth_names[AUTHS] = {
    "azure", "oauth2", "google", "aws", "bearer-file", "basic-file", "none"
};


static const char  *kind_words[] = {
    "URL", "URL", "URL", "HOST[:PORT]", "URL", "PORT", "WORD", "WORDS",
    "TEXT", "ID", "FILE", "SECRET"
};


const setting_t  settings_table[] = {

    { SETTING_URL, ALL, NULL,
      "MONITORING_PROXY_QUERY_URL", "prometheus-url", KIND_URL, NULL, NULL,
      "the remote Prometheus: what stands in front of /api/v1" },

    { SETTING_AUTH, ALL, NULL,
      "MONITORING_PROXY_QUERY_AUTH", "auth", KIND_WORD,
      "azure oauth2 google aws bearer-file basic-file none", "azure",
      "where its credentials come from" },

    { SETTING_PORT, ALL, "port",
      "MONITORING_PROXY_QUERY_PORT", "port", KIND_PORT, NULL, "9090",
      "the port to listen on" },

    { SETTING_ALLOW, ALL, "allow",
      "MONITORING_PROXY_QUERY_ALLOW", "allow", KIND_WORDS,
      "query write admin all", "query",
      "what may be asked" },

    { SETTING_CA, ALL, "ca",
      "MONITORING_PROXY_QUERY_CA", "ca", KIND_FILE, NULL, NULL,
      "certificates that sign those of the remote and of the token endpoint;"
      " the system's if not given" },

    { SETTING_CERT, ALL, "cert",
      "MONITORING_PROXY_QUERY_CERT", "cert", KIND_FILE, NULL, NULL,
      "client certificate for the remote" },

    { SETTING_KEY, ALL, "key",
      "MONITORING_PROXY_QUERY_KEY", "key", KIND_FILE, NULL, NULL,
      "its private key" },

    { SETTING_VERIFY, ALL, "verify",
      "MONITORING_PROXY_QUERY_VERIFY", "verify", KIND_WORD, "on off", "on",
      "off: certificates are not verified, of the remote and of the token"
      " endpoint" },

    { SETTING_TENANT_ID, AZURE, "tenant_id",
      "AZURE_TENANT_ID", "azure-tenant-id", KIND_ID, NULL, NULL,
      "directory (tenant) ID" },

    { SETTING_CLIENT_ID, AZURE, "client_id",
      "AZURE_CLIENT_ID", "azure-client-id", KIND_TEXT, NULL, NULL,
      "application (client) ID, or that of a managed identity" },

    { SETTING_CLIENT_ID, OAUTH2, "client_id",
      "MONITORING_PROXY_QUERY_CLIENT_ID", "client-id", KIND_TEXT, NULL, NULL,
      "client ID" },

    { SETTING_CLIENT_SECRET_FILE, AZURE, "client_secret_file",
      "AZURE_CLIENT_SECRET", "azure-client-secret", KIND_SECRET, NULL, NULL,
      "client secret; without one, a federated token or a managed identity is"
      " used" },

    { SETTING_CLIENT_SECRET_FILE, OAUTH2, "client_secret_file",
      "MONITORING_PROXY_QUERY_CLIENT_SECRET", "client-secret", KIND_SECRET,
      NULL, NULL,
      "client secret" },

    { SETTING_FEDERATED_TOKEN_FILE, AZURE, "federated_token_file",
      "AZURE_FEDERATED_TOKEN_FILE", "azure-federated-token-file", KIND_FILE,
      NULL, NULL,
      "token of workload identity, as AKS mounts it" },

    { SETTING_AUTHORITY, AZURE, "authority",
      "AZURE_AUTHORITY_HOST", "azure-authority-host", KIND_AUTHORITY, NULL,
      "https://login.microsoftonline.com",
      "token endpoint of Microsoft Entra" },

    { SETTING_POD_IDENTITY_AUTHORITY, AZURE, "pod_identity_authority",
      "AZURE_POD_IDENTITY_AUTHORITY_HOST", "azure-pod-identity-authority-host",
      KIND_URL, NULL, "http://169.254.169.254",
      "where a managed identity's token is asked for" },

    { SETTING_SCOPE, AZURE, "scope",
      "MONITORING_PROXY_QUERY_SCOPE", "scope", KIND_TEXT, NULL,
      "https://prometheus.monitor.azure.com/.default",
      "what the token is for" },

    { SETTING_TOKEN_URL, OAUTH2, "token_url",
      "MONITORING_PROXY_QUERY_TOKEN_URL", "token-url", KIND_ENDPOINT, NULL,
      NULL,
      "token endpoint" },

    { SETTING_SCOPE, OAUTH2, "scope",
      "MONITORING_PROXY_QUERY_SCOPE", "scope", KIND_TEXT, NULL, NULL,
      "scope of the token, several separated by spaces" },

    { SETTING_AUDIENCE, OAUTH2, "audience",
      "MONITORING_PROXY_QUERY_AUDIENCE", "audience", KIND_TEXT, NULL, NULL,
      "audience of the token" },

    { SETTING_CLIENT_AUTH, OAUTH2, "client_auth",
      "MONITORING_PROXY_QUERY_CLIENT_AUTH", "client-auth", KIND_WORD,
      "basic body", "basic",
      "how ID and secret are sent: as Authorization, or in the body" },

    { SETTING_METADATA_HOST, GOOGLE, "metadata_host",
      "GCE_METADATA_HOST", "gce-metadata-host", KIND_HOST, NULL,
      "metadata.google.internal",
      "metadata server" },

    { SETTING_REGION, AWS, "region",
      "AWS_REGION", "aws-region", KIND_ID, NULL, NULL,
      "region; that in the URL's host if not given" },

    { SETTING_REGION, AWS, "region",
      "AWS_DEFAULT_REGION", NULL, KIND_ID, NULL, NULL,
      "the same, if AWS_REGION isn't set" },

    { SETTING_ACCESS_KEY_ID, AWS, "access_key_id",
      "AWS_ACCESS_KEY_ID", "aws-access-key-id", KIND_ID, NULL, NULL,
      "access key; without one, web identity, a container's credentials or"
      " those of an instance are used" },

    { SETTING_SECRET_ACCESS_KEY_FILE, AWS, "secret_access_key_file",
      "AWS_SECRET_ACCESS_KEY", "aws-secret-access-key", KIND_SECRET, NULL,
      NULL,
      "its secret" },

    { SETTING_SESSION_TOKEN_FILE, AWS, "session_token_file",
      "AWS_SESSION_TOKEN", "aws-session-token", KIND_SECRET, NULL, NULL,
      "its session token" },

    { SETTING_ROLE_ARN, AWS, "role_arn",
      "AWS_ROLE_ARN", "aws-role-arn", KIND_ID, NULL, NULL,
      "role that web identity takes" },

    { SETTING_WEB_IDENTITY_TOKEN_FILE, AWS, "web_identity_token_file",
      "AWS_WEB_IDENTITY_TOKEN_FILE", "aws-web-identity-token-file", KIND_FILE,
      NULL, NULL,
      "token of web identity, as EKS mounts it" },

    { SETTING_ROLE_SESSION_NAME, AWS, "role_session_name",
      "AWS_ROLE_SESSION_NAME", "aws-role-session-name", KIND_ID, NULL,
      "monitoring-proxy",
      "name of its sessions" },

    { SETTING_STS_URL, AWS, "sts_url",
      "AWS_ENDPOINT_URL_STS", "aws-endpoint-url-sts", KIND_URL, NULL, NULL,
      "where a role is taken; https://sts.REGION.amazonaws.com if not given" },

    { SETTING_CONTAINER_URI, AWS, "container_uri",
      "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
      "aws-container-credentials-relative-uri", KIND_PATH, NULL, NULL,
      "path of a container's credentials at http://169.254.170.2, as ECS sets"
      " it" },

    { SETTING_CONTAINER_URI, AWS, "container_uri",
      "AWS_CONTAINER_CREDENTIALS_FULL_URI",
      "aws-container-credentials-full-uri", KIND_PATH, NULL, NULL,
      "the same as a whole URL, as EKS Pod Identity sets it" },

    { SETTING_CONTAINER_TOKEN_FILE, AWS, "container_token_file",
      "AWS_CONTAINER_AUTHORIZATION_TOKEN", "aws-container-authorization-token",
      KIND_SECRET, NULL, NULL,
      "Authorization for it" },

    { SETTING_METADATA_URL, AWS, "metadata_url",
      "AWS_EC2_METADATA_SERVICE_ENDPOINT", "aws-ec2-metadata-service-endpoint",
      KIND_URL, NULL, "http://169.254.169.254",
      "metadata service of an instance, IMDSv2" },

    { SETTING_FILE, FILES, "file",
      "MONITORING_PROXY_QUERY_FILE", "file", KIND_FILE, NULL, NULL,
      "its first line is the bearer token, or USER:PASSWORD; followed" },

    { SETTING_REMOTES, ALL, NULL,
      "MONITORING_PROXY_QUERY_REMOTES", "remotes", KIND_FILE, NULL,
      SETTINGS_FILE,
      "file of remotes, a line each" },

    { SETTING_LOG_LEVEL, ALL, NULL,
      "MONITORING_PROXY_QUERY_LOG_LEVEL", "log-level", KIND_WORD,
      "DEBUG INFO WARNING ERROR", "INFO",
      "how much is logged" },

    { 0, 0, NULL, NULL, NULL, KIND_TEXT, NULL, NULL, NULL }
};


const setting_t *
setting_find(int id, auth_e auth)
{
    const setting_t  *s;

    for (s = settings_table; s->variable; s++) {
        if (s->id == id && setting_is_of(s, auth)) {
            return s;
        }
    }

    return NULL;
}


const char *
auth_name(auth_e auth)
{
    return auth_names[auth];
}


int
auth_find(const char *name, size_t len)
{
    int  i;

    for (i = 0; i < AUTHS; i++) {
        if (strlen(auth_names[i]) == len
            && memcmp(auth_names[i], name, len) == 0)
        {
            return i;
        }
    }

    return -1;
}


void
setting_called(buffer_t *name, const setting_t *setting, int twin)
{
    buffer_format(name, "%s%s", setting->variable, twin ? "_FILE" : "");

    if (setting->flag) {
        buffer_format(name, " (--%s%s)", setting->flag, twin ? "-file" : "");
    }
}


void
settings_print(FILE *out)
{
    const setting_t  *s;

    for (s = settings_table; s->variable; s++) {
        fprintf(out, "%s\t%s%s\t%s%s\t", s->key ? s->key : "", s->variable,
                s->kind == KIND_SECRET ? "[_FILE]" : "",
                s->flag ? s->flag : "",
                s->kind == KIND_SECRET ? "[-file]" : "");

        settings_auths(out, s->auths);

        fprintf(out, "\t%s\t%s\n", s->preset ? s->preset : "",
                s->words ? s->words : "");
    }
}


static void
settings_auths(FILE *out, unsigned auths)
{
    int          i;
    const char  *comma;

    if (auths == ALL) {
        fputs("all", out);
        return;
    }

    comma = "";

    for (i = 0; i < AUTHS; i++) {
        if (auths >> i & 1) {
            fprintf(out, "%s%s", comma, auth_names[i]);
            comma = ",";
        }
    }
}


void
settings_help(FILE *out)
{
    fputs("usage: monitoring-proxy run FLAGS\n"
          "\n"
          "Answers queries on a port of its own, with the answers of a remote"
          " Prometheus\n"
          "that wants credentials. Each flag may be an environment variable"
          " instead; a\n"
          "secret that is a flag is gone from ps before the first query is"
          " answered. More\n"
          "remotes stand in the file of --remotes.\n", out);

    help_part(out, "", ALL);
    help_part(out, "--auth azure", AZURE);
    help_part(out, "--auth oauth2", OAUTH2);
    help_part(out, "--auth google", GOOGLE);
    help_part(out, "--auth aws", AWS);
    help_part(out, "--auth bearer-file, basic-file", FILES);
}


static void
help_part(FILE *out, const char *title, unsigned auths)
{
    const setting_t  *s;

    fprintf(out, "\n%s%s", title, *title ? "\n" : "");

    for (s = settings_table; s->variable; s++) {
        if (s->auths == auths && s->flag) {
            help_flag(out, s);
        }
    }
}


static void
help_flag(FILE *out, const setting_t *setting)
{
    buffer_t     text = { NULL, 0, 0, 0 };
    const char  *c;

    fprintf(out, "  --%s ", setting->flag);

    c = setting->words ? setting->words : kind_words[setting->kind];

    for (/* void */; *c; c++) {
        fputc(*c == ' ' ? '|' : *c, out);
    }

    fputc('\n', out);

    buffer_text(&text, setting->help);

    if (setting->preset) {
        buffer_format(&text, " (default %s)", setting->preset);
    }

    buffer_format(&text, " [%s]", setting->variable);

    if (setting->kind == KIND_SECRET) {
        buffer_format(&text, "; --%s-file has its path", setting->flag);
    }

    if (!text.failed) {
        help_text(out, 6, text.start);
    }

    buffer_free(&text);
}


static void
help_text(FILE *out, int column, const char *text)
{
    int     at;
    size_t  n;

    at = 0;

    while (*text) {
        n = strcspn(text, " ");

        if (at && at + 1 + (int) n > HELP_WIDTH) {
            fputc('\n', out);
            at = 0;
        }

        at += fprintf(out, "%*s%.*s", at ? 1 : column, "", (int) n, text);
        text += n + strspn(text + n, " ");
    }

    fputc('\n', out);
}
