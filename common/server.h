/*
 * A server of one page, in the loop, for those who scrape the program.
 */


#ifndef _COMMON_SERVER_H_INCLUDED_
#define _COMMON_SERVER_H_INCLUDED_


#include "str.h"


typedef void (*server_page_pt)(void *data, buffer_t *page);


/* address is [HOST]:PORT; returns 0, or -1 with the reason */

int server_open(const char *address, server_page_pt page, void *data,
    reason_t why);
void server_close(void);


#endif /* _COMMON_SERVER_H_INCLUDED_ */
