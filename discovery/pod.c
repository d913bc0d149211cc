/*
 * A service account's token and CA are in files that the kubelet writes anew
 * well before they expire.
 */


#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "pod.h"


#define POD_NAMESPACE                                                         \
    "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

#define POD_NAME  63              /* bytes of a namespace's name */


static int pod_apiserver(pod_t *pod, const options_t *options, reason_t why);
static int pod_token(pod_t *pod, const options_t *options, reason_t why);
static int pod_cacert(pod_t *pod, const options_t *options, reason_t why);
static int pod_namespace(pod_t *pod, const options_t *options, reason_t why);
static int pod_is_plain(const pod_t *pod);


int
pod_open(pod_t *pod, const options_t *options, reason_t why)
{
    memset(pod, 0, sizeof(*pod));

    if (pod_apiserver(pod, options, why) == -1
        || pod_token(pod, options, why) == -1
        || pod_cacert(pod, options, why) == -1
        || pod_namespace(pod, options, why) == -1)
    {
        return -1;
    }

    return 0;
}


void
pod_close(pod_t *pod)
{
    buffer_free(&pod->apiserver);
    buffer_free(&pod->namespace);
    secret_close(&pod->token);
}


static int
pod_apiserver(pod_t *pod, const options_t *options, reason_t why)
{
    size_t       len;
    const char  *url, *host, *port;

    url = options->apiserver;
    len = strlen(url);

    if (len) {
        if (strncasecmp(url, "http://", 7) != 0
            && strncasecmp(url, "https://", 8) != 0)
        {
            return reason(why, "--apiserver %.*s: it is"
                          " https://HOST[:PORT] or http://HOST[:PORT]",
                          REASON_TEXT, url);
        }

        while (url[len - 1] == '/') {
            len--;
        }

        buffer_add(&pod->apiserver, url, len);

        return pod->apiserver.failed ? reason(why, "out of memory") : 0;
    }

    host = getenv("KUBERNETES_SERVICE_HOST");
    port = getenv("KUBERNETES_SERVICE_PORT");

    if (host == NULL || host[0] == '\0' || port == NULL || port[0] == '\0') {
        return reason(why, "this is no pod of Kubernetes, as"
                      " KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT"
                      " aren't set; give --apiserver, or where proxies are by"
                      " --dns or --static");
    }

    buffer_format(&pod->apiserver, strchr(host, ':') ? "https://[%s]:%s"
                                                     : "https://%s:%s",
                  host, port);

    return pod->apiserver.failed ? reason(why, "out of memory") : 0;
}


static int
pod_token(pod_t *pod, const options_t *options, reason_t why)
{
    reason_t  unread;

    if (options->token_file[0]
        && secret_open(&pod->token, options->token_file, unread) == -1)
    {
        return reason(why, "no token of a service account: %.*s; see"
                      " --token-file", (int) sizeof(reason_t) - 80, unread);
    }

    return 0;
}


/* libcurl would say so at each try, but hardly why */

static int
pod_cacert(pod_t *pod, const options_t *options, reason_t why)
{
    pod->cacert = options->cacert;

    if (pod->cacert[0] && !pod_is_plain(pod)
        && access(pod->cacert, R_OK) == -1)
    {
        return reason(why, "--cacert %.*s: %s", REASON_TEXT, pod->cacert,
                      strerror(errno));
    }

    return 0;
}


static int
pod_namespace(pod_t *pod, const options_t *options, reason_t why)
{
    secret_t     file;
    reason_t     unread;
    const char  *name;

    memset(&file, 0, sizeof(file));
    name = options->namespace;

    if (name[0] == '\0') {

        if (secret_open(&file, POD_NAMESPACE, unread) == -1) {
            return reason(why, "no namespace: %.*s; see --namespace",
                          (int) sizeof(reason_t) - 80, unread);
        }

        name = file.value;
    }

    if (strlen(name) > POD_NAME
        || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-")
           < strlen(name))
    {
        (void) reason(why, "the namespace \"%.*s\" isn't made of at most %d"
                      " a-z, 0-9 and \"-\"", REASON_TEXT, name, POD_NAME);
        secret_close(&file);
        return -1;
    }

    buffer_text(&pod->namespace, name);
    secret_close(&file);

    return pod->namespace.failed ? reason(why, "out of memory") : 0;
}


static int
pod_is_plain(const pod_t *pod)
{
    return strncasecmp(pod->apiserver.start, "http://", 7) == 0;
}
