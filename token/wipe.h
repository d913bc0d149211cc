/*
 * Buffers whose memory is wiped before it is given back, as a secret is in
 * them: nothing but these adds to one, since growing it leaves copies.
 */


#ifndef _TOKEN_WIPE_H_INCLUDED_
#define _TOKEN_WIPE_H_INCLUDED_


#include "str.h"


void wipe_add(buffer_t *b, const void *data, size_t len);
void wipe_text(buffer_t *b, const char *text);
void wipe_base64(buffer_t *b, const void *data, size_t len);

/* as a form and a URL have it: all but letters, digits and -._~ are escaped */

void wipe_escaped(buffer_t *b, const char *text);

void wipe_clear(buffer_t *b);                    /* keeps its memory */
void wipe_free(buffer_t *b);


#endif /* _TOKEN_WIPE_H_INCLUDED_ */
