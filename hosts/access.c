/*
 * Who may log in, as of the files of STATE; see the header.
 */


#define _POSIX_C_SOURCE  200809L

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access.h"
#include "certificate.h"
#include "file.h"
#include "hosts_file.h"
#include "keys_file.h"
#include "ngx_prom_targets_line.h"
#include "text.h"


#define ACCESS_PATH       4096
#define ACCESS_KEY_BYTES  (NGX_PROM_KEY_BASE64 / 4 * 3)

/* more than sshd takes in a packet, whose certificate this is */

#define ACCESS_BASE64     (512 * 1024)


struct access_s {
    char                 hosts_path[ACCESS_PATH];
    hosts_file_t        *hosts_file;
    ngx_prom_seen_t      by_key;      /* hosts, counted from 1 */
    ngx_prom_seen_t      by_name;
    keys_file_t         *shared;
    keys_file_t         *authorities;

    int                  any;
    uint32_t             nports;
    uint16_t            *ports;
};


static int access_load_hosts(access_t *access, const access_files_t *files);
static void *access_alloc(void *data, size_t size);
static int access_load_ports(access_t *access, const access_files_t *files);
static int access_ports_file(uint8_t *used, const char *state,
    const char *name);
static int access_ports_targets(uint8_t *used, const char *targets);
static int access_ports_keep(access_t *access, uint8_t *used, FILE *told);
static access_e access_certificate(const access_t *access, const char *type,
    const char *base64, uint64_t now, access_login_t *login);
static access_e access_certificate_check(const access_t *access,
    const certificate_t *certificate, uint64_t now, access_login_t *login);
static access_e access_principals(const access_t *access,
    const certificate_t *certificate, access_login_t *login);
static int access_authority(const access_t *access,
    const certificate_t *certificate);
static const ngx_prom_host_t *access_host_of_key(const access_t *access,
    const char *type, const char *base64);
static void access_path(char *path, const char *state, const char *name);


access_t *
access_load(const access_files_t *files)
{
    char       path[ACCESS_PATH];
    access_t  *access;

    access = calloc(1, sizeof(access_t));
    if (access == NULL) {
        text_fail(files->state, "out of memory", files->told);
        return NULL;
    }

    /* a wrong line of these must not keep hosts from logging in */

    access_path(path, files->state, "public-keys");
    access->shared = keys_file_load_right(path, files->told);

    access_path(path, files->state, "ssh_ca.pub");
    access->authorities = keys_file_load_right(files->authorities
                                               ? files->authorities : path,
                                               files->told);

    if (access->shared == NULL || access->authorities == NULL
        || access_load_hosts(access, files) == -1
        || access_load_ports(access, files) == -1)
    {
        access_free(access);
        return NULL;
    }

    return access;
}


void
access_free(access_t *access)
{
    if (access->hosts_file) {
        hosts_file_free(access->hosts_file);
    }

    if (access->shared) {
        keys_file_free(access->shared);
    }

    if (access->authorities) {
        keys_file_free(access->authorities);
    }

    free(access->by_key.slots);
    free(access->by_name.slots);
    free(access->ports);
    free(access);
}


static int
access_load_hosts(access_t *access, const access_files_t *files)
{
    char                    *path;
    uint32_t                 i;
    const ngx_prom_host_t   *host;
    const ngx_prom_hosts_t  *ph;

    path = access->hosts_path;

    if (files->hosts) {
        snprintf(path, ACCESS_PATH, "%s", files->hosts);
    } else {
        access_path(path, files->state, "hosts");
    }

    access->hosts_file = hosts_file_load_any(path, files->told);

    if (access->hosts_file == NULL) {
        return -1;
    }

    ph = access_hosts(access);

    if (ngx_prom_seen_init(&access->by_key, access_alloc, NULL, ph->count)
        == -1
        || ngx_prom_seen_init(&access->by_name, access_alloc, NULL, ph->count)
           == -1)
    {
        text_fail(path, "out of memory", files->told);
        return -1;
    }

    for (i = 0; i < ph->count; i++) {
        host = &ph->hosts[i];

        (void) ngx_prom_seen_add(&access->by_name, host->name.data,
                                 host->name.len, i + 1);

        if (host->key.len) {
            (void) ngx_prom_seen_add(&access->by_key, host->key.data,
                                     host->key.len, i + 1);
        }
    }

    return 0;
}


static void *
access_alloc(void *data, size_t size)
{
    (void) data;

    return malloc(size);
}


static int
access_load_ports(access_t *access, const access_files_t *files)
{
    char        *from, path[ACCESS_PATH];
    int          rc;
    size_t       len;
    uint8_t     *used;
    const char  *state;

    state = files->state;

    used = calloc(NGX_PROM_PORTS, 1);
    if (used == NULL) {
        text_fail(state, "out of memory", files->told);
        return -1;
    }

    /* without the file no port is shared */

    access_path(path, state, "ports-from");
    from = text_read(path, &len, NULL);

    if (from == NULL) {
        rc = 0;

    } else if (ngx_prom_starts(from, from + len, "any")) {
        rc = 0;

        /* with hosts, all but theirs: a list then */

        if (access_hosts(access)->count) {
            memset(used, 1, NGX_PROM_PORTS);

        } else {
            access->any = 1;
        }

    } else if (ngx_prom_starts(from, from + len, "list")) {
        rc = access_ports_file(used, state, "tunnel-ports");

    } else if (access_ports_targets(used, files->targets) == 0) {
        rc = 0;

    } else {
        rc = access_ports_file(used, state, "target-ports");
    }

    if (rc == 0) {
        rc = access_ports_keep(access, used, files->told);
    }

    free(from);
    free(used);

    return rc;
}


static int
access_ports_file(uint8_t *used, const char *state, const char *name)
{
    char     path[ACCESS_PATH], *text, *p, *end;
    size_t   len;
    long     port;

    access_path(path, state, name);

    text = text_read(path, &len, NULL);

    if (text == NULL) {
        return 0;
    }

    text[len] = '\0';

    for (p = text; *p; p = end) {
        port = strtol(p, &end, 10);

        if (end == p) {
            break;
        }

        if (port > 0 && port < NGX_PROM_PORTS) {
            used[port] = 1;
        }
    }

    free(text);

    return 0;
}


static int
access_ports_targets(uint8_t *used, const char *targets)
{
    uint32_t                   i;
    targets_file_t            *file;
    const ngx_prom_targets_t  *pt;

    file = targets_file_load(targets, NULL);

    if (file == NULL) {
        return -1;
    }

    pt = targets_file_targets(file);

    for (i = 0; i < pt->count; i++) {
        if (targets_file_local(&pt->targets[i])) {
            used[pt->targets[i].port] = 1;
        }
    }

    targets_file_free(file);

    return 0;
}


/* less those of hosts, and those that a user's process can't listen on */

static int
access_ports_keep(access_t *access, uint8_t *used, FILE *told)
{
    uint32_t                 i, port;
    const ngx_prom_host_t   *host;
    const ngx_prom_hosts_t  *ph;

    ph = access_hosts(access);

    for (i = 0; i < ph->count; i++) {
        host = &ph->hosts[i];
        memset(used + host->port, 0, host->ports);
    }

    access->ports = malloc(NGX_PROM_PORTS * sizeof(uint16_t));
    if (access->ports == NULL) {
        text_fail(access->hosts_path, "out of memory", told);
        return -1;
    }

    for (port = NGX_PROM_PORT_LEAST; port < NGX_PROM_PORTS; port++) {
        if (used[port]) {
            access->ports[access->nports++] = (uint16_t) port;
        }
    }

    return 0;
}


const ngx_prom_hosts_t *
access_hosts(const access_t *access)
{
    return hosts_file_hosts(access->hosts_file);
}


const uint16_t *
access_shared(const access_t *access, uint32_t *count, int *any)
{
    *count = access->nports;
    *any = access->any;

    return access->ports;
}


access_e
access_login(const access_t *access, const char *type, const char *base64,
    uint64_t now, access_login_t *login)
{
    uint8_t                     key[ACCESS_KEY_BYTES];
    ngx_prom_key_reason_t       reason;
    const ngx_prom_key_type_t  *known;

    memset(login, 0, sizeof(access_login_t));

    if (ngx_prom_key_certificate(type, strlen(type))) {
        return access_certificate(access, type, base64, now, login);
    }

    known = ngx_prom_key_type(type, strlen(type));

    if (known == NULL
        || ngx_prom_key_check(known, base64, strlen(base64), reason))
    {
        return ACCESS_BAD;
    }

    SHA256(key, (size_t) ngx_prom_base64_decode(key, base64, strlen(base64)),
           login->digest);

    login->host = access_host_of_key(access, type, base64);

    if (login->host
        || keys_file_find(access->shared, base64, strlen(base64)))
    {
        return ACCESS_OK;
    }

    return ACCESS_UNKNOWN;
}


static access_e
access_certificate(const access_t *access, const char *type,
    const char *base64, uint64_t now, access_login_t *login)
{
    size_t          len;
    uint8_t        *data;
    access_e        rc;
    ptrdiff_t       n;
    certificate_t   certificate;

    len = strlen(base64);

    if (len > ACCESS_BASE64) {
        return ACCESS_BAD;
    }

    data = malloc(len / 4 * 3 + 1);
    if (data == NULL) {
        return ACCESS_BAD;
    }

    n = ngx_prom_base64_decode(data, base64, len);

    if (n == -1 || !certificate_parse(&certificate, type, data, (size_t) n)) {
        rc = ACCESS_BAD;

    } else {
        rc = access_certificate_check(access, &certificate, now, login);
    }

    free(data);

    return rc;
}


static access_e
access_certificate_check(const access_t *access,
    const certificate_t *certificate, uint64_t now, access_login_t *login)
{
    size_t    len;
    uint8_t   key[4 + ACCESS_KEY_BYTES];

    /* the plain key: its type, and its numbers as they are */

    len = strlen(certificate->type->name);

    if (certificate->numbers.left > ACCESS_KEY_BYTES - len) {
        return ACCESS_BAD;
    }

    key[0] = 0;
    key[1] = 0;
    key[2] = 0;
    key[3] = (uint8_t) len;

    memcpy(key + 4, certificate->type->name, len);
    memcpy(key + 4 + len, certificate->numbers.pos, certificate->numbers.left);

    SHA256(key, 4 + len + certificate->numbers.left, login->digest);

    login->certificate = 1;

    /* the end of time is how "forever" is written */

    if (certificate->before != UINT64_MAX) {
        login->expires = certificate->before;
    }

    if (certificate->kind != CERTIFICATE_USER) {
        return ACCESS_BAD;
    }

    if (!access_authority(access, certificate)) {
        return ACCESS_AUTHORITY;
    }

    if (now < certificate->after || now >= certificate->before) {
        return ACCESS_EXPIRED;
    }

    return access_principals(access, certificate, login);
}


/* one without principals would be good for every name: it's for none here */

static access_e
access_principals(const access_t *access, const certificate_t *certificate,
    access_login_t *login)
{
    uint32_t                n, found;
    ngx_prom_wire_t         principals, principal;

    found = 0;
    principals = certificate->principals;

    while (certificate_principal(&principals, &principal)) {

        n = ngx_prom_seen_find(&access->by_name, (const char *) principal.pos,
                               principal.left);

        if (n == 0 || n == found) {
            continue;
        }

        if (found) {
            return ACCESS_AMBIGUOUS;
        }

        found = n;
    }

    if (found == 0) {
        return ACCESS_UNKNOWN;
    }

    login->host = &access_hosts(access)->hosts[found - 1];

    return ACCESS_OK;
}


static int
access_authority(const access_t *access, const certificate_t *certificate)
{
    size_t                  i;
    uint8_t                 key[ACCESS_KEY_BYTES];
    ptrdiff_t               n;
    const ngx_prom_text_t  *base64;

    for (i = 0; i < access->authorities->count; i++) {
        base64 = &access->authorities->keys[i].base64;

        n = ngx_prom_base64_decode(key, base64->data, base64->len);

        if (n > 0 && (size_t) n == certificate->authority.left
            && memcmp(key, certificate->authority.pos, (size_t) n) == 0)
        {
            return 1;
        }
    }

    return 0;
}


static const ngx_prom_host_t *
access_host_of_key(const access_t *access, const char *type,
    const char *base64)
{
    uint32_t                n;
    const ngx_prom_host_t  *host;

    n = ngx_prom_seen_find(&access->by_key, base64, strlen(base64));

    if (n == 0) {
        return NULL;
    }

    host = &access_hosts(access)->hosts[n - 1];

    return ngx_prom_text_is(&host->type, type) ? host : NULL;
}


static void
access_path(char *path, const char *state, const char *name)
{
    snprintf(path, ACCESS_PATH, "%s/%s", state, name);
}
