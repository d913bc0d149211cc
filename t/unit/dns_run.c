/*
 * Looks up names as the discovery does, for t/03-discovery-dns.t, and prints
 * as places_run.h says:
 *
 * dns_run RESOLV.CONF INTERVAL NAME ...
 *
 * INTERVAL is in ms.
 */


#include <ares.h>
#include <stdio.h>
#include <stdlib.h>

#include "dns.h"
#include "places_run.h"


/* the linker has ares_init_options() call these: --wrap */

int __real_ares_init_options(ares_channel_t **channel,
    struct ares_options *options, int mask);
int __wrap_ares_init_options(ares_channel_t **channel,
    struct ares_options *options, int mask);


static char  *run_conf;


int
main(int argc, char **argv)
{
    int       i;
    reason_t  why;

    if (argc < 4) {
        return 2;
    }

    run_conf = argv[1];

    if (places_run_open(dns_metrics, dns_look) == -1) {
        return 2;
    }

    for (i = 3; i < argc; i++) {
        if (dns_name(argv[i], why) == -1) {
            printf("%s\n", why);
            return 1;
        }
    }

    if (dns_open(&argv[3], (unsigned) argc - 3, atol(argv[2]),
                 places_run_found, why)
        == -1)
    {
        printf("%s\n", why);
        return 1;
    }

    i = places_run();
    dns_close();

    return i == 0 ? 0 : 1;
}


int
__wrap_ares_init_options(ares_channel_t **channel,
    struct ares_options *options, int mask)
{
    options->resolvconf_path = run_conf;

    return __real_ares_init_options(channel, options,
                                    mask | ARES_OPT_RESOLVCONF);
}
