/*
 * What a unit program is that watches for places: it prints each set of places
 * that is handed over; by SIGUSR1 it prints its metrics, by SIGHUP it looks
 * now, by SIGTERM it ends.
 */


#include "places.h"


/* both return 0, or -1; look may be NULL */

int places_run_open(void (*metrics)(buffer_t *page), void (*look)(void));
int places_run(void);

void places_run_found(places_t *places);
