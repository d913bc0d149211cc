/*
 * Who may log in and which ports a session may have, as of the files of STATE
 * (/run/monitoring-proxy), which are right by themselves:
 *
 *     hosts         the hosts file that is in use; missing: none
 *     public-keys   keys that share ports, TYPE BASE64 a line
 *     ssh_ca.pub    keys that sign certificates, TYPE BASE64 a line
 *     ports-from    where the shared keys' ports come from: "list", "targets"
 *                   or "any"
 *     tunnel-ports  the ports of "list", one a line
 *     target-ports  the ports of "targets", one a line, while the targets file
 *                   itself can't be read
 */


#ifndef _HOSTS_ACCESS_H_INCLUDED_
#define _HOSTS_ACCESS_H_INCLUDED_


#include <stdio.h>

#include "ngx_prom_hosts.h"


typedef struct access_s  access_t;


/* what it is loaded from */

typedef struct {
    const char              *state;          /* the directory */
    const char              *targets;        /* the targets file */
    const char              *hosts;          /* in place of STATE's, or NULL */
    const char              *authorities;    /* the same of ssh_ca.pub */
    FILE                    *told;           /* gets what is wrong */
} access_files_t;


/* why a key or a certificate may not log in */

typedef enum {
    ACCESS_OK = 0,
    ACCESS_UNKNOWN,           /* no such key, or no principal is a host */
    ACCESS_AMBIGUOUS,         /* principals of several hosts */
    ACCESS_AUTHORITY,         /* signed by a key that isn't in ssh_ca.pub */
    ACCESS_EXPIRED,           /* or not valid yet */
    ACCESS_BAD                /* no key at all */
} access_e;


typedef struct {
    const ngx_prom_host_t   *host;           /* NULL: by a shared key */
    uint8_t                  digest[32];     /* SHA-256 of the plain key */
    uint64_t                 expires;        /* s, Unix time; 0: never */
    int                      certificate;
} access_login_t;


/* returns NULL after telling what is wrong */

access_t *access_load(const access_files_t *files);
void access_free(access_t *access);

const ngx_prom_hosts_t *access_hosts(const access_t *access);

/*
 * May this key, or certificate, log in: type and base64 as sshd has them
 * (%t and %k, SSH_AUTH_INFO_0), now in seconds of Unix time.  What it is goes
 * to login; its host belongs to access.  A key that is both a host's and
 * shared is the host's.  That a certificate's signature is right is sshd's to
 * check.
 */

access_e access_login(const access_t *access, const char *type,
    const char *base64, uint64_t now, access_login_t *login);

/*
 * The ports of the shared keys, none of them a host's, ascending; *any is 1
 * if there is no limit but that they are 1024 or more.
 */

const uint16_t *access_shared(const access_t *access, uint32_t *count,
    int *any);


#endif /* _HOSTS_ACCESS_H_INCLUDED_ */
