/*
 * What the files of the targets grammar share: the line that is being parsed.
 */


#ifndef _NGX_PROM_TARGETS_LINE_H_INCLUDED_
#define _NGX_PROM_TARGETS_LINE_H_INCLUDED_


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


typedef struct ngx_prom_seen_s  ngx_prom_seen_t;

typedef char  ngx_prom_excerpt_t[NGX_PROM_EXCERPT * 4 + sizeof("...")];


typedef struct {
    ngx_prom_targets_t  *pt;
    ngx_prom_target_t   *target;      /* being filled in */
    ngx_prom_seen_t     *seen;
    uint32_t             seen_mask;

    uint32_t             number;
    char                *start;
    char                *pos;         /* next byte to parse */
    char                *end;         /* behind the last, no line end */
    unsigned             wrong:1;

    char                *out;         /* where packed labels end */
    ngx_prom_text_t      label[NGX_PROM_LABELS_MAX];
    unsigned             nlabels;
    uint64_t             interval;    /* milliseconds; 0 if not given */
    uint64_t             timeout;
} ngx_prom_line_t;


/* these two go on behind mistakes, so that one run finds them all */

void ngx_prom_address_parse(ngx_prom_line_t *pl);
void ngx_prom_labels_parse(ngx_prom_line_t *pl);

/* skips white space: is there anything but a comment left? */

int ngx_prom_line_more(ngx_prom_line_t *pl);

/* tells a mistake at a byte of the line, and marks the line as wrong */

void ngx_prom_line_error(ngx_prom_line_t *pl, const char *at,
    const char *fmt, ...) NGX_PROM_FORMAT;

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
