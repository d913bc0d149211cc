/*
 * Feeds what reads wg0.conf with anything, and checks what must hold of
 * whatever comes out.  t/01-fuzz.t builds and runs it.
 */


#define _GNU_SOURCE  1                /* also by -D */

#include "conf.h"
#include "fuzz.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_conf(const conf_t *conf);
static void fuzz_numbers(const conf_t *conf, unsigned bytes);
static void fuzz_told(const char *messages);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char         *messages;
    FILE         *told;
    size_t        len;
    conf_t       *conf;
    fuzz_text_t   text;

    told = open_memstream(&messages, &len);
    FUZZ_CHECK(told != NULL);

    fuzz_text_init(&text, data, size);
    conf = conf_parse("f", text.data, size, told);
    FUZZ_CHECK(fclose(told) == 0);

    if (conf) {
        FUZZ_CHECK(len == 0);
        fuzz_conf(conf);
        conf_free(conf);

    } else {
        FUZZ_CHECK(len != 0);
        fuzz_told(messages);
    }

    free(messages);

    return 0;
}


static void
fuzz_conf(const conf_t *conf)
{
    uint32_t            i, n;
    const conf_peer_t  *peer;

    FUZZ_CHECK(strlen(conf->public_key) == KEY_TEXT - 1);
    FUZZ_CHECK(conf->port >= 1 && conf->port <= 65535);
    FUZZ_CHECK(conf->mtu == 0 || (conf->mtu >= 1280 && conf->mtu <= 65535));
    FUZZ_CHECK(conf->net4.bytes == 4 || conf->net6.bytes == 16);

    if (conf->net4.bytes) {
        FUZZ_CHECK(conf->net4.prefix >= 16 && conf->net4.prefix <= 30);
        fuzz_numbers(conf, 4);
    }

    if (conf->net6.bytes) {
        FUZZ_CHECK(conf->net6.prefix >= 64 && conf->net6.prefix <= 112);
        fuzz_numbers(conf, 16);
    }

    /* what goes to wg is of one line each */

    for (i = 0; i < conf->npeers; i++) {
        peer = &conf->peers[i];

        FUZZ_CHECK(peer->public_key.len == KEY_TEXT - 1);
        FUZZ_CHECK(memchr(peer->endpoint.data ? peer->endpoint.data : "",
                          '\n', peer->endpoint.len) == NULL);

        for (n = 0; n < peer->nallowed; n++) {
            FUZZ_CHECK(peer->allowed[n].prefix <= 8 * peer->allowed[n].bytes);
        }
    }
}


/* each number is that of its address, which is in the network */

static void
fuzz_numbers(const conf_t *conf, unsigned bytes)
{
    uint8_t            ip[16];
    uint32_t           number, last;
    const conf_net_t  *net;

    net = bytes == 4 ? &conf->net4 : &conf->net6;
    last = conf_last(conf);

    FUZZ_CHECK(last >= 2 && last <= CONF_NUMBER);

    for (number = 1; number <= last; number += 1 + number / 2) {
        conf_address(conf, bytes, number, ip);

        FUZZ_CHECK(conf_inside(net, ip));
        FUZZ_CHECK(conf_number(conf, ip, bytes) == number);
    }
}


static void
fuzz_told(const char *messages)
{
    char    line[2048];
    size_t  len;

    while (*messages) {
        len = strcspn(messages, "\n");
        FUZZ_CHECK(messages[len] == '\n' && len > 0 && len < sizeof(line));

        memcpy(line, messages, len);
        line[len] = '\0';
        fuzz_reason(line, sizeof(line));

        messages += len + 1;
    }
}
