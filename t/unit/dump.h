/*
 * What the programs share that parse a text and print what is in it.
 */


#ifndef _DUMP_H_INCLUDED_
#define _DUMP_H_INCLUDED_


#include <stdint.h>
#include <stdio.h>

#include "ngx_prom_targets.h"


/* fails after left allocations; the rest is what was made */

typedef struct {
    int      left;
    int      used;
    size_t   bytes;
    void    *blocks[32];
} dump_memory_t;


/* all of it, in just the memory that a parser asks for */

char *dump_read(FILE *in, size_t *len);

/* memory that isn't zeroed, as a pool's isn't; data is a dump_memory_t */

void *dump_alloc(void *data, size_t size);
void dump_free(dump_memory_t *memory);

void dump_error(void *data, uint32_t line, uint32_t column,
    const char *reason);

/* one that is merged with others, in a line with its labels */

void dump_merged(const ngx_prom_target_t *target);


#endif /* _DUMP_H_INCLUDED_ */
