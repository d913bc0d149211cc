/*
 * The commands of monitoring-proxy-hosts: each returns its exit status.
 */


#ifndef _HOSTS_COMMANDS_H_INCLUDED_
#define _HOSTS_COMMANDS_H_INCLUDED_


#include <stdint.h>

#include "ngx_prom_hosts.h"


#define HOSTS_OK       0
#define HOSTS_MISTAKE  1
#define HOSTS_USAGE    2
#define HOSTS_NONE     3          /* of remove */

#define HOSTS_TARGETS  "/etc/monitoring/targets"

/* "SHA256:" and 32 bytes in base64 without padding */

#define HOSTS_FINGERPRINT  (7 + 43 + 1)


/* what stood in front of the other arguments */

typedef struct {
    int                  json;
    int                  replace;
    const char          *targets;     /* NULL if not given, as the others */
    const char          *variable;
    const char          *keys;
    const char          *hosts;
} hosts_options_t;


typedef int (*hosts_command_pt)(const hosts_options_t *options, int argc,
    char **argv);


int hosts_check(const hosts_options_t *options, int argc, char **argv);
int hosts_ports(const hosts_options_t *options, int argc, char **argv);
int hosts_show(const hosts_options_t *options, int argc, char **argv);
int hosts_authorities(const hosts_options_t *options, int argc, char **argv);
int hosts_public_keys(const hosts_options_t *options, int argc, char **argv);
int hosts_keys(const hosts_options_t *options, int argc, char **argv);
int hosts_principals(const hosts_options_t *options, int argc, char **argv);
int hosts_list(const hosts_options_t *options, int argc, char **argv);
int hosts_add(const hosts_options_t *options, int argc, char **argv);
int hosts_remove(const hosts_options_t *options, int argc, char **argv);
int hosts_board(const hosts_options_t *options, int argc, char **argv);

/* an optional "/" at each end of a name is no part of it */

void hosts_name(ngx_prom_text_t *name, char *text);

/* of a digest; the other of a key that is right */

void hosts_fingerprint(char *fingerprint, const uint8_t *digest);
void hosts_fingerprint_key(char *fingerprint, const ngx_prom_text_t *base64);


#endif /* _HOSTS_COMMANDS_H_INCLUDED_ */
