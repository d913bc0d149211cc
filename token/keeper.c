/* until there is one */


#include "keeper.h"


int
keep(const char *remotes, const char *socket, const char *level)
{
    (void) remotes;
    (void) socket;
    (void) level;

    return 1;
}
