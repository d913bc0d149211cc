/*
 * The board, for those who read it or make it; see ngx_prom_tunnels.h.
 */


#ifndef _HOSTS_BOARD_H_INCLUDED_
#define _HOSTS_BOARD_H_INCLUDED_


#include "ngx_prom_tunnels.h"


/*
 * Opens the board to be read.  Returns its descriptor, or -1 with errno set;
 * EINVAL is for a file that is no board.
 */

int board_open(const char *path);

/* makes an empty one, or puts it in the place of what is there; 0 or -1 */

int board_make(const char *path);

/*
 * Copies a record as it is at one moment; returns 0, or -1 with errno set.
 * Not by a mapping, where to read what nobody has written takes a page, and
 * SIGBUS ends who gets none.
 */

int board_read(int fd, uint16_t port, ngx_prom_tunnel_t *tunnel);


#endif /* _HOSTS_BOARD_H_INCLUDED_ */
