/*
 * Is somebody behind a tunnel: its port is dialled, and what is dialled closes
 * its half at once.  Any living client passes that on to its exporter, and the
 * end of it comes back; so does a refusal of the exporter's.
 */


#ifndef _SESSIONS_PROBE_H_INCLUDED_
#define _SESSIONS_PROBE_H_INCLUDED_


#include <stdint.h>


typedef struct probe_s  probe_t;


typedef enum {
    PROBE_ALIVE = 0,
    PROBE_SILENT,             /* somebody listens, and nothing comes back */
    PROBE_CLOSED              /* nobody listens on any of the ports */
} probe_e;


/* called once; the probe is freed before */

typedef void (*probe_handler_pt)(void *data, probe_e result);


/*
 * Dials localhost at first, first + 1 and so on until somebody listens.  The
 * handler is called from the loop or from probe_step().  Returns NULL with
 * errno set.
 */

probe_t *probe_start(uint16_t first, uint16_t ports, probe_handler_pt handler,
    void *data);

/* to be called now and then; returns 1 if the probe is over, and gone */

int probe_step(probe_t *probe, int64_t now);

/* the handler is not called */

void probe_cancel(probe_t *probe);

/* returns the first of the ports that can't be listened on, or 0 */

uint16_t probe_taken(uint16_t first, uint16_t ports);


#endif /* _SESSIONS_PROBE_H_INCLUDED_ */
