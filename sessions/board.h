/*
 * The board of ngx_prom_tunnels.h, as its writer sees it.
 */


#ifndef _SESSIONS_BOARD_H_INCLUDED_
#define _SESSIONS_BOARD_H_INCLUDED_


#include "ngx_prom_tunnels.h"


typedef struct board_s  board_t;


/* opens it, or makes it; returns NULL with errno set */

board_t *board_open(const char *path);
void board_close(board_t *board);

/*
 * A host is connected: record's seq, ended and logins are not looked at.  A
 * login counts, one that is taken over does not if the board knows it.
 */

void board_connected(board_t *board, uint16_t port,
    const ngx_prom_tunnel_t *record);
void board_adopted(board_t *board, uint16_t port,
    const ngx_prom_tunnel_t *record);

void board_ended(board_t *board, uint16_t port);

/* the port is no host's any more, or another's */

void board_forget(board_t *board, uint16_t port);

/* ends what isn't among the connected: lives[port] is not 0 */

void board_sweep(board_t *board, const uint8_t *lives);

void board_login(board_t *board);
void board_refused(board_t *board, ngx_prom_refused_e reason);
void board_sessions(board_t *board, uint32_t sessions, uint32_t shared);

/* of the hosts file: it is in use; or a change was refused, and why */

void board_loaded(board_t *board, uint32_t hosts);
void board_failed(board_t *board, const char *reason);

/* how many there are, whatever the file says */

void board_hosts(board_t *board, uint32_t hosts);

/* what of the two was the last; neither at first */

int board_is_loaded(const board_t *board);
int board_is_failed(const board_t *board);


#endif /* _SESSIONS_BOARD_H_INCLUDED_ */
