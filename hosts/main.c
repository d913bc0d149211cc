/*
 * monitoring-proxy-hosts: all that is done with a hosts file outside of nginx,
 * by the same grammar.  "make" in this directory builds it.
 */


#include <stdio.h>
#include <string.h>

#include "commands.h"


/* options that a command takes */

#define HOSTS_JSON         0x1
#define HOSTS_REPLACE      0x2
#define HOSTS_WITH         0x4
#define HOSTS_SHARED       0x8
#define HOSTS_KEYS         0x10


typedef struct {
    const char          *name;
    int                  least;       /* arguments behind the options */
    int                  most;        /* 0: any number */
    unsigned             options;
    hosts_command_pt     run;
} hosts_command_t;


static int hosts_options(const hosts_command_t *command,
    hosts_options_t *options, int *argc, char ***argv);


static const char  hosts_usage[] =
    "usage: monitoring-proxy-hosts check [--keys FILE] HOSTS [TARGETS]\n"
    "       monitoring-proxy-hosts ports HOSTS\n"
    "       monitoring-proxy-hosts show HOSTS NAME\n"
    "       monitoring-proxy-hosts add [--replace] [--targets FILE] HOSTS\n"
    "             NAME TYPE BASE64|- [WORD=VALUE ...]\n"
    "       monitoring-proxy-hosts remove HOSTS NAME\n"
    "       monitoring-proxy-hosts list [--json] STATE\n"
    "       monitoring-proxy-hosts authorities FILE\n"
    "       monitoring-proxy-hosts public-keys [--hosts HOSTS] FILE\n"
    "       monitoring-proxy-hosts public-keys --variable NAME\n"
    "       monitoring-proxy-hosts keys [--targets FILE] STATE TYPE BASE64\n"
    "       monitoring-proxy-hosts principals STATE TYPE BASE64\n"
    "       monitoring-proxy-hosts board FILE\n"
    "\n"
    "check        says nothing if HOSTS is right, or FILE:LINE:COLUMN:\n"
    "             reason; with TARGETS, none of its names may be a host's,\n"
    "             nor a host's key in FILE, those that hosts share\n"
    "ports        prints the hosts' ports, one a line\n"
    "show         prints lines \"name\", \"type\" and \"fingerprint\" of its\n"
    "             key, and \"forward PORT EXPORTER-PORT TARGET\"\n"
    "add          writes a host's line and prints its port; \"-\" is no key;\n"
    "             --replace puts a key and words in the place of others,\n"
    "             --targets passes over the ports that targets have\n"
    "remove       takes the host's line out\n"
    "list         prints each host with its tunnel's state; STATE is\n"
    "             /run/monitoring-proxy\n"
    "authorities  checks FILE, public keys as in ssh_ca.pub, and prints them\n"
    "public-keys  checks FILE, keys that hosts share, or the text of a\n"
    "             variable, and prints TYPE BASE64 FINGERPRINT [COMMENT];\n"
    "             with HOSTS, none of them may be a host's\n"
    "keys         sshd's AuthorizedKeysCommand, with %t and %k\n"
    "principals   sshd's AuthorizedPrincipalsCommand, with %t and %k\n"
    "board        makes FILE, where tunnels are noted, unless it is there\n"
    "\n"
    "exit status: 0 ok, 1 a mistake in a file or a failure, 2 wrong usage,\n"
    "3 nothing to remove\n";


static const hosts_command_t  hosts_commands[] = {
    { "check",       1, 2, HOSTS_KEYS,               hosts_check },
    { "ports",       1, 1, 0,                        hosts_ports },
    { "show",        2, 2, 0,                        hosts_show },
    { "add",         3, 0, HOSTS_REPLACE|HOSTS_WITH, hosts_add },
    { "remove",      2, 2, 0,                        hosts_remove },
    { "list",        1, 1, HOSTS_JSON,               hosts_list },
    { "authorities", 1, 1, 0,                        hosts_authorities },
    { "public-keys", 0, 1, HOSTS_SHARED,             hosts_public_keys },
    { "keys",        3, 3, HOSTS_WITH,               hosts_keys },
    { "principals",  3, 3, HOSTS_WITH,               hosts_principals },
    { "board",       1, 1, 0,                        hosts_board },
    { NULL,          0, 0, 0,                        NULL },
};


int
main(int argc, char **argv)
{
    int                     rc;
    hosts_options_t         options;
    const hosts_command_t  *command;

    if (argc == 2
        && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
    {
        fputs(hosts_usage, stdout);
        return HOSTS_OK;
    }

    for (command = hosts_commands; command->name; command++) {
        if (argc > 1 && strcmp(command->name, argv[1]) == 0) {
            break;
        }
    }

    argc -= 2;
    argv += 2;

    if (command->name == NULL
        || !hosts_options(command, &options, &argc, &argv)
        || argc < command->least || (command->most && argc > command->most))
    {
        fputs(hosts_usage, stderr);
        return HOSTS_USAGE;
    }

    rc = command->run(&options, argc, argv);

    if (fflush(stdout) == EOF || ferror(stdout)) {
        perror("monitoring-proxy-hosts: cannot write");
        return HOSTS_MISTAKE;
    }

    return rc;
}


static int
hosts_options(const hosts_command_t *command, hosts_options_t *options,
    int *argc, char ***argv)
{
    const char  *option, **value;

    memset(options, 0, sizeof(hosts_options_t));

    while (*argc > 0 && strncmp(**argv, "--", 2) == 0) {

        option = *(*argv)++;
        *argc -= 1;
        value = NULL;

        if (strcmp(option, "--") == 0) {
            break;
        }

        if (strcmp(option, "--json") == 0 && command->options & HOSTS_JSON) {
            options->json = 1;
            continue;
        }

        if (strcmp(option, "--replace") == 0
            && command->options & HOSTS_REPLACE)
        {
            options->replace = 1;
            continue;
        }

        if (strcmp(option, "--targets") == 0
            && command->options & HOSTS_WITH)
        {
            value = &options->targets;

        } else if (strcmp(option, "--variable") == 0
                   && command->options & HOSTS_SHARED)
        {
            value = &options->variable;

        } else if (strcmp(option, "--hosts") == 0
                   && command->options & HOSTS_SHARED)
        {
            value = &options->hosts;

        } else if (strcmp(option, "--keys") == 0
                   && command->options & HOSTS_KEYS)
        {
            value = &options->keys;
        }

        if (value == NULL || *argc == 0) {
            return 0;
        }

        *value = *(*argv)++;
        *argc -= 1;
    }

    return 1;
}
