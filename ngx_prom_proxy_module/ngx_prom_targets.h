/*
 * The grammar of /etc/monitoring/targets, in plain C without nginx, so that
 * the module, the "check" command and the fuzzer run the same code.
 *
 *     ADDRESS NAME [LABEL=VALUE ...]     # comment
 *
 * ADDRESS  HOST:PORT[/BASE], unix:PATH[:/BASE], or either of them behind
 *          "http://" or "https://", where PORT may be left out.
 * NAME     one or more segments of "A-Za-z0-9._~-", joined by "/".
 * VALUE    bare, or in double quotes with \\, \" and \n.
 *
 * Lines end with LF or CRLF; a UTF-8 byte order mark may start the text.
 */


#ifndef _NGX_PROM_TARGETS_H_INCLUDED_
#define _NGX_PROM_TARGETS_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#define NGX_PROM_NAME_MAX    255      /* bytes of NAME */
#define NGX_PROM_VALUE_MAX   4096     /* bytes of VALUE, unescaped */
#define NGX_PROM_LINE_MAX    65536    /* bytes of a line */
#define NGX_PROM_ERRORS_MAX  20       /* mistakes that are told one by one */


typedef enum {
    NGX_PROM_ADDRESS_IPV4 = 0,
    NGX_PROM_ADDRESS_IPV6,
    NGX_PROM_ADDRESS_LOCALHOST,       /* both loopback addresses, no DNS */
    NGX_PROM_ADDRESS_DNS,             /* resolved while running */
    NGX_PROM_ADDRESS_UNIX,
    NGX_PROM_ADDRESS_POLL             /* a client that polls; of no file */
} ngx_prom_address_e;


typedef struct {
    char                *data;
    size_t               len;
} ngx_prom_text_t;


/*
 * One line of the file. All texts are slices of the parsed text and live as
 * long as it does; they are not terminated by zero.
 */

typedef struct {
    ngx_prom_text_t      name;        /* no leading or trailing "/" */
    ngx_prom_text_t      address;     /* as written */
    ngx_prom_text_t      authority;   /* as written: host:port, unix:PATH */
    ngx_prom_text_t      host;        /* no brackets; PATH of "unix:" */
    ngx_prom_text_t      base;        /* "" or "/base", no "/" at the end */
    ngx_prom_text_t      labels;      /* "name\0value\0"..., unescaped */

    uint32_t             line;        /* from 1 */
    uint16_t             port;        /* host order; 0 for "unix:" */
    uint16_t             tunnel;      /* first port of its host, or 0 */
    uint8_t              tls;         /* behind "https://" */
    uint8_t              kind;        /* ngx_prom_address_e */

    uint8_t              ip[16];      /* network order; 4 bytes for IPv4 */

    uint32_t             node;        /* ngx_prom_peers_mark() of its node's
                                         key, or 0: without both it's of the
                                         targets file */
} ngx_prom_target_t;


/* line and column count bytes from 1; reason is one line, valid in the call */

typedef void (*ngx_prom_targets_error_pt)(void *data, uint32_t line,
    uint32_t column, const char *reason);

/* returns size bytes aligned for any type, or NULL; nothing is ever freed */

typedef void *(*ngx_prom_targets_alloc_pt)(void *data, size_t size);


typedef struct {
    ngx_prom_targets_alloc_pt    alloc;      /* set by the caller */
    ngx_prom_targets_error_pt    error;      /* set by the caller */
    void                        *data;       /* handed to both */

    ngx_prom_target_t           *targets;    /* in the file's order */
    uint32_t                     count;
    uint32_t                     errors;     /* all, also untold ones */
} ngx_prom_targets_t;


/*
 * Parses text[0 .. len - 1] in place; text[len] must be writable too.
 * Calls error for the first NGX_PROM_ERRORS_MAX mistakes, in the file's
 * order, and goes on behind each, so that one run finds them all.
 *
 * Returns 0 if all of it was right; 1 if errors is not 0, targets then
 * holds the lines that were right; -1 if alloc failed.
 */

int ngx_prom_targets_parse(ngx_prom_targets_t *pt, char *text, size_t len);

/*
 * Walks the labels of a target: *pos is 0 at first.
 * Returns 1 with the next label's name and value, both terminated by zero,
 * or 0 behind the last.
 */

int ngx_prom_targets_label(const ngx_prom_target_t *target, size_t *pos,
    const char **name, const char **value);


#endif /* _NGX_PROM_TARGETS_H_INCLUDED_ */
