#include "exchange.h"
#include "exposition.h"
#include "metrics.h"
#include "version.h"


static const struct {
    const char  *name;
    const char  *help;
} metrics_known[METRICS] = {

    { "monitoring_proxy_client_polls_total", "Polls that were begun." },

    { "pushprox_client_poll_errors_total", "Number of poll errors" },

    { "monitoring_proxy_client_scrapes_total",
      "Scrapes that a proxy handed to this client." },

    { "pushprox_client_scrape_errors_total", "Number of scrape errors" },

    { "pushprox_client_push_errors_total", "Number of push errors" },

    { "monitoring_proxy_client_pushed_bytes_total",
      "Bytes of answers, with their headers, that were pushed." }
};


static uint64_t  metrics_count[METRICS];


void
metrics_add(metric_e metric, uint64_t n)
{
    metrics_count[metric] += n;
}


void
metrics_page(buffer_t *page)
{
    int  i;

    for (i = 0; i < METRICS; i++) {
        exposition_head(page, metrics_known[i].name, "counter",
                        metrics_known[i].help);
        buffer_format(page, "%s %llu\n", metrics_known[i].name,
                      (unsigned long long) metrics_count[i]);
    }

    exposition_head(page, "monitoring_proxy_client_scrapes", "gauge",
                    "Scrapes that are under way.");
    buffer_format(page, "monitoring_proxy_client_scrapes %u\n",
                  exchanges_running());

    exposition_build(page, "monitoring_proxy_client_build_info",
                     CLIENT_VERSION);
    exposition_process(page);
}
