/*
 * What is kept of a session in STATE/sessions/PID, so that a service that is
 * started anew goes on with it:
 *
 *     STARTED SINCE NAME FIRST PORTS ADDRESS TYPE BASE64
 *
 * NAME is "-" for a shared key, and FIRST 0.
 */


#ifndef _SESSIONS_RECORD_H_INCLUDED_
#define _SESSIONS_RECORD_H_INCLUDED_


#include <stdint.h>
#include <sys/types.h>


typedef struct {
    pid_t                pid;         /* of sshd's monitor */
    uint64_t             started;     /* as in /proc/PID/stat */
    uint64_t             since;       /* ms of Unix time */
    char                *name;        /* NULL: by a shared key */
    uint16_t             first;       /* ports, 0 without a name */
    uint16_t             ports;
    char                *address;
    char                *type;        /* of the key or certificate */
    char                *key;         /* base64 */
} record_t;


/* frees the texts, all of which may be NULL */

void record_clear(record_t *record);

/* these return 0, or -1 with errno set; dir is a descriptor */

int record_save(int dir, const record_t *record);
int record_load(int dir, const char *file, record_t *record);

void record_remove(int dir, pid_t pid);


#endif /* _SESSIONS_RECORD_H_INCLUDED_ */
