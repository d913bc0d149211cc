#include <stdio.h>
#include <string.h>

#include "help.h"
#include "loop.h"
#include "str.h"


#define HELP_NAME   "Prom-Poll-Replica"
#define HELP_DELAY  100           /* ms, for scrapes to be over, and tries */
#define HELP_TRIES  16            /* for one scrape */
#define HELP_OFTEN  1000          /* ms between scrapes */


void
help_answered(help_t *help, CURL *easy, lane_t *lane, lane_t *lanes)
{
    char                 line[sizeof(help->line)];
    const char          *id;
    struct curl_header  *header;

    id = "";

    if (curl_easy_header(easy, HELP_NAME, 0, CURLH_HEADER, -1, &header)
        == CURLHE_OK
        && strlen(header->value) <= HELP_ID
        && str_is_visible(str_of(header->value)))
    {
        id = header->value;
    }

    line[0] = '\0';

    if (id[0]) {
        (void) snprintf(line, sizeof(line), HELP_NAME ": %s", id);
    }

    if (strcmp(line, help->line) != 0) {
        memcpy(help->line, line, sizeof(line));
        help->tried = 0;
        lanes_forget(lanes);
    }

    lane->known = line[0] != '\0';
}


int
help_is_bound(const help_t *help, unsigned scrapes)
{
    return scrapes && help->line[0];
}


struct curl_slist *
help_headers(help_t *help, struct curl_slist *headers)
{
    help->header.data = help->line;
    help->header.next = headers;

    return &help->header;
}


/*
 * Most names are scraped seldom, and scrapes are over soon: one lane is
 * enough.  Where they come one behind the other, the next is to find a poll
 * that waits, if that takes no more than a connection.
 */

int
help_begin(help_t *help, const lane_t *lanes)
{
    int64_t  since;

    since = loop_now() - help->begun;

    help->begun += since;
    help->tries = 0;

    if (help->line[0] == '\0' || lanes_have_known(lanes)) {
        return 0;
    }

    if (!help->tried && since < HELP_OFTEN) {
        help->tried = 1;
        return 0;
    }

    return HELP_DELAY;
}


int
help_again(help_t *help)
{
    return ++help->tries < HELP_TRIES ? HELP_DELAY : -1;
}


void
help_failed(help_t *help)
{
    help->tried = 0;
}
