/*
 * monitoring-proxy-targets: looks at a targets file outside of nginx, by the
 * same grammar.  "make" in this directory builds it.
 */


#include <stdio.h>
#include <string.h>

#include "dial.h"
#include "file.h"


#define TARGETS_OK       0
#define TARGETS_MISTAKE  1
#define TARGETS_USAGE    2


typedef int (*targets_command_pt)(const ngx_prom_targets_t *targets);


typedef struct {
    const char          *name;
    const char          *option;
    targets_command_pt   run;
} targets_command_t;


static int targets_check(const ngx_prom_targets_t *targets);
static int targets_ports(const ngx_prom_targets_t *targets);
static int targets_list(const ngx_prom_targets_t *targets);
static int targets_list_json(const ngx_prom_targets_t *targets);
static void targets_print_escaped(const ngx_prom_text_t *text);


static const char  targets_usage[] =
    "usage: monitoring-proxy-targets check FILE\n"
    "       monitoring-proxy-targets ports FILE\n"
    "       monitoring-proxy-targets list [--json] FILE\n"
    "\n"
    "check  says nothing if FILE is right, or FILE:LINE:COLUMN: reason\n"
    "ports  prints the ports of this host that targets have, one a line\n"
    "list   dials each target and prints NAME ADDRESS STATE, where STATE is\n"
    "       \"up\" or \"down: reason\"\n"
    "\n"
    "exit status: 0 ok, 1 a mistake in FILE or a failure, 2 wrong usage\n";


static const targets_command_t  targets_commands[] = {
    { "check", "",       targets_check },
    { "ports", "",       targets_ports },
    { "list",  "",       targets_list },
    { "list",  "--json", targets_list_json },
    { NULL,    "",       NULL }
};


int
main(int argc, char **argv)
{
    int                       rc;
    const char               *name, *option;
    targets_file_t           *file;
    const targets_command_t  *command;

    if (argc == 2
        && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
    {
        fputs(targets_usage, stdout);
        return TARGETS_OK;
    }

    if (argc < 3 || argc > 4 || argv[argc - 1][0] == '-') {
        fputs(targets_usage, stderr);
        return TARGETS_USAGE;
    }

    name = argv[1];
    option = argc == 4 ? argv[2] : "";

    for (command = targets_commands; command->name; command++) {

        if (strcmp(command->name, name) == 0
            && strcmp(command->option, option) == 0)
        {
            break;
        }
    }

    if (command->name == NULL) {
        fputs(targets_usage, stderr);
        return TARGETS_USAGE;
    }

    file = targets_file_load(argv[argc - 1], stderr);

    if (file == NULL) {
        return TARGETS_MISTAKE;
    }

    rc = command->run(targets_file_targets(file));

    targets_file_free(file);

    if (fflush(stdout) == EOF || ferror(stdout)) {
        perror("monitoring-proxy-targets: cannot write");
        return TARGETS_MISTAKE;
    }

    return rc;
}


static int
targets_check(const ngx_prom_targets_t *targets)
{
    (void) targets;    /* loading them was the check */

    return TARGETS_OK;
}


static int
targets_ports(const ngx_prom_targets_t *targets)
{
    uint32_t        i, port;
    static uint8_t  used[UINT16_MAX + 1];

    for (i = 0; i < targets->count; i++) {
        if (targets_file_local(&targets->targets[i])) {
            used[targets->targets[i].port] = 1;
        }
    }

    for (port = 0; port <= UINT16_MAX; port++) {
        if (used[port]) {
            printf("%u\n", port);
        }
    }

    return TARGETS_OK;
}


static int
targets_list(const ngx_prom_targets_t *targets)
{
    uint32_t                  i;
    const char               *reason;
    targets_dial_t           *dial;
    const ngx_prom_target_t  *target;

    dial = targets_dial(targets);

    if (dial == NULL) {
        perror("monitoring-proxy-targets: cannot dial");
        return TARGETS_MISTAKE;
    }

    for (i = 0; i < targets->count; i++) {
        target = &targets->targets[i];
        reason = targets_dial_reason(dial, i);

        printf("%.*s %.*s %s%s\n",
               (int) target->name.len, target->name.data,
               (int) target->address.len, target->address.data,
               reason ? "down: " : "up", reason ? reason : "");
    }

    targets_dial_free(dial);

    return TARGETS_OK;
}


static int
targets_list_json(const ngx_prom_targets_t *targets)
{
    uint32_t                  i;
    const char               *reason;
    targets_dial_t           *dial;
    const ngx_prom_target_t  *target;

    dial = targets_dial(targets);

    if (dial == NULL) {
        perror("monitoring-proxy-targets: cannot dial");
        return TARGETS_MISTAKE;
    }

    putchar('[');

    for (i = 0; i < targets->count; i++) {
        target = &targets->targets[i];
        reason = targets_dial_reason(dial, i);

        printf("%s\n  {\"name\": \"%.*s\", \"address\": \"", i ? "," : "",
               (int) target->name.len, target->name.data);

        targets_print_escaped(&target->address);

        printf("\", \"state\": \"%s\"", reason ? "down" : "up");

        if (reason) {
            printf(", \"error\": \"%s\"", reason);
        }

        putchar('}');
    }

    puts(targets->count ? "\n]" : "]");

    targets_dial_free(dial);

    return TARGETS_OK;
}


/* an address is printable ASCII, so that JSON leaves these two to escape */

static void
targets_print_escaped(const ngx_prom_text_t *text)
{
    size_t  i;

    for (i = 0; i < text->len; i++) {
        if (text->data[i] == '"' || text->data[i] == '\\') {
            putchar('\\');
        }

        putchar(text->data[i]);
    }
}
