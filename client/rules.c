/*
 * A URL is made of parts that were looked at one by one, and libcurl is given
 * the path apart from the URL, so that no two parsers can differ in what a
 * scraper has asked for.
 */


#include <stdlib.h>
#include <string.h>

#include "rules.h"


static int rule_is_asked(const rule_t *rule, const request_t *request);
static int rules_port(const rules_ports_t *ports, int port);


int
rule_apply(const rule_t *rule, const rules_ports_t *ports,
    const request_t *request, target_t *target, reason_t why)
{
    buffer_clear(&target->base);
    buffer_clear(&target->path);

    target->socket = rule->socket;

    if (!rule_is_asked(rule, request)) {
        return reason(why, "scrape target doesn't match client fqdn: \"%.*s\""
                      " isn't \"%.*s\"",
                      request->host.len > 100 ? 100 : (int) request->host.len,
                      request->host.start, REASON_TEXT, rule->name);
    }

    if (rule->pinned) {
        buffer_text(&target->base, rule->base);
        buffer_text(&target->path, rule->path);

    } else if (rules_port(ports, request->port)) {
        buffer_text(&target->base, request->https ? "https://" : "http://");
        buffer_str(&target->base, request->host);

        if (request->port != (request->https ? 443 : 80)) {
            buffer_format(&target->base, ":%d", request->port);
        }

        if (request->path.len == 0) {
            buffer_text(&target->path, "/");
        }

        buffer_str(&target->path, request->path);

    } else {
        return reason(why, "port %d isn't one that --allow-port allows",
                      request->port);
    }

    if (!rule->fixed) {
        request_query(request, &target->path);
    }

    if (target->base.failed || target->path.failed) {
        return reason(why, "out of memory");
    }

    return 0;
}


static int
rule_is_asked(const rule_t *rule, const request_t *request)
{
    return str_is(request->host, rule->host)
           && (rule->port == 0 || rule->port == request->port);
}


static int
rules_port(const rules_ports_t *ports, int port)
{
    unsigned  i;

    for (i = 0; i < ports->n; i++) {
        if (ports->port[i] == port) {
            return 1;
        }
    }

    return ports->n == 0;
}


void
rule_free(rule_t *rule)
{
    free(rule->name);
    free(rule->host);
    free(rule->base);
    free(rule->path);
    free(rule->socket);

    memset(rule, 0, sizeof(*rule));
}


void
target_free(target_t *target)
{
    buffer_free(&target->base);
    buffer_free(&target->path);
}
