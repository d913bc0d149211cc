/*
 * What the parts of the measurement of polls share: clients that hold polls
 * and push what they are asked for, and scrapers that ask, on one event loop.
 */


#ifndef _POLL_H_INCLUDED_
#define _POLL_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>


#define POLL_NAME      24      /* bytes of a name in a record */
#define POLL_RECORD    64      /* bytes of a record: bodies are made of them */
#define POLL_BUFFER    16384   /* bytes of a header, at most */


typedef enum {
    POLL_HELD = 0,             /* a client's poll */
    POLL_PUSH,
    POLL_SCRAPE
} poll_kind_e;


typedef struct poll_conn_s  poll_conn_t;

struct poll_conn_s {
    int             fd;        /* -1: not connected */
    poll_kind_e     kind;
    unsigned        number;    /* of its client, or of the scraper */
    unsigned        writes:1;  /* epoll tells of room to write */
    unsigned        busy:1;    /* an answer is awaited */
    unsigned        kept:1;    /* it has had an answer before */

    char           *in;        /* what is there of an answer, or NULL */
    size_t          in_len;

    struct iovec    out[2];    /* what is still to be written */
    char           *head;      /* malloc()ed, as what they point to */
    char           *body;

    double          retry;     /* when to connect again, or 0 */
    poll_conn_t    *next;      /* in a list */

    /* of a scrape */

    uint64_t        seq;
    size_t          size;      /* that was asked for */
    size_t          got;       /* of the body */
    unsigned        name;      /* number of the client */
    int             status;
    double          start;
};


typedef struct {
    const char     *address;
    int             port;
    unsigned        clients;
    size_t          bytes;     /* of a body */
    unsigned        timeout;   /* of a scrape, in seconds */
    unsigned        check;     /* each byte of a body, not the first ones */
    unsigned        breaks;    /* connections that are broken in a second */
    char           *static_body;
} poll_options_t;


typedef struct {
    uint64_t        done;      /* scrapes that were answered as they should */
    uint64_t        refused;   /* by a status that isn't 200 */
    uint64_t        broken;    /* connections that ended within an answer */
    uint64_t        wrong;     /* bodies that aren't the target's */
    uint64_t        stuck;     /* no answer long past the time limit */
    uint64_t        polls;     /* that were refused */
    uint64_t        pushes;    /* that were refused */
    uint64_t        left;      /* scrapes that are to be started */
    uint64_t        running;
    unsigned        codes[600];
} poll_counts_t;


extern poll_options_t   poll_options;
extern poll_counts_t    poll_counts;


/* poll.c: seconds; and why the first few things went wrong, on stderr */

double poll_now(void);
void poll_say(const char *fmt, ...);

/* poll_conn.c */

int poll_loop_init(void);                  /* what becomes readable then */
int poll_wait(int ms);                     /* handles what has happened */

/* returns 0, or -1 if there is no way to connect now */

int poll_connect(poll_conn_t *c);
void poll_close(poll_conn_t *c, int reset);
void poll_watch(poll_conn_t *c, int writes);

/* writes head and body, which it owns from now on (body: if owned) */

int poll_send(poll_conn_t *c, char *head, size_t len, char *body,
    size_t body_len, int owned);

/*
 * Reads into c->in.  Returns the length of the header once it is whole, 0 if
 * it isn't, -1 at the end of the connection.  status and length are told.
 */

ssize_t poll_header(poll_conn_t *c, int *status, size_t *length);

/* poll_record.c: the record at an offset of a body */

void poll_record(char *buf, unsigned name, uint64_t seq, size_t offset);

/* poll_client.c */

void poll_clients_start(unsigned first, unsigned last);
void poll_clients_retry(double now);
void poll_client_break(unsigned random);
void poll_clients_vanish(uint64_t count);
void poll_held_event(poll_conn_t *c, uint32_t events);
void poll_push_event(poll_conn_t *c, uint32_t events);

/* poll_scraper.c */

void poll_scrape_start(uint64_t count, double rate, unsigned connections,
    unsigned names);
void poll_scrape_tick(double now);
void poll_scrape_break(unsigned random);
void poll_scrape_report(void);
void poll_scrape_event(poll_conn_t *c, uint32_t events);


#endif /* _POLL_H_INCLUDED_ */
