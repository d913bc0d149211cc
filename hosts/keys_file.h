/*
 * A file of public keys, TYPE BASE64 [COMMENT] a line, as ssh_ca.pub is.
 */


#ifndef _HOSTS_KEYS_FILE_H_INCLUDED_
#define _HOSTS_KEYS_FILE_H_INCLUDED_


#include <stdio.h>

#include "ngx_prom_targets_line.h"


/* slices of the file's text */

typedef struct {
    ngx_prom_text_t      type;
    ngx_prom_text_t      base64;
    ngx_prom_text_t      comment;     /* may be empty */
    uint32_t             line;        /* from 1 */
} keys_file_key_t;


typedef struct {
    char                *text;
    keys_file_key_t     *keys;
    size_t               count;
    ngx_prom_seen_t      seen;        /* keys, counted from 1 */
} keys_file_t;


/*
 * A file that isn't there has no keys.  Returns NULL after telling what is
 * wrong, as "FILE: reason" or "FILE:LINE:COLUMN: reason", unless told is NULL.
 */

keys_file_t *keys_file_load(const char *path, FILE *told);

/* the same, but lines with mistakes are told and passed over */

keys_file_t *keys_file_load_right(const char *path, FILE *told);

/* the same as the first of a text, told as "NAME: line LINE reason" */

keys_file_t *keys_file_parse(const char *name, const char *text, FILE *told);

void keys_file_free(keys_file_t *file);

/* the type is in the base64 too */

const keys_file_key_t *keys_file_find(const keys_file_t *file,
    const char *base64, size_t len);


#endif /* _HOSTS_KEYS_FILE_H_INCLUDED_ */
