/*
 * Sessions that are none of ours and have to end: those that can't be watched,
 * and those of sshd's that nothing is known of.
 */


#ifndef _SESSIONS_STRAYS_H_INCLUDED_
#define _SESSIONS_STRAYS_H_INCLUDED_


#include <stdint.h>
#include <sys/types.h>


typedef struct strays_s  strays_t;


/* is it one of ours */

typedef int (*strays_known_pt)(void *data, pid_t pid);

/* it is gone */

typedef void (*strays_gone_pt)(void *data, pid_t pid, uint64_t started);


/* returns NULL with errno set */

strays_t *strays_open(strays_known_pt known, strays_gone_pt gone, void *data);
void strays_close(strays_t *strays);

/* returns -1 with errno set */

int strays_end(strays_t *strays, pid_t pid, uint64_t started);

/* is it being ended */

int strays_has(const strays_t *strays, pid_t pid);

/* to be called every 50 ms if it returned 1, or else now and then */

int strays_step(strays_t *strays, int64_t now);


#endif /* _SESSIONS_STRAYS_H_INCLUDED_ */
