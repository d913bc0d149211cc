/*
 * The API server validates addresses and ports, but not what an endpoint
 * refers to, which anybody may have written who may write EndpointSlices.
 */


#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "slice.h"


#define SLICE_NAME  253           /* bytes of a name in Kubernetes */
#define SLICE_PORTS 160           /* bytes of the ports in a reason */


static int slice_type(slice_t *slice, const json_t *object);
static int slice_port(slice_t *slice, const json_t *ports, const char *port);
static int slice_port_is(const json_t *port, const char *wanted);
static void slice_no_port(slice_t *slice, const json_t *ports,
    const char *port);
static void slice_endpoint(slice_t *slice, const json_t *endpoint, int port);
static int slice_serves(const json_t *endpoint);
static int slice_place(slice_t *slice, const json_t *endpoint, int port,
    reason_t why);
static int slice_address(const slice_t *slice, const json_t *endpoint,
    int port, char *text, size_t size, reason_t why);
static int slice_name(const json_t *endpoint, const char *address,
    str_t *name, reason_t why);
static void slice_skip(slice_t *slice, const char *why);


static const char  *slice_types[] = { "IPv4", "IPv6", "FQDN" };


slice_t *
slice_parse(const json_t *object, const char *port, reason_t why)
{
    int            number;
    size_t         i;
    slice_t       *slice;
    const char    *name;
    const json_t  *endpoints, *endpoint;

    name = slice_text(json_object_get(object, "metadata"), "name",
                      SLICE_NAME);

    if (name == NULL) {
        (void) reason(why, "an EndpointSlice has no \"name\" in its"
                      " \"metadata\"");
        return NULL;
    }

    slice = calloc(1, sizeof(slice_t));

    if (slice) {
        slice->name = strdup(name);
    }

    if (slice == NULL || slice->name == NULL) {
        free(slice);
        (void) reason(why, "out of memory");
        return NULL;
    }

    endpoints = json_object_get(object, "endpoints");

    if (endpoints && !json_is_null(endpoints) && !json_is_array(endpoints)) {
        slice_skip(slice, "its \"endpoints\" are no array");
        return slice;
    }

    slice->endpoints = (unsigned) json_array_size(endpoints);

    if (slice->endpoints == 0 || slice_type(slice, object) == -1) {
        return slice;
    }

    number = slice_port(slice, json_object_get(object, "ports"), port);

    if (number == -1) {
        return slice;
    }

    json_array_foreach (endpoints, i, endpoint) {
        slice_endpoint(slice, endpoint, number);
    }

    return slice;
}


void
slice_free(slice_t *slice)
{
    places_free(&slice->places);
    free(slice->name);
    free(slice);
}


const char *
slice_text(const json_t *object, const char *key, size_t max)
{
    size_t         len;
    const char    *text;
    const json_t  *value;

    value = json_object_get(object, key);

    if (!json_is_string(value)) {
        return NULL;
    }

    text = json_string_value(value);
    len = json_string_length(value);

    return len <= max && str_is_visible((str_t) { text, len }) ? text : NULL;
}


static int
slice_type(slice_t *slice, const json_t *object)
{
    int          i;
    const char  *type;

    type = slice_text(object, "addressType", sizeof("IPv4") - 1);

    for (i = SLICE_IPV4; type && i <= SLICE_FQDN; i++) {

        if (strcmp(type, slice_types[i]) == 0) {
            slice->type = (slice_type_e) i;
            return 0;
        }
    }

    slice_skip(slice, "its \"addressType\" is none of IPv4, IPv6 and FQDN");

    return -1;
}


/* a Service without a cluster's address may have no ports at all */

static int
slice_port(slice_t *slice, const json_t *ports, const char *port)
{
    long           wanted;
    size_t         i;
    json_int_t     number;
    const json_t  *entry, *value;

    wanted = str_number(str_of(port), 65535);

    if (json_array_size(ports) == 0 && wanted > 0) {
        return (int) wanted;
    }

    json_array_foreach (ports, i, entry) {

        if (!slice_port_is(entry, port)) {
            continue;
        }

        value = json_object_get(entry, "port");

        if (!json_is_integer(value)) {
            slice_skip(slice, "its port has no number");
            return -1;
        }

        number = json_integer_value(value);

        if (number < 1 || number > 65535) {
            slice_skip(slice, "its port's number isn't one of 1 to 65535");
            return -1;
        }

        return (int) number;
    }

    slice_no_port(slice, ports, port);

    return -1;
}


static int
slice_port_is(const json_t *port, const char *wanted)
{
    long           number;
    const char    *name;
    const json_t  *protocol, *value;

    protocol = json_object_get(port, "protocol");

    if (json_is_string(protocol)
        && strcmp(json_string_value(protocol), "TCP") != 0)
    {
        return 0;
    }

    number = str_number(str_of(wanted), 65535);
    value = json_object_get(port, "port");

    if (number > 0) {
        return json_is_integer(value) && json_integer_value(value) == number;
    }

    name = slice_text(port, "name", SLICE_NAME);

    return name && strcmp(name, wanted) == 0;
}


static void
slice_no_port(slice_t *slice, const json_t *ports, const char *port)
{
    char           list[SLICE_PORTS];
    size_t         i, len;
    const char    *name;
    const json_t  *entry, *value;

    len = 0;
    list[0] = '\0';

    json_array_foreach (ports, i, entry) {
        name = slice_text(entry, "name", SLICE_NAME);
        value = json_object_get(entry, "port");

        if (len < sizeof(list)) {
            len += (size_t) snprintf(list + len, sizeof(list) - len,
                                     "%s%s (%lld)", len ? ", " : "",
                                     name ? name : "unnamed",
                                     (long long) json_integer_value(value));
        }
    }

    slice->portless = 1;

    (void) reason(slice->why, "it has no TCP port %.*s; it has %s",
                  REASON_TEXT, port, len ? list : "none");
}


static void
slice_endpoint(slice_t *slice, const json_t *endpoint, int port)
{
    reason_t  why;

    if (!json_is_object(endpoint)) {
        slice_skip(slice, "an endpoint of it is no object");
        return;
    }

    if (slice_serves(endpoint)
        && slice_place(slice, endpoint, port, why) == -1)
    {
        slice_skip(slice, why);
    }
}


/*
 * One that ends may still serve.  A Service that publishes all addresses has
 * them as ready, whether or not they serve: such a proxy may hold
 * tunnels, and is asked.
 */

static int
slice_serves(const json_t *endpoint)
{
    const json_t  *conditions;

    conditions = json_object_get(endpoint, "conditions");

    return !json_is_false(json_object_get(conditions, "ready"))
           || json_is_true(json_object_get(conditions, "serving"));
}


static int
slice_place(slice_t *slice, const json_t *endpoint, int port, reason_t why)
{
    char   address[SLICE_NAME + sizeof("[]:65535")];
    str_t  name;

    if (slice_address(slice, endpoint, port, address, sizeof(address), why)
        == -1
        || slice_name(endpoint, address, &name, why) == -1)
    {
        return -1;
    }

    if (places_add(&slice->places, name, str_of(address)) == -1) {
        return reason(why, "out of memory");
    }

    return 0;
}


/* all of an endpoint's addresses are the same to clients: the first one is */

static int
slice_address(const slice_t *slice, const json_t *endpoint, int port,
    char *text, size_t size, reason_t why)
{
    char            address[SLICE_NAME + 1];
    json_t         *first;
    struct in_addr  in;

    first = json_array_get(json_object_get(endpoint, "addresses"), 0);

    if (first == NULL) {
        return reason(why, "an endpoint of it has no address");
    }

    if (!json_is_string(first) || json_string_length(first) > SLICE_NAME
        || !str_is_visible((str_t) { json_string_value(first),
                                     json_string_length(first) }))
    {
        return reason(why, "an endpoint's address is no text, or none that is"
                      " visible");
    }

    (void) snprintf(address, sizeof(address), "%s", json_string_value(first));

    if (slice->type == SLICE_IPV4 && inet_pton(AF_INET, address, &in) != 1) {
        return reason(why, "an endpoint's address \"%s\" is no IPv4 address",
                      address);
    }

    (void) snprintf(text, size, slice->type == SLICE_IPV6 ? "[%s]:%d"
                                                          : "%s:%d",
                    address, port);

    return place_address(text, why);
}


static int
slice_name(const json_t *endpoint, const char *address, str_t *name,
    reason_t why)
{
    const char    *kind, *text;
    const json_t  *reference;

    reference = json_object_get(endpoint, "targetRef");
    kind = slice_text(reference, "kind", SLICE_NAME);

    if (kind == NULL || strcmp(kind, "Pod") != 0) {
        *name = str_of(address);
        return 0;
    }

    text = slice_text(reference, "name", SLICE_NAME);

    if (text == NULL
        || strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-.")
           < strlen(text))
    {
        return reason(why, "the name of an endpoint's pod, %.*s, isn't made"
                      " of a-z, 0-9, \"-\" and \".\"", REASON_TEXT, address);
    }

    *name = str_of(text);

    return 0;
}


/* the first reason stands for all */

static void
slice_skip(slice_t *slice, const char *why)
{
    if (slice->skipped++ == 0) {
        (void) snprintf(slice->why, sizeof(slice->why), "%s", why);
    }
}
