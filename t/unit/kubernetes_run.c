/*
 * Watches EndpointSlices as the discovery does, for
 * t/03-discovery-kubernetes.t, and prints as places_run.h says:
 *
 *     kubernetes_run APISERVER TOKEN-FILE CACERT NAMESPACE PORT
 */


#include <stdio.h>

#include "kubernetes.h"
#include "places_run.h"
#include "transfer.h"


static options_t  run_options = {
    .label_name = "app.kubernetes.io/name",
    .label_value = "monitoring-proxy"
};


int
main(int argc, char **argv)
{
    int       rc;
    reason_t  why;

    if (argc != 6) {
        return 2;
    }

    run_options.apiserver = argv[1];
    run_options.token_file = argv[2];
    run_options.cacert = argv[3];
    run_options.namespace = argv[4];
    run_options.port = argv[5];

    if (places_run_open(kubernetes_metrics, NULL) == -1
        || transfers_open() == -1)
    {
        return 2;
    }

    rc = kubernetes_open(&run_options, places_run_found, why);

    if (rc == -1) {
        printf("%s\n", why);

    } else {
        rc = places_run();
    }

    kubernetes_close();
    transfers_close();

    return rc == 0 ? 0 : 1;
}
