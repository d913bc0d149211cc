/*
 * monitoring-proxy-wireguard: the files of WireGuard's network, and the
 * enrolment of its nodes.  "make" in this directory builds it.
 */


#include <stdio.h>
#include <string.h>

#include "commands.h"


/* options that a command takes */

#define MAIN_JSON      0x1
#define MAIN_HOST      0x2
#define MAIN_PORTS     0x4
#define MAIN_TTL       0x8
#define MAIN_FILES     0x10           /* --targets and --hosts */

#define MAIN_ENROL     (MAIN_HOST|MAIN_FILES)
#define MAIN_ROTATE    (MAIN_ENROL|MAIN_JSON|MAIN_TTL)
#define MAIN_INVITE    (MAIN_ROTATE|MAIN_PORTS)


typedef struct {
    const char              *name;
    int                      least;   /* arguments beside the options */
    int                      most;    /* 0: any number */
    unsigned                 options;
    wireguard_command_pt     run;
} main_command_t;


static int main_options(const main_command_t *command,
    wireguard_options_t *options, int *argc, char **argv);
static const char **main_value(const main_command_t *command,
    wireguard_options_t *options, const char *option);


static const char  main_usage[] =
    "usage: monitoring-proxy-wireguard init DIR\n"
    "       monitoring-proxy-wireguard check DIR [TARGETS [HOSTS]]\n"
    "       monitoring-proxy-wireguard conf DIR\n"
    "       monitoring-proxy-wireguard addresses DIR\n"
    "       monitoring-proxy-wireguard invite --host HOST [--targets FILE]\n"
    "             [--hosts FILE] DIR NAME [--ports PORTS] [--ttl TIME]\n"
    "             [--json] [LABEL=VALUE ...]\n"
    "       monitoring-proxy-wireguard rotate --host HOST DIR NAME\n"
    "             [--ttl TIME] [--json]\n"
    "       monitoring-proxy-wireguard remove DIR NAME\n"
    "       monitoring-proxy-wireguard list [--json] DIR\n"
    "       monitoring-proxy-wireguard enrol --host HOST [--targets FILE]\n"
    "             [--hosts FILE] DIR SOCKET SYNC\n"
    "       monitoring-proxy-wireguard board FILE [DIR [TARGETS [HOSTS]]]\n"
    "\n"
    "DIR is /etc/monitoring/wireguard.\n"
    "\n"
    "init       makes DIR and wg0.conf in it, with a new key and network,\n"
    "           unless it is there\n"
    "check      says nothing if all is right, or FILE:LINE:COLUMN: reason\n"
    "conf       prints what \"wg syncconf\" takes\n"
    "addresses  prints the monitor's ADDRESS/PREFIX, one a line, and\n"
    "           \"mtu N\"\n"
    "invite     prints the URL by which a new node enrols as NAME; HOST is\n"
    "           where nodes reach the proxy; none of the names in FILEs may\n"
    "           be a node's; TIME is 1h, or another one from 1s to 30d\n"
    "rotate     prints one by which the node NAME enrols another key\n"
    "remove     takes out the node's line and its invitations, and prints\n"
    "           its key\n"
    "list       prints each node with its state, which it reads on stdin as\n"
    "           \"wg show wg0 dump\" has it\n"
    "enrol      serves enrolment at the unix socket SOCKET; a node is in\n"
    "           effect once SYNC has the SHA-256 of the nodes file\n"
    "board      writes FILE, where nginx looks up peers, from stdin as list\n"
    "\n"
    "exit status: 0 ok, 1 a mistake in a file or a failure, 2 wrong usage,\n"
    "3 no such node\n";


static const main_command_t  main_commands[] = {
    { "init",      1, 1, 0,           wireguard_init },
    { "check",     1, 3, 0,           wireguard_check },
    { "conf",      1, 1, 0,           wireguard_conf },
    { "addresses", 1, 1, 0,           wireguard_addresses },
    { "invite",    2, 0, MAIN_INVITE, wireguard_invite },
    { "rotate",    2, 2, MAIN_ROTATE, wireguard_rotate },
    { "remove",    2, 2, 0,           wireguard_remove },
    { "list",      1, 1, MAIN_JSON,   wireguard_list },
    { "enrol",     3, 3, MAIN_ENROL,  wireguard_enrol },
    { "board",     1, 4, 0,           wireguard_board },
    { NULL,        0, 0, 0,           NULL }
};


int
main(int argc, char **argv)
{
    int                    rc;
    wireguard_options_t    options;
    const main_command_t  *command;

    if (argc == 2
        && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
    {
        fputs(main_usage, stdout);
        return WIREGUARD_OK;
    }

    for (command = main_commands; command->name; command++) {
        if (argc > 1 && strcmp(command->name, argv[1]) == 0) {
            break;
        }
    }

    argc -= 2;
    argv += 2;

    if (command->name == NULL
        || !main_options(command, &options, &argc, argv)
        || argc < command->least || (command->most && argc > command->most))
    {
        fputs(main_usage, stderr);
        return WIREGUARD_USAGE;
    }

    rc = command->run(&options, argc, argv);

    if (fflush(stdout) == EOF || ferror(stdout)) {
        perror(WIREGUARD ": cannot write");
        return WIREGUARD_FAILED;
    }

    return rc;
}


/* they may be anywhere: what is left of the arguments moves together */

static int
main_options(const main_command_t *command, wireguard_options_t *options,
    int *argc, char **argv)
{
    int           i, n;
    const char  **value;

    memset(options, 0, sizeof(wireguard_options_t));
    options->command = command->name;

    n = 0;

    for (i = 0; i < *argc; i++) {

        if (strncmp(argv[i], "--", 2) != 0) {
            argv[n++] = argv[i];
            continue;
        }

        if (strcmp(argv[i], "--json") == 0 && command->options & MAIN_JSON) {
            options->json = 1;
            continue;
        }

        value = main_value(command, options, argv[i]);

        if (value == NULL || ++i == *argc) {
            return 0;
        }

        *value = argv[i];
    }

    *argc = n;

    return 1;
}


static const char **
main_value(const main_command_t *command, wireguard_options_t *options,
    const char *option)
{
    if (strcmp(option, "--host") == 0 && command->options & MAIN_HOST) {
        return &options->host;
    }

    if (strcmp(option, "--ports") == 0 && command->options & MAIN_PORTS) {
        return &options->ports;
    }

    if (strcmp(option, "--ttl") == 0 && command->options & MAIN_TTL) {
        return &options->ttl;
    }

    if (strcmp(option, "--targets") == 0 && command->options & MAIN_FILES) {
        return &options->targets;
    }

    if (strcmp(option, "--hosts") == 0 && command->options & MAIN_FILES) {
        return &options->hosts;
    }

    return NULL;
}
