/*
 * A sorted array: there are few of them, they are compared more often than
 * they change, and whatever is made of them has a stable order then.
 */


#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "places.h"


static int places_set(place_t *place, str_t name, str_t address);
static int place_host(str_t host, const char *text, reason_t why);


int
places_add(places_t *places, str_t name, str_t address)
{
    int       order;
    size_t    i, at, size;
    place_t   place, *bigger;

    if (places_set(&place, name, address) == -1) {
        return -1;
    }

    at = 0;

    for (i = 0; i < places->n; i++) {
        order = strcmp(places->place[i].name, place.name);

        if (order == 0
            || strcmp(places->place[i].address, place.address) == 0)
        {
            free(place.name);
            free(place.address);
            return 0;
        }

        if (order < 0) {
            at = i + 1;
        }
    }

    if (places->n == places->size) {
        size = places->size ? places->size * 2 : 8;
        bigger = realloc(places->place, size * sizeof(place_t));

        if (bigger == NULL) {
            free(place.name);
            free(place.address);
            return -1;
        }

        places->place = bigger;
        places->size = size;
    }

    memmove(&places->place[at + 1], &places->place[at],
            (places->n - at) * sizeof(place_t));

    places->place[at] = place;
    places->n++;

    return 0;
}


static int
places_set(place_t *place, str_t name, str_t address)
{
    place->name = strndup(name.start, name.len);
    place->address = strndup(address.start, address.len);

    if (place->name == NULL || place->address == NULL) {
        free(place->name);
        free(place->address);
        return -1;
    }

    return 0;
}


int
places_equal(const places_t *a, const places_t *b)
{
    size_t  i;

    if (a->n != b->n) {
        return 0;
    }

    for (i = 0; i < a->n; i++) {
        if (strcmp(a->place[i].name, b->place[i].name) != 0
            || strcmp(a->place[i].address, b->place[i].address) != 0)
        {
            return 0;
        }
    }

    return 1;
}


void
places_free(places_t *places)
{
    size_t  i;

    for (i = 0; i < places->n; i++) {
        free(places->place[i].name);
        free(places->place[i].address);
    }

    free(places->place);
    memset(places, 0, sizeof(*places));
}


int
place_address(const char *text, reason_t why)
{
    const char  *port;

    port = strrchr(text, ':');

    if (port == NULL || strchr(port, ']')) {
        return reason(why, "\"%.*s\" has no port; it is HOST:PORT",
                      REASON_TEXT, text);
    }

    if (str_number(str_of(port + 1), 65535) <= 0) {
        return reason(why, "\"%.*s\" has no port of 1 to 65535 behind its"
                      " \":\"", REASON_TEXT, text);
    }

    return place_host((str_t) { text, (size_t) (port - text) }, text, why);
}


static int
place_host(str_t host, const char *text, reason_t why)
{
    char             address[INET6_ADDRSTRLEN];
    struct in6_addr  in6;

    if (host.len && host.start[0] == '[') {

        if (host.len - 2 < sizeof(address)
            && host.start[host.len - 1] == ']')
        {
            memcpy(address, host.start + 1, host.len - 2);
            address[host.len - 2] = '\0';

            if (inet_pton(AF_INET6, address, &in6) == 1) {
                return 0;
            }
        }

        return reason(why, "\"%.*s\" has no IPv6 address in its brackets",
                      REASON_TEXT, text);
    }

    if (memchr(host.start, ':', host.len)) {
        return reason(why, "\"%.*s\" has more than one \":\"; an IPv6 address"
                      " is written as [ADDRESS]:PORT", REASON_TEXT, text);
    }

    if (host.len == 0 || host.len > 253 || host.start[0] == '-'
        || strspn(host.start, "abcdefghijklmnopqrstuvwxyz"
                              "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")
           < host.len)
    {
        return reason(why, "\"%.*s\" has no host that is a name or an"
                      " address", REASON_TEXT, text);
    }

    return 0;
}
