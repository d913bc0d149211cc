/*
 * A secret in a file: its first line, read again when the file changes.
 */


#ifndef _COMMON_SECRET_H_INCLUDED_
#define _COMMON_SECRET_H_INCLUDED_


#include <stdint.h>
#include <sys/stat.h>

#include "str.h"


typedef struct {
    const char   *path;
    char         *value;
    unsigned      version;        /* changes with the value */
    struct stat   stat;
    int64_t       looked;
    int           failed;         /* at the last look, which was logged */
} secret_t;


/* returns 0, or -1 with the reason */

int secret_open(secret_t *secret, const char *path, reason_t why);

/* the newest that could be read; it is looked for once in a second */

const char *secret_value(secret_t *secret);

void secret_reread(secret_t *secret);   /* at the next secret_value() */
void secret_close(secret_t *secret);


#endif /* _COMMON_SECRET_H_INCLUDED_ */
