/*
 * The commands of monitoring-proxy-wireguard: each returns its exit status.
 */


#ifndef _WIREGUARD_COMMANDS_H_INCLUDED_
#define _WIREGUARD_COMMANDS_H_INCLUDED_


#include <stdint.h>


#define WIREGUARD         "monitoring-proxy-wireguard"

#define WIREGUARD_OK      0
#define WIREGUARD_FAILED  1
#define WIREGUARD_USAGE   2
#define WIREGUARD_NONE    3           /* no such node, of rotate and remove */


/* NULL if not given */

typedef struct {
    const char          *command;
    int                  json;
    const char          *host;
    const char          *ports;
    const char          *ttl;
    const char          *targets;
    const char          *hosts;
} wireguard_options_t;


typedef int (*wireguard_command_pt)(const wireguard_options_t *options,
    int argc, char **argv);


int wireguard_init(const wireguard_options_t *options, int argc, char **argv);
int wireguard_check(const wireguard_options_t *options, int argc,
    char **argv);
int wireguard_conf(const wireguard_options_t *options, int argc, char **argv);
int wireguard_addresses(const wireguard_options_t *options, int argc,
    char **argv);
int wireguard_invite(const wireguard_options_t *options, int argc,
    char **argv);
int wireguard_rotate(const wireguard_options_t *options, int argc,
    char **argv);
int wireguard_remove(const wireguard_options_t *options, int argc,
    char **argv);
int wireguard_list(const wireguard_options_t *options, int argc, char **argv);
int wireguard_board(const wireguard_options_t *options, int argc,
    char **argv);
int wireguard_enrol(const wireguard_options_t *options, int argc,
    char **argv);

/* is it what nodes may reach the monitor by: a name or an address, no [] */

int wireguard_is_host(const char *host);


#endif /* _WIREGUARD_COMMANDS_H_INCLUDED_ */
