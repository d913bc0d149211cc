/*
 * The file of invitations: a token a line, by its hash.
 *
 *     HASH NAME EXPIRES ADDRESS[,ADDRESS] [ports=PORTS] [LABEL=VALUE ...]
 *     HASH NAME EXPIRES rotate
 *     HASH NAME EXPIRES used=PUBLICKEY
 *
 * HASH is the SHA-256 of the token, in hex, and EXPIRES Unix time in seconds.
 * The first is good for a new node, of which it has all but the key; the
 * second for another key of a node.  Either becomes the third when a node has
 * used it, and is good for the same key again until it expires, as an answer
 * may get lost.
 */


#ifndef _WIREGUARD_INVITATIONS_H_INCLUDED_
#define _WIREGUARD_INVITATIONS_H_INCLUDED_


#include <stdio.h>

#include "ngx_prom_nodes.h"


typedef enum {
    INVITATION_OPEN = 0,
    INVITATION_ROTATE,
    INVITATION_USED
} invitation_e;


/* slices of the file */

typedef struct {
    ngx_prom_text_t      hash;
    ngx_prom_text_t      name;
    ngx_prom_text_t      place;       /* ADDRESS[,ADDRESS] */
    ngx_prom_text_t      words;       /* behind it, as they are written */
    ngx_prom_text_t      key;         /* of one that is used */
    int64_t              expires;
    invitation_e         kind;
    uint32_t             line;
    int                  gone;        /* it isn't written again */
} invitation_t;


typedef struct {
    const char          *path;
    FILE                *told;
    char                *text;
    invitation_t        *list;
    uint32_t             count;
    uint32_t             errors;
} invitations_t;


/*
 * Parses a text, which is copied.  Returns NULL after telling each mistake as
 * "PATH:LINE:COLUMN: reason", unless told is NULL.
 */

invitations_t *invitations_parse(const char *path, const char *text,
    size_t len, FILE *told);
invitations_t *invitations_load(const char *path, FILE *told);
void invitations_free(invitations_t *invitations);

/* the one whose token has this hash, or NULL; takes as long for each */

invitation_t *invitations_find(const invitations_t *invitations,
    const char *hash);

/* is it for this name, and can it be used to enrol a key */

int invitation_for(const invitation_t *invitation, const char *name,
    size_t len);
int invitation_open(const invitation_t *invitation, int64_t now);

/* writes all that aren't gone, less those that have expired */

void invitations_print(FILE *out, const invitations_t *invitations,
    int64_t now);


#endif /* _WIREGUARD_INVITATIONS_H_INCLUDED_ */
