/*
 * What the grammars of targets, hosts, nodes and tokens share: the line that
 * is being parsed.
 */


#ifndef _NGX_PROM_TARGETS_LINE_H_INCLUDED_
#define _NGX_PROM_TARGETS_LINE_H_INCLUDED_


#include <stdarg.h>

#include "ngx_prom_targets.h"


#define NGX_PROM_LABELS_MAX      64     /* labels of a line */
#define NGX_PROM_EXCERPT         48     /* bytes of the file in a message */

#if (defined __GNUC__)
#define NGX_PROM_FORMAT          __attribute__((format(printf, 3, 4)))
#else
#define NGX_PROM_FORMAT
#endif

#define ngx_prom_blank(ch)       ((ch) == ' ' || (ch) == '\t')
#define ngx_prom_digit(ch)       ((ch) >= '0' && (ch) <= '9')
#define ngx_prom_hex(ch)                                                      \
    (ngx_prom_digit(ch) || ((ch) >= 'a' && (ch) <= 'f')                       \
     || ((ch) >= 'A' && (ch) <= 'F'))


typedef struct ngx_prom_slot_s  ngx_prom_slot_t;

typedef char  ngx_prom_excerpt_t[NGX_PROM_EXCERPT * 4 + sizeof("...")];


/* finds what is there twice */

typedef struct {
    ngx_prom_slot_t             *slots;
    uint32_t                     mask;
} ngx_prom_seen_t;


typedef struct {
    ngx_prom_targets_error_pt    error;
    void                        *data;       /* handed to it */
    uint32_t                    *errors;     /* counts them */

    char                        *next;       /* line */
    char                        *last;       /* behind the text */

    uint32_t                     number;     /* from 1 */
    char                        *start;
    char                        *pos;        /* next byte to parse */
    char                        *end;        /* behind the last, no line end */
    unsigned                     wrong:1;

    ngx_prom_target_t           *target;     /* while its ADDRESS is parsed */

    char                        *out;        /* where packed labels end */
    ngx_prom_text_t              labels;     /* packed */
    ngx_prom_text_t              label[NGX_PROM_LABELS_MAX];
    unsigned                     nlabels;
    uint64_t                     interval;   /* milliseconds; 0: not given */
    uint64_t                     timeout;
} ngx_prom_line_t;


/*
 * Goes in front of the first line.  Mistakes are told to error and counted in
 * *errors; returns 0 after one of the whole text.
 */

int ngx_prom_lines_start(ngx_prom_line_t *pl, char *text, size_t len,
    ngx_prom_targets_error_pt error, void *data, uint32_t *errors);

/* counts the lines that have as many bytes and are no comment */

size_t ngx_prom_lines_bound(const ngx_prom_line_t *pl, size_t least);

/* an array for as many lines, as none grows; NULL without memory, or for 0 */

void *ngx_prom_lines_array(ngx_prom_targets_alloc_pt alloc, void *data,
    size_t bound, size_t size);

/* goes to the next line that is plain text, telling of others; 0: no more */

int ngx_prom_line_next(ngx_prom_line_t *pl);

/* skips white space: is there anything but a comment left? */

int ngx_prom_line_more(ngx_prom_line_t *pl);

/* the next word, or 0 */

int ngx_prom_line_token(ngx_prom_line_t *pl, ngx_prom_text_t *token);

/* the word that comes next, where there is more, and stays to be parsed */

void ngx_prom_line_peek(const ngx_prom_line_t *pl, ngx_prom_text_t *word);

/* 0 if it isn't a port's number, without leading zeros */

uint32_t ngx_prom_port_number(const char *p, size_t len);

/* fills in target, or tells what is wrong with its address */

void ngx_prom_address_parse(ngx_prom_line_t *pl, ngx_prom_target_t *target);

/* true if it is a number to any program that takes 127.1 for an address */

int ngx_prom_number(const char *p, const char *end);

/* four decimal numbers, and nothing else; returns 0 if it isn't */

int ngx_prom_ipv4_parse(const ngx_prom_text_t *host, uint8_t *ip);

/* takes slashes off the ends; returns 0 after a mistake */

int ngx_prom_name_parse(ngx_prom_line_t *pl, ngx_prom_text_t *name);

/*
 * Labels are packed from where the line is at the start, into pl->labels.
 * The second parses one, and returns 0 where the rest of the line can't be
 * told apart any more.
 */

void ngx_prom_labels_start(ngx_prom_line_t *pl);
int ngx_prom_label_parse(ngx_prom_line_t *pl);

/* room for as many as bound; returns -1 if there is no memory */

int ngx_prom_seen_init(ngx_prom_seen_t *seen, ngx_prom_targets_alloc_pt alloc,
    void *data, size_t bound);

/* returns the line that had it before, or 0 */

uint32_t ngx_prom_seen_add(ngx_prom_seen_t *seen, const char *data,
    size_t len, uint32_t line);

/* the line that has it, or 0 */

uint32_t ngx_prom_seen_find(const ngx_prom_seen_t *seen, const char *data,
    size_t len);

uint64_t ngx_prom_hash(const char *data, size_t len);

/* tells a mistake at a byte of the line, and marks the line as wrong */

void ngx_prom_line_error(ngx_prom_line_t *pl, const char *at,
    const char *fmt, ...) NGX_PROM_FORMAT;

/* the same of any line, for what is found behind all of them */

void ngx_prom_lines_error(ngx_prom_targets_error_pt error, void *data,
    uint32_t *errors, uint32_t line, uint32_t column, const char *fmt,
    va_list args);

/* makes bytes of the file fit for a log: printable, short and quotable */

const char *ngx_prom_excerpt(ngx_prom_excerpt_t buf, const char *data,
    size_t len);

/* says what is wrong in "segment/segment", or returns NULL */

const char *ngx_prom_segments_check(const char *p, size_t len);

int ngx_prom_text_is(const ngx_prom_text_t *text, const char *s);
int ngx_prom_starts(const char *p, const char *end, const char *s);

/* an ASCII letter or digit, or one of the others */

int ngx_prom_char_in(char ch, const char *others);


#endif /* _NGX_PROM_TARGETS_LINE_H_INCLUDED_ */
