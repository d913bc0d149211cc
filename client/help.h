/*
 * While a scrape is under way its lane is taken, and a poll by another one
 * helps out.  Behind a load balancer that has to come to the same replica,
 * lest two know of the name: a poll that says which one it is for is sent
 * away by any other.
 */


#ifndef _CLIENT_HELP_H_INCLUDED_
#define _CLIENT_HELP_H_INCLUDED_


#include <stdint.h>

#include "lane.h"


#define HELP_ID  64               /* bytes of a replica's ID, at most */


typedef struct {
    char                 line[sizeof("Prom-Poll-Replica: ") + HELP_ID];
    struct curl_slist    header;  /* the line, and the headers of any poll */
    int64_t              begun;   /* the last scrape */
    unsigned             tries;   /* that came to another replica, in a row */
    unsigned             tried:1; /* at once, since it is this replica */
} help_t;


/* notes which replica has answered; PushProx' proxies don't say */

void help_answered(help_t *help, CURL *easy, lane_t *lane, lane_t *lanes);

/* whether a poll is to be for that replica alone, while scrapes are */

int help_is_bound(const help_t *help, unsigned scrapes);

/* for CURLOPT_HTTPHEADER, with what all polls have */

struct curl_slist *help_headers(help_t *help, struct curl_slist *headers);

/*
 * In so many ms a poll is to help out: when a scrape has come, and after one
 * was sent away; -1: not any more.
 */

int help_begin(help_t *help, const lane_t *lanes);
int help_again(help_t *help);

/* a poll has failed: what was tried says nothing any more */

void help_failed(help_t *help);


#endif /* _CLIENT_HELP_H_INCLUDED_ */
