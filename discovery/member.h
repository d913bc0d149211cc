/*
 * A proxy, and what it listed when it was asked.
 */


#ifndef _DISCOVERY_MEMBER_H_INCLUDED_
#define _DISCOVERY_MEMBER_H_INCLUDED_


#include <stdint.h>

#include "ask.h"
#include "loop.h"
#include "places.h"
#include "reader.h"


typedef struct member_s  member_t;


typedef enum {
    MEMBER_CONNECTED = 0,
    MEMBER_TARGETS,
    MEMBER_CLIENTS
} member_page_e;


/* what is the same for all of them */

typedef struct {
    long                   keep;      /* ms, for the list of one that fails */
    int                    once;      /* no target has the label "replica" */
    int                    clients;   /* those of PushProx are of use */
    void                 (*told)(member_t *member);    /* it was asked */
    void                 (*dropped)(member_t *member); /* its list was */
} member_conf_t;


struct member_s {
    char                  *name;
    char                  *address;
    const member_conf_t   *conf;

    list_t                 list;
    char                   etag[ASK_ETAG];   /* of its list; "" if unknown */
    int                    pushprox;  /* it is a proxy of that kind */
    int                    asked;     /* once, whatever it has said */
    int                    known;     /* what it lists; nothing, perhaps */
    int                    failing;   /* when it was last asked */
    loop_timer_t           keep;      /* of its list, while it is */

    double                 answered;  /* s, of the real time; 0: never */
    uint64_t               asks;
    uint64_t               failures;

    ask_t                 *ask;       /* that is under way */
    member_page_e          page;      /* that it is for, or was */
    int                    waiting;   /* for one, as does */
    member_t              *next;
};


/* NULL: out of memory; conf must stay where it is */

member_t *member_open(const place_t *place, const member_conf_t *conf);

/* returns 0, or -1: out of memory; told is called once it has answered */

int member_ask(member_t *member, ask_t *ask);

void member_close(member_t *member);


#endif /* _DISCOVERY_MEMBER_H_INCLUDED_ */
