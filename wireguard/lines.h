/*
 * The text of a nodes file with a line more, or with another key.
 */


#ifndef _WIREGUARD_LINES_H_INCLUDED_
#define _WIREGUARD_LINES_H_INCLUDED_


#include <stdio.h>

#include "invitations.h"


/* the text, with an end to its last line */

void lines_whole(FILE *out, const char *text, size_t len);

/* the line of an invitation's node */

void lines_node(FILE *out, const invitation_t *invitation, const char *key);

/* the text with another key in the node's line */

void lines_rekey(FILE *out, const char *text, size_t len,
    const ngx_prom_text_t *name, const char *key);


#endif /* _WIREGUARD_LINES_H_INCLUDED_ */
