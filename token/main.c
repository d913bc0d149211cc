/*
 * monitoring-proxy-token: the query proxy's program beside nginx.  "make" in
 * this directory builds it.
 */


#include <stdio.h>
#include <string.h>

#include "keeper.h"
#include "version.h"


#define MAIN_OK     0
#define MAIN_USAGE  2


static const char  main_usage[] =
    "usage: monitoring-proxy-token keep REMOTES SOCKET LEVEL\n"
    "\n"
    "--help, --version\n";


int
main(int argc, char **argv)
{
    if (argc == 2
        && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
    {
        fputs(main_usage, stdout);
        return MAIN_OK;
    }

    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("monitoring-proxy-token %s\n", TOKEN_VERSION);
        return MAIN_OK;
    }

    if (argc == 5 && strcmp(argv[1], "keep") == 0) {
        return keep(argv[2], argv[3], argv[4]);
    }

    fputs(main_usage, stderr);

    return MAIN_USAGE;
}
