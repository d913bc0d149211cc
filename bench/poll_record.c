/*
 * Bodies are records of 64 bytes: whose, of which scrape, and where in it; so
 * a byte that is lost, doubled or somebody else's is seen.
 */


#include <stdio.h>
#include <string.h>
#include "poll.h"


void
poll_record(char *buf, unsigned name, uint64_t seq, size_t offset)
{
    int                i;
    char              *p;

    static const char  hex[] = "0123456789abcdef";

    memset(buf, ' ', POLL_RECORD);

    p = buf;
    *p++ = 'c';

    for (i = 10000; i; i /= 10) {
        *p++ = '0' + name / i % 10;
    }

    p = buf + POLL_NAME;

    for (i = 60; i >= 0; i -= 4) {
        *p++ = hex[seq >> i & 15];
    }

    p++;

    for (i = 44; i >= 0; i -= 4) {
        *p++ = hex[offset >> i & 15];
    }

    buf[POLL_RECORD - 1] = '\n';
}
