/*
 * The answer to a poll: a whole request in absolute form, as its scraper has
 * sent it to the proxy.  What is no such thing is refused.
 */


#ifndef _CLIENT_REQUEST_H_INCLUDED_
#define _CLIENT_REQUEST_H_INCLUDED_


#include "headers.h"
#include "str.h"


#define REQUEST_MAX     (64 * 1024)    /* of the text, with its body */
#define REQUEST_ID_MAX  128


/* all of it lies in the text */

typedef struct {
    str_t      method;
    str_t      uri;           /* as it was asked for */
    int        https;
    str_t      host;          /* with the brackets of an IPv6 address */
    int        port;          /* the scheme's own, if it wasn't given */
    str_t      path;          /* empty, or begins with "/" */
    str_t      query;         /* start is NULL if there is none */
    headers_t  headers;
    str_t      id;
    str_t      body;
    double     timeout;       /* s; 0 if it wasn't given, or is none */
} request_t;


/* returns 0, or -1 with the reason */

int request_parse(request_t *request, const char *text, size_t len,
    reason_t why);

/*
 * The query without "_scheme", by which a scrape over https is asked for, as
 * a proxy sees no more than a CONNECT of one that says so in its URI.
 */

void request_query(const request_t *request, buffer_t *query);


#endif /* _CLIENT_REQUEST_H_INCLUDED_ */
