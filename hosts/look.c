/*
 * Commands that look at a file: check, ports, show, authorities, public-keys.
 */


#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "hosts_file.h"
#include "keys_file.h"
#include "ngx_prom_hosts_key.h"


static int look_hosts(const char *path, const keys_file_t *keys,
    const char *hosts);


int
hosts_check(const hosts_options_t *options, int argc, char **argv)
{
    int            rc;
    hosts_file_t  *file;

    file = hosts_file_load(argv[0], argc > 1 ? argv[1] : NULL, stderr);

    if (file == NULL) {
        return HOSTS_MISTAKE;
    }

    rc = HOSTS_OK;

    if (options->keys && hosts_file_shared(file, options->keys)) {
        rc = HOSTS_MISTAKE;
    }

    hosts_file_free(file);

    return rc;
}


int
hosts_ports(const hosts_options_t *options, int argc, char **argv)
{
    uint32_t                 i, port;
    hosts_file_t            *file;
    static uint8_t           used[NGX_PROM_PORTS];
    const ngx_prom_hosts_t  *ph;

    (void) options;
    (void) argc;

    file = hosts_file_load(argv[0], NULL, stderr);

    if (file == NULL) {
        return HOSTS_MISTAKE;
    }

    ph = hosts_file_hosts(file);

    for (i = 0; i < ph->count; i++) {
        memset(used + ph->hosts[i].port, 1, ph->hosts[i].ports);
    }

    for (port = 0; port < NGX_PROM_PORTS; port++) {
        if (used[port]) {
            printf("%u\n", port);
        }
    }

    hosts_file_free(file);

    return HOSTS_OK;
}


int
hosts_show(const hosts_options_t *options, int argc, char **argv)
{
    char                    fingerprint[HOSTS_FINGERPRINT];
    size_t                  pos;
    uint16_t                port, exporter_port;
    hosts_file_t           *file;
    ngx_prom_text_t         name, exporter;
    const ngx_prom_host_t  *host;

    (void) options;
    (void) argc;

    file = hosts_file_load(argv[0], NULL, stderr);

    if (file == NULL) {
        return HOSTS_MISTAKE;
    }

    hosts_name(&name, argv[1]);

    host = ngx_prom_hosts_find(hosts_file_hosts(file), name.data, name.len);

    if (host == NULL) {
        fprintf(stderr, "%s: no host \"%s\"\n", argv[0], argv[1]);
        hosts_file_free(file);
        return HOSTS_MISTAKE;
    }

    printf("name %.*s\n", (int) host->name.len, host->name.data);

    if (host->key.len) {
        hosts_fingerprint_key(fingerprint, &host->key);
        printf("type %.*s\nfingerprint %s\n", (int) host->type.len,
               host->type.data, fingerprint);

    } else {
        printf("type -\nfingerprint -\n");
    }

    pos = 0;
    port = host->port;

    while (ngx_prom_hosts_exporter(host, &pos, &exporter, &exporter_port)) {
        printf("forward %u %u %.*s%s%.*s\n", (unsigned) port++,
               (unsigned) exporter_port, (int) host->name.len, host->name.data,
               exporter.len ? "/" : "", (int) exporter.len, exporter.data);
    }

    hosts_file_free(file);

    return HOSTS_OK;
}


int
hosts_authorities(const hosts_options_t *options, int argc, char **argv)
{
    size_t            i;
    keys_file_t      *file;
    keys_file_key_t  *key;

    (void) options;
    (void) argc;

    file = keys_file_load(argv[0], stderr);

    if (file == NULL) {
        return HOSTS_MISTAKE;
    }

    for (i = 0; i < file->count; i++) {
        key = &file->keys[i];

        printf("%.*s %.*s\n", (int) key->type.len, key->type.data,
               (int) key->base64.len, key->base64.data);
    }

    keys_file_free(file);

    return HOSTS_OK;
}


int
hosts_public_keys(const hosts_options_t *options, int argc, char **argv)
{
    char              fingerprint[HOSTS_FINGERPRINT];
    size_t            i;
    const char       *text;
    keys_file_t      *file;
    keys_file_key_t  *key;

    if (options->variable) {
        text = getenv(options->variable);
        file = keys_file_parse(options->variable, text ? text : "", stderr);

    } else if (argc) {
        file = keys_file_load(argv[0], stderr);

    } else {
        fprintf(stderr, "public-keys: give FILE or --variable NAME\n");
        return HOSTS_USAGE;
    }

    if (file == NULL) {
        return HOSTS_MISTAKE;
    }

    if (options->hosts && argc
        && look_hosts(argv[0], file, options->hosts) == -1)
    {
        keys_file_free(file);
        return HOSTS_MISTAKE;
    }

    for (i = 0; i < file->count; i++) {
        key = &file->keys[i];

        hosts_fingerprint_key(fingerprint, &key->base64);

        printf("%.*s %.*s %s %.*s\n", (int) key->type.len, key->type.data,
               (int) key->base64.len, key->base64.data, fingerprint,
               (int) key->comment.len, key->comment.data);
    }

    keys_file_free(file);

    return HOSTS_OK;
}


/* a key that is a host's would be that host's alone */

static int
look_hosts(const char *path, const keys_file_t *keys, const char *hosts)
{
    int                      rc;
    uint32_t                 i;
    hosts_file_t            *file;
    const keys_file_key_t   *key;
    const ngx_prom_host_t   *host;
    const ngx_prom_hosts_t  *ph;

    file = hosts_file_load_any(hosts, stderr);

    if (file == NULL) {
        return -1;
    }

    rc = 0;
    ph = hosts_file_hosts(file);

    for (i = 0; i < ph->count; i++) {
        host = &ph->hosts[i];
        key = keys_file_find(keys, host->key.data, host->key.len);

        if (key) {
            fprintf(stderr, "%s:%u:1: is also the key of host \"%.*s\"; take "
                    "it out of one of them\n", path, (unsigned) key->line,
                    (int) host->name.len, host->name.data);
            rc = -1;
        }
    }

    hosts_file_free(file);

    return rc;
}


void
hosts_name(ngx_prom_text_t *name, char *text)
{
    name->data = text;
    name->len = strlen(text);

    if (name->len && name->data[0] == '/') {
        name->data++;
        name->len--;
    }

    if (name->len && name->data[name->len - 1] == '/') {
        name->len--;
    }
}


void
hosts_fingerprint(char *fingerprint, const uint8_t *digest)
{
    unsigned char  base64[(SHA256_DIGEST_LENGTH + 2) / 3 * 4 + 1];

    EVP_EncodeBlock(base64, digest, SHA256_DIGEST_LENGTH);

    /* 32 bytes end with one "=", which isn't written */

    snprintf(fingerprint, HOSTS_FINGERPRINT, "SHA256:%.43s", base64);
}


void
hosts_fingerprint_key(char *fingerprint, const ngx_prom_text_t *base64)
{
    uint8_t    key[NGX_PROM_KEY_BASE64 / 4 * 3];
    uint8_t    digest[SHA256_DIGEST_LENGTH];
    ptrdiff_t  n;

    n = ngx_prom_base64_decode(key, base64->data, base64->len);

    SHA256(key, (size_t) n, digest);
    hosts_fingerprint(fingerprint, digest);
}
