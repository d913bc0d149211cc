/*
 * The families of the own metrics: their names, what they say, and how their
 * samples are written.  docs/metrics.md has the same table for its readers.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_prom_metrics.h"


static u_char *ngx_http_prom_metrics_build(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
static u_char *ngx_http_prom_metrics_reloads(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
static u_char *ngx_http_prom_metrics_loaded(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
static u_char *ngx_http_prom_metrics_reason(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
static u_char *ngx_http_prom_metrics_up(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
static u_char *ngx_http_prom_metrics_codes(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
static u_char *ngx_http_prom_metrics_durations(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
static u_char *ngx_http_prom_metrics_bytes(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
static u_char *ngx_http_prom_metrics_connections(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);
static u_char *ngx_http_prom_metrics_age(u_char *p,
    ngx_http_prom_metrics_t *m, const ngx_http_prom_metrics_family_t *family);


/* as ngx_prom_counters_t has them */

static const char  *ngx_http_prom_metrics_code[NGX_PROM_CODES] = {
    "code=\"aborted\"",
    "code=\"1xx\"",
    "code=\"2xx\"",
    "code=\"3xx\"",
    "code=\"4xx\"",
    "code=\"5xx\""
};


const ngx_http_prom_metrics_family_t  ngx_http_prom_metrics_families[] = {

    { ngx_string("monitoring_proxy_build_info"),
      NGX_HTTP_PROM_METRICS_INFO, "",
      "Version of the module and of the nginx that it was built for.",
      ngx_http_prom_metrics_build,
      NGX_HTTP_PROM_METRICS_SAMPLE, 0, NGX_HTTP_PROM_METRICS_NONE },

    /* of targets, while there is a registry */

    { ngx_string("monitoring_proxy_targets"),
      NGX_HTTP_PROM_METRICS_GAUGE, "",
      "Targets that are loaded.",
      ngx_http_prom_metrics_number,
      NGX_HTTP_PROM_METRICS_SAMPLE,
      offsetof(ngx_http_prom_metrics_t, targets),
      NGX_HTTP_PROM_METRICS_REGISTRY },

    { ngx_string("monitoring_proxy_targets_reloads_total"),
      NGX_HTTP_PROM_METRICS_COUNTER, "",
      "Reloads of the targets while running, by result.",
      ngx_http_prom_metrics_reloads,
      2 * NGX_HTTP_PROM_METRICS_SAMPLE, 0, NGX_HTTP_PROM_METRICS_REGISTRY },

    { ngx_string("monitoring_proxy_targets_last_reload_successful"),
      NGX_HTTP_PROM_METRICS_GAUGE, "",
      "Whether the targets were loaded when their files were last read.",
      ngx_http_prom_metrics_number,
      NGX_HTTP_PROM_METRICS_SAMPLE,
      offsetof(ngx_http_prom_metrics_t, successful),
      NGX_HTTP_PROM_METRICS_REGISTRY },

    { ngx_string("monitoring_proxy_targets_last_reload_success_timestamp_"
                 "seconds"),
      NGX_HTTP_PROM_METRICS_GAUGE, "seconds",
      "When the targets in use were loaded.",
      ngx_http_prom_metrics_loaded,
      NGX_HTTP_PROM_METRICS_SAMPLE,
      offsetof(ngx_http_prom_metrics_t, loaded),
      NGX_HTTP_PROM_METRICS_REGISTRY },

    { ngx_string("monitoring_proxy_targets_last_reload_duration_seconds"),
      NGX_HTTP_PROM_METRICS_GAUGE, "seconds",
      "How long it took to load the targets in use.",
      ngx_http_prom_metrics_loaded,
      NGX_HTTP_PROM_METRICS_SAMPLE,
      offsetof(ngx_http_prom_metrics_t, took),
      NGX_HTTP_PROM_METRICS_REGISTRY },

    { ngx_string("monitoring_proxy_targets_last_reload_error_info"),
      NGX_HTTP_PROM_METRICS_INFO, "",
      "Why the targets could not be loaded when their files were last read.",
      ngx_http_prom_metrics_reason,
      NGX_HTTP_PROM_METRICS_BECAUSE(NGX_PROM_REASON_MAX), 0,
      NGX_HTTP_PROM_METRICS_REGISTRY },

    { ngx_string("monitoring_proxy_zone_size_bytes"),
      NGX_HTTP_PROM_METRICS_GAUGE, "bytes",
      "Size of the shared memory zone.",
      ngx_http_prom_metrics_number,
      NGX_HTTP_PROM_METRICS_SAMPLE,
      offsetof(ngx_http_prom_metrics_t, size),
      NGX_HTTP_PROM_METRICS_REGISTRY },

    { ngx_string("monitoring_proxy_zone_used_bytes"),
      NGX_HTTP_PROM_METRICS_GAUGE, "bytes",
      "Bytes of the zone that the targets and replacing them take.",
      ngx_http_prom_metrics_number,
      NGX_HTTP_PROM_METRICS_SAMPLE,
      offsetof(ngx_http_prom_metrics_t, used),
      NGX_HTTP_PROM_METRICS_REGISTRY },

    { ngx_string("monitoring_proxy_zone_targets_max"),
      NGX_HTTP_PROM_METRICS_GAUGE, "",
      "Targets that the zone has counters for.",
      ngx_http_prom_metrics_number,
      NGX_HTTP_PROM_METRICS_SAMPLE,
      offsetof(ngx_http_prom_metrics_t, capacity),
      NGX_HTTP_PROM_METRICS_REGISTRY },

    /* of all targets together, also of such that are gone */

    { ngx_string("monitoring_proxy_scrapes_total"),
      NGX_HTTP_PROM_METRICS_COUNTER, "",
      "Scrapes by the class of their status, or aborted by the scraper.",
      ngx_http_prom_metrics_codes,
      NGX_PROM_CODES * NGX_HTTP_PROM_METRICS_SAMPLE, 0,
      NGX_HTTP_PROM_METRICS_REGISTRY },

    { ngx_string("monitoring_proxy_scrape_duration_seconds"),
      NGX_HTTP_PROM_METRICS_HISTOGRAM, "seconds",
      "How long scrapes took.",
      ngx_http_prom_metrics_durations,
      (NGX_PROM_BUCKETS + 2) * NGX_HTTP_PROM_METRICS_SAMPLE, 0,
      NGX_HTTP_PROM_METRICS_REGISTRY },

    { ngx_string("monitoring_proxy_scrape_body_bytes_total"),
      NGX_HTTP_PROM_METRICS_COUNTER, "bytes",
      "Bytes of the bodies that scrapes were answered with.",
      ngx_http_prom_metrics_bytes,
      NGX_HTTP_PROM_METRICS_SAMPLE, 0, NGX_HTTP_PROM_METRICS_REGISTRY },

    { ngx_string("monitoring_proxy_connections_total"),
      NGX_HTTP_PROM_METRICS_COUNTER, "",
      "Connections to targets that scrapes used, new or kept ones.",
      ngx_http_prom_metrics_connections,
      2 * NGX_HTTP_PROM_METRICS_SAMPLE, 0, NGX_HTTP_PROM_METRICS_REGISTRY },

    /* of tunnels, while there is a board */

    { ngx_string("monitoring_proxy_sessions"),
      NGX_HTTP_PROM_METRICS_GAUGE, "",
      "Sessions of hosts that sshd has, by the kind of their key.",
      ngx_http_prom_metrics_sessions,
      2 * NGX_HTTP_PROM_METRICS_SAMPLE, 0, NGX_HTTP_PROM_METRICS_BOARD },

    { ngx_string("monitoring_proxy_logins_total"),
      NGX_HTTP_PROM_METRICS_COUNTER, "",
      "Logins by a key of a host or by the shared one.",
      ngx_http_prom_metrics_number,
      NGX_HTTP_PROM_METRICS_SAMPLE,
      offsetof(ngx_http_prom_metrics_t, logins), NGX_HTTP_PROM_METRICS_BOARD },

    { ngx_string("monitoring_proxy_logins_refused_total"),
      NGX_HTTP_PROM_METRICS_COUNTER, "",
      "Connections to sshd that came to no tunnel, by the reason.",
      ngx_http_prom_metrics_refused,
      NGX_PROM_REFUSED_REASONS * NGX_HTTP_PROM_METRICS_SAMPLE, 0,
      NGX_HTTP_PROM_METRICS_BOARD },

    { ngx_string("monitoring_proxy_hosts"),
      NGX_HTTP_PROM_METRICS_GAUGE, "",
      "Hosts of the hosts file that is in use.",
      ngx_http_prom_metrics_hosts,
      NGX_HTTP_PROM_METRICS_SAMPLE,
      offsetof(ngx_http_prom_metrics_t, hosts), NGX_HTTP_PROM_METRICS_BOARD },

    { ngx_string("monitoring_proxy_hosts_reload_failures_total"),
      NGX_HTTP_PROM_METRICS_COUNTER, "",
      "Changes of the hosts file that were refused while running.",
      ngx_http_prom_metrics_hosts,
      NGX_HTTP_PROM_METRICS_SAMPLE,
      offsetof(ngx_http_prom_metrics_t, hosts_failures),
      NGX_HTTP_PROM_METRICS_BOARD },

    { ngx_string("monitoring_proxy_hosts_last_reload_successful"),
      NGX_HTTP_PROM_METRICS_GAUGE, "",
      "Whether the hosts file was taken when it was last read.",
      ngx_http_prom_metrics_hosts,
      NGX_HTTP_PROM_METRICS_SAMPLE,
      offsetof(ngx_http_prom_metrics_t, hosts_successful),
      NGX_HTTP_PROM_METRICS_BOARD },

    { ngx_string("monitoring_proxy_hosts_last_reload_success_timestamp_"
                 "seconds"),
      NGX_HTTP_PROM_METRICS_GAUGE, "seconds",
      "When the hosts in use were loaded.",
      ngx_http_prom_metrics_hosts_loaded,
      NGX_HTTP_PROM_METRICS_SAMPLE, 0, NGX_HTTP_PROM_METRICS_BOARD },

    { ngx_string("monitoring_proxy_hosts_last_reload_error_info"),
      NGX_HTTP_PROM_METRICS_INFO, "",
      "Why the hosts file was refused when it was last read.",
      ngx_http_prom_metrics_hosts_reason,
      NGX_HTTP_PROM_METRICS_BECAUSE(NGX_PROM_TUNNELS_REASON), 0,
      NGX_HTTP_PROM_METRICS_BOARD },

    /* of the nodes file, while their board knows of it */

    { ngx_string("monitoring_proxy_nodes"),
      NGX_HTTP_PROM_METRICS_GAUGE, "",
      "WireGuard nodes of the nodes file that is in use.",
      ngx_http_prom_metrics_number,
      NGX_HTTP_PROM_METRICS_SAMPLE,
      offsetof(ngx_http_prom_metrics_t, nodes), NGX_HTTP_PROM_METRICS_NODES },

    { ngx_string("monitoring_proxy_nodes_reload_failures_total"),
      NGX_HTTP_PROM_METRICS_COUNTER, "",
      "Changes of the nodes file that were refused while running.",
      ngx_http_prom_metrics_number,
      NGX_HTTP_PROM_METRICS_SAMPLE,
      offsetof(ngx_http_prom_metrics_t, nodes_failures),
      NGX_HTTP_PROM_METRICS_NODES },

    { ngx_string("monitoring_proxy_nodes_last_reload_successful"),
      NGX_HTTP_PROM_METRICS_GAUGE, "",
      "Whether the nodes file was taken when it was last read.",
      ngx_http_prom_metrics_number,
      NGX_HTTP_PROM_METRICS_SAMPLE,
      offsetof(ngx_http_prom_metrics_t, nodes_successful),
      NGX_HTTP_PROM_METRICS_NODES },

    { ngx_string("monitoring_proxy_nodes_last_reload_success_timestamp_"
                 "seconds"),
      NGX_HTTP_PROM_METRICS_GAUGE, "seconds",
      "When the nodes in use were loaded.",
      ngx_http_prom_metrics_nodes_loaded,
      NGX_HTTP_PROM_METRICS_SAMPLE, 0, NGX_HTTP_PROM_METRICS_NODES },

    { ngx_string("monitoring_proxy_nodes_last_reload_error_info"),
      NGX_HTTP_PROM_METRICS_INFO, "",
      "Why the nodes file was refused when it was last read.",
      ngx_http_prom_metrics_nodes_reason,
      NGX_HTTP_PROM_METRICS_BECAUSE(NGX_PROM_PEERS_REASON), 0,
      NGX_HTTP_PROM_METRICS_NODES },

    /* of poll clients, while there is a zone of theirs */

    { ngx_string("monitoring_proxy_poll_clients"),
      NGX_HTTP_PROM_METRICS_GAUGE, "",
      "Clients that poll, or did not long ago.",
      ngx_http_prom_metrics_number,
      NGX_HTTP_PROM_METRICS_SAMPLE,
      offsetof(ngx_http_prom_metrics_t, clients),
      NGX_HTTP_PROM_METRICS_POLLS },

    { ngx_string("monitoring_proxy_poll_clients_max"),
      NGX_HTTP_PROM_METRICS_GAUGE, "",
      "Clients that there may be.",
      ngx_http_prom_metrics_number,
      NGX_HTTP_PROM_METRICS_SAMPLE,
      offsetof(ngx_http_prom_metrics_t, clients_max),
      NGX_HTTP_PROM_METRICS_POLLS },

    { ngx_string("monitoring_proxy_poll_requests_total"),
      NGX_HTTP_PROM_METRICS_COUNTER, "",
      "Requests of clients and scrapers, by path and class of status.",
      ngx_http_prom_metrics_poll_requests,
      NGX_PROM_POLL_PATHS * NGX_PROM_POLL_CODES
      * NGX_HTTP_PROM_METRICS_SAMPLE, 0,
      NGX_HTTP_PROM_METRICS_POLLS },

    { ngx_string("monitoring_proxy_poll_request_duration_seconds"),
      NGX_HTTP_PROM_METRICS_HISTOGRAM, "seconds",
      "How long requests of clients and scrapers took.",
      ngx_http_prom_metrics_poll_durations,
      NGX_PROM_POLL_PATHS * (NGX_PROM_POLL_BUCKETS + 2)
      * NGX_HTTP_PROM_METRICS_SAMPLE, 0,
      NGX_HTTP_PROM_METRICS_POLLS },

    { ngx_string("monitoring_proxy_poll_failures_total"),
      NGX_HTTP_PROM_METRICS_COUNTER, "",
      "Scrapes that had no answer of their client's, by the reason.",
      ngx_http_prom_metrics_poll_failures,
      NGX_PROM_POLL_FAILS * NGX_HTTP_PROM_METRICS_SAMPLE, 0,
      NGX_HTTP_PROM_METRICS_POLLS },

    { ngx_string("monitoring_proxy_poll_hops_total"),
      NGX_HTTP_PROM_METRICS_COUNTER, "",
      "Requests that were passed on to the worker they concern.",
      ngx_http_prom_metrics_poll_counter,
      NGX_HTTP_PROM_METRICS_SAMPLE,
      offsetof(ngx_prom_poll_counters_t, hops), NGX_HTTP_PROM_METRICS_POLLS },

    { ngx_string("monitoring_proxy_poll_moves_total"),
      NGX_HTTP_PROM_METRICS_COUNTER, "",
      "Connections that were moved to the worker they concern.",
      ngx_http_prom_metrics_poll_counter,
      NGX_HTTP_PROM_METRICS_SAMPLE,
      offsetof(ngx_prom_poll_counters_t, moves), NGX_HTTP_PROM_METRICS_POLLS },

    { ngx_string("monitoring_proxy_poll_body_bytes_total"),
      NGX_HTTP_PROM_METRICS_COUNTER, "bytes",
      "Bytes of the bodies that clients have answered scrapes with.",
      ngx_http_prom_metrics_poll_counter,
      NGX_HTTP_PROM_METRICS_SAMPLE,
      offsetof(ngx_prom_poll_counters_t, bytes), NGX_HTTP_PROM_METRICS_POLLS },

    { ngx_string("monitoring_proxy_poll_refused_total"),
      NGX_HTTP_PROM_METRICS_COUNTER, "",
      "Polls that were refused: too many clients, or a foreign name.",
      ngx_http_prom_metrics_poll_counter,
      NGX_HTTP_PROM_METRICS_SAMPLE,
      offsetof(ngx_prom_poll_counters_t, refused),
      NGX_HTTP_PROM_METRICS_POLLS },

    /* these wait for a look at each target, so others go before them */

    { ngx_string("monitoring_proxy_targets_up"),
      NGX_HTTP_PROM_METRICS_GAUGE, "",
      "Targets whose last scrape was answered by 200, whole.",
      ngx_http_prom_metrics_number,
      NGX_HTTP_PROM_METRICS_SAMPLE,
      offsetof(ngx_http_prom_metrics_t, up), NGX_HTTP_PROM_METRICS_ALL },

    { ngx_string("monitoring_proxy_targets_down"),
      NGX_HTTP_PROM_METRICS_GAUGE, "",
      "Targets whose last scrape failed.",
      ngx_http_prom_metrics_number,
      NGX_HTTP_PROM_METRICS_SAMPLE,
      offsetof(ngx_http_prom_metrics_t, down), NGX_HTTP_PROM_METRICS_ALL },

    { ngx_string("monitoring_proxy_targets_unscraped"),
      NGX_HTTP_PROM_METRICS_GAUGE, "",
      "Targets that were not scraped yet.",
      ngx_http_prom_metrics_number,
      NGX_HTTP_PROM_METRICS_SAMPLE,
      offsetof(ngx_http_prom_metrics_t, unscraped),
      NGX_HTTP_PROM_METRICS_ALL },

    /* of each target */

    { ngx_string("monitoring_proxy_target_up"),
      NGX_HTTP_PROM_METRICS_GAUGE, "",
      "Whether the last scrape was answered by 200, whole.",
      ngx_http_prom_metrics_up,
      NGX_HTTP_PROM_METRICS_SAMPLES(1), 0, NGX_HTTP_PROM_METRICS_EACH },

    { ngx_string("monitoring_proxy_target_scrapes_total"),
      NGX_HTTP_PROM_METRICS_COUNTER, "",
      "Scrapes by the class of their status, or aborted by the scraper.",
      ngx_http_prom_metrics_codes,
      NGX_HTTP_PROM_METRICS_SAMPLES(NGX_PROM_CODES), 0,
      NGX_HTTP_PROM_METRICS_EACH },

    { ngx_string("monitoring_proxy_target_scrape_duration_seconds"),
      NGX_HTTP_PROM_METRICS_HISTOGRAM, "seconds",
      "How long scrapes took.",
      ngx_http_prom_metrics_durations,
      NGX_HTTP_PROM_METRICS_SAMPLES(NGX_PROM_BUCKETS + 2), 0,
      NGX_HTTP_PROM_METRICS_EACH },

    { ngx_string("monitoring_proxy_target_scrape_body_bytes_total"),
      NGX_HTTP_PROM_METRICS_COUNTER, "bytes",
      "Bytes of the bodies that scrapes were answered with.",
      ngx_http_prom_metrics_bytes,
      NGX_HTTP_PROM_METRICS_SAMPLES(1), 0, NGX_HTTP_PROM_METRICS_EACH },

    { ngx_string("monitoring_proxy_target_connections_total"),
      NGX_HTTP_PROM_METRICS_COUNTER, "",
      "Connections to the target that scrapes used, new or kept ones.",
      ngx_http_prom_metrics_connections,
      NGX_HTTP_PROM_METRICS_SAMPLES(2), 0, NGX_HTTP_PROM_METRICS_EACH },

    { ngx_string("monitoring_proxy_target_last_success_age_seconds"),
      NGX_HTTP_PROM_METRICS_GAUGE, "seconds",
      "Time since the last scrape that was answered by 200, whole.",
      ngx_http_prom_metrics_age,
      NGX_HTTP_PROM_METRICS_SAMPLES(1), 0, NGX_HTTP_PROM_METRICS_EACH },

    /* of each target of a host, while there is a board */

    { ngx_string("monitoring_proxy_tunnel_connected"),
      NGX_HTTP_PROM_METRICS_GAUGE, "",
      "Whether the host of the target is connected.",
      ngx_http_prom_metrics_tunnel_connected,
      NGX_HTTP_PROM_METRICS_SAMPLES(1), 0, NGX_HTTP_PROM_METRICS_TUNNEL },

    { ngx_string("monitoring_proxy_tunnel_login_timestamp_seconds"),
      NGX_HTTP_PROM_METRICS_GAUGE, "seconds",
      "When the host of the target logged in last.",
      ngx_http_prom_metrics_tunnel_login,
      NGX_HTTP_PROM_METRICS_SAMPLES(1), 0, NGX_HTTP_PROM_METRICS_TUNNEL },

    { ngx_string("monitoring_proxy_tunnel_logins_total"),
      NGX_HTTP_PROM_METRICS_COUNTER, "",
      "Logins of the host of the target.",
      ngx_http_prom_metrics_tunnel_number,
      NGX_HTTP_PROM_METRICS_SAMPLES(1),
      offsetof(ngx_http_prom_tunnel_t, logins), NGX_HTTP_PROM_METRICS_TUNNEL },

    { ngx_string("monitoring_proxy_tunnel_info"),
      NGX_HTTP_PROM_METRICS_INFO, "",
      "Address and key of the host of the target, while it is connected.",
      ngx_http_prom_metrics_tunnel_info,
      NGX_HTTP_PROM_METRICS_SAMPLES(1) + 2 * NGX_PROM_TUNNELS_ADDRESS
      + NGX_HTTP_PROM_TUNNEL_FINGERPRINT, 0,
      NGX_HTTP_PROM_METRICS_TUNNEL },

    /* of each target that is a poll client */

    { ngx_string("monitoring_proxy_poll_client_connected"),
      NGX_HTTP_PROM_METRICS_GAUGE, "",
      "Whether the client polls, or was answered and polls again soon.",
      ngx_http_prom_metrics_tunnel_connected,
      NGX_HTTP_PROM_METRICS_SAMPLES(1), 0,
      NGX_HTTP_PROM_METRICS_POLL },

    { ngx_string("monitoring_proxy_poll_client_since_timestamp_"
                 "seconds"),
      NGX_HTTP_PROM_METRICS_GAUGE, "seconds",
      "Since when the client is connected without a break.",
      ngx_http_prom_metrics_poll_since,
      NGX_HTTP_PROM_METRICS_SAMPLES(1), 0,
      NGX_HTTP_PROM_METRICS_POLL },

    { ngx_string("monitoring_proxy_poll_client_polls"),
      NGX_HTTP_PROM_METRICS_GAUGE, "",
      "Polls of the client that are held.",
      ngx_http_prom_metrics_tunnel_number,
      NGX_HTTP_PROM_METRICS_SAMPLES(1),
      offsetof(ngx_http_prom_tunnel_t, polls), NGX_HTTP_PROM_METRICS_POLL },

    { ngx_string("monitoring_proxy_poll_client_scrapes_total"),
      NGX_HTTP_PROM_METRICS_COUNTER, "",
      "Scrapes that were handed to the client.",
      ngx_http_prom_metrics_tunnel_number,
      NGX_HTTP_PROM_METRICS_SAMPLES(1),
      offsetof(ngx_http_prom_tunnel_t, handed), NGX_HTTP_PROM_METRICS_POLL },

    { ngx_string("monitoring_proxy_poll_client_info"),
      NGX_HTTP_PROM_METRICS_INFO, "",
      "Address that the client polls from, while it is connected.",
      ngx_http_prom_metrics_poll_info,
      NGX_HTTP_PROM_METRICS_SAMPLES(1) + 2 * NGX_PROM_TUNNELS_ADDRESS, 0,
      NGX_HTTP_PROM_METRICS_POLL },

    /* of each target of a WireGuard node, while there is their board */

    { ngx_string("monitoring_proxy_peer_last_handshake_timestamp_seconds"),
      NGX_HTTP_PROM_METRICS_GAUGE, "seconds",
      "When the last WireGuard handshake with the node of the target was.",
      ngx_http_prom_metrics_peer_handshake,
      NGX_HTTP_PROM_METRICS_SAMPLES(1), 0, NGX_HTTP_PROM_METRICS_PEER },

    { ngx_string("monitoring_proxy_peer_receive_bytes_total"),
      NGX_HTTP_PROM_METRICS_COUNTER, "bytes",
      "Bytes that came from the node by WireGuard.",
      ngx_http_prom_metrics_peer_bytes,
      NGX_HTTP_PROM_METRICS_SAMPLES(1),
      offsetof(ngx_http_prom_tunnel_t, received),
      NGX_HTTP_PROM_METRICS_PEER },

    { ngx_string("monitoring_proxy_peer_transmit_bytes_total"),
      NGX_HTTP_PROM_METRICS_COUNTER, "bytes",
      "Bytes that went to the node by WireGuard.",
      ngx_http_prom_metrics_peer_bytes,
      NGX_HTTP_PROM_METRICS_SAMPLES(1),
      offsetof(ngx_http_prom_tunnel_t, sent), NGX_HTTP_PROM_METRICS_PEER },

    { ngx_string("monitoring_proxy_forward_requests_total"),
      NGX_HTTP_PROM_METRICS_COUNTER, "",
      "Requests and tunnels of a forward proxy, by what became of them.",
      ngx_http_prom_metrics_forward_requests,
      NGX_HTTP_PROM_METRICS_FORWARDS(NGX_PROM_FORWARD_SIDES
                                     * NGX_PROM_FORWARD_DECISIONS),
      0, NGX_HTTP_PROM_METRICS_FORWARD },

    { ngx_string("monitoring_proxy_forward_received_bytes_total"),
      NGX_HTTP_PROM_METRICS_COUNTER, "bytes",
      "Bytes that came from clients of a forward proxy.",
      ngx_http_prom_metrics_forward_side,
      NGX_HTTP_PROM_METRICS_FORWARDS(NGX_PROM_FORWARD_SIDES),
      offsetof(ngx_prom_forward_side_t, received),
      NGX_HTTP_PROM_METRICS_FORWARD },

    { ngx_string("monitoring_proxy_forward_sent_bytes_total"),
      NGX_HTTP_PROM_METRICS_COUNTER, "bytes",
      "Bytes that went to clients of a forward proxy.",
      ngx_http_prom_metrics_forward_side,
      NGX_HTTP_PROM_METRICS_FORWARDS(NGX_PROM_FORWARD_SIDES),
      offsetof(ngx_prom_forward_side_t, sent),
      NGX_HTTP_PROM_METRICS_FORWARD },

    { ngx_string("monitoring_proxy_forward_tunnels"),
      NGX_HTTP_PROM_METRICS_GAUGE, "",
      "Tunnels of a forward proxy that are open.",
      ngx_http_prom_metrics_forward_tunnels,
      NGX_HTTP_PROM_METRICS_FORWARDS(1), 0, NGX_HTTP_PROM_METRICS_FORWARD },

    { ngx_string("monitoring_proxy_forward_target_requests_total"),
      NGX_HTTP_PROM_METRICS_COUNTER, "",
      "Requests and tunnels for a target that was allowed.",
      ngx_http_prom_metrics_forward_target,
      NGX_HTTP_PROM_METRICS_SAMPLES(1),
      offsetof(ngx_prom_forward_counter_t, requests),
      NGX_HTTP_PROM_METRICS_FORWARDED },

    { ngx_string("monitoring_proxy_forward_target_failures_total"),
      NGX_HTTP_PROM_METRICS_COUNTER, "",
      "Of these, those for which the target was not reached.",
      ngx_http_prom_metrics_forward_target,
      NGX_HTTP_PROM_METRICS_SAMPLES(1),
      offsetof(ngx_prom_forward_counter_t, failures),
      NGX_HTTP_PROM_METRICS_FORWARDED },

    { ngx_string("monitoring_proxy_forward_target_sent_bytes_total"),
      NGX_HTTP_PROM_METRICS_COUNTER, "bytes",
      "Bytes that a target's answers had.",
      ngx_http_prom_metrics_forward_target,
      NGX_HTTP_PROM_METRICS_SAMPLES(1),
      offsetof(ngx_prom_forward_counter_t, sent),
      NGX_HTTP_PROM_METRICS_FORWARDED },

    /* of each remote that is asked with credentials */

    { ngx_string("monitoring_proxy_query_requests_total"),
      NGX_HTTP_PROM_METRICS_COUNTER, "",
      "Requests to a remote by status, or aborted by their caller.",
      ngx_http_prom_metrics_query_requests,
      NGX_HTTP_PROM_METRICS_SAMPLES(NGX_HTTP_PROM_TOKEN_CODES + 2), 0,
      NGX_HTTP_PROM_METRICS_QUERY },

    { ngx_string("monitoring_proxy_query_duration_seconds"),
      NGX_HTTP_PROM_METRICS_HISTOGRAM, "seconds",
      "How long requests to a remote took.",
      ngx_http_prom_metrics_query_durations,
      NGX_HTTP_PROM_METRICS_SAMPLES(NGX_HTTP_PROM_TOKEN_BUCKETS + 2), 0,
      NGX_HTTP_PROM_METRICS_QUERY },

    { ngx_string("monitoring_proxy_query_token_expiry_timestamp_seconds"),
      NGX_HTTP_PROM_METRICS_GAUGE, "seconds",
      "When the credential of a remote expires, 0 if there is no valid one.",
      ngx_http_prom_metrics_query_expiry,
      NGX_HTTP_PROM_METRICS_SAMPLES(1), 0, NGX_HTTP_PROM_METRICS_TOKEN },

    { ngx_string("monitoring_proxy_query_token_refreshes_total"),
      NGX_HTTP_PROM_METRICS_COUNTER, "",
      "Credentials of a remote that were fetched.",
      ngx_http_prom_metrics_query_refreshes,
      NGX_HTTP_PROM_METRICS_SAMPLES(1), 0, NGX_HTTP_PROM_METRICS_TOKEN },

    { ngx_string("monitoring_proxy_query_token_refresh_failures_total"),
      NGX_HTTP_PROM_METRICS_COUNTER, "",
      "Fetches of a remote's credential that failed, by the reason.",
      ngx_http_prom_metrics_query_failures,
      NGX_HTTP_PROM_METRICS_SAMPLES(NGX_PROM_TOKEN_COUNTS), 0,
      NGX_HTTP_PROM_METRICS_TOKEN },

    { ngx_null_string, 0, NULL, NULL, NULL, 0, 0, 0 }
};


static u_char *
ngx_http_prom_metrics_build(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    p = ngx_http_prom_metrics_sample(p, m, family, "",
                                     "version=\"" NGX_PROM_VERSION "\","
                                     "nginx=\"" NGINX_VERSION "\"");
    return ngx_sprintf(p, "1\n");
}


static u_char *
ngx_http_prom_metrics_reloads(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    p = ngx_http_prom_metrics_sample(p, m, family, "", "result=\"success\"");
    p = ngx_sprintf(p, "%uL\n", m->info.successes);

    p = ngx_http_prom_metrics_sample(p, m, family, "", "result=\"failure\"");
    return ngx_sprintf(p, "%uL\n", m->info.failures);
}


static u_char *
ngx_http_prom_metrics_loaded(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    uint64_t  *ms;

    if (m->loaded == 0) {
        return p;
    }

    ms = (uint64_t *) ((u_char *) m + family->offset);

    p = ngx_http_prom_metrics_sample(p, m, family, "", "");
    p = ngx_http_prom_metrics_seconds(p, *ms);
    return ngx_sprintf(p, "\n");
}


static u_char *
ngx_http_prom_metrics_reason(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    ngx_str_t  reason;

    if (!m->info.failed) {
        return p;
    }

    reason.len = m->info.reason_len;
    reason.data = m->info.reason;

    return ngx_http_prom_metrics_because(p, family, &reason);
}


static u_char *
ngx_http_prom_metrics_up(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    if (m->counters->scraped == 0) {
        return p;
    }

    p = ngx_http_prom_metrics_sample(p, m, family, "", "");
    return ngx_sprintf(p, "%d\n", m->counters->up);
}


static u_char *
ngx_http_prom_metrics_codes(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_PROM_CODES; i++) {
        p = ngx_http_prom_metrics_sample(p, m, family, "",
                                         ngx_http_prom_metrics_code[i]);
        p = ngx_sprintf(p, "%uA\n", m->counters->codes[i]);
    }

    return p;
}


static u_char *
ngx_http_prom_metrics_durations(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    u_char      *last, le[NGX_HTTP_PROM_METRICS_LE];
    ngx_uint_t   i;
    uint64_t     n;

    n = 0;

    for (i = 0; i < NGX_PROM_BUCKETS; i++) {
        n += m->counters->buckets[i];

        last = ngx_http_prom_metrics_le(le, m, ngx_prom_bounds, i,
                                        NGX_PROM_BUCKETS - 1);
        *last = '\0';

        p = ngx_http_prom_metrics_sample(p, m, family, "_bucket",
                                         (char *) le);
        p = ngx_sprintf(p, "%uL\n", n);
    }

    p = ngx_http_prom_metrics_sample(p, m, family, "_sum", "");
    p = ngx_http_prom_metrics_seconds(p, m->counters->duration);
    p = ngx_sprintf(p, "\n");

    p = ngx_http_prom_metrics_sample(p, m, family, "_count", "");
    return ngx_sprintf(p, "%uL\n", n);
}


static u_char *
ngx_http_prom_metrics_bytes(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    p = ngx_http_prom_metrics_sample(p, m, family, "", "");
    return ngx_sprintf(p, "%uA\n", m->counters->bytes);
}


static u_char *
ngx_http_prom_metrics_connections(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    p = ngx_http_prom_metrics_sample(p, m, family, "", "state=\"new\"");
    p = ngx_sprintf(p, "%uA\n", m->counters->connects);

    p = ngx_http_prom_metrics_sample(p, m, family, "", "state=\"reused\"");
    return ngx_sprintf(p, "%uA\n", m->counters->reuses);
}


static u_char *
ngx_http_prom_metrics_age(u_char *p, ngx_http_prom_metrics_t *m,
    const ngx_http_prom_metrics_family_t *family)
{
    uint64_t     now, succeeded;
    ngx_time_t  *tp;

    succeeded = m->counters->succeeded;

    if (succeeded == 0) {
        return p;
    }

    tp = ngx_timeofday();
    now = (uint64_t) tp->sec * 1000 + tp->msec;

    /* the clock may have been set back */

    p = ngx_http_prom_metrics_sample(p, m, family, "", "");
    p = ngx_http_prom_metrics_seconds(p, now - ngx_min(now, succeeded));
    return ngx_sprintf(p, "\n");
}
