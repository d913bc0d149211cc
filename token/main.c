/*
 * monitoring-proxy-token: the query proxy's program beside nginx.  "make" in
 * this directory builds it.
 */


#include <stdio.h>
#include <string.h>

#include "confine.h"
#include "keeper.h"
#include "prepare.h"
#include "run.h"
#include "settings.h"
#include "version.h"


#define MAIN_OK      0
#define MAIN_FAILED  1
#define MAIN_USAGE   2

#define MAIN_NAME    "monitoring-proxy-token"
#define MAIN_RUN     "/usr/lib/monitoring-proxy/run-query"


static const char  main_usage[] =
    "usage: monitoring-proxy-token run [FLAG ...]\n"
    "       monitoring-proxy-token prepare DIR [PORT ...]\n"
    "       monitoring-proxy-token keep REMOTES SOCKET LEVEL\n"
    "       monitoring-proxy-token settings\n"
    "\n"
    "run       starts the query proxy, with the flags in its environment;\n"
    "          run --help lists them\n"
    "prepare   checks the environment and the file of remotes, tells each\n"
    "          mistake, and makes DIR with what the others need; PORTs are\n"
    "          others' already\n"
    "keep      keeps the credentials of REMOTES fresh, and tells nginx, by\n"
    "          the unix socket SOCKET; logs at LEVEL\n"
    "settings  prints the table of settings\n"
    "\n"
    "--help, --version\n"
    "\n"
    "exit status: 0 ok, 1 a mistake or a failure, 2 wrong usage\n";


int
main(int argc, char **argv)
{
    const char  *command;

    command = argc > 1 ? argv[1] : "";

    if (strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0) {
        fputs(main_usage, stdout);
        return MAIN_OK;
    }

    if (strcmp(command, "--version") == 0) {
        printf("monitoring-proxy-token %s\n", TOKEN_VERSION);
        return MAIN_OK;
    }

    if (strcmp(command, "run") == 0) {
        return run_program(argc - 2, argv + 2, MAIN_RUN);
    }

    if (strcmp(command, "settings") == 0 && argc == 2) {
        settings_print(stdout);
        return MAIN_OK;
    }

    /* so that prepare finds what the keeper can't read */

    if (strcmp(command, "prepare") == 0 && argc > 2) {
        return confine(MAIN_NAME) == 0 ? prepare(argv[2], argv + 3, argc - 3)
                                       : MAIN_FAILED;
    }

    if (strcmp(command, "keep") == 0 && argc == 5) {
        return confine(MAIN_NAME) == 0 ? keep(argv[2], argv[3], argv[4])
                                       : MAIN_FAILED;
    }

    fputs(main_usage, stderr);

    return MAIN_USAGE;
}
