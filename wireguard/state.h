/*
 * The directory of WireGuard's files, which one process changes at a time.
 */


#ifndef _WIREGUARD_STATE_H_INCLUDED_
#define _WIREGUARD_STATE_H_INCLUDED_


#include <stdio.h>
#include <sys/types.h>

#include "conf.h"
#include "invitations.h"
#include "nodes_file.h"


#define STATE_PATH  4096

/* bytes that a name in the directory may have beside its path */

#define STATE_NAME  16


typedef struct {
    const char          *dir;
    FILE                *told;        /* what is wrong */
    int                  lock;
    char                 nodes_path[STATE_PATH];
    char                 invitations_path[STATE_PATH];
    char                 next_path[STATE_PATH];

    /* as they are read */

    conf_t              *conf;
    char                *text;        /* of the nodes file */
    size_t               len;
    nodes_file_t        *nodes;       /* NULL: it has mistakes */
    invitations_t       *invitations;
} state_t;


/*
 * Locks the directory, unless another process has it: that is waited for, or
 * tried once.  Returns 0; -1 after telling what is wrong; or 1 while another
 * has it.  What follows needs no lock if it changes nothing.
 */

int state_open(state_t *state, const char *dir, FILE *told);
int state_lock(state_t *state);
int state_try(state_t *state);
void state_close(state_t *state);

/* read all of it, or the nodes alone; return 0, or -1 after telling why not */

int state_read(state_t *state);
int state_read_nodes(state_t *state);

/*
 * Gives a file another text, unless it has it; mode is that of one that isn't
 * there.  Returns 0, or -1 after telling why not.
 */

int state_write(state_t *state, const char *path, mode_t mode,
    const char *text, size_t len);
int state_write_invitations(state_t *state, int64_t now);

/*
 * The number of the next address, over all that was in use; 0: none is left.
 * -1 after telling what is wrong.
 */

int64_t state_number(state_t *state);
int state_write_next(state_t *state, uint32_t next);

/* ADDRESS[,ADDRESS] of a number, for the caller to free; NULL: no memory */

char *state_place(const state_t *state, uint32_t number);


#endif /* _WIREGUARD_STATE_H_INCLUDED_ */
