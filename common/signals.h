/*
 * Signals, as events of the loop.
 */


#ifndef _COMMON_SIGNALS_H_INCLUDED_
#define _COMMON_SIGNALS_H_INCLUDED_


typedef void (*signals_pt)(int signo);


/*
 * From here on SIGTERM and SIGINT are told to the handler, as is one more
 * where that isn't 0.  Returns 0, or -1 with errno.
 */

int signals_open(int one_more, signals_pt handler);

void signals_close(void);


#endif /* _COMMON_SIGNALS_H_INCLUDED_ */
