#include "dns.h"
#include "exposition.h"
#include "kubernetes.h"
#include "merged.h"
#include "output.h"
#include "pages.h"
#include "proxies.h"
#include "version.h"


static void pages_metrics(void *data, server_answer_t *answer);
static void pages_healthy(void *data, server_answer_t *answer);
static void pages_ready(void *data, server_answer_t *answer);
static void pages_targets(void *data, server_answer_t *answer);
static void pages_unready(server_answer_t *answer);


/* the last one is only where there are no files */

static const server_page_t  pages_known[] = {
    { "/metrics", SERVER_METRICS, pages_metrics },
    { "/-/healthy", SERVER_TEXT, pages_healthy },
    { "/-/ready", SERVER_TEXT, pages_ready },
    { "/targets", SERVER_JSON, pages_targets }
};

#define PAGES_KNOWN  (sizeof(pages_known) / sizeof(pages_known[0]))


int
pages_open(const options_t *options, reason_t why)
{
    int          rc;
    reason_t     what;
    unsigned     n;
    const char  *address;

    n = PAGES_KNOWN;
    address = options->sd_listen;

    if (address[0] == '\0') {
        n--;
        address = options->metrics_addr;
    }

    rc = address[0] ? server_open(address, pages_known, n, (void *) options,
                                  what)
                    : 0;

    return rc == -1 ? reason(why, "%.*s: %.*s", REASON_TEXT, address,
                             REASON_TEXT * 2, what)
                    : 0;
}


static void
pages_metrics(void *data, server_answer_t *answer)
{
    buffer_t         *page;
    const options_t  *options = data;

    page = &answer->text;

    proxies_metrics(page);
    merged_metrics(page);

    if (options->ndns) {
        dns_metrics(page);

    } else if (options->fixed.n == 0) {
        kubernetes_metrics(page);
    }

    if (options->sd_listen[0] == '\0') {
        output_metrics(page);
    }

    exposition_build(page, "monitoring_proxy_discovery_build_info",
                     DISCOVERY_VERSION);
    exposition_process(page);
}


static void
pages_healthy(void *data, server_answer_t *answer)
{
    (void) data;

    buffer_text(&answer->text, "healthy\n");
}


static void
pages_ready(void *data, server_answer_t *answer)
{
    const options_t  *options = data;

    if (options->sd_listen[0] ? merged_text() != NULL : proxies_are_known()) {
        buffer_text(&answer->text, "ready\n");

    } else {
        pages_unready(answer);
    }
}


/* Prometheus keeps what it has as long as the status isn't 200 */

static void
pages_targets(void *data, server_answer_t *answer)
{
    server_text_t  *text;

    (void) data;

    text = merged_text();

    if (text) {
        answer->shared = server_text_use(text);

    } else {
        pages_unready(answer);
    }
}


static void
pages_unready(server_answer_t *answer)
{
    answer->status = 503;

    buffer_text(&answer->text, proxies_are_known()
                ? "none of the proxies has answered yet\n"
                : "not all proxies are known, and were asked, yet\n");
}


void
pages_close(void)
{
    server_close();
}
