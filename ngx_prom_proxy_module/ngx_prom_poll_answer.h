/*
 * The HTTP response that a poll client pushes: a parser that is fed its bytes
 * as they come, in plain C.  It copies nothing of the body: what is body is
 * told by place.
 *
 * RFC 9112, as Go's http.Response.Write has it: HTTP/1.x with Content-Length,
 * chunked, or neither, up to the end of the push; and the "HTTP/0.0 500 ..."
 * with which the Go client tells its own errors.
 */


#ifndef _NGX_PROM_POLL_ANSWER_H_INCLUDED_
#define _NGX_PROM_POLL_ANSWER_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


typedef enum {
    NGX_PROM_POLL_ANSWER_MORE = 0,    /* all is used, more is to come */
    NGX_PROM_POLL_ANSWER_HEADER,      /* the header is whole */
    NGX_PROM_POLL_ANSWER_BODY,        /* *body, *len are the next of it */
    NGX_PROM_POLL_ANSWER_DONE,        /* the body is whole */
    NGX_PROM_POLL_ANSWER_ERROR        /* reason says what is wrong */
} ngx_prom_poll_answer_e;

typedef enum {
    NGX_PROM_POLL_ANSWER_LENGTH = 0,
    NGX_PROM_POLL_ANSWER_CHUNKED,
    NGX_PROM_POLL_ANSWER_TO_END
} ngx_prom_poll_framing_e;


/* text points into the header's buffer */

typedef struct {
    const unsigned char     *name;
    const unsigned char     *value;
    uint16_t                 name_len;
    uint32_t                 value_len;
} ngx_prom_poll_answer_header_t;


/* zero, with buf and size set, before the first byte */

typedef struct {
    unsigned char           *buf;       /* the caller's, for the header */
    uint32_t                 size;      /* of it: a longer one is an error */

    uint32_t                 used;      /* of it: the header as it came */

    /* of a whole header */

    uint16_t                 status;    /* 200-599 */
    ngx_prom_poll_framing_e  framing;
    uint64_t                 length;    /* of NGX_PROM_POLL_ANSWER_LENGTH */

    const char              *reason;    /* of an error */

    /* private from here on */

    uint32_t                 state;
    uint32_t                 seen;      /* of the header, what frames a body */
    uint32_t                 line;      /* behind the lines that are right */
    uint32_t                 next;      /* header, for who asks */
    uint32_t                 count;     /* bytes of a chunk's size, trailers */
    uint64_t                 left;      /* of the body, or of a chunk */
} ngx_prom_poll_answer_t;


/*
 * Goes on with the bytes from *pos to last, and moves *pos behind what it has
 * used.  Called again while it returns HEADER or BODY, also without bytes.
 * A HEAD's answer has no body: bodiless is 1 then; that a 204's and a 304's
 * has none is known.  What is behind a whole answer is left where it is.
 */

ngx_prom_poll_answer_e ngx_prom_poll_answer_feed(ngx_prom_poll_answer_t *a,
    int bodiless, const unsigned char **pos, const unsigned char *last,
    const unsigned char **body, size_t *len);

/* the push has ended: DONE if the answer is whole, else ERROR */

ngx_prom_poll_answer_e ngx_prom_poll_answer_end(ngx_prom_poll_answer_t *a);

/*
 * The next header, in turn, of what there is of them: those that are right,
 * if the header isn't whole or has a mistake.  0 behind the last; what is
 * next then is the first one.
 */

int ngx_prom_poll_answer_header(ngx_prom_poll_answer_t *a,
    ngx_prom_poll_answer_header_t *header);


#endif /* _NGX_PROM_POLL_ANSWER_H_INCLUDED_ */
