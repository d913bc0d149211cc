/*
 * What the files of wg0.conf's parser share.
 */


#ifndef _WIREGUARD_CONF_LINE_H_INCLUDED_
#define _WIREGUARD_CONF_LINE_H_INCLUDED_


#include "conf.h"


typedef enum {
    CONF_NONE = 0,
    CONF_INTERFACE,
    CONF_PEER,
    CONF_OTHER                        /* a section that is none */
} conf_section_e;


typedef struct {
    conf_t              *conf;
    conf_peer_t         *peer;        /* of the section */
    ngx_prom_line_t      line;
    conf_section_e       section;
    unsigned             seen;        /* bits of what the section has */
    uint32_t             interface;   /* its line, or 0 */
    unsigned             key:1;       /* it is given */
    unsigned             address:1;
    unsigned             failed:1;    /* no memory */
} conf_parse_t;


/* NAME = VALUE in a section */

void conf_value(conf_parse_t *parse, const ngx_prom_text_t *name,
    const ngx_prom_text_t *value);

/* in whatever case */

int conf_is(const char *p, const char *end, const char *s);


#endif /* _WIREGUARD_CONF_LINE_H_INCLUDED_ */
