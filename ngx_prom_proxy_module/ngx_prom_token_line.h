/*
 * What the keeper of credentials says to a worker, line by line, in plain C
 * without nginx:
 *
 *     token NAME VERSION LEFT VALUE...
 *     aws NAME VERSION LEFT REGION ACCESS_KEY SECRET_KEY SESSION_TOKEN
 *     plain NAME VERSION 0
 *     nothing NAME SINCE REASON...
 *     stats NAME REFRESHES CONNECT TIMEOUT REFUSED THROTTLED SERVER INVALID
 *         FILE
 *
 * Fields are parted by one space.  LEFT and SINCE are milliseconds.
 */


#ifndef _NGX_PROM_TOKEN_LINE_H_INCLUDED_
#define _NGX_PROM_TOKEN_LINE_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#define NGX_PROM_TOKEN_LINE_MAX    65536  /* bytes of a line, with its end */
#define NGX_PROM_TOKEN_NAME_MAX    63
#define NGX_PROM_TOKEN_REASON_MAX  200


typedef enum {
    NGX_PROM_TOKEN_VALUE = 0,         /* "token" */
    NGX_PROM_TOKEN_AWS,
    NGX_PROM_TOKEN_PLAIN,
    NGX_PROM_TOKEN_NOTHING,
    NGX_PROM_TOKEN_STATS
} ngx_prom_token_kind_e;


/* refreshes that worked, and failures by reason, since the keeper's start */

typedef enum {
    NGX_PROM_TOKEN_REFRESHES = 0,
    NGX_PROM_TOKEN_CONNECT,
    NGX_PROM_TOKEN_TIMEOUT,
    NGX_PROM_TOKEN_REFUSED,
    NGX_PROM_TOKEN_THROTTLED,
    NGX_PROM_TOKEN_SERVER,
    NGX_PROM_TOKEN_INVALID,
    NGX_PROM_TOKEN_FILE,
    NGX_PROM_TOKEN_COUNTS
} ngx_prom_token_count_e;


/* a slice of the line */

typedef struct {
    const char                  *data;
    size_t                       len;
} ngx_prom_token_text_t;


typedef struct {
    ngx_prom_token_kind_e        kind;
    ngx_prom_token_text_t        name;
    uint64_t                     version;
    uint64_t                     left;       /* 0: for ever */
    uint64_t                     since;      /* of NOTHING, if it failed */
    unsigned                     failed:1;
    ngx_prom_token_text_t        value;      /* of VALUE, or the reason */
    ngx_prom_token_text_t        region;     /* these are AWS' */
    ngx_prom_token_text_t        access_key;
    ngx_prom_token_text_t        secret_key;
    ngx_prom_token_text_t        session;    /* empty: there is none */
    uint64_t                     counts[NGX_PROM_TOKEN_COUNTS];
} ngx_prom_token_line_t;


/*
 * Reads a line of len bytes, without its end.  Returns NULL, or what is wrong
 * with it: words that go behind "a line that ...", with nothing out of it.
 */

const char *ngx_prom_token_line(ngx_prom_token_line_t *line,
    const char *text, size_t len);

/* true if that could be a remote's NAME: [A-Za-z0-9_-]{1,63} */

int ngx_prom_token_name(const char *name, size_t len);


#endif /* _NGX_PROM_TOKEN_LINE_H_INCLUDED_ */
