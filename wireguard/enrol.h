/*
 * What the files of the enrolment share: one that has asked, and what becomes
 * of it.
 */


#ifndef _WIREGUARD_ENROL_H_INCLUDED_
#define _WIREGUARD_ENROL_H_INCLUDED_


#include "commands.h"
#include "enrol_request.h"


typedef struct enrol_s  enrol_t;

struct enrol_s {
    enrol_t             *next;        /* of those that wait with it */
    enrol_request_t      request;

    /* what it is told: 0 while that isn't known; and it is a node now */

    int                  status;
    int                  taken;
    buffer_t             answer;

    /* the SHA-256 of the nodes file that has it, and which change that was */

    char                 version[KEY_DIGEST];
    uint64_t             change;
};


/*
 * Decides on all of the list, writes what they change, and gives each of them
 * its status and answer.  Returns 1 while another process has the files; they
 * are then to be tried again.
 */

int enrol_decide(const wireguard_options_t *options, const char *dir,
    enrol_t *list);

/* another answer than 200: one line, for the node */

void enrol_tell(enrol_t *e, int status, const char *text);


#endif /* _WIREGUARD_ENROL_H_INCLUDED_ */
