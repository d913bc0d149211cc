/*
 * A server of a few pages, in the loop, for those who scrape the program.
 */


#ifndef _COMMON_SERVER_H_INCLUDED_
#define _COMMON_SERVER_H_INCLUDED_


#include "str.h"


/* a text that is answered with, and not copied: it is freed by who is last */

typedef struct {
    buffer_t        text;
    unsigned        uses;
} server_text_t;


typedef struct {
    unsigned        status;       /* 200 at first */
    buffer_t        text;         /* of this answer alone; or else */
    server_text_t  *shared;
} server_answer_t;


typedef struct {
    const char     *path;         /* NULL: whichever is asked for */
    const char     *type;         /* of what is answered with 200 */
    void          (*answer)(void *data, server_answer_t *answer);
} server_page_t;


#define SERVER_TEXT     "text/plain; charset=utf-8"
#define SERVER_METRICS  "text/plain; version=0.0.4; charset=utf-8"
#define SERVER_JSON     "application/json"


/*
 * address is [HOST]:PORT; the pages stay the caller's and must stay where they
 * are.  Returns 0, or -1 with the reason.
 */

int server_open(const char *address, const server_page_t *pages, unsigned n,
    void *data, reason_t why);
void server_close(void);


/* NULL: out of memory; the text is then its own, and it has one use */

server_text_t *server_text(buffer_t *text);

server_text_t *server_text_use(server_text_t *text);
void server_text_free(server_text_t *text);       /* one use less; or NULL */


#endif /* _COMMON_SERVER_H_INCLUDED_ */
