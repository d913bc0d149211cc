/*
 * Which names this client polls as, and what a scrape of each may reach.
 */


#ifndef _CLIENT_RULES_H_INCLUDED_
#define _CLIENT_RULES_H_INCLUDED_


#include "request.h"
#include "str.h"


#define RULES_PORTS  64


typedef struct {
    int       port[RULES_PORTS];
    unsigned  n;                  /* 0: any */
} rules_ports_t;


/*
 * A name.  If it is pinned, its scrapes go to one URL, whatever is asked for;
 * else they go to the host of this name, to whatever port and path is.
 */

typedef struct {
    char     *name;
    char     *host;
    int       port;               /* 0 unless it is a part of the name */
    int       pinned;
    char     *base;               /* of a pinned: http://HOST:PORT, */
    char     *path;               /* its path, and its query, if it has one, */
    int       fixed;              /* when a scrape's own one is dropped */
    char     *socket;             /* a unix socket, or NULL */
} rule_t;


/* where a scrape goes */

typedef struct {
    buffer_t     base;            /* scheme, host and port */
    buffer_t     path;            /* with its query */
    const char  *socket;
} target_t;


/*
 * These return 0, or -1 with the reason.  What a rule has is freed by
 * rule_free() in both cases.
 */

int rule_name(rule_t *rule, const char *name, reason_t why);

/* url is http://..., https://... or unix:SOCKET[:PATH] */

int rule_pin(rule_t *rule, const char *url, reason_t why);

/* where the scrape goes; the target is empty, or was used before */

int rule_apply(const rule_t *rule, const rules_ports_t *ports,
    const request_t *request, target_t *target, reason_t why);

void rule_free(rule_t *rule);
void target_free(target_t *target);


#endif /* _CLIENT_RULES_H_INCLUDED_ */
